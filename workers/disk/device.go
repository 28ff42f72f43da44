// Package disk reads and writes virtual disks: raw images and fixed VHDs, their
// geometry, and the ranges of them that hold data.
package disk

import "io"

// Device is the content of a virtual disk, addressed in bytes. Its methods may
// be called from several goroutines at once; calls that overlap in range are in
// no particular order. Reads and writes are whole: fewer bytes than asked for
// come with an error.
type Device interface {
	io.ReaderAt
	io.WriterAt
	// Zero makes n bytes from off read as zeroes, giving up space where the
	// medium can.
	Zero(off, n int64) error
	// Flush makes everything written so far durable.
	Flush() error
	// Size is what a guest sees, in bytes.
	Size() int64
}

// Extent is a range of a disk.
type Extent struct {
	Offset int64 `json:"offset"` // bytes
	Length int64 `json:"length"` // bytes
}

// End is the offset of the first byte after e.
func (e Extent) End() int64 { return e.Offset + e.Length }

// Reader is a disk's content at one instant.
type Reader interface {
	io.ReaderAt
	io.Closer
	// Size is what a guest sees, in bytes.
	Size() int64
	// Extents returns the ranges that may hold anything but zeroes, ascending and
	// without overlaps, within n bytes from off.
	Extents(off, n int64) ([]Extent, error)
}
