package cow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"farshore/workers/disk"
)

// Reader reads a snapshot.
type Reader struct {
	base  ReadBase
	size  int64
	delta *os.File
	file  *os.File // the map; read, not mapped into memory, so that trouble with it is an error
}

// ReadBase is the disk beneath a snapshot, as a reader needs it.
type ReadBase interface {
	io.ReaderAt
	// Extents returns the ranges that may hold anything but zeroes.
	Extents(off, n int64) ([]disk.Extent, error)
	// Size is what a guest sees, in bytes.
	Size() int64
}

var _ disk.Reader = (*Reader)(nil)

// OpenReader reads the snapshot kept in files of the disk base, which must be
// the very disk that is written beneath the layer.
func OpenReader(files Files, base ReadBase) (*Reader, error) {
	delta, err := os.Open(files.Delta)
	if err != nil {
		return nil, fmt.Errorf("open snapshot delta: %w", err)
	}
	file, err := os.Open(files.Map)
	if err != nil {
		_ = delta.Close()
		return nil, fmt.Errorf("open snapshot map: %w", err)
	}
	r := &Reader{base: base, size: base.Size(), delta: delta, file: file}
	h := make([]byte, headerSize)
	if _, err = file.ReadAt(h, 0); err == nil {
		err = checkHeader(h, r.size)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read snapshot map: %w", err), r.Close())
	}
	return r, nil
}

// Size is the disk's, in bytes.
func (r *Reader) Size() int64 { return r.size }

// Close ends reading.
func (r *Reader) Close() error { return errors.Join(r.file.Close(), r.delta.Close()) }

// ReadAt reads the disk as it was at the snapshot's instant.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > r.size {
		return 0, fmt.Errorf("read %d bytes at %d of a disk of %d: %w", len(p), off, r.size, io.ErrUnexpectedEOF)
	}
	// The disk first, the map after: see the package comment.
	if _, err := r.base.ReadAt(p, off); err != nil {
		return 0, fmt.Errorf("read disk beneath snapshot: %w", err)
	}
	now, err := r.states(off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	end := off + int64(len(p))
	for at := off; at < end; {
		stop := min((at/BlockSize+1)*BlockSize, end)
		part := p[at-off : stop-off]
		switch now.of(at / BlockSize) {
		case copied:
			if _, err := r.delta.ReadAt(part, at); err != nil {
				return 0, fmt.Errorf("read snapshot delta: %w", err)
			}
		case zeroed:
			clear(part)
		}
		at = stop
	}
	return len(p), nil
}

// Extents returns the ranges that may have held anything but zeroes at the
// snapshot's instant.
func (r *Reader) Extents(off, n int64) ([]disk.Extent, error) {
	n = min(n, r.size-off)
	if off < 0 || n <= 0 {
		return nil, nil
	}
	// A block untouched after the disk was asked was untouched when it was asked.
	base, err := r.base.Extents(off, n)
	if err != nil {
		return nil, fmt.Errorf("list extents beneath snapshot: %w", err)
	}
	now, err := r.states(off, n)
	if err != nil {
		return nil, err
	}
	var out []disk.Extent
	at := off
	for _, e := range base {
		out = now.kept(out, at, e.Offset)
		out = now.present(out, e.Offset, e.End())
		at = e.End()
	}
	return now.kept(out, at, off+n), nil
}

// states are what has become of a range's blocks.
type states struct {
	first int64 // the word that p begins with
	p     []byte
}

// states reads the map of a range, and after it whether the snapshot is kept.
func (r *Reader) states(off, n int64) (states, error) {
	if n == 0 {
		return states{}, nil
	}
	first := off / BlockSize / blocksPerWord
	last := (off + n - 1) / BlockSize / blocksPerWord
	s := states{first: first, p: make([]byte, 4*(last-first+1))}
	if _, err := r.file.ReadAt(s.p, headerSize+4*first); err != nil {
		return s, fmt.Errorf("read snapshot map: %w", err)
	}
	var valid [1]byte
	if _, err := r.file.ReadAt(valid[:], validAt); err != nil {
		return s, fmt.Errorf("read snapshot map: %w", err)
	}
	if valid[0] != 1 {
		return s, ErrLost
	}
	return s, nil
}

func (s states) word(block int64) uint32 {
	return binary.LittleEndian.Uint32(s.p[4*(block/blocksPerWord-s.first):])
}

func (s states) of(block int64) uint32 {
	return s.word(block) >> (block % blocksPerWord * bitsPerBlock) & stateMask
}

// kept adds the copied blocks in a range that is a hole of the disk now.
func (s states) kept(out []disk.Extent, from, to int64) []disk.Extent {
	for from < to {
		stop := min((from/BlockSize+1)*BlockSize, to)
		switch {
		case s.word(from/BlockSize) == 0: // none of the word's blocks
			stop = min((from/BlockSize/blocksPerWord+1)*blocksPerWord*BlockSize, to)
		case s.of(from/BlockSize) == copied:
			out = merge(out, disk.Extent{Offset: from, Length: stop - from})
		}
		from = stop
	}
	return out
}

// present adds the blocks, of a range that is data of the disk now, that were
// not zeroes.
func (s states) present(out []disk.Extent, from, to int64) []disk.Extent {
	for from < to {
		stop := min((from/BlockSize+1)*BlockSize, to)
		if s.of(from/BlockSize) != zeroed {
			out = merge(out, disk.Extent{Offset: from, Length: stop - from})
		}
		from = stop
	}
	return out
}

func merge(out []disk.Extent, e disk.Extent) []disk.Extent {
	if k := len(out); k > 0 && out[k-1].End() == e.Offset {
		out[k-1].Length += e.Length
		return out
	}
	return append(out, e)
}
