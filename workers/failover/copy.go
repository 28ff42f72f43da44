package failover

import (
	"context"
	"fmt"
	"sync/atomic"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/replica"
)

// stretch is how much of a disk is brought over between two checkpoints.
const stretch = 256 << 20

// progress is the checkpoint: everything below a disk's offset is durable.
type progress struct {
	Job   string           `json:"job"`
	Disks map[string]int64 `json:"filled"` // a name that no other workflow's checkpoint has: one may have been left
}

// Fill brings a recovery point to the VM's disks and holds every block against
// the point's manifest on its way. It resumes at the last checkpoint; blocks that
// are written twice are the same.
func (t Target) Fill(ctx context.Context, id string) error {
	var done progress
	if _, err := t.Restore(&done); err != nil {
		return err
	}
	if done.Job != t.Job {
		done = progress{Job: t.Job}
	}
	if done.Disks == nil {
		done.Disks = map[string]int64{}
	}
	point, ok := t.State.Point(id)
	if !ok {
		return errorcatalog.Fail(errorcatalog.RecoveryPointNotFound, "recovery point %s is not listed", id)
	}
	for _, d := range point.Disks {
		if err := t.copyDisk(ctx, point.ID, d, &done); err != nil {
			return fmt.Errorf("bring over disk %s: %w", d.Disk, err)
		}
	}
	return nil
}

func (t Target) copyDisk(ctx context.Context, point string, d protecteditem.PointDisk, done *progress) (err error) {
	store, err := t.Replica(ctx)
	if err != nil {
		return err
	}
	manifest, err := checksum.Load(ctx, store, t.ReplicaID(), d.Disk, d.Root)
	if err != nil {
		return err
	}
	reader, err := openPoint(ctx, store, t.ReplicaID(), point, d.Disk)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // read only
	target, err := t.openTarget(ctx, d.Disk)
	if err != nil {
		return err
	}
	defer func() {
		if e := target.Close(); err == nil && e != nil {
			err = fmt.Errorf("close disk: %w", e)
		}
	}()
	for at := done.Disks[d.Disk]; at < manifest.Size(); at = done.Disks[d.Disk] {
		e := disk.Extent{Offset: at, Length: min(t.StretchOr(stretch), manifest.Size()-at)}
		if err := t.copyStretch(ctx, d.Disk, e, reader, &arrival{target: target, manifest: manifest}); err != nil {
			return err
		}
		if err := target.Flush(); err != nil {
			return fmt.Errorf("flush disk: %w", err)
		}
		done.Disks[d.Disk] = e.End()
		if err := t.Checkpoint(*done); err != nil {
			return err
		}
	}
	return nil
}

func (t Target) copyStretch(ctx context.Context, id string, e disk.Extent, reader disk.Reader, a *arrival) error {
	options := checksum.ScanOptions{
		From: e.Offset, Only: []disk.Extent{e},
		Progress: func(done, _ int64) { t.Tell(ctx, t.Job, id, e.Offset+done, reader.Size()) },
	}
	if err := checksum.Scan(ctx, reader, options, a.write); err != nil {
		return err
	}
	if bad := a.bad.Load(); bad > 0 {
		return errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "disk %s of the recovery point does not match its manifest at %d", id, (bad-1)*checksum.BlockSize)
	}
	return nil
}

func openPoint(ctx context.Context, store replica.Points, item, point, id string) (disk.Reader, error) {
	r, err := store.OpenPoint(ctx, item, point, id)
	if err != nil {
		return nil, fmt.Errorf("open recovery point %s: %w", point, err)
	}
	return r, nil
}

func (t Target) openTarget(ctx context.Context, id string) (host.DiskWriter, error) {
	recovery, err := t.Recovery(ctx)
	if err != nil {
		return nil, err
	}
	w, err := recovery.OpenVMDisk(ctx, t.Machine.ID, id)
	if err != nil {
		return nil, fmt.Errorf("open disk of the recovery vm: %w", err)
	}
	return w, nil
}

// arrival verifies what is read from the point and writes it. Zeroes need not be
// written: the disks are new.
type arrival struct {
	target   host.DiskWriter
	manifest *checksum.Manifest
	bad      atomic.Int64 // a block that does not match, counted from 1
}

func (a *arrival) write(ctx context.Context, run checksum.Run) error {
	for n := range run.Count {
		want, err := a.manifest.Get(ctx, run.First+n)
		if err != nil {
			return err
		}
		got := a.manifest.Zero(run.First + n)
		if !run.Zero {
			got = run.Digests[n]
		}
		if got != want {
			a.bad.Store(run.First + n + 1)
			return nil
		}
	}
	if run.Zero {
		return nil
	}
	if _, err := a.target.WriteAt(run.Data, run.Offset()); err != nil {
		return fmt.Errorf("write %d bytes at %d: %w", len(run.Data), run.Offset(), err)
	}
	return nil
}
