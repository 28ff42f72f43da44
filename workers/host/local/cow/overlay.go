package cow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"farshore/workers/disk"
)

// Overlay is a disk with what is written beside it: blocks of the delta over a
// base that does not change. Writes that share no block may run at once.
//
// The map in use outlives the process, not a loss of power; Flush leaves a copy
// of it that does, with the data it speaks of.
type Overlay struct {
	*Snapshot

	base  ReadBase
	files Files
	gate  sync.RWMutex // held alone by a write that has to complete a block, and by Close
	done  bool
	flush sync.Mutex
}

// flushedFile is the copy of the map that outlives a loss of power.
func (f Files) flushedFile() string { return f.Map + ".flushed" }

// RemoveOverlay deletes the files of an overlay.
func (f Files) RemoveOverlay() {
	_ = os.Remove(f.flushedFile())
	f.Remove()
}

// CreateOverlay makes the files of an overlay over base, empty and durable.
func CreateOverlay(files Files, base ReadBase) (*Overlay, error) {
	s, err := Create(files, base.Size(), nil)
	if err != nil {
		return nil, err
	}
	o := &Overlay{Snapshot: s, base: base, files: files}
	if err := o.Flush(); err != nil {
		_ = s.Close()
		files.RemoveOverlay()
		return nil, err
	}
	return o, nil
}

// OpenOverlay takes up an overlay. One that a loss of power may have torn loses
// what was written since it was flushed last.
func OpenOverlay(files Files, base ReadBase, torn bool) (*Overlay, error) { //nolint:revive // it is what happened
	if torn {
		p, err := os.ReadFile(files.flushedFile())
		if err != nil {
			return nil, fmt.Errorf("read map of overlay: %w", err)
		}
		if err := replace(files.Map, p); err != nil {
			return nil, err
		}
	}
	s, err := Reopen(files, base.Size(), nil)
	if err != nil {
		return nil, err
	}
	return &Overlay{Snapshot: s, base: base, files: files}, nil
}

// ReadAt reads what was written, and the base where nothing was.
func (o *Overlay) ReadAt(p []byte, off int64) (int, error) {
	if err := o.within(off, int64(len(p))); err != nil {
		return 0, err
	}
	o.gate.RLock()
	defer o.gate.RUnlock()
	if o.done {
		return 0, os.ErrClosed
	}
	return len(p), o.read(p, off)
}

func (o *Overlay) read(p []byte, off int64) error {
	return o.runs(off, int64(len(p)), func(state uint32, e disk.Extent) error {
		part := p[e.Offset-off : e.End()-off]
		var err error
		switch state {
		case untouched:
			_, err = o.base.ReadAt(part, e.Offset)
		case copied:
			_, err = o.delta.ReadAt(part, e.Offset)
		default:
			clear(part)
		}
		if err != nil {
			return fmt.Errorf("read overlay: %w", err)
		}
		return nil
	})
}

// WriteAt writes beside the base.
func (o *Overlay) WriteAt(p []byte, off int64) (int, error) {
	err := o.change(off, int64(len(p)), func(e disk.Extent) error {
		if _, err := o.delta.WriteAt(p[e.Offset-off:e.End()-off], e.Offset); err != nil {
			return fmt.Errorf("write overlay: %w", err)
		}
		return o.markAll(e, copied)
	}, func(block []byte, e disk.Extent, at int64) { copy(block[at:], p[e.Offset-off:e.End()-off]) })
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Zero makes a range read as zeroes, beside the base.
func (o *Overlay) Zero(off, n int64) error {
	return o.change(off, n,
		func(e disk.Extent) error { return o.markAll(e, zeroed) },
		func(block []byte, e disk.Extent, at int64) { clear(block[at : at+e.Length]) })
}

// change splits a range into whole blocks, which whole does, and pieces of
// blocks, which patch puts into their blocks at the given place.
func (o *Overlay) change(off, n int64, whole func(disk.Extent) error, patch func(block []byte, e disk.Extent, at int64)) error {
	if err := o.within(off, n); err != nil {
		return err
	}
	end := off + n
	first := (off + BlockSize - 1) / BlockSize * BlockSize
	last := end / BlockSize * BlockSize
	if end == o.size {
		last = end
	}
	if first >= last { // no whole block
		first, last = end, end
		if next := (off/BlockSize + 1) * BlockSize; next < end {
			first, last = next, next
		}
	}
	for _, e := range []disk.Extent{{Offset: off, Length: min(first, end) - off}, {Offset: last, Length: end - last}} {
		if e.Length > 0 {
			if err := o.patch(e, patch); err != nil {
				return err
			}
		}
	}
	if last <= first {
		return nil
	}
	o.gate.RLock()
	defer o.gate.RUnlock()
	if o.done {
		return os.ErrClosed
	}
	return whole(disk.Extent{Offset: first, Length: last - first})
}

// patch completes a block that is written in part.
func (o *Overlay) patch(e disk.Extent, patch func(block []byte, e disk.Extent, at int64)) error {
	o.gate.Lock()
	defer o.gate.Unlock()
	if o.done {
		return os.ErrClosed
	}
	start := e.Offset / BlockSize * BlockSize
	block := make([]byte, min(BlockSize, o.size-start))
	if err := o.read(block, start); err != nil {
		return err
	}
	patch(block, e, e.Offset-start)
	if _, err := o.delta.WriteAt(block, start); err != nil {
		return fmt.Errorf("write overlay: %w", err)
	}
	return o.mark(start/BlockSize, copied)
}

func (o *Overlay) within(off, n int64) error {
	if off < 0 || n < 0 || n > o.size-off {
		return fmt.Errorf("%d bytes at %d of a disk of %d: %w", n, off, o.size, disk.ErrOutOfRange)
	}
	return nil
}

// Flush makes everything written durable.
func (o *Overlay) Flush() error {
	o.flush.Lock()
	defer o.flush.Unlock()
	// What is marked before the delta is synced is in the delta.
	p := o.encode()
	if err := unix.Fdatasync(int(o.delta.Fd())); err != nil {
		return fmt.Errorf("flush overlay: %w", err)
	}
	return replace(o.files.flushedFile(), p)
}

// Close waits for those who write, and ends the overlay for all.
func (o *Overlay) Close() error {
	o.gate.Lock()
	defer o.gate.Unlock()
	if o.done {
		return nil
	}
	o.done = true
	return o.Snapshot.Close()
}

// replace puts a file in another's place, durably.
func replace(path string, p []byte) error {
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("create map of overlay: %w", err)
	}
	_, err = f.Write(p)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		_ = os.Remove(path + ".tmp")
		return fmt.Errorf("write map of overlay: %w", err)
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("open folder of overlay: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder of overlay: %w", err)
	}
	return nil
}

// runs calls f for the neighbouring blocks of one state within a range.
func (s *Snapshot) runs(off, n int64, f func(state uint32, e disk.Extent) error) error {
	for end := off + n; off < end; {
		state, stop := s.state(off/BlockSize), off
		for stop < end && s.state(stop/BlockSize) == state {
			if stop%(BlockSize*blocksPerWord) == 0 && state == untouched && s.words[stop/BlockSize/blocksPerWord].Load() == 0 {
				stop += BlockSize * blocksPerWord
				continue
			}
			stop = (stop/BlockSize + 1) * BlockSize
		}
		stop = min(stop, end)
		if err := f(state, disk.Extent{Offset: off, Length: stop - off}); err != nil {
			return err
		}
		off = stop
	}
	return nil
}

func (s *Snapshot) markAll(e disk.Extent, state uint32) error {
	for b := e.Offset / BlockSize; b*BlockSize < e.End(); b++ {
		if s.state(b) != state {
			if err := s.mark(b, state); err != nil {
				return err
			}
		}
	}
	return nil
}

// Held lists the ranges that the files hold, be it as zeroes.
func (s *Snapshot) Held() []disk.Extent {
	var out []disk.Extent
	_ = s.runs(0, s.size, func(state uint32, e disk.Extent) error {
		if state != untouched {
			out = merge(out, e)
		}
		return nil
	})
	return out
}

// copyPiece is how much is copied at once, in bytes.
const copyPiece = 4 << 20

// Target is a disk that what is held is written to.
type Target interface {
	io.WriterAt
	// Zero makes a range read as zeroes.
	Zero(off, n int64) error
}

// CopyTo writes everything that the files hold to a disk.
func (s *Snapshot) CopyTo(ctx context.Context, to Target) error {
	p := make([]byte, min(copyPiece, s.size))
	return s.runs(0, s.size, func(state uint32, e disk.Extent) error {
		switch state {
		case untouched:
			return nil
		case zeroed:
			return to.Zero(e.Offset, e.Length)
		}
		for e.Length > 0 {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("copy what lies beside a disk: %w", err)
			}
			part := p[:min(e.Length, copyPiece)]
			if _, err := s.delta.ReadAt(part, e.Offset); err != nil {
				return fmt.Errorf("read what lies beside a disk: %w", err)
			}
			if _, err := to.WriteAt(part, e.Offset); err != nil {
				return fmt.Errorf("copy what lies beside a disk: %w", err)
			}
			e.Offset, e.Length = e.Offset+int64(len(part)), e.Length-int64(len(part))
		}
		return nil
	})
}

// Sync makes the files durable.
func (s *Snapshot) Sync() error { return errors.Join(s.delta.Sync(), s.file.Sync()) }
