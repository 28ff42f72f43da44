package failback

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"farshore/domain/errorcatalog"
	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/runbook"
)

// stretch is how much of a disk is compared between two checkpoints.
const stretch = 256 << 20

// progress is the checkpoint of a comparison: everything below a disk's offset is
// durable on the primary side.
type progress struct {
	Snapshot string `json:"snapshot"` // which it belongs to
	// Asking is set while the host is asked whether the overlays are what they
	// were: whoever finds it so does not know the answer.
	Asking bool `json:"asking,omitempty"`
	// Blank says that a new VM's disks are all zeroes but for what lies below
	// Touched.
	Blank   bool             `json:"blank,omitempty"`
	Touched map[string]int64 `json:"touched,omitempty"`
	// Compared says why all of the disks are compared for the last changes.
	Compared  string           `json:"compared,omitempty"`
	Disks     map[string]int64 `json:"brought"` // a name that no other workflow's checkpoint has: one may have been left
	Scanned   int64            `json:"scanned"`
	Differing int64            `json:"differing"`
	Sent      int64            `json:"sent"`
}

func anew(snapshot string) progress {
	return progress{Snapshot: snapshot, Disks: map[string]int64{}, Touched: map[string]int64{}}
}

// takeUp returns how far a comparison has come, and whether the primary side holds
// what it held then. The original VM's overlays are taken up with it, or begun
// anew.
func (f Failback) takeUp(ctx context.Context, p primary, snapshot string) (done progress, kept bool, err error) {
	if _, err := f.Restore(&done); err != nil {
		return done, false, err
	}
	kept = done.Snapshot != snapshot || !done.Asking
	if done.Snapshot != snapshot || done.Asking || done.Disks == nil {
		done = anew(snapshot)
	}
	if done.Touched == nil {
		done.Touched = map[string]int64{}
	}
	if p.built {
		return done, true, nil
	}
	// It is durable before the host is asked: an older checkpoint would claim that
	// overlays which the host then begins anew hold something.
	asking := done
	asking.Asking = true
	if err := f.Save(ctx, asking); err != nil {
		return done, false, err
	}
	fresh, err := p.host.BeginReturn(ctx, p.vm, returnID, f.FailedOverDisks())
	if err != nil {
		return done, false, fmt.Errorf("begin the return of %s: %w", p.vm, err)
	}
	if fresh {
		done = anew(snapshot)
	}
	return done, kept && !fresh, f.Save(ctx, done)
}

// synchronize repeats safely: it resumes at its last checkpoint, or begins anew
// together with the recovery VM's logs.
func (f Failback) synchronize(ctx context.Context, m *runbook.Memo) error {
	p, err := openPrimary(ctx, f.Item)
	if err != nil {
		return err
	}
	done, _, err := f.takeUp(ctx, p, f.State.Job.ID)
	if err != nil {
		return err
	}
	recovery, err := f.Recovery(ctx)
	if err != nil {
		return err
	}
	if len(done.Disks) > 0 {
		followed, err := f.followed(ctx, recovery)
		if err != nil {
			return err
		}
		if !followed {
			done = anew(done.Snapshot)
		}
	}
	if len(done.Disks) == 0 {
		// Durable first: what was compared before would not be in the new logs.
		if err := f.Save(ctx, done); err != nil {
			return err
		}
		if err := f.track(ctx, recovery, done.Snapshot); err != nil {
			return err
		}
	}
	return f.bring(ctx, m, p, recovery, &done, nil)
}

// synchronizeLast brings what the recovery VM's logs name, now that nothing writes
// to its disks. When the logs cannot be trusted, or the primary side does not hold
// what was brought before, all of the disks are compared again.
func (f Failback) synchronizeLast(ctx context.Context, m *runbook.Memo) error {
	p, err := openPrimary(ctx, f.Item)
	if err != nil {
		return err
	}
	done, kept, err := f.takeUp(ctx, p, lastSnapshot(f.State.Job.ID))
	if err != nil {
		return err
	}
	recovery, err := f.Recovery(ctx)
	if err != nil {
		return err
	}
	var written map[string][]disk.Extent
	why := done.Compared
	switch {
	case why != "":
	case !kept:
		why = "it is not certain that what was brought before is still there: the original disks were changed, or a worker ended at the wrong moment"
	default:
		if written, why, err = f.lastWritten(ctx, recovery); err != nil {
			return err
		}
	}
	if why != done.Compared {
		done = anew(done.Snapshot)
		done.Compared = why
		if err := f.Save(ctx, done); err != nil {
			return err
		}
		f.Logger.WarnContext(ctx, "last changes are found by comparing all of the disks", "item", f.Item.Item(), "why", why)
	}
	if why != "" {
		m.Note(compared, why)
	}
	return f.bring(ctx, m, p, recovery, &done, written)
}

// bringWhole is the only comparison of a full download: the recovery VM is off.
func (f Failback) bringWhole(ctx context.Context, m *runbook.Memo) error {
	p, err := openPrimary(ctx, f.Item)
	if err != nil {
		return err
	}
	done, _, err := f.takeUp(ctx, p, lastSnapshot(f.State.Job.ID))
	if err != nil {
		return err
	}
	recovery, err := f.Recovery(ctx)
	if err != nil {
		return err
	}
	return f.bring(ctx, m, p, recovery, &done, nil)
}

// bring takes a snapshot of the recovery VM and holds it against what the primary
// side has: all of it, or the given ranges by disk. A snapshot that was lost is
// replaced by a later one: what differs between the two is in the logs.
func (f Failback) bring(ctx context.Context, m *runbook.Memo, p primary, recovery host.Snapshotter, done *progress, only map[string][]disk.Extent) error {
	if err := recovery.CreateSnapshot(ctx, f.State.Recovery.VM, done.Snapshot); err != nil {
		return fmt.Errorf("take snapshot of %s: %w", f.State.Recovery.VM, err)
	}
	for _, id := range f.FailedOverDisks() {
		todo := []disk.Extent{{Length: f.DiskSize(id)}}
		if only != nil {
			todo = disk.AlignExtents(only[id], checksum.BlockSize)
		}
		if err := f.bringDisk(ctx, p, recovery, id, todo, done); err != nil {
			return fmt.Errorf("bring disk %s: %w", id, err)
		}
	}
	m.Note(scanned, strconv.FormatInt(done.Scanned, 10))
	m.Note(differing, strconv.FormatInt(done.Differing, 10))
	m.Note(sent, strconv.FormatInt(done.Sent, 10))
	return nil
}

// bringDisk brings ranges of a disk, as far as the recovery VM has it: one that has
// grown since the recovery point keeps what lies behind that.
func (f Failback) bringDisk(ctx context.Context, p primary, recovery host.Snapshotter, id string, todo []disk.Extent, done *progress) (err error) {
	reader, err := recovery.OpenSnapshot(ctx, f.State.Recovery.VM, done.Snapshot, id)
	if err != nil {
		return fmt.Errorf("open snapshot %s: %w", done.Snapshot, err)
	}
	defer reader.Close() //nolint:errcheck // read only
	if reader.Size() > f.DiskSize(id) {
		return errorcatalog.Fail(errorcatalog.DiskSizeChanged, "disk %s has %d bytes on the recovery side, %d on the primary side", id, reader.Size(), f.DiskSize(id))
	}
	target, err := p.open(ctx, id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	b := bringing{Failback: f, id: id, reader: reader, target: target, done: done}
	todo = disk.ClipExtents(todo, 0, reader.Size())
	total := disk.TotalLength(todo)
	for {
		rest := disk.ClipExtents(todo, done.Disks[id], reader.Size()-done.Disks[id])
		if len(rest) == 0 {
			break
		}
		before := total - disk.TotalLength(rest)
		tell := func(n, _ int64) { f.Tell(ctx, f.State.Job.ID, id, before+n, total) }
		if err := b.stretch(ctx, leading(rest, f.StretchOr(stretch)), tell); err != nil {
			return err
		}
	}
	done.Disks[id] = reader.Size()
	return f.Checkpoint(*done)
}

// bringing is a disk that is being brought.
type bringing struct {
	Failback
	id     string
	reader disk.Reader // the recovery VM's
	target host.BesideDisk
	done   *progress
}

// stretch brings ranges of the disk and makes them durable.
func (b bringing) stretch(ctx context.Context, part []disk.Extent, tell func(n, total int64)) error {
	end := part[len(part)-1].End()
	c := &comparison{target: b.target, size: b.reader.Size(), blank: b.reader.Size()}
	if b.done.Blank && b.done.Touched[b.id] < end {
		c.blank = b.done.Touched[b.id]
		b.done.Touched[b.id] = end
		if err := b.Save(ctx, *b.done); err != nil {
			return err
		}
	}
	if err := checksum.Scan(ctx, b.reader, checksum.ScanOptions{From: part[0].Offset, Only: part, Progress: tell}, c.hold); err != nil {
		return err
	}
	if err := b.target.Flush(); err != nil {
		return fmt.Errorf("flush the disk: %w", err)
	}
	b.done.Disks[b.id] = end
	b.done.Scanned += disk.TotalLength(part)
	b.done.Differing += c.differing.Load()
	b.done.Sent += c.sent.Load()
	return b.Checkpoint(*b.done)
}

// leading returns the first of ascending ranges, up to n bytes of them.
func leading(extents []disk.Extent, n int64) []disk.Extent {
	var out []disk.Extent
	for _, e := range extents {
		if n <= 0 {
			break
		}
		e.Length = min(e.Length, n)
		n -= e.Length
		out = append(out, e)
	}
	return out
}
