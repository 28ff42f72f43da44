package failover

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/replica"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// stretch is how much of a disk is brought over between two checkpoints.
const stretch = 256 << 20

// progress is the checkpoint: everything below a disk's offset is durable.
type progress struct {
	Job   string           `json:"job"`
	Disks map[string]int64 `json:"filled"` // a name that no other workflow's checkpoint has: one may have been left
}

// instant is noted by the step that has made the VM run from its recovery point, so
// that its disks are copied once it does.
const instant = "instant"

// Bring makes the VM's disks hold a recovery point: at once where the host can read
// it in its place, else by copying. It repeats safely.
func (t Target) Bring(ctx context.Context, m *runbook.Memo, id string) error {
	backed, err := t.back(ctx, id)
	if err != nil {
		return err
	}
	if !backed {
		return t.Fill(ctx, id)
	}
	m.Note(instant, yes)
	return nil
}

// back gives the VM's disks the point as their backing, and says whether the host
// could take it.
func (t Target) back(ctx context.Context, id string) (bool, error) {
	if t.Backings == nil {
		return false, nil
	}
	point, ok := t.State.Point(id)
	if !ok {
		return false, errorcatalog.Fail(errorcatalog.RecoveryPointNotFound, "recovery point %s is not listed", id)
	}
	at, ok, err := t.Backings(ctx, t.State.Vault, t.State.Store.ID)
	if err != nil || !ok {
		return false, err
	}
	recovery, err := t.Recovery(ctx)
	if err != nil {
		return false, err
	}
	if err := t.room(ctx, recovery, point); err != nil {
		return false, err
	}
	var disks []host.Backing
	for _, d := range point.Disks {
		disks = append(disks, host.Backing{Disk: d.Disk, Store: at, Item: t.ReplicaID(), Point: id, SizeBytes: d.SizeBytes, Root: d.Root})
	}
	err = recovery.BackVM(ctx, t.Machine.ID, disks)
	// A host process of before an update does not know what is asked for.
	if workflow.Is(err, errorcatalog.BackingUnavailable) || workflow.Is(err, errorcatalog.RouteNotFound) {
		t.Logger.WarnContext(ctx, "the disks are copied before the VM starts", "item", t.Item.Item(), "vm", t.Machine.ID, "error", err)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("give vm %s its recovery point: %w", t.Machine.ID, err)
	}
	return true, nil
}

// roomPatience bounds how long a store is asked how much a point holds: a VM does
// not wait for the answer.
const roomPatience = 2 * time.Second

// room fails if the recovery host is known to be too full for what the point holds,
// while the failover can still be taken back.
func (t Target) room(ctx context.Context, recovery host.Inventory, point protecteditem.Point) error {
	space, err := recovery.Space(ctx, t.Machine.ID)
	if err != nil {
		return fmt.Errorf("ask for space of the recovery host: %w", err)
	}
	store, err := t.Replica(ctx)
	if err != nil {
		return err
	}
	quick, cancel := context.WithTimeout(ctx, roomPatience)
	defer cancel()
	var need int64
	for _, d := range point.Disks {
		reader, err := openPoint(quick, store, t.ReplicaID(), point.ID, d.Disk)
		if err != nil {
			return ctx.Err() // whoever reads it next says what is wrong
		}
		data, err := reader.Extents(0, reader.Size())
		_ = reader.Close() // nothing was read
		if err != nil || quick.Err() != nil {
			return ctx.Err()
		}
		for _, e := range data {
			need += e.Length
		}
	}
	if need > space.Free {
		return errorcatalog.Fail(errorcatalog.InsufficientRecoverySpace, "the VM needs %d bytes, the recovery host has %d free", need, space.Free)
	}
	return nil
}

// copyJob is the job that copies the disks of a VM that runs from its point, or
// nothing.
func (t Target) copyJob(m *runbook.Memo) string {
	if m.Value(instant) != yes {
		return ""
	}
	return t.NewID()
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
		if err := t.copyStretch(ctx, d.Disk, e, reader, &arrival{target: fresh{target}, manifest: manifest}); err != nil {
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

// fresh is a new disk, to which zeroes need not be written.
type fresh struct{ host.DiskWriter }

// Zero has nothing to do.
func (fresh) Zero(int64, int64) error { return nil }

// arrival verifies what is read from the point and writes it.
type arrival struct {
	target interface {
		io.WriterAt
		Zero(off, n int64) error
	}
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
		return a.target.Zero(run.Offset(), min(run.Count*checksum.BlockSize, a.manifest.Size()-run.Offset()))
	}
	if _, err := a.target.WriteAt(run.Data, run.Offset()); err != nil {
		return fmt.Errorf("write %d bytes at %d: %w", len(run.Data), run.Offset(), err)
	}
	return nil
}
