package initialreplication

import (
	"context"
	"fmt"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/checksum"
	"farshore/workers/deltareplication"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/replica"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// stretch is how much of a disk is copied between two checkpoints. At each of
// them the copy is made durable, and change logs are cut if that is due.
const stretch = 256 << 20

// progress is the checkpoint of a copy. It only claims what is durable.
type progress struct {
	Job   string          `json:"job"`
	Disks map[string]mark `json:"disks"`
}

// mark is how far a disk is: everything below Offset is in the replica, and its
// digests are in the manifest.
type mark struct {
	Offset int64  `json:"offset"`
	Root   string `json:"root"`
}

// copyDisks copies what the checkpoint does not list yet. Blocks that a crash
// kept out of the checkpoint are copied again.
func (r InitialReplication) copyDisks(ctx context.Context, m *runbook.Memo) error {
	var p progress
	if _, err := r.Restore(&p); err != nil {
		return err
	}
	if p.Job != r.State.Job.ID {
		p = progress{Job: r.State.Job.ID}
	}
	if p.Disks == nil {
		p.Disks = map[string]mark{}
	}
	c := &copying{InitialReplication: r, progress: p}
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
	progress progress
}

func (c *copying) disk(ctx context.Context, id string) (err error) {
	store, err := c.Replica(ctx)
	if err != nil {
		return err
	}
	size := c.DiskSize(id)
	at := c.progress.Disks[id]
	manifest, err := c.manifest(ctx, store, id, at)
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
	// The first stretch after a crash may hold data of blocks that are zero now.
	w := &stretchWriter{target: target, manifest: manifest, zero: true}
	for first := true; first || at.Offset < size; first = false {
		next := disk.Extent{Offset: at.Offset, Length: min(c.StretchOr(stretch), size-at.Offset)}
		if err := c.stretch(ctx, id, next, w); err != nil {
			return err
		}
		w.zero = false
		if at, err = c.save(ctx, id, next.End(), w); err != nil {
			return err
		}
		if err := deltareplication.CutIfDue(ctx, c.Item); err != nil {
			return err
		}
	}
	return nil
}

func (c *copying) manifest(ctx context.Context, store replica.Store, id string, at mark) (*checksum.Manifest, error) {
	if at.Root == "" {
		return checksum.New(store, c.ReplicaID(), id, c.DiskSize(id)), nil
	}
	return checksum.Load(ctx, store, c.ReplicaID(), id, at.Root)
}

// stretch copies one stretch. A snapshot that is lost is replaced by a new one.
func (c *copying) stretch(ctx context.Context, id string, e disk.Extent, w *stretchWriter) error {
	err := c.read(ctx, id, e, w)
	if !workflow.Is(err, errorcatalog.SnapshotNotFound) {
		return err
	}
	source, err := c.Source(ctx)
	if err != nil {
		return err
	}
	fresh := protecteditem.StartInitialReplication{
		JobID: c.State.Job.ID, Snapshot: c.NewID(), TotalBytes: c.TotalBytes(), At: c.Now(),
	}
	if err := c.Record(ctx, fresh); err != nil {
		return err
	}
	if err := source.CreateSnapshot(ctx, c.VM(), fresh.Snapshot); err != nil {
		return fmt.Errorf("take another snapshot: %w", err)
	}
	w.zero = true
	return c.read(ctx, id, e, w)
}

func (c *copying) read(ctx context.Context, id string, e disk.Extent, w *stretchWriter) error {
	source, err := c.Source(ctx)
	if err != nil {
		return err
	}
	reader, err := openSnapshot(ctx, source, c.VM(), c.State.Snapshot, id)
	if err != nil {
		return err
	}
	defer reader.Close()
	if reader.Size() != c.DiskSize(id) {
		return errorcatalog.Fail(errorcatalog.DiskSizeChanged, "disk %s has %d bytes, %d when protection was enabled", id, reader.Size(), c.DiskSize(id))
	}
	options := checksum.ScanOptions{
		From: e.Offset, Only: []disk.Extent{e},
		Progress: func(done, _ int64) { c.Tell(ctx, c.State.Job.ID, id, e.Offset+done, reader.Size()) },
	}
	return checksum.Scan(ctx, reader, options, w.write)
}

func openSnapshot(ctx context.Context, source host.Snapshotter, vm, snapshot, id string) (disk.Reader, error) {
	reader, err := source.OpenSnapshot(ctx, vm, snapshot, id)
	if err != nil {
		return nil, fmt.Errorf("open snapshot %s of disk %s: %w", snapshot, id, err)
	}
	return reader, nil
}

// save makes a stretch durable before the checkpoint claims it.
func (c *copying) save(ctx context.Context, id string, end int64, w *stretchWriter) (mark, error) {
	if err := w.target.Flush(ctx); err != nil {
		return mark{}, fmt.Errorf("flush replica disk: %w", err)
	}
	root, err := w.manifest.Save(ctx)
	if err != nil {
		return mark{}, err
	}
	at := mark{Offset: end, Root: root}
	c.progress.Disks[id] = at
	return at, c.Checkpoint(c.progress)
}

// stretchWriter brings what a scan finds to the replica and into its manifest.
type stretchWriter struct {
	target   replica.Disk
	manifest *checksum.Manifest
	zero     bool // zeroes must be written, too: something else may be there
}

func (w *stretchWriter) write(ctx context.Context, run checksum.Run) error {
	if !run.Zero {
		if _, err := w.target.WriteAt(run.Data, run.Offset()); err != nil {
			return fmt.Errorf("write %d bytes at %d: %w", len(run.Data), run.Offset(), err)
		}
	} else if w.zero {
		n := min(run.Count*checksum.BlockSize, w.manifest.Size()-run.Offset())
		if err := w.target.Zero(run.Offset(), n); err != nil {
			return fmt.Errorf("zero %d bytes at %d: %w", n, run.Offset(), err)
		}
	}
	return w.manifest.Record(ctx, run)
}
