package cow

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"farshore/workers/disk"
)

// Reader reads a snapshot.
type Reader struct {
	base  ReadBase
	size  int64
	delta *os.File
	mu    sync.RWMutex // held shared while the map is looked at
	page  []byte       // the map; nil once closed
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
	page, err := mapFile(files.Map, base.Size())
	if err != nil {
		_ = delta.Close()
		return nil, err
	}
	return &Reader{base: base, size: base.Size(), delta: delta, page: page}, nil
}

// Size is the disk's, in bytes.
func (r *Reader) Size() int64 { return r.size }

// Close ends reading.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.page == nil {
		return nil
	}
	err := errors.Join(unix.Munmap(r.page), r.delta.Close())
	r.page = nil
	return err
}

// ReadAt reads the disk as it was at the snapshot's instant.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > r.size {
		return 0, fmt.Errorf("read %d bytes at %d of a disk of %d: %w", len(p), off, r.size, io.ErrUnexpectedEOF)
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.page == nil {
		return 0, os.ErrClosed
	}
	// The disk first, the map after: see the package comment.
	if _, err := r.base.ReadAt(p, off); err != nil {
		return 0, fmt.Errorf("read disk beneath snapshot: %w", err)
	}
	end := off + int64(len(p))
	for at := off; at < end; {
		stop := min((at/BlockSize+1)*BlockSize, end)
		part := p[at-off : stop-off]
		switch r.state(at / BlockSize) {
		case copied:
			if _, err := r.delta.ReadAt(part, at); err != nil {
				return 0, fmt.Errorf("read snapshot delta: %w", err)
			}
		case zeroed:
			clear(part)
		}
		at = stop
	}
	if !r.valid() {
		return 0, ErrLost
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
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.page == nil {
		return nil, os.ErrClosed
	}
	// A block untouched after the disk was asked was untouched when it was asked.
	base, err := r.base.Extents(off, n)
	if err != nil {
		return nil, fmt.Errorf("list extents beneath snapshot: %w", err)
	}
	var out []disk.Extent
	at := off
	for _, e := range base {
		out = r.kept(out, at, e.Offset)
		out = r.present(out, e.Offset, e.End())
		at = e.End()
	}
	out = r.kept(out, at, off+n)
	if !r.valid() {
		return nil, ErrLost
	}
	return out, nil
}

// kept adds the copied blocks in a range that is a hole of the disk now.
func (r *Reader) kept(out []disk.Extent, from, to int64) []disk.Extent {
	for from < to {
		stop := min((from/BlockSize+1)*BlockSize, to)
		if r.state(from/BlockSize) == copied {
			out = merge(out, disk.Extent{Offset: from, Length: stop - from})
		} else if stop < to && r.word(stop/BlockSize) == 0 && stop/BlockSize%blocksPerWord == 0 {
			stop = min(stop+blocksPerWord*BlockSize, to)
		}
		from = stop
	}
	return out
}

// present adds the blocks, of a range that is data of the disk now, that were
// not zeroes.
func (r *Reader) present(out []disk.Extent, from, to int64) []disk.Extent {
	for from < to {
		stop := min((from/BlockSize+1)*BlockSize, to)
		if r.state(from/BlockSize) != zeroed {
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

func (r *Reader) word(block int64) uint32 {
	at := headerSize + 4*(block/blocksPerWord)
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.page[at]))) //nolint:gosec // the file is words of this form
}

func (r *Reader) state(block int64) uint32 {
	return r.word(block) >> (block % blocksPerWord * bitsPerBlock) & stateMask
}

func (r *Reader) valid() bool {
	// Loaded as a word so that it is not read before the blocks' states.
	first := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.page[validAt]))) //nolint:gosec // validAt is a multiple of 4
	return first&0xff == 1
}
