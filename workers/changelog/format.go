package changelog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/google/uuid"

	"farshore/domain/errorcatalog"
)

const (
	cookie        = "msctlog "
	formatVersion = 0x00020000
	creator       = "ct  "

	headerSize      = 4096
	metadataSize    = 4096 // what we write; a reader takes it from the header
	blockHeaderSize = 32
	entrySize       = 32
	entriesPerBlock = (metadataSize - blockHeaderSize) / entrySize

	operationWrite = 1
	flagZero       = 1 // first reserved byte of an entry: its data is all zeroes

	// maxEntry keeps an entry small enough to be read and verified whole when a
	// part of it is wanted.
	maxEntry = 1 << 20
	// maxZero is the longest run of zeroes in one entry: well within the 32 bits
	// of a length.
	maxZero = 1 << 30
)

// epoch is where the format's time stamps begin.
const epoch = 946684800 // 2000-01-01 UTC, in Unix seconds

func stamp(t time.Time) uint32 { return uint32(t.Unix() - epoch) } //nolint:gosec // wraps in 2136, as the format does

func unstamp(s uint32) time.Time { return time.Unix(int64(s)+epoch, 0).UTC() }

// Header is the head of a change log.
type Header struct {
	ID         string // UUID of the log
	PreviousID string // UUID of the log before it in the chain; empty for the first
	DiskSize   int64  // bytes of the disk that the log is about
	Created    time.Time
	Modified   time.Time
	Entries    int64 // in all metadata blocks
	End        int64 // offset of the first byte after the last metadata block; 0: not closed

	metadataSize int64
}

// byteSum is the format's checksum of b: the one's complement of the sum of its
// bytes, the four at skip left out.
func byteSum(b []byte, skip int) uint32 {
	var sum uint32
	for _, c := range b[:skip] {
		sum += uint32(c)
	}
	for _, c := range b[skip+4:] {
		sum += uint32(c)
	}
	return ^sum
}

// Offsets of the checksum fields.
const (
	headerChecksum = 40
	blockChecksum  = 12
	entryChecksum  = 8
)

func (h Header) encode() ([]byte, error) {
	b := make([]byte, headerSize)
	le := binary.LittleEndian
	copy(b, cookie)
	le.PutUint32(b[8:], formatVersion)
	le.PutUint32(b[12:], stamp(h.Created))
	copy(b[16:], creator)
	le.PutUint32(b[20:], formatVersion)
	le.PutUint64(b[24:], uint64(h.DiskSize))
	le.PutUint64(b[32:], uint64(h.DiskSize))
	le.PutUint64(b[44:], uint64(h.End))
	le.PutUint32(b[56:], metadataSize)
	if err := putGUID(b[60:76], h.ID); err != nil {
		return nil, err
	}
	if err := putGUID(b[76:92], h.PreviousID); err != nil {
		return nil, err
	}
	le.PutUint32(b[92:], stamp(h.Modified))
	le.PutUint64(b[96:], uint64(h.Entries))
	le.PutUint32(b[headerChecksum:], byteSum(b, headerChecksum))
	return b, nil
}

func decodeHeader(b []byte) (Header, error) {
	le := binary.LittleEndian
	if string(b[:8]) != cookie {
		return Header{}, errorcatalog.Fail(errorcatalog.LogChecksumMismatch, "the log does not begin as a change log does")
	}
	if le.Uint32(b[headerChecksum:]) != byteSum(b, headerChecksum) {
		return Header{}, errorcatalog.Fail(errorcatalog.LogChecksumMismatch, "the log's header does not match its checksum")
	}
	if v := le.Uint32(b[8:]); v != formatVersion {
		return Header{}, errorcatalog.Fail(errorcatalog.LogChainBroken, "the log has format version %#x, not %#x", v, formatVersion)
	}
	h := Header{
		ID: guid(b[60:76]), PreviousID: guid(b[76:92]),
		Created: unstamp(le.Uint32(b[12:])), Modified: unstamp(le.Uint32(b[92:])),
		metadataSize: int64(le.Uint32(b[56:])),
	}
	for _, f := range []struct {
		name string
		at   int
		to   *int64
	}{{"disk size", 32, &h.DiskSize}, {"end", 44, &h.End}, {"number of entries", 96, &h.Entries}} {
		v := le.Uint64(b[f.at:])
		if v > math.MaxInt64/2 {
			return Header{}, errorcatalog.Fail(errorcatalog.LogChainBroken, "the log's %s is %d", f.name, v)
		}
		*f.to = int64(v)
	}
	if m := h.metadataSize; m < blockHeaderSize+entrySize || m%entrySize != 0 || m > 1<<20 {
		return Header{}, errorcatalog.Fail(errorcatalog.LogChainBroken, "the log's metadata blocks have %d bytes", m)
	}
	return h, nil
}

// putGUID writes a UUID as Windows stores GUIDs; an empty one is all zeroes.
func putGUID(b []byte, id string) error {
	var u uuid.UUID
	if id != "" {
		var err error
		if u, err = uuid.Parse(id); err != nil {
			return fmt.Errorf("parse log id %q: %w", id, err)
		}
	}
	swapGUID(b, u[:])
	return nil
}

func guid(b []byte) string {
	var u uuid.UUID
	swapGUID(u[:], b)
	if u == uuid.Nil {
		return ""
	}
	return u.String()
}

// swapGUID reverses the three little-endian fields; it is its own inverse.
func swapGUID(dst, src []byte) {
	for i, j := range [16]int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15} {
		dst[i] = src[j]
	}
}

// Entry is a write: Length bytes at Offset of the disk.
type Entry struct {
	Offset int64
	Length int64
	Time   time.Time // in whole seconds
	Zero   bool      // its data is known to be zeroes

	at  int64 // where its data lies in the log
	sum uint32
}

func encodeEntry(b []byte, e Entry) {
	le := binary.LittleEndian
	clear(b[:entrySize])
	le.PutUint64(b, uint64(e.Offset))
	le.PutUint32(b[12:], uint32(e.Length)) //nolint:gosec // split at maxZero and maxEntry
	le.PutUint32(b[16:], stamp(e.Time))
	b[20] = operationWrite
	le.PutUint32(b[21:], e.sum)
	if e.Zero {
		b[26] = flagZero
	}
	le.PutUint32(b[entryChecksum:], byteSum(b[:entrySize], entryChecksum))
}

// decodeEntry reads the entry whose data lies at the given offset of the log.
func decodeEntry(b []byte, at, diskSize int64) (Entry, error) {
	le := binary.LittleEndian
	if le.Uint32(b[entryChecksum:]) != byteSum(b[:entrySize], entryChecksum) {
		return Entry{}, errorcatalog.Fail(errorcatalog.LogChecksumMismatch, "an entry of the log does not match its checksum")
	}
	if b[20] != operationWrite {
		return Entry{}, errorcatalog.Fail(errorcatalog.LogChainBroken, "an entry of the log has the unknown operation %d", b[20])
	}
	off, n := int64(le.Uint64(b)), int64(le.Uint32(b[12:])) //nolint:gosec // one above the highest is negative, and refused
	if n == 0 || off < 0 || off > diskSize || n > diskSize-off {
		return Entry{}, errorcatalog.Fail(errorcatalog.LogChainBroken, "an entry of the log, %d bytes at %d, lies outside of its disk of %d bytes", n, off, diskSize)
	}
	e := Entry{Offset: off, Length: n, Time: unstamp(le.Uint32(b[16:])), Zero: b[26] == flagZero, at: at, sum: le.Uint32(b[21:])}
	if e.Zero && e.sum != zeroSum(n) {
		return Entry{}, errorcatalog.Fail(errorcatalog.LogChecksumMismatch, "an entry of the log that says it is zeroes has another checksum")
	}
	return e, nil
}

// dataSum is an entry's DataChecksum.
func dataSum(p []byte) uint32 { return crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)) }

// zeroSum is dataSum of n zero bytes, without n bytes: feeding zeroes to a CRC is
// a multiplication by x^8n modulo its polynomial.
func zeroSum(n int64) uint32 {
	product, square := uint32(1)<<31, uint32(1)<<23 // 1 and x^8, lowest power in the highest bit
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			product = multiply(product, square)
		}
		square = multiply(square, square)
	}
	return ^multiply(product, math.MaxUint32)
}

func multiply(a, b uint32) uint32 {
	var p uint32
	for m := uint32(1) << 31; m != 0; m >>= 1 {
		if a&m != 0 {
			p ^= b
		}
		if b&1 == 1 {
			b = b>>1 ^ crc32.Castagnoli
		} else {
			b >>= 1
		}
	}
	return p
}
