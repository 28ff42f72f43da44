package deltareplication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"farshore/domain"
	"farshore/domain/protecteditem"
	"farshore/workers/host"
	"farshore/workers/replica"
	"farshore/workers/workflow"
)

// A disk that its host has grown is larger by zeroes from one cut to the next, and
// everything written since is in its logs. So the replica disk grows by zeroes, too,
// before that cut is applied, and the point made of it holds the disk as it is.

// noteGrown records that a cut is of a disk larger than it was. Other disks that are
// new come first; then the point itself tells.
func noteGrown(ctx context.Context, i *workflow.Item, cut host.Cut) error {
	for _, d := range cut.Disks {
		if i.State.DiskJob != nil || !slices.Contains(i.State.Disks, d.Disk) || d.SizeBytes <= i.DiskSize(d.Disk) {
			continue
		}
		err := i.Record(ctx, protecteditem.RecordDiskGrown{JobID: i.NewID(), Disk: d.Disk, SizeBytes: d.SizeBytes, At: i.Now()})
		if _, refused := errors.AsType[*domain.RejectionError](err); err != nil && !refused {
			return err
		}
	}
	return nil
}

// sizeIn is the size of a disk at the last of some cuts, 0 if none is of it.
func sizeIn(cuts []Shipped, disk string) int64 {
	for _, s := range slices.Backward(cuts) {
		for _, d := range s.Cut.Disks {
			if d.Disk == disk {
				return d.SizeBytes
			}
		}
	}
	return 0
}

// grown lets what the logs of a disk are laid over be as large as the disk is by now.
func (r Redo) grown(ctx context.Context, d *applied) error {
	to := sizeIn(r.Cuts, d.id)
	if to <= d.manifest.Size() || slices.Contains(r.added, d.id) {
		return nil
	}
	larger, err := d.manifest.Grown(ctx, to, d.base)
	if err != nil {
		return fmt.Errorf("grow manifest of disk %s: %w", d.id, err)
	}
	d.base, d.manifest = padded{ReaderAt: d.base, size: d.manifest.Size()}, larger
	return nil
}

// padded reads as zeroes behind its end.
type padded struct {
	io.ReaderAt
	size int64
}

// ReadAt reads all of p.
func (r padded) ReadAt(p []byte, off int64) (int, error) {
	held := max(0, min(int64(len(p)), r.size-off))
	clear(p[held:])
	if held == 0 {
		return len(p), nil
	}
	if n, err := r.ReaderAt.ReadAt(p[:held], off); int64(n) < held {
		return n, err //nolint:wrapcheck // the caller says what was read
	}
	return len(p), nil
}

// growDisks makes replica disks as large as what is laid over them.
func (r Redo) growDisks(ctx context.Context, disks []*applied) error {
	for _, d := range disks {
		if slices.Contains(r.added, d.id) || d.size <= r.DiskSize(d.id) {
			continue
		}
		spec := replica.DiskSpec{Item: r.ReplicaID(), Disk: d.id, SizeBytes: d.size}
		if err := r.Store.GrowDisk(ctx, spec, r.Token()); err != nil {
			return fmt.Errorf("grow replica disk %s: %w", d.id, err)
		}
	}
	return nil
}
