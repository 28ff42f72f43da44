package initialreplication

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
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
	// cutCheck is how often the copy looks whether logs are to be cut.
	cutCheck = time.Second
)

// progress is the checkpoint of all disks. It only claims what is durable.
type progress struct {
	Job   string                         `json:"job"`
	Disks map[string]transfer.Checkpoint `json:"disks"`
}

// copyDisks copies what the checkpoint does not list yet, one disk after the
// other, while change logs are cut and shipped beside. Blocks that a crash kept
// out of the checkpoint are copied again.
func (r InitialReplication) copyDisks(ctx context.Context, m *runbook.Memo) error {
	c := &copying{InitialReplication: r, job: r.State.Job.ID}
	if _, err := r.Restore(&c.progress); err != nil {
		return err
	}
	if c.progress.Job != c.job {
		c.progress = progress{Job: c.job}
	}
	if c.progress.Disks == nil {
		c.progress.Disks = map[string]transfer.Checkpoint{}
	}
	for _, d := range r.State.Disks {
		if err := c.disk(ctx, d); err != nil {
			return fmt.Errorf("copy disk %s: %w", d, err)
		}
		m.Note(rootOf+d, c.progress.Disks[d].Root)
	}
	return nil
}

type copying struct {
	InitialReplication
	job      string
	progress progress
}

func (c *copying) disk(ctx context.Context, id string) (err error) {
	if at := c.progress.Disks[id]; at.Root != "" && at.Offset >= c.DiskSize(id) {
		return nil
	}
	store, err := c.Replica(ctx)
	if err != nil {
		return err
	}
	target, err := store.OpenDisk(ctx, c.ReplicaID(), id, c.Token())
	if err != nil {
		return fmt.Errorf("open replica disk: %w", err)
	}
	defer func() {
		if e := target.Close(); err == nil && e != nil {
			err = fmt.Errorf("close replica disk: %w", e)
		}
	}()
	untouched, err := c.touch(ctx, store, id)
	if err != nil {
		return err
	}
	err = c.transfer(ctx, store, target, id, untouched)
	if !workflow.Is(err, errorcatalog.SnapshotNotFound) {
		return err
	}
	if err := c.anotherSnapshot(ctx); err != nil {
		return err
	}
	return c.transfer(ctx, store, target, id, false)
}

// touch leaves a mark that a disk is being written to, and says whether it was
// the first. Until then zeroes need not be written.
func (c *copying) touch(ctx context.Context, store replica.Objects, id string) (first bool, err error) {
	name := "copying/" + id
	o, err := store.OpenObject(ctx, c.ReplicaID(), name)
	if err == nil {
		_ = o.Close() // it was not even read
		return false, nil
	}
	if !workflow.Is(err, errorcatalog.ObjectNotFound) {
		return false, fmt.Errorf("look for %s: %w", name, err)
	}
	if err := store.PutObject(ctx, c.ReplicaID(), name, bytes.NewReader(nil), 0); err != nil {
		return false, fmt.Errorf("put %s: %w", name, err)
	}
	return true, nil
}

// anotherSnapshot replaces a snapshot that was lost. The copy goes on from it:
// what was written between the two is in the logs.
func (c *copying) anotherSnapshot(ctx context.Context) error {
	source, err := c.Source(ctx)
	if err != nil {
		return err
	}
	fresh := protecteditem.StartInitialReplication{JobID: c.job, Snapshot: c.NewID(), TotalBytes: c.TotalBytes(), At: c.Now()}
	if err := c.Record(ctx, fresh); err != nil {
		return err
	}
	if err := source.CreateSnapshot(ctx, c.VM(), fresh.Snapshot); err != nil {
		return fmt.Errorf("take another snapshot: %w", err)
	}
	return nil
}

// transfer copies a disk from its checkpoint on, and cuts logs meanwhile.
func (c *copying) transfer(ctx context.Context, store replica.Store, target replica.Disk, id string, untouched bool) error {
	at := c.progress.Disks[id]
	manifest := checksum.New(store, c.ReplicaID(), id, c.DiskSize(id))
	if at.Root != "" {
		var err error
		if manifest, err = checksum.Load(ctx, store, c.ReplicaID(), id, at.Root); err != nil {
			return err
		}
	}
	reader, err := c.open(ctx, id)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // read only
	g, gctx := errgroup.WithContext(ctx)
	copied := make(chan struct{})
	g.Go(func() error {
		defer close(copied)
		_, err := transfer.Copy(gctx, reader, target, transfer.Options{
			From: at.Offset, TargetIsZero: untouched, Manifest: manifest, CheckpointBytes: c.StretchOr(checkpointBytes), Now: c.Now,
			Checkpoint: func(_ context.Context, p transfer.Checkpoint) error {
				c.progress.Disks[id] = p
				return c.Checkpoint(c.progress)
			},
			Progress: func(p transfer.Progress) { c.Tell(gctx, c.job, id, p.BytesDone, p.BytesTotal) },
		})
		return err
	})
	g.Go(func() error { return c.cut(gctx, copied) })
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// cut keeps the logs at the source short until the copy is done.
func (c *copying) cut(ctx context.Context, copied <-chan struct{}) error {
	tick := time.NewTicker(cutCheck)
	defer tick.Stop()
	for {
		if err := deltareplication.CutIfDue(ctx, c.Item); err != nil {
			return err
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

func (c *copying) open(ctx context.Context, id string) (disk.Reader, error) {
	source, err := c.Source(ctx)
	if err != nil {
		return nil, err
	}
	reader, err := source.OpenSnapshot(ctx, c.VM(), c.State.Snapshot, id)
	if err != nil {
		return nil, fmt.Errorf("open snapshot %s of disk %s: %w", c.State.Snapshot, id, err)
	}
	if reader.Size() != c.DiskSize(id) {
		_ = reader.Close() // it was not even read
		return nil, errorcatalog.Fail(errorcatalog.DiskSizeChanged, "disk %s has %d bytes, %d when protection was enabled", id, reader.Size(), c.DiskSize(id))
	}
	return reader, nil
}
