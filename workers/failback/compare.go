package failback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"

	"farshore/domain/errorcatalog"
	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/runbook"
)

// The measures of a comparison.
const (
	// stretch is how much of a disk is compared between two checkpoints.
	stretch = 256 << 20
	// readSize is how much of a disk is read at once where the other is empty.
	readSize = 1 << 20
)

// progress is the checkpoint of a comparison: everything below a disk's offset is
// durable beside it.
type progress struct {
	Snapshot string `json:"snapshot"` // which it belongs to
	// Asking is set while the host is asked whether the overlays are what they
	// were: whoever finds it so does not know the answer.
	Asking    bool             `json:"asking,omitempty"`
	Disks     map[string]int64 `json:"disks"`
	Differing int64            `json:"differing"`
}

// compare takes a snapshot of the recovery VM, holds it against what the primary
// disks are to hold so far, and writes what differs beside them.
func (f Failback) compare(ctx context.Context, m *runbook.Memo, snapshot string) error {
	primary, err := openPrimary(ctx, f.Item)
	if err != nil {
		return err
	}
	done, err := f.begin(ctx, primary, snapshot)
	if err != nil {
		return err
	}
	recovery, err := f.Recovery(ctx)
	if err != nil {
		return err
	}
	// A snapshot that was lost is replaced by a later one: what differs between the
	// two is found when the VM is off.
	if err := recovery.CreateSnapshot(ctx, f.State.Recovery.VM, snapshot); err != nil {
		return fmt.Errorf("take snapshot of %s: %w", f.State.Recovery.VM, err)
	}
	for _, id := range f.State.Disks {
		if err := f.compareDisk(ctx, primary, recovery, id, &done); err != nil {
			return fmt.Errorf("bring disk %s: %w", id, err)
		}
	}
	m.Note(scanned, strconv.FormatInt(f.TotalBytes(), 10))
	m.Note(differing, strconv.FormatInt(done.Differing, 10))
	m.Note(sent, strconv.FormatInt(done.Differing, 10))
	return nil
}

// begin takes the overlays up, or begins them anew and with them the comparison.
func (f Failback) begin(ctx context.Context, p primary, snapshot string) (progress, error) {
	var done progress
	if _, err := f.Restore(&done); err != nil {
		return done, err
	}
	if done.Snapshot != snapshot || done.Asking || done.Disks == nil {
		done = progress{Snapshot: snapshot, Disks: map[string]int64{}}
	}
	asking := done
	asking.Asking = true
	if err := f.Checkpoint(asking); err != nil {
		return done, err
	}
	fresh, err := p.host.BeginReturn(ctx, p.vm, returnID, f.State.Disks)
	if err != nil {
		return done, fmt.Errorf("begin the return of %s: %w", p.vm, err)
	}
	if fresh {
		done = progress{Snapshot: snapshot, Disks: map[string]int64{}}
	}
	return done, f.Checkpoint(done)
}

func (f Failback) compareDisk(ctx context.Context, p primary, recovery host.Snapshotter, id string, done *progress) (err error) {
	reader, err := recovery.OpenSnapshot(ctx, f.State.Recovery.VM, done.Snapshot, id)
	if err != nil {
		return fmt.Errorf("open snapshot %s: %w", done.Snapshot, err)
	}
	defer reader.Close() //nolint:errcheck // read only
	if reader.Size() != f.DiskSize(id) {
		return errorcatalog.Fail(errorcatalog.DiskSizeChanged, "disk %s has %d bytes on the recovery side, %d on the primary side", id, reader.Size(), f.DiskSize(id))
	}
	beside, err := p.host.OpenBeside(ctx, p.vm, returnID, id)
	if err != nil {
		return fmt.Errorf("open what is beside the disk: %w", err)
	}
	defer func() { err = errors.Join(err, beside.Close()) }()
	for at := done.Disks[id]; at < reader.Size(); at = done.Disks[id] {
		e := disk.Extent{Offset: at, Length: min(f.StretchOr(stretch), reader.Size()-at)}
		c := &comparison{beside: beside, size: reader.Size()}
		options := checksum.ScanOptions{
			From: e.Offset, Only: []disk.Extent{e},
			Progress: func(n, _ int64) { f.Tell(ctx, f.State.Job.ID, id, e.Offset+n, reader.Size()) },
		}
		if err := checksum.Scan(ctx, reader, options, c.hold); err != nil {
			return err
		}
		if err := beside.Flush(); err != nil {
			return fmt.Errorf("flush what is beside the disk: %w", err)
		}
		done.Disks[id] = e.End()
		done.Differing += c.differing.Load()
		if err := f.Checkpoint(*done); err != nil {
			return err
		}
	}
	return nil
}

// comparison holds what the recovery VM has against what is beside a disk.
type comparison struct {
	beside    host.BesideDisk
	size      int64
	differing atomic.Int64
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
	had, err := c.read(e)
	if err != nil {
		return err
	}
	return c.blocks(e, func(at, end int64) (bool, error) {
		data := run.Data[at:end]
		if bytes.Equal(data, had[at:end]) {
			return false, nil
		}
		if _, err := c.beside.WriteAt(data, e.Offset+at); err != nil {
			return true, fmt.Errorf("write %d bytes at %d: %w", len(data), e.Offset+at, err)
		}
		return true, nil
	})
}

// holdZeroes reads only where the disk may hold something.
func (c *comparison) holdZeroes(ctx context.Context, e disk.Extent) error {
	filled := []disk.Extent{e}
	if s, ok := c.beside.(sparse); ok {
		found, err := s.Extents(e.Offset, e.Length)
		if err != nil {
			return fmt.Errorf("find data in %d bytes at %d: %w", e.Length, e.Offset, err)
		}
		filled = disk.ClipExtents(disk.AlignExtents(found, checksum.BlockSize), e.Offset, e.Length)
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
		if err := c.beside.Zero(e.Offset+at, end-at); err != nil {
			return true, fmt.Errorf("zero %d bytes at %d: %w", end-at, e.Offset+at, err)
		}
		return true, nil
	})
}

func (c *comparison) read(e disk.Extent) ([]byte, error) {
	p := make([]byte, e.Length)
	if n, err := c.beside.ReadAt(p, e.Offset); n < len(p) {
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
