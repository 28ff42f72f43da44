package failback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/host"
)

// readSize is how much of a disk is read at once where the other is empty.
const readSize = 1 << 20

// comparison holds what the recovery VM has against what the primary side has of a
// disk.
type comparison struct {
	target    host.BesideDisk
	size      int64
	blank     int64 // from where on the target is known to be zeroes
	differing atomic.Int64
	sent      atomic.Int64 // of them what is not zero
}

// sparse is a disk that knows where it holds nothing.
type sparse interface {
	Extents(off, n int64) ([]disk.Extent, error)
}

// hold compares a run, block by block, and writes the blocks that differ.
func (c *comparison) hold(ctx context.Context, run checksum.Run) error {
	e := disk.Extent{Offset: run.Offset(), Length: min(run.Count*checksum.BlockSize, c.size-run.Offset())}
	if run.Zero {
		return c.holdZeroes(ctx, e)
	}
	had := make([]byte, e.Length)
	if e.Offset < c.blank {
		var err error
		if had, err = c.read(e); err != nil {
			return err
		}
	}
	return c.blocks(e, func(at, end int64) (bool, error) {
		data := run.Data[at:end]
		if bytes.Equal(data, had[at:end]) {
			return false, nil
		}
		if _, err := c.target.WriteAt(data, e.Offset+at); err != nil {
			return true, fmt.Errorf("write %d bytes at %d: %w", len(data), e.Offset+at, err)
		}
		c.sent.Add(end - at)
		return true, nil
	})
}

// holdZeroes reads only where the disk may hold something.
func (c *comparison) holdZeroes(ctx context.Context, e disk.Extent) error {
	filled := disk.ClipExtents([]disk.Extent{e}, 0, c.blank)
	if s, ok := c.target.(sparse); ok {
		found, err := s.Extents(e.Offset, e.Length)
		if err != nil {
			return fmt.Errorf("find data in %d bytes at %d: %w", e.Length, e.Offset, err)
		}
		filled = disk.ClipExtents(disk.ClipExtents(disk.AlignExtents(found, checksum.BlockSize), e.Offset, e.Length), 0, c.blank)
	}
	for _, part := range filled {
		for at := part.Offset; at < part.End(); {
			piece := disk.Extent{Offset: at, Length: min(readSize, part.End()-at)}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := c.clear(piece); err != nil {
				return err
			}
			at = piece.End()
		}
	}
	return nil
}

func (c *comparison) clear(e disk.Extent) error {
	had, err := c.read(e)
	if err != nil {
		return err
	}
	return c.blocks(e, func(at, end int64) (bool, error) {
		if checksum.IsZero(had[at:end]) {
			return false, nil
		}
		if err := c.target.Zero(e.Offset+at, end-at); err != nil {
			return true, fmt.Errorf("zero %d bytes at %d: %w", end-at, e.Offset+at, err)
		}
		return true, nil
	})
}

func (c *comparison) read(e disk.Extent) ([]byte, error) {
	p := make([]byte, e.Length)
	if n, err := c.target.ReadAt(p, e.Offset); n < len(p) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read %d bytes at %d: %w", len(p), e.Offset, err)
	}
	return p, nil
}

// blocks calls settle with the bounds of each block of a range, relative to it,
// and counts those that differed.
func (c *comparison) blocks(e disk.Extent, settle func(at, end int64) (bool, error)) error {
	for at := int64(0); at < e.Length; at += checksum.BlockSize {
		end := min(at+checksum.BlockSize, e.Length)
		differs, err := settle(at, end)
		if err != nil {
			return err
		}
		if differs {
			c.differing.Add(end - at)
		}
	}
	return nil
}
