package cow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"farshore/workers/disk"
)

// Backed is a disk that begins as what another one holds, without being copied: a
// block that the disk's own file does not hold yet is read from the base, which
// does not change. What is written is the file's, and what is filled in from the
// base becomes so, until the disk is whole and needs its base no more.
//
// The map says which blocks the file holds; of the others it holds nothing that
// counts, whatever a crash has left there. Like an overlay's, the map in use
// outlives the process, and Flush leaves one that outlives a loss of power: the
// data first, then the map that speaks of it.
type Backed struct {
	*Snapshot // its map; the disk's file stands in for the delta

	file    Base
	base    ReadBase
	files   Files
	lock    [stripes]sync.Mutex // of the blocks that the file is being given
	gate    sync.RWMutex        // held shared by whoever may need the base
	done    bool
	whole   atomic.Bool
	flush   sync.Mutex
	flushed *os.File
	dirty   []atomic.Bool // pages of the map that were changed since they were flushed
}

var _ Base = (*Backed)(nil)

// How the map is flushed: by the page, so that a flush does not grow with the
// disk.
const (
	pageBytes = 4096
	pageWords = pageBytes / 4
)

// CreateBacked makes the map of a disk whose file holds nothing yet, and makes it
// durable. The disk's own file is not the map's: Files names no delta.
func CreateBacked(files Files, size int64) error {
	s := &Snapshot{size: size, words: make([]atomic.Uint32, words(size))}
	p := s.encode()
	return errors.Join(replace(files.flushedFile(), p), replace(files.Map, p))
}

// OpenBacked opens a disk whose map exists. One that a loss of power may have torn
// loses what was written since it was flushed last. The file stays the caller's
// to close.
func OpenBacked(files Files, file Base, base ReadBase, torn bool) (*Backed, error) { //nolint:revive // it is what happened
	if torn {
		p, err := os.ReadFile(files.flushedFile())
		if err != nil {
			return nil, fmt.Errorf("read map of disk: %w", err)
		}
		if err := replace(files.Map, p); err != nil {
			return nil, err
		}
	}
	s := &Snapshot{size: file.Size(), words: make([]atomic.Uint32, words(file.Size()))}
	var err error
	if s.file, err = os.OpenFile(files.Map, os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("open map of disk: %w", err)
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	b := &Backed{Snapshot: s, file: file, base: base, files: files, dirty: make([]atomic.Bool, (len(s.words)+pageWords-1)/pageWords)}
	if b.flushed, err = os.OpenFile(files.flushedFile(), os.O_RDWR, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("open flushed map of disk: %w", err), s.file.Close())
	}
	for i := range b.dirty { // what a process that was killed has not flushed
		b.dirty[i].Store(true)
	}
	return b, nil
}

// shared runs f while the base is there, or plain once it is not needed.
func (b *Backed) shared(plain, f func() error) error {
	if b.whole.Load() {
		return plain()
	}
	b.gate.RLock()
	defer b.gate.RUnlock()
	switch {
	case b.whole.Load():
		return plain()
	case b.done:
		return os.ErrClosed
	default:
		return f()
	}
}

// ReadAt reads the file where it holds the disk, and the base elsewhere.
func (b *Backed) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	err := b.shared(func() (err error) {
		n, err = b.file.ReadAt(p, off)
		return err //nolint:wrapcheck // a whole disk adds nothing to its file's errors
	}, func() error {
		if err := b.within(off, int64(len(p))); err != nil {
			return err
		}
		if err := b.read(p, off); err != nil {
			return err
		}
		n = len(p)
		return nil
	})
	return n, err
}

func (b *Backed) within(off, n int64) error {
	if off < 0 || n < 0 || n > b.size-off {
		return fmt.Errorf("%d bytes at %d of a disk of %d: %w", n, off, b.size, disk.ErrOutOfRange)
	}
	return nil
}

func (b *Backed) read(p []byte, off int64) error {
	return b.runs(off, int64(len(p)), func(state uint32, e disk.Extent) error {
		from := b.base.ReadAt
		if state != untouched {
			from = b.file.ReadAt
		}
		if _, err := from(p[e.Offset-off:e.End()-off], e.Offset); err != nil {
			return fmt.Errorf("read backed disk: %w", err)
		}
		return nil
	})
}

// WriteAt writes to the file. A block that it does not hold yet and that is
// written in part is completed from the base first.
func (b *Backed) WriteAt(p []byte, off int64) (int, error) {
	plain := func() error {
		_, err := b.file.WriteAt(p, off)
		return err //nolint:wrapcheck // a whole disk adds nothing to its file's errors
	}
	err := b.shared(plain, func() error {
		if err := b.within(off, int64(len(p))); err != nil {
			return err
		}
		return b.runs(off, int64(len(p)), func(state uint32, e disk.Extent) error {
			part := p[e.Offset-off : e.End()-off]
			if state != untouched {
				_, err := b.file.WriteAt(part, e.Offset)
				return err //nolint:wrapcheck // of the file, as when the disk is whole
			}
			return byBlock(e, func(e disk.Extent) error { return b.writeBlock(p[e.Offset-off:e.End()-off], e) })
		})
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// byBlock calls f for the part of each block that a range touches.
func byBlock(e disk.Extent, f func(disk.Extent) error) error {
	for at := e.Offset; at < e.End(); {
		stop := min((at/BlockSize+1)*BlockSize, e.End())
		if err := f(disk.Extent{Offset: at, Length: stop - at}); err != nil {
			return err
		}
		at = stop
	}
	return nil
}

// block is the block in which a range lies.
func (b *Backed) block(e disk.Extent) disk.Extent {
	start := e.Offset / BlockSize * BlockSize
	return disk.Extent{Offset: start, Length: min(BlockSize, b.size-start)}
}

// writeBlock writes to one block that the file did not hold a moment ago.
func (b *Backed) writeBlock(p []byte, e disk.Extent) error {
	all := b.block(e)
	m := &b.lock[all.Offset/BlockSize%stripes]
	m.Lock()
	defer m.Unlock()
	if b.state(all.Offset/BlockSize) != untouched || all == e {
		return b.give(p, e)
	}
	whole := make([]byte, all.Length)
	if _, err := b.base.ReadAt(whole, all.Offset); err != nil {
		return fmt.Errorf("complete block of backed disk: %w", err)
	}
	copy(whole[e.Offset-all.Offset:], p)
	return b.give(whole, all)
}

// give writes data to the file, and then the blocks are its own. Their locks are
// held.
func (b *Backed) give(p []byte, e disk.Extent) error {
	if _, err := b.file.WriteAt(p, e.Offset); err != nil {
		return fmt.Errorf("write backed disk: %w", err)
	}
	return b.own(e)
}

// Zero makes a range read as zeroes.
func (b *Backed) Zero(off, n int64) error {
	return b.shared(func() error { return b.file.Zero(off, n) }, func() error {
		if err := b.within(off, n); err != nil {
			return err
		}
		return b.split(off, n, func(e disk.Extent) error {
			return b.writeBlock(make([]byte, e.Length), e)
		}, func(e disk.Extent) error {
			defer b.lockAll()()
			return b.giveZeroes(e)
		})
	})
}

// split calls whole for the blocks that lie in a range as a whole, together, and
// part for what remains at its ends.
func (b *Backed) split(off, n int64, part, whole func(disk.Extent) error) error {
	end := off + n
	first, last := min((off+BlockSize-1)/BlockSize*BlockSize, end), end
	if end != b.size {
		last = max(first, end/BlockSize*BlockSize)
	}
	for _, e := range []disk.Extent{{Offset: off, Length: first - off}, {Offset: last, Length: end - last}} {
		if err := byBlock(e, part); err != nil {
			return err
		}
	}
	if last == first {
		return nil
	}
	return whole(disk.Extent{Offset: first, Length: last - first})
}

// lockAll keeps the file from being given any block until the function that it
// returns is called.
func (b *Backed) lockAll() func() {
	for i := range b.lock {
		b.lock[i].Lock()
	}
	return func() {
		for i := range b.lock {
			b.lock[i].Unlock()
		}
	}
}

// giveZeroes makes whole blocks zeroes of the file. A hole costs nothing, and what
// a crash has left there is gone.
func (b *Backed) giveZeroes(e disk.Extent) error {
	if err := b.file.Zero(e.Offset, e.Length); err != nil {
		return fmt.Errorf("zero backed disk: %w", err)
	}
	return b.own(e)
}

// own marks all blocks that a range touches as the file's.
func (b *Backed) own(e disk.Extent) error {
	first, last := e.Offset/BlockSize, (e.End()-1)/BlockSize
	low, high := first/blocksPerWord, last/blocksPerWord
	b.marking.Lock()
	defer b.marking.Unlock()
	p := make([]byte, 4*(high-low+1))
	for w := low; w <= high; w++ {
		word := b.words[w].Load()
		for block := max(first, w*blocksPerWord); block <= min(last, (w+1)*blocksPerWord-1); block++ {
			word |= copied << (block % blocksPerWord * bitsPerBlock)
		}
		binary.LittleEndian.PutUint32(p[4*(w-low):], word)
	}
	if _, err := b.Snapshot.file.WriteAt(p, headerSize+4*low); err != nil {
		return fmt.Errorf("write map of disk: %w", err)
	}
	for w := low; w <= high; w++ {
		b.words[w].Store(binary.LittleEndian.Uint32(p[4*(w-low):]))
		b.dirty[w/pageWords].Store(true)
	}
	return nil
}

// Extents returns the ranges that may hold anything but zeroes.
func (b *Backed) Extents(off, n int64) (found []disk.Extent, err error) {
	err = b.shared(func() (err error) {
		found, err = b.file.Extents(off, n)
		return err
	}, func() error {
		if err := b.within(off, n); err != nil {
			return err
		}
		return b.runs(off, n, func(state uint32, e disk.Extent) error {
			from := b.base.Extents
			if state != untouched {
				from = b.file.Extents
			}
			part, err := from(e.Offset, e.Length)
			if err != nil {
				return fmt.Errorf("list extents of backed disk: %w", err)
			}
			for _, p := range part {
				found = merge(found, p)
			}
			return nil
		})
	})
	return found, err
}

// Size is the disk's, in bytes.
func (b *Backed) Size() int64 { return b.size }

// Flush makes everything written durable: the data, then the map.
func (b *Backed) Flush() error {
	return b.shared(b.file.Flush, func() error {
		b.flush.Lock()
		defer b.flush.Unlock()
		return b.flushAll()
	})
}

func (b *Backed) flushAll() (err error) {
	// What is marked before the file is flushed is in the file.
	pages := map[int64][]byte{}
	for i := range b.dirty {
		if b.dirty[i].Swap(false) {
			pages[int64(i)] = b.page(int64(i))
		}
	}
	defer func() {
		if err == nil {
			return
		}
		for i := range pages {
			b.dirty[i].Store(true)
		}
	}()
	if err := b.file.Flush(); err != nil {
		return err
	}
	for i, p := range pages {
		if _, err := b.flushed.WriteAt(p, headerSize+i*pageBytes); err != nil {
			return fmt.Errorf("write flushed map of disk: %w", err)
		}
	}
	if len(pages) == 0 {
		return nil
	}
	if err := unix.Fdatasync(int(b.flushed.Fd())); err != nil {
		return fmt.Errorf("flush map of disk: %w", err)
	}
	return nil
}

// page is a part of the map as its file holds it.
func (b *Backed) page(i int64) []byte {
	part := b.words[i*pageWords : min((i+1)*pageWords, int64(len(b.words)))]
	p := make([]byte, 4*len(part))
	for n := range part {
		binary.LittleEndian.PutUint32(p[4*n:], part[n].Load())
	}
	return p
}

// Close waits for those who read and write, and ends the disk for all. It does
// not flush, and leaves the file and the base to the caller.
func (b *Backed) Close() error {
	b.gate.Lock()
	defer b.gate.Unlock()
	if b.done {
		return nil
	}
	b.done = true
	return errors.Join(b.Snapshot.file.Close(), b.flushed.Close())
}
