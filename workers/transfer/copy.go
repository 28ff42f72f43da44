// Package transfer moves the content of a disk to a replica: bounded, at a pace
// that its caller may set, hashed on the way, and resumable at a block.
package transfer

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"farshore/workers/checksum"
	"farshore/workers/disk"
)

// CheckpointBytes is how much is copied between two checkpoints unless the
// options say otherwise. A flush of that much passes unnoticed beside the copy.
const CheckpointBytes = 512 << 20

// Target is the replica's side of a copy; a replica.Disk is one. Its methods are
// called at the same time, for ranges that do not overlap.
type Target interface {
	io.WriterAt
	Zero(off, n int64) error
	Flush(ctx context.Context) error
}

// Options say where a copy begins and whom it tells.
type Options struct {
	// From is the offset of the last checkpoint, where the copy goes on.
	From int64
	// TargetIsZero says that nothing was ever written to the target, so that zeroes
	// need not be. A copy that is taken up after a crash must not say so, even if
	// it begins at 0: it may have written beyond its last checkpoint.
	TargetIsZero bool
	// Manifest receives the digest of every block; nil for none. A copy that goes
	// on needs the one that its checkpoint named.
	Manifest *checksum.Manifest
	// InFlight is how many pieces of 1 MiB are in work at once; 0 chooses.
	InFlight int
	// Throttle is called before n bytes are read, and may wait. It may be nil.
	Throttle func(ctx context.Context, n int) error
	// Checkpoint is called when everything below an offset is durable in the
	// target, and at the end; nil for never. An error ends the copy.
	Checkpoint func(ctx context.Context, c Checkpoint) error
	// CheckpointBytes replaces the constant of that name; 0 does not.
	CheckpointBytes int64
	// Progress is called at most once a second, and at the end; nil for never.
	Progress func(p Progress)
	// Now is the clock of Progress; needed with it.
	Now func() time.Time
}

// Checkpoint is where a copy can go on.
type Checkpoint struct {
	Offset int64  `json:"offset"`         // everything below is durable
	Root   string `json:"root,omitempty"` // of the manifest so far
}

// Progress is how far a copy has come. Holes count as done when they are passed.
type Progress struct {
	BytesDone      int64
	BytesTotal     int64
	BytesPerSecond int64 // since the report before
}

// Result is what a copy did.
type Result struct {
	BytesWritten int64  // data, zeroes not counted
	Root         string // of the manifest, if there is one
}

// Copy makes dst hold what src holds from o.From on, and returns once that is
// durable. Memory is bounded by InFlight, whatever the size of the disk. The
// first failure ends it and is returned; a copy that was canceled has failed.
func Copy(ctx context.Context, src disk.Reader, dst Target, o Options) (Result, error) {
	c := &copying{options: o, dst: dst, size: src.Size(), due: make(chan struct{}, 1)}
	c.below.Store(o.From)
	c.last.Store(o.From)
	c.meter = newMeter(o, src.Size())
	g, gctx := errgroup.WithContext(ctx)
	scanned := make(chan struct{})
	g.Go(func() error {
		defer close(scanned)
		return checksum.Scan(gctx, src, checksum.ScanOptions{
			From: o.From, InFlight: o.InFlight, Before: o.Throttle, Progress: c.passed,
		}, c.take)
	})
	g.Go(func() error { return c.checkpoints(gctx, scanned) })
	if err := g.Wait(); err != nil {
		return Result{}, fmt.Errorf("copy disk: %w", err)
	}
	root, err := c.secure(ctx, c.size)
	if err != nil {
		return Result{}, fmt.Errorf("complete copy of disk: %w", err)
	}
	c.meter.finish()
	return Result{BytesWritten: c.written.Load(), Root: root}, nil
}

type copying struct {
	options Options
	dst     Target
	size    int64
	meter   *meter
	written atomic.Int64
	below   atomic.Int64  // everything below has been written
	last    atomic.Int64  // offset of the last checkpoint begun
	due     chan struct{} // holds one: a checkpoint that is due stays due
}

// take writes a run and records its digests.
func (c *copying) take(ctx context.Context, r checksum.Run) error {
	if err := c.put(r); err != nil {
		return err
	}
	if c.options.Manifest == nil {
		return nil
	}
	return c.options.Manifest.Record(ctx, r)
}

func (c *copying) put(r checksum.Run) error {
	off := r.Offset()
	if !r.Zero {
		if _, err := c.dst.WriteAt(r.Data, off); err != nil {
			return fmt.Errorf("write %d bytes at %d: %w", len(r.Data), off, err)
		}
		c.written.Add(int64(len(r.Data)))
		return nil
	}
	if c.options.TargetIsZero && c.options.From == 0 {
		return nil
	}
	n := min(r.Count*checksum.BlockSize, c.size-off)
	if err := c.dst.Zero(off, n); err != nil {
		return fmt.Errorf("zero %d bytes at %d: %w", n, off, err)
	}
	return nil
}

// passed is told how far the scan has come.
func (c *copying) passed(done, below int64) {
	for {
		old := c.below.Load()
		if below <= old || c.below.CompareAndSwap(old, below) {
			break
		}
	}
	c.meter.report(c.options.From + done)
	if c.options.Checkpoint != nil && c.below.Load()-c.last.Load() >= c.every() {
		select {
		case c.due <- struct{}{}:
		default:
		}
	}
}

func (c *copying) every() int64 {
	if c.options.CheckpointBytes > 0 {
		return c.options.CheckpointBytes
	}
	return CheckpointBytes
}

// checkpoints makes those that fall due, beside the copy, until it is done.
func (c *copying) checkpoints(ctx context.Context, scanned <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-scanned:
			return nil
		case <-c.due:
			below := c.below.Load()
			if below-c.last.Load() < c.every() {
				continue // it fell due once more while the one before was begun
			}
			c.last.Store(below)
			if _, err := c.secure(ctx, below); err != nil {
				return err
			}
		}
	}
}

// secure makes everything below an offset durable, and says so.
func (c *copying) secure(ctx context.Context, below int64) (string, error) {
	root := ""
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := c.dst.Flush(gctx); err != nil {
			return fmt.Errorf("flush target: %w", err)
		}
		return nil
	})
	if c.options.Manifest != nil {
		g.Go(func() (err error) {
			root, err = c.options.Manifest.Save(gctx)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return "", err
	}
	if c.options.Checkpoint != nil {
		if err := c.options.Checkpoint(ctx, Checkpoint{Offset: below, Root: root}); err != nil {
			return "", fmt.Errorf("record checkpoint at %d: %w", below, err)
		}
	}
	return root, context.Cause(ctx)
}
