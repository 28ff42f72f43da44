package failover

import (
	"context"
	"fmt"
	"strconv"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// BackgroundCopy is the workflow that follows BackgroundCopyStarted: it copies the
// disks of a VM that runs from its recovery point, beneath its guest, until they do
// without the point. The host knows what is missing, so a worker that crashed is
// followed by one that goes on there.
type BackgroundCopy struct {
	*workflow.Item
	JobID   string            // under which it is done
	VM      string            // whose disks are copied
	Damaged errorcatalog.Code // of a point that does not match its manifest
}

// CopyBehind is the background copy of the VM that takes the source's place.
func CopyBehind(i *workflow.Item, job string) BackgroundCopy {
	return BackgroundCopy{Item: i, JobID: job, VM: target(i).Machine.ID, Damaged: errorcatalog.RunningPointCorrupt}
}

// Steps is the workflow as a table.
func (b BackgroundCopy) Steps() []runbook.Step {
	return []runbook.Step{
		{Name: "copy_blocks", Title: "Copy the recovery point to the disks of the running VM", Run: b.copyDisks},
		{Name: "settle_disks", Title: "Let the disks do without the recovery point", Run: b.settleDisks},
		{Name: "complete_background_copy", Title: "Let go of the recovery point", Run: b.complete},
	}
}

const copiedBytes = "bytes"

// behind is the checkpoint of a background copy. It only counts: the host knows
// where the copy is.
type behind struct {
	Job   string `json:"job"`
	Bytes int64  `json:"copied"`
}

// copyDisks repeats safely: the host takes only what it does not hold yet.
func (b BackgroundCopy) copyDisks(ctx context.Context, m *runbook.Memo) error {
	n, err := b.copyAll(ctx)
	m.Note(copiedBytes, strconv.FormatInt(n, 10))
	return err
}

func (b BackgroundCopy) copyAll(ctx context.Context) (int64, error) {
	var done behind
	if _, err := b.Restore(&done); err != nil {
		return 0, err
	}
	if done.Job != b.JobID {
		done = behind{Job: b.JobID}
	}
	disks, recovery, err := b.left(ctx)
	if err != nil {
		return 0, err
	}
	for _, d := range disks {
		if err := b.copyDisk(ctx, recovery, d, &done); err != nil {
			return 0, fmt.Errorf("copy disk %s: %w", d.Disk, err)
		}
	}
	return done.Bytes, nil
}

// left lists the disks that need the point. A VM that is gone needs nothing, but
// before that is believed while its protection goes on, somebody is to have a look.
func (b BackgroundCopy) left(ctx context.Context) ([]host.BackedDisk, host.Backer, error) {
	recovery, err := b.Recovery(ctx)
	if err != nil {
		return nil, nil, err
	}
	disks, err := recovery.BackedDisks(ctx, b.VM)
	switch {
	case workflow.Is(err, errorcatalog.VMNotFound) && b.State.Protection == protecteditem.DisablingProtection:
		return nil, recovery, nil
	case err != nil:
		return nil, nil, fmt.Errorf("list disks of vm %s: %w", b.VM, err)
	default:
		return disks, recovery, nil
	}
}

func (b BackgroundCopy) copyDisk(ctx context.Context, recovery host.Backer, d host.BackedDisk, done *behind) error {
	store, err := b.Replica(ctx)
	if err != nil {
		return err
	}
	manifest, err := checksum.Load(ctx, store, d.Item, d.Disk, d.Root)
	if err != nil {
		return err
	}
	reader, err := openPoint(ctx, store, d.Item, d.Point, d.Disk)
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // read only
	filler, err := recovery.OpenBacked(ctx, b.VM, d.Disk, d.Point)
	if err != nil {
		return fmt.Errorf("open disk to be filled in: %w", err)
	}
	defer filler.Close() //nolint:errcheck // flushed
	c := &diskCopy{BackgroundCopy: b, disk: d, reader: reader, manifest: manifest, filler: filler}
	for at := int64(0); at < d.Total; {
		e := disk.Extent{Offset: at, Length: min(b.StretchOr(stretch), d.Total-at)}
		n, err := c.stretch(ctx, e)
		if err != nil {
			return err
		}
		if done.Bytes += n; n > 0 {
			if err := b.Checkpoint(*done); err != nil {
				return err
			}
		}
		at = e.End()
	}
	return nil
}

// diskCopy is the copy of one disk.
type diskCopy struct {
	BackgroundCopy

	disk     host.BackedDisk
	reader   disk.Reader
	manifest *checksum.Manifest
	filler   host.Filler
}

// stretch fills in what is absent of a part of the disk, durably, and returns how
// much that was.
func (c *diskCopy) stretch(ctx context.Context, e disk.Extent) (int64, error) {
	absent, err := c.filler.Absent(e.Offset, e.Length)
	if err != nil {
		return 0, fmt.Errorf("ask what is absent: %w", err)
	}
	if len(absent) == 0 {
		return 0, nil
	}
	// What the disk has more than the point.
	end := checksum.Blocks(c.reader.Size()) * checksum.BlockSize
	var n int64
	for _, a := range absent {
		n += a.Length
		if from := max(a.Offset, end); from < a.End() {
			if err := c.filler.Zero(from, a.End()-from); err != nil {
				return 0, fmt.Errorf("zero end of disk: %w", err)
			}
		}
	}
	held := c.disk.Total - c.disk.Absent
	options := checksum.ScanOptions{From: e.Offset, Only: absent, Progress: func(done, _ int64) {
		c.Tell(ctx, c.JobID, c.disk.Disk, min(held+done, c.disk.Total-1), c.disk.Total)
	}}
	a := &arrival{target: &completed{Filler: c.filler, size: c.disk.Total}, manifest: c.manifest}
	if err := checksum.Scan(ctx, c.reader, options, a.write); err != nil {
		return 0, err
	}
	if bad := a.bad.Load(); bad > 0 {
		return 0, errorcatalog.Fail(c.Damaged, "disk %s of recovery point %s does not match its manifest at %d",
			c.disk.Disk, c.disk.Point, (bad-1)*checksum.BlockSize)
	}
	if err := c.filler.Flush(); err != nil {
		return 0, fmt.Errorf("flush what was filled in: %w", err)
	}
	c.disk.Absent -= n
	c.Tell(ctx, c.JobID, c.disk.Disk, c.disk.Total-c.disk.Absent, c.disk.Total)
	return n, nil
}

// completed makes whole blocks of what lies at the point's end, where the disk is
// larger.
type completed struct {
	host.Filler

	size int64
}

// WriteAt fills in, zeroes behind the point's end.
func (c *completed) WriteAt(p []byte, off int64) (int, error) {
	end := c.end(off + int64(len(p)))
	if end == off+int64(len(p)) {
		return c.Filler.WriteAt(p, off) //nolint:wrapcheck // a host's errors have codes
	}
	whole := make([]byte, end-off)
	copy(whole, p)
	if _, err := c.Filler.WriteAt(whole, off); err != nil {
		return 0, err //nolint:wrapcheck // a host's errors have codes
	}
	return len(p), nil
}

// Zero fills in zeroes.
func (c *completed) Zero(off, n int64) error { return c.Filler.Zero(off, c.end(off+n)-off) }

func (c *completed) end(at int64) int64 {
	return min((at+checksum.BlockSize-1)/checksum.BlockSize*checksum.BlockSize, c.size)
}

// settleDisks repeats safely: a disk that has settled is left alone.
func (b BackgroundCopy) settleDisks(ctx context.Context, _ *runbook.Memo) error {
	return b.settleAll(ctx)
}

func (b BackgroundCopy) settleAll(ctx context.Context) error {
	disks, recovery, err := b.left(ctx)
	if err != nil {
		return err
	}
	for _, d := range disks {
		if err := recovery.SettleDisk(ctx, b.VM, d.Disk); err != nil {
			return fmt.Errorf("settle disk %s: %w", d.Disk, err)
		}
	}
	return nil
}

func (b BackgroundCopy) complete(ctx context.Context, m *runbook.Memo) error {
	bytes, err := strconv.ParseInt(m.Value(copiedBytes), 10, 64)
	if err != nil {
		return fmt.Errorf("read count of bytes: %w", err)
	}
	b.Forget()
	return b.RecordBeside(ctx, protecteditem.CompleteBackgroundCopy{JobID: b.JobID, Bytes: bytes, At: b.Now()})
}

// RecordBeside executes a command in the name of the background copy's job, which
// runs beside the item's.
func (b BackgroundCopy) RecordBeside(ctx context.Context, cmd protecteditem.Command) error {
	how := b.Execution()
	how.Metadata.Job = b.JobID
	out, err := b.Items.Execute(ctx, b.Item.Item(), cmd, how)
	if err != nil {
		return fmt.Errorf("record %T of %s: %w", cmd, b.Item.Item(), err)
	}
	b.State, b.Version = out.State, out.Version
	return nil
}

// AwaitCopy ends the run of a workflow that goes on once the VM's disks do without
// the recovery point; it is begun again then, and looks again meanwhile. A copy
// that waits for an operator fails it.
func AwaitCopy(ctx context.Context, i *workflow.Item) error {
	if err := i.Reload(ctx); err != nil {
		return err
	}
	if i.State.CopyJob == nil {
		return nil
	}
	if f := i.State.CopyRetry.Failure; f != nil && i.State.CopyRetry.NextAt.IsZero() {
		return errorcatalog.Fail(f.Code, "background copy (job %s): %s", i.State.CopyJob.ID, f.Detail)
	}
	return runbook.ErrWaiting
}

// FinishCopy is for a workflow that ends the protection of a VM which runs on the
// recovery side. It waits for the background copy. A VM that was being brought up
// from another point may run without one: its disks are copied here.
func FinishCopy(ctx context.Context, i *workflow.Item, overtaken job.State) error {
	if err := AwaitCopy(ctx, i); err != nil || overtaken.Kind != job.ApplyRecoveryPoint {
		return err
	}
	return CopyBehind(i, i.State.Job.ID).Finish(ctx)
}

// Finish copies what is left and lets the disks do without the recovery point. It
// repeats safely.
func (b BackgroundCopy) Finish(ctx context.Context) error {
	if _, err := b.copyAll(ctx); err != nil {
		return err
	}
	return b.settleAll(ctx)
}
