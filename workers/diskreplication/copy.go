package diskreplication

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/checksum"
	"farshore/workers/deltareplication"
	"farshore/workers/disk"
	"farshore/workers/replica"
	"farshore/workers/runbook"
	"farshore/workers/transfer"
	"farshore/workers/workflow"
)

const (
	// checkpointBytes is how much of a disk is copied between two checkpoints.
	checkpointBytes = 128 << 20
	// look is how often the copy looks whether a cycle is due.
	look = time.Second
)

// copyDisks copies what the checkpoint does not list yet, one disk after the other,
// while the cycles that fall due are done beside. Blocks that a crash kept out of the
// checkpoint are copied again.
func (r DiskReplication) copyDisks(ctx context.Context, _ *runbook.Memo) error {
	added := protecteditem.Added(r.State)
	if len(added) == 0 {
		return nil
	}
	a, err := r.ensure(ctx)
	if err != nil || a.Ready {
		return err
	}
	if a.Disks == nil {
		a.Disks = map[string]transfer.Checkpoint{}
	}
	for _, d := range added {
		if err := r.copyDisk(ctx, &a, d); err != nil {
			return fmt.Errorf("copy disk %s: %w", d.ID, err)
		}
	}
	return nil
}

func (r DiskReplication) copyDisk(ctx context.Context, a *deltareplication.Adding, d site.Disk) (err error) {
	at, touched := a.Disks[d.ID]
	if at.Root != "" && at.Offset >= d.SizeBytes {
		return nil
	}
	store, err := r.Replica(ctx)
	if err != nil {
		return err
	}
	target, err := store.OpenDisk(ctx, r.ReplicaID(), d.ID, r.Token())
	if err != nil {
		return fmt.Errorf("open replica disk: %w", err)
	}
	defer func() {
		if e := target.Close(); err == nil && e != nil {
			err = fmt.Errorf("close replica disk: %w", e)
		}
	}()
	if !touched { // from here on, zeroes have to be written, too
		a.Disks[d.ID] = transfer.Checkpoint{}
		if err := a.Save(ctx, store, r.ReplicaID()); err != nil {
			return err
		}
	}
	err = r.transfer(ctx, store, target, a, d, !touched)
	if !workflow.Is(err, errorcatalog.SnapshotNotFound) {
		return err
	}
	// What was written between the lost snapshot and the next is in the logs.
	if err := r.anotherSnapshot(ctx); err != nil {
		return err
	}
	return r.transfer(ctx, store, target, a, d, false)
}

func (r DiskReplication) anotherSnapshot(ctx context.Context) error {
	source, err := r.Source(ctx)
	if err != nil {
		return err
	}
	if err := source.DeleteSnapshot(ctx, r.VM(), r.State.DiskJob.ID); err != nil {
		return fmt.Errorf("delete what is left of the snapshot: %w", err)
	}
	if err := source.CreateSnapshot(ctx, r.VM(), r.State.DiskJob.ID); err != nil {
		return fmt.Errorf("take another snapshot: %w", err)
	}
	return nil
}

// transfer copies a disk from its checkpoint on, with the cycles that are due
// beside. Those change the item's state, which the copy therefore does not look at.
func (r DiskReplication) transfer(ctx context.Context, store replica.Store, target replica.Disk, a *deltareplication.Adding, d site.Disk, untouched bool) error {
	item, job, at := r.ReplicaID(), r.State.DiskJob.ID, a.Disks[d.ID]
	manifest := checksum.New(store, item, d.ID, d.SizeBytes)
	if at.Root != "" {
		var err error
		if manifest, err = checksum.Load(ctx, store, item, d.ID, at.Root); err != nil {
			return err
		}
	}
	reader, err := r.open(ctx, d)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // read only
	g, gctx := errgroup.WithContext(ctx)
	copied := make(chan struct{})
	g.Go(func() error {
		defer close(copied)
		_, err := transfer.Copy(gctx, reader, target, transfer.Options{
			From: at.Offset, TargetIsZero: untouched, Manifest: manifest, CheckpointBytes: r.StretchOr(checkpointBytes), Now: r.Now,
			Checkpoint: func(ctx context.Context, p transfer.Checkpoint) error {
				a.Disks[d.ID] = p
				return a.Save(ctx, store, item)
			},
			Progress: func(p transfer.Progress) { r.Tell(gctx, job, d.ID, p.BytesDone, p.BytesTotal) },
		})
		return err
	})
	g.Go(func() error { return r.keepUp(gctx, copied) })
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// keepUp does the cycles that are due until the copy is done, as if there were no
// copy. It ends the copy when the item has moved on.
func (r DiskReplication) keepUp(ctx context.Context, copied <-chan struct{}) error {
	job, attempt := r.State.DiskJob.ID, r.State.DiskRetry.Attempt
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		if err := r.Reload(ctx); err != nil {
			return err
		}
		if s := r.State; s.DiskJob == nil || s.DiskJob.ID != job || s.DiskRetry.Attempt != attempt ||
			s.Paused != nil || s.Resync.State != protecteditem.ResyncNone || s.Protection != protecteditem.Protected {
			return overtaken(s)
		}
		if due := protecteditem.NextCut(r.State, r.Now()); !due.IsZero() && !due.After(r.Now()) {
			if err := r.Cycle(ctx, false); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-copied:
			return nil
		case <-tick.C:
		}
	}
}

func (r DiskReplication) open(ctx context.Context, d site.Disk) (disk.Reader, error) {
	source, err := r.Source(ctx)
	if err != nil {
		return nil, err
	}
	reader, err := source.OpenSnapshot(ctx, r.VM(), r.State.DiskJob.ID, d.ID)
	if err != nil {
		return nil, fmt.Errorf("open snapshot %s: %w", r.State.DiskJob.ID, err)
	}
	if reader.Size() != d.SizeBytes {
		_ = reader.Close() // it was not even read
		return nil, errorcatalog.Fail(errorcatalog.DiskSizeChanged, "disk %s has %d bytes, %d when it was added", d.ID, reader.Size(), d.SizeBytes)
	}
	return reader, nil
}
