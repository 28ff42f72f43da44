// Package proof shows that recovery points hold what guests wrote, without
// trusting the engine that made them.
//
// A Guest writes records, numbered across all disks of its VM, and keeps a
// journal of its own. A Judge reads that journal and the seed images, works out
// from the disks of a recovery point which records it holds, replays exactly
// those onto the seeds, and compares the result byte for byte. A point passes
// when it is one instant of the VM: no record is torn, and none that was
// acknowledged before a record of the point was begun is missing.
package proof

import (
	"encoding/binary"
	"fmt"
)

// SectorSize is the unit of a record, in bytes.
const SectorSize = 512

// Depth is how many records a guest has in flight at most: it begins a record
// when all that lie Depth before it are acknowledged.
const Depth = 4

// apart is how many records lie at least between two that overlap, so that the
// presence of each of the newest can be read off the disks.
const apart = 4 * Depth

// zeroEvery makes each record whose number is a multiple of it a range of
// zeroes, so that zeroing is proven, too.
const zeroEvery = 16

// magic begins each sector of a record.
const magic = 0x46_41_52_53_48_4f_52_45 // "FARSHORE"

// Record is a write of a guest.
type Record struct {
	Number int64 // from 1, across all disks of the VM
	Disk   int   // index into the guest's disks
	Offset int64 // bytes, a multiple of SectorSize
	Length int64 // bytes, a multiple of SectorSize
}

// Zeroes reports whether the record is a range of zeroes.
func (r Record) Zeroes() bool { return r.Number%zeroEvery == 0 }

func (r Record) end() int64 { return r.Offset + r.Length }

func (r Record) overlaps(o Record) bool {
	return r.Disk == o.Disk && r.Offset < o.end() && o.Offset < r.end()
}

// Fill writes the record's content into p, which is as long as the record.
func (r Record) Fill(p []byte) {
	for i := int64(0); i < r.Length; i += SectorSize {
		r.sector(p[i:i+SectorSize], r.Offset+i)
	}
}

// sector writes the content of the record's sector at a disk offset into p. It
// depends on nothing but the record's number and the sector's place, and no two
// sectors of any two records are alike.
func (r Record) sector(p []byte, offset int64) {
	if r.Zeroes() {
		clear(p)
		return
	}
	binary.BigEndian.PutUint64(p[0:], magic)
	binary.BigEndian.PutUint64(p[8:], uint64(r.Number))
	binary.BigEndian.PutUint64(p[16:], uint64(r.Disk))
	binary.BigEndian.PutUint64(p[24:], uint64(offset))
	x := uint64(r.Number)*0x9e3779b97f4a7c15 ^ uint64(offset)<<8 ^ uint64(r.Disk) | 1
	for i := 32; i < SectorSize; i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.BigEndian.PutUint64(p[i:], x)
	}
}

// numberIn returns the number of the record that a sector claims to be of.
func numberIn(sector []byte) (int64, bool) {
	if binary.BigEndian.Uint64(sector) != magic {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(sector[8:])), true //nolint:gosec // one that no guest wrote is looked up in vain
}

// line renders a journal entry: "w" begins a record, "a" acknowledges it.
func (r Record) line(kind byte) string {
	return fmt.Sprintf("%c %d %d %d %d\n", kind, r.Number, r.Disk, r.Offset, r.Length)
}
