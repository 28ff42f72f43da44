// Package changelog records every write to a virtual disk in a change log and
// reads such logs back.
//
// A change log is an MS-HRL version 2 file: a header of 4096 bytes, then data of
// writes, each batch followed by a metadata block that describes it. Where the
// published format leaves room, this package decides:
//
//   - Data of a block's entries lies contiguously and in order between the end of
//     the block before (or the header) and the block itself.
//   - Header, metadata block and entry each carry the format's checksum (the
//     one's complement of the byte sum, the field itself skipped). An entry's
//     DataChecksum is the CRC-32C of its data, so damage to data is found, also
//     where bytes have changed places.
//   - Zeroes (WRITE_ZEROES, TRIM) are ordinary write entries whose data is a hole
//     in the file. The first reserved byte of such an entry is 1, which tells our
//     reader that it need not read them; any other reader finds zeroes there.
//   - GUIDs are stored as Windows does: first three fields little-endian.
//
// The Gate sits under every exported disk, tracked or not. A Group tracks the
// disks of one VM: it records each write before it is acknowledged, and cuts the
// logs of all disks at one instant.
//
// # Guarantees
//
//   - Log order equals disk order: a write that overlaps one in flight waits for
//     it, also across a cut.
//   - A write belongs to the log that was current when it was admitted. A write
//     acknowledged before a cut began is in the cut; a write that depends on one
//     outside the cut is outside, too, whichever disk it goes to.
//   - A killed process loses nothing: what the unclosed log held is read again
//     from the disk, by the dirty map beside it. After a loss of power, or when
//     the map cannot be trusted, the disk is marked log_unclean.
//   - Trouble with logs never reaches the guest: tracking stops, the reason is
//     durable, the logs are gone, the disk goes on.
//
// # Not guaranteed
//
//   - An unclosed log survives no loss of power, although Flush makes its data
//     durable: without its last metadata block it cannot be read.
package changelog
