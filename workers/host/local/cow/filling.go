package cow

import (
	"errors"
	"fmt"

	"farshore/workers/disk"
)

// ErrNotWhole is what a disk answers that still needs its base.
var ErrNotWhole = errors.New("disk does not hold all of its base yet")

// Absent lists the ranges of whole blocks, within n bytes from off, that the file
// does not hold yet.
func (b *Backed) Absent(off, n int64) (found []disk.Extent, err error) {
	err = b.shared(nothing, func() error {
		if err := b.within(off, n); err != nil {
			return err
		}
		return b.runs(off, n, func(state uint32, e disk.Extent) error {
			if state == untouched {
				found = append(found, e)
			}
			return nil
		})
	})
	return found, err
}

func nothing() error { return nil }

// Fill gives the file whole blocks of the base, where it does not hold what was
// written meanwhile.
func (b *Backed) Fill(p []byte, off int64) error {
	return b.shared(nothing, func() error {
		if err := b.aligned(off, int64(len(p))); err != nil {
			return err
		}
		return byBlock(disk.Extent{Offset: off, Length: int64(len(p))}, func(e disk.Extent) error {
			m := &b.lock[e.Offset/BlockSize%stripes]
			m.Lock()
			defer m.Unlock()
			if b.state(e.Offset/BlockSize) != untouched {
				return nil
			}
			return b.give(p[e.Offset-off:e.End()-off], e)
		})
	})
}

// FillZero is Fill of blocks that are all zeroes in the base.
func (b *Backed) FillZero(off, n int64) error {
	return b.shared(nothing, func() error {
		if err := b.aligned(off, n); err != nil {
			return err
		}
		defer b.lockAll()()
		return b.runs(off, n, func(state uint32, e disk.Extent) error {
			if state != untouched {
				return nil
			}
			return b.giveZeroes(e)
		})
	})
}

// aligned refuses what are not whole blocks.
func (b *Backed) aligned(off, n int64) error {
	if err := b.within(off, n); err != nil {
		return err
	}
	if off%BlockSize != 0 || (off+n)%BlockSize != 0 && off+n != b.size {
		return fmt.Errorf("%d bytes at %d are not whole blocks of %d: %w", n, off, BlockSize, disk.ErrOutOfRange)
	}
	return nil
}

// AbsentBytes is how much of the disk the file does not hold yet.
func (b *Backed) AbsentBytes() int64 {
	var n int64
	_ = b.runs(0, b.size, func(state uint32, e disk.Extent) error {
		if state == untouched {
			n += e.Length
		}
		return nil
	})
	return n
}

// Settle makes the disk do without its base, once the file holds all of it and
// drop has made that durable. Whoever reads and writes does not notice.
func (b *Backed) Settle(drop func() error) error {
	if b.AbsentBytes() > 0 {
		return ErrNotWhole
	}
	if err := b.Flush(); err != nil {
		return err
	}
	b.gate.Lock()
	defer b.gate.Unlock()
	if err := drop(); err != nil {
		return err
	}
	b.whole.Store(true)
	return nil
}
