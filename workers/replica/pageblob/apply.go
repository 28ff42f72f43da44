package pageblob

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/replica"
)

// plan is what an apply may change and from where it can be undone.
type plan struct {
	Cut   string        `json:"cut"`
	Disks []plannedDisk `json:"disks"`
}

type plannedDisk struct {
	Disk     string        `json:"disk"`
	Snapshot string        `json:"snapshot"`
	Of       string        `json:"of"` // the snapshot's cut
	Extents  []disk.Extent `json:"extents"`
}

// before names the snapshot that keeps a disk which no point holds.
func before(cut string) string { return "before-" + cut }

// BeginApply notes the ranges that will change and the snapshots that they can be
// restored from: the newest point's, seen to exist, or new ones of disks that no
// point has. As long as there is no point, there is nothing to keep.
func (s *Store) BeginApply(ctx context.Context, item, cut string, fence int64, changes []replica.Change) error {
	x, err := s.change(ctx, item, fence, func(x *index) error { return x.mayBegin(item, cut) })
	if err != nil {
		return err
	}
	next := plan{Cut: cut}
	if x.Apply != nil {
		if next, err = s.loadPlan(ctx, x.Apply); err != nil {
			return err
		}
		return next.covers(item, changes)
	}
	next.add(changes)
	if len(x.Points) == 0 {
		return s.checkPlan(ctx, item, next)
	}
	if err := s.secure(ctx, item, x, fence, &next); err != nil {
		return err
	}
	name := fmt.Sprintf("%s/apply/%s-%s", item, cut, uuid.NewString())
	if err := s.savePlan(ctx, name, next); err != nil {
		return err
	}
	_, err = s.change(ctx, item, fence, func(x *index) error {
		x.Apply = &pending{Cut: cut, Object: name}
		return nil
	})
	return err
}

// mayBegin tells whether a cut may be applied: one that has begun, one that is
// new, or the newest one once more.
func (x index) mayBegin(item, cut string) error {
	if x.Apply != nil && x.Apply.Cut != cut {
		return fmt.Errorf("apply cut %s to %s: %w: %s", cut, item, replica.ErrApplyOpen, x.Apply.Cut)
	}
	if _, known := x.find(cut); known && x.newest().ID != cut {
		return fmt.Errorf("apply cut %s to %s, newer ones were applied: %w", cut, item, replica.ErrNoApply)
	}
	return nil
}

// covers verifies that an apply which begins again stays within its ranges.
func (p *plan) covers(item string, changes []replica.Change) error {
	declared := p.declared()
	for _, c := range changes {
		for _, e := range c.Extents {
			if !contains(declared[c.Disk], e) {
				return fmt.Errorf("apply cut %s to disk %s of %s: %w", p.Cut, c.Disk, item, replica.ErrUndeclared)
			}
		}
	}
	return nil
}

func (p *plan) declared() map[string][]disk.Extent {
	declared := map[string][]disk.Extent{}
	for _, d := range p.Disks {
		declared[d.Disk] = d.Extents
	}
	return declared
}

// add takes ranges into a plan.
func (p *plan) add(changes []replica.Change) {
	for _, c := range changes {
		at := slices.IndexFunc(p.Disks, func(d plannedDisk) bool { return d.Disk == c.Disk })
		if at < 0 {
			at = len(p.Disks)
			p.Disks = append(p.Disks, plannedDisk{Disk: c.Disk})
		}
		p.Disks[at].Extents = disk.MergeExtents(slices.Concat(p.Disks[at].Extents, c.Extents))
	}
}

// checkPlan verifies that the disks exist and have the ranges.
func (s *Store) checkPlan(ctx context.Context, item string, p plan) error {
	for _, d := range p.Disks {
		what := fmt.Sprintf("apply cut %s to disk %s of %s", p.Cut, d.Disk, item)
		found, err := s.inspect(ctx, s.container.NewPageBlobClient(diskName(item, d.Disk)))
		if err != nil {
			return explainDisk(ctx, err, what)
		}
		size, err := sourceSize(found)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		for _, e := range d.Extents {
			if err := replica.CheckRange(e.Offset, e.Length, size); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	return nil
}

// secure gives each disk of a plan a snapshot that exists.
func (s *Store) secure(ctx context.Context, item string, x index, fence int64, p *plan) error {
	if err := s.checkPlan(ctx, item, *p); err != nil {
		return err
	}
	newest := x.newest()
	for i := range p.Disks {
		d := &p.Disks[i]
		if kept, ok := newest.disk(d.Disk); ok {
			d.Snapshot, d.Of = kept.Snapshot, newest.ID
		} else if err := s.keep(ctx, item, p.Cut, fence, d); err != nil {
			return err
		}
		r, err := s.openSnapshot(ctx, item, d.Disk, d.Snapshot, d.Of)
		if err != nil {
			return fmt.Errorf("apply cut %s to %s: %w", p.Cut, item, err)
		}
		r.cancel()
	}
	return nil
}

func (s *Store) keep(ctx context.Context, item, cut string, fence int64, d *plannedDisk) error {
	v, err := s.openVolume(ctx, item, d.Disk, fence)
	if err != nil {
		return err
	}
	v.cancel()
	d.Of = before(cut)
	d.Snapshot, err = s.snapshot(ctx, item, d.Of, fence, replica.PointDisk{Disk: d.Disk, SizeBytes: v.size})
	return err
}

// Rollback restores what an apply that was not committed may have changed.
func (s *Store) Rollback(ctx context.Context, item string, fence int64) error {
	x, err := s.change(ctx, item, fence, func(*index) error { return nil })
	if err != nil || x.Apply == nil {
		return err
	}
	undone := *x.Apply
	p, err := s.loadPlan(ctx, &undone)
	if err != nil {
		return err
	}
	for _, d := range p.Disks {
		err := s.restore(ctx, item, fence, d)
		if err != nil && errorcatalog.Of(err).Code == errorcatalog.ReplicaDiskNotFound {
			continue // removed since: no point holds it
		}
		if err != nil {
			return fmt.Errorf("undo cut %s: %w", undone.Cut, err)
		}
	}
	x, err = s.change(ctx, item, fence, func(x *index) error {
		if x.Apply != nil && *x.Apply == undone {
			x.Apply = nil
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.tidy(ctx, item, x, undone.Cut, &undone)
	return nil
}

func (s *Store) restore(ctx context.Context, item string, fence int64, d plannedDisk) (err error) {
	v, err := s.openVolume(ctx, item, d.Disk, fence)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	r, err := s.openSnapshot(ctx, item, d.Disk, d.Snapshot, d.Of)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	buffer := make([]byte, maxPut)
	for _, e := range d.Extents {
		if err := copyBack(v, r, e, buffer); err != nil { //nolint:contextcheck // a volume is an io.WriterAt and keeps its own
			return err
		}
	}
	return v.Flush(ctx)
}

// copyBack makes a range of v what it is in r: zeroes, where the disk was shorter.
func copyBack(v *volume, r *source, e disk.Extent, buffer []byte) error {
	if e.End() > r.size {
		from := max(e.Offset, r.size)
		if err := v.Zero(from, e.End()-from); err != nil {
			return err
		}
		e.Length = max(0, r.size-e.Offset)
	}
	if e.Length == 0 {
		return nil
	}
	held, err := r.Extents(e.Offset, e.Length)
	if err != nil {
		return err
	}
	at := e.Offset
	for _, h := range held {
		if err := v.Zero(at, h.Offset-at); err != nil {
			return err
		}
		for at = h.Offset; at < h.End(); {
			p := buffer[:min(h.End()-at, int64(len(buffer)))]
			if _, err := r.ReadAt(p, at); err != nil {
				return err
			}
			if _, err := v.WriteAt(p, at); err != nil {
				return err
			}
			at += int64(len(p))
		}
	}
	return v.Zero(at, e.End()-at)
}

// savePlan stores a plan under a name of its own and reads it back.
func (s *Store) savePlan(ctx context.Context, name string, p plan) error {
	data, err := seal(p)
	if err != nil {
		return fmt.Errorf("encode plan %s: %w", name, err)
	}
	return s.do(ctx, "write plan "+name, func(ctx context.Context) error {
		if err := s.store(ctx, name, data, nil); err != nil {
			return err
		}
		now, _, err := s.fetch(ctx, name)
		if isMissing(err) {
			return errUnverified
		}
		if err != nil {
			return err
		}
		return unseal(now, &plan{})
	})
}

func (s *Store) loadPlan(ctx context.Context, of *pending) (plan, error) {
	var p plan
	err := s.do(ctx, "read plan "+of.Object, func(ctx context.Context) error {
		p = plan{}
		data, _, err := s.fetch(ctx, of.Object)
		if isMissing(err) {
			return errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "the plan of cut %s is gone", of.Cut)
		}
		if err != nil {
			return err
		}
		return unseal(data, &p)
	})
	return p, err
}
