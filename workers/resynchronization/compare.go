package resynchronization

import (
	"context"
	"fmt"
	"strconv"

	"farshore/domain/errorcatalog"
	"farshore/workers/checksum"
	"farshore/workers/deltareplication"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/replica"
	"farshore/workers/runbook"
)

// stretch is how much of a disk is read between two checkpoints.
const stretch = 1 << 30

// progress is the checkpoint of a comparison.
type progress struct {
	Job   string          `json:"job"`
	Disks map[string]mark `json:"disks"`
}

// mark is how far a disk was read: the digests below Offset are in the manifest.
type mark struct {
	Offset int64  `json:"offset"`
	Root   string `json:"root"`
}

// compareDisks reads the snapshot and digests it. A snapshot that is lost is
// replaced, together with the chain of logs, and read from the beginning: digests
// of different instants would prove nothing.
func (r Resynchronization) compareDisks(ctx context.Context, m *runbook.Memo) error {
	err := r.scan(ctx, m)
	if !lost(err) {
		return err
	}
	store, err := r.Replica(ctx)
	if err != nil {
		return err
	}
	if err := r.begin(ctx, store); err != nil {
		return err
	}
	return r.scan(ctx, m)
}

func (r Resynchronization) scan(ctx context.Context, m *runbook.Memo) error {
	p, err := r.progress()
	if err != nil {
		return err
	}
	store, err := r.Replica(ctx)
	if err != nil {
		return err
	}
	for _, id := range r.State.Disks {
		if err := r.scanDisk(ctx, store, id, &p); err != nil {
			return fmt.Errorf("read disk %s: %w", id, err)
		}
		m.Note(rootOf+id, p.Disks[id].Root)
	}
	m.Note(scanned, strconv.FormatInt(r.TotalBytes(), 10))
	return nil
}

func (r Resynchronization) scanDisk(ctx context.Context, store replica.Store, id string, p *progress) error {
	at := p.Disks[id]
	size, err := r.sizeNow(ctx, id)
	if err != nil {
		return err
	}
	manifest := checksum.New(store, r.ReplicaID(), id, size)
	if at.Root != "" {
		if manifest, err = checksum.Load(ctx, store, r.ReplicaID(), id, at.Root); err != nil {
			return err
		}
	}
	for first := true; first || at.Offset < manifest.Size(); first = false {
		e := disk.Extent{Offset: at.Offset, Length: min(r.StretchOr(stretch), manifest.Size()-at.Offset)}
		if err := r.read(ctx, id, e, manifest); err != nil {
			return err
		}
		root, err := manifest.Save(ctx)
		if err != nil {
			return err
		}
		at = mark{Offset: e.End(), Root: root}
		p.Disks[id] = at
		if err := r.Checkpoint(*p); err != nil {
			return err
		}
		if err := deltareplication.CutIfDue(ctx, r.Item); err != nil {
			return err
		}
	}
	return nil
}

// sizeNow is the size of a disk in the snapshot: it may have grown.
func (r Resynchronization) sizeNow(ctx context.Context, id string) (int64, error) {
	source, err := r.Source(ctx)
	if err != nil {
		return 0, err
	}
	reader, err := openSnapshot(ctx, source, r.VM(), r.snapshot(), id)
	if err != nil {
		return 0, err
	}
	defer reader.Close() //nolint:errcheck // it was not even read
	if reader.Size() < r.DiskSize(id) {
		return 0, errorcatalog.Fail(errorcatalog.DiskShrunk, "disk %s has %d bytes, its replica %d", id, reader.Size(), r.DiskSize(id))
	}
	return reader.Size(), nil
}

const rootOf = "root/" // and the disk

func (r Resynchronization) progress() (progress, error) {
	var p progress
	if _, err := r.Restore(&p); err != nil {
		return p, err
	}
	if p.Job != r.State.Job.ID {
		p = progress{Job: r.State.Job.ID}
	}
	if p.Disks == nil {
		p.Disks = map[string]mark{}
	}
	return p, nil
}

func (r Resynchronization) read(ctx context.Context, id string, e disk.Extent, manifest *checksum.Manifest) error {
	source, err := r.Source(ctx)
	if err != nil {
		return err
	}
	reader, err := openSnapshot(ctx, source, r.VM(), r.snapshot(), id)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // read only
	if reader.Size() != manifest.Size() {
		return errorcatalog.Fail(errorcatalog.DiskSizeChanged, "disk %s has %d bytes, %d when protection was enabled", id, reader.Size(), manifest.Size())
	}
	options := checksum.ScanOptions{
		From: e.Offset, Only: []disk.Extent{e},
		Progress: func(done, _ int64) { r.Tell(ctx, r.State.Job.ID, id, e.Offset+done, reader.Size()) },
	}
	return checksum.Scan(ctx, reader, options, manifest.Record)
}

func openSnapshot(ctx context.Context, source host.Snapshotter, vm, snapshot, id string) (disk.Reader, error) {
	reader, err := source.OpenSnapshot(ctx, vm, snapshot, id)
	if err != nil {
		return nil, fmt.Errorf("open snapshot %s of disk %s: %w", snapshot, id, err)
	}
	return reader, nil
}

// bases is what the logs written meanwhile are laid over, disk by disk: the
// snapshot, of which only what differs from the newest point is sent.
type bases struct {
	Resynchronization
	store     replica.Store
	point     *replica.PointSpec // nil: initial replication had not been completed
	bases     map[string]deltareplication.Base
	differing int64
	sent      int64 // of them what is not zero
	opened    []disk.Reader
}

// open takes the digests that the comparison has noted: its checkpoint may be
// older than its end.
func (b *bases) open(ctx context.Context, m *runbook.Memo) error {
	source, err := b.Source(ctx)
	if err != nil {
		return err
	}
	b.bases = map[string]deltareplication.Base{}
	for _, id := range b.State.Disks {
		snapshot, err := openSnapshot(ctx, source, b.VM(), b.snapshot(), id)
		if err != nil {
			return err
		}
		b.opened = append(b.opened, snapshot)
		root := m.Value(rootOf + id)
		found, err := checksum.Load(ctx, b.store, b.ReplicaID(), id, root)
		if err != nil {
			return err
		}
		if err := b.disk(ctx, id, snapshot, found, root); err != nil {
			return err
		}
	}
	return nil
}

func (b *bases) disk(ctx context.Context, id string, snapshot disk.Reader, found *checksum.Manifest, root string) error {
	old, ok := b.former(id)
	if !ok {
		// Nothing is known about what the replica disk holds.
		whole := []disk.Extent{{Length: found.Size()}}
		b.differing, b.sent = b.differing+found.Size(), b.sent+found.Size()
		b.bases[id] = deltareplication.Base{Content: snapshot, Root: root, Extra: whole}
		return nil
	}
	before, err := checksum.Load(ctx, b.store, b.ReplicaID(), id, old)
	if err != nil {
		return err
	}
	if before.Size() < found.Size() {
		if before, err = b.grown(ctx, before, id, found.Size()); err != nil {
			return err
		}
	}
	var extra []disk.Extent
	err = checksum.Diff(ctx, before, found, func(block int64) error {
		off := block * checksum.BlockSize
		e := disk.Extent{Offset: off, Length: min(checksum.BlockSize, found.Size()-off)}
		b.differing += e.Length
		digest, err := found.Get(ctx, block)
		if err != nil {
			return err
		}
		if digest != found.Zero(block) {
			b.sent += e.Length
		}
		if n := len(extra); n > 0 && extra[n-1].End() == off {
			extra[n-1].Length += e.Length
			return nil
		}
		extra = append(extra, e)
		return nil
	})
	if err != nil {
		return fmt.Errorf("compare disk %s: %w", id, err)
	}
	// Blocks that a log covers in part are taken from the snapshot, too: it is what
	// the digests were made of, whatever has become of the replica.
	b.bases[id] = deltareplication.Base{Content: snapshot, Root: root, Extra: extra}
	return nil
}

// grown is the manifest of the newest point's disk, larger by zeroes.
func (b *bases) grown(ctx context.Context, before *checksum.Manifest, id string, size int64) (*checksum.Manifest, error) {
	content, err := b.store.OpenPoint(ctx, b.ReplicaID(), b.point.ID, id)
	if err != nil {
		return nil, fmt.Errorf("open recovery point %s of disk %s: %w", b.point.ID, id, err)
	}
	defer content.Close() //nolint:errcheck // read only
	return before.Grown(ctx, size, content)
}

// former is the manifest of the newest point's disk.
func (b *bases) former(id string) (string, bool) {
	if b.point == nil {
		return "", false
	}
	for _, d := range b.point.Disks {
		if d.Disk == id {
			return d.Root, true
		}
	}
	return "", false
}

func (b *bases) close() {
	for _, r := range b.opened {
		_ = r.Close() // it was read only
	}
}
