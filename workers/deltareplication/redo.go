package deltareplication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/replica"
	"farshore/workers/workflow"
)

// Base is what the logs of a disk are laid over.
type Base struct {
	Content io.ReaderAt
	// Root is the manifest of Content: a block that is read is held against it.
	Root string
	// Extra are blocks that are written whether or not a log touches them, whole
	// blocks, ascending. A resynchronization sends them.
	Extra []disk.Extent
}

// Redo applies shipped cuts to the replica, all of them in one go, and makes a
// recovery point of the last. It may be repeated after a crash anywhere in it.
type Redo struct {
	*workflow.Item
	Store replica.Store
	After Chain           // what the replica has; its logs are empty where a chain begins
	Cuts  []Shipped       // in chain order, at least one
	Bases map[string]Base // per disk
	// Planned says that the guest had been shut down before the last cut.
	Planned bool

	added     []string       // disks that come into a point for the first time
	addedCuts []Shipped      // with their logs, in chain order
	opened    []replica.Disk // what they are read from
}

// plan is an object that says which content an apply is to end with. It is
// written before the first page changes, so that what a crash leaves half
// written can be told from damage.
type plan struct {
	Cut   string            `json:"cut"`
	Roots map[string]string `json:"roots"`
}

const planName = "apply.json"

// covers says whether the plan is of all of the disks.
func (p plan) covers(disks []*applied) bool {
	return !slices.ContainsFunc(disks, func(d *applied) bool { return p.Roots[d.id] == "" })
}

// Run applies the cuts and returns the point.
func (r Redo) Run(ctx context.Context) (protecteditem.Point, error) {
	last := r.Cuts[len(r.Cuts)-1]
	disks, err := r.open(ctx)
	defer closeAll(disks)
	if err != nil {
		return protecteditem.Point{}, err
	}
	p, err := r.plan(ctx, last.Cut.ID, disks)
	if err != nil {
		return protecteditem.Point{}, err
	}
	if err := r.growDisks(ctx, disks); err != nil {
		return protecteditem.Point{}, err
	}
	if err := r.begin(ctx, last.Cut.ID, disks); err != nil {
		return protecteditem.Point{}, err
	}
	for _, d := range disks {
		if err := d.write(ctx, r.Store, r.ReplicaID(), r.Token()); err != nil {
			return protecteditem.Point{}, fmt.Errorf("apply to disk %s: %w", d.id, err)
		}
	}
	return r.commit(ctx, last, p, disks)
}

// plan fixes the roots that the apply ends with, or takes them from a plan that
// was made before a crash.
func (r Redo) plan(ctx context.Context, cut string, disks []*applied) (plan, error) {
	var p plan
	err := readObject(ctx, r.Store, r.ReplicaID(), planName, &p)
	if err == nil && p.Cut == cut && p.covers(disks) {
		for _, d := range disks {
			if err := d.expect(ctx, r.Store, r.ReplicaID(), p.Roots[d.id]); err != nil {
				return p, err
			}
		}
		return p, nil
	}
	if err != nil && !workflow.Is(err, errorcatalog.ObjectNotFound) {
		return p, err
	}
	p = plan{Cut: cut, Roots: map[string]string{}}
	for _, d := range disks {
		root, err := d.digest(ctx)
		if err != nil {
			return p, r.ofAdded(d.id, fmt.Errorf("work out disk %s: %w", d.id, err))
		}
		p.Roots[d.id] = root
	}
	return p, putJSON(ctx, r.Store, r.ReplicaID(), planName, p)
}

// begin opens the apply. One that another cut has left open is undone first: the
// newest point is what the logs are laid over.
func (r Redo) begin(ctx context.Context, cut string, disks []*applied) error {
	changes := make([]replica.Change, 0, len(disks))
	for _, d := range disks {
		changes = append(changes, replica.Change{Disk: d.id, Extents: d.touched})
	}
	err := r.Store.BeginApply(ctx, r.ReplicaID(), cut, r.Token(), changes)
	if errors.Is(err, replica.ErrApplyOpen) {
		if err := r.Store.Rollback(ctx, r.ReplicaID(), r.Token()); err != nil {
			return fmt.Errorf("undo an unfinished apply: %w", err)
		}
		err = r.Store.BeginApply(ctx, r.ReplicaID(), cut, r.Token(), changes)
	}
	if err != nil {
		return fmt.Errorf("begin to apply cut %s: %w", cut, err)
	}
	return nil
}

func (r Redo) commit(ctx context.Context, last Shipped, p plan, disks []*applied) (protecteditem.Point, error) {
	chain := Chain{Number: last.Number, Cut: last.Cut.ID, Instant: last.Cut.Instant, Planned: r.Planned, AppConsistent: last.Cut.AppConsistent, Logs: map[string]string{}}
	spec := replica.PointSpec{ID: last.Cut.ID}
	for _, d := range disks {
		chain.Logs[d.id] = d.lastLog(r.After.Logs[d.id])
		spec.Disks = append(spec.Disks, replica.PointDisk{Disk: d.id, SizeBytes: d.size, Root: p.Roots[d.id]})
	}
	if err := putJSON(ctx, r.Store, r.ReplicaID(), chainName(spec.ID), chain); err != nil {
		return protecteditem.Point{}, err
	}
	if err := r.Store.CommitPoint(ctx, r.ReplicaID(), spec, r.Token()); err != nil {
		return protecteditem.Point{}, fmt.Errorf("commit recovery point %s: %w", spec.ID, err)
	}
	return pointOf(spec, chain), nil
}

// pointOf is a point of the store as the item lists it.
func pointOf(spec replica.PointSpec, chain Chain) protecteditem.Point {
	p := protecteditem.Point{ID: spec.ID, Instant: chain.Instant, Consistency: protecteditem.CrashConsistent}
	switch {
	case chain.Planned:
		p.Consistency = protecteditem.Planned
	case chain.AppConsistent:
		p.Consistency = protecteditem.AppConsistent
	}
	for _, d := range spec.Disks {
		p.Disks = append(p.Disks, protecteditem.PointDisk{Disk: d.Disk, SizeBytes: d.SizeBytes, Root: d.Root})
	}
	return p
}

// open reads the logs of all disks and holds them against the chain.
func (r Redo) open(ctx context.Context) ([]*applied, error) {
	var disks []*applied
	for _, id := range slices.Concat(r.State.Disks, r.added) {
		base, ok := r.Bases[id]
		if !ok {
			return disks, errorcatalog.Fail(errorcatalog.ReplicaDiskNotFound, "the replica has no disk %s", id)
		}
		d := &applied{id: id, base: base.Content}
		disks = append(disks, d)
		var err error
		if d.manifest, err = checksum.Load(ctx, r.Store, r.ReplicaID(), id, base.Root); err != nil {
			return disks, err
		}
		if err := r.grown(ctx, d); err != nil {
			return disks, err
		}
		d.size = d.manifest.Size()
		if err := r.openLogs(ctx, d); err != nil {
			return disks, r.ofAdded(id, err)
		}
		d.touch(base.Extra)
	}
	return disks, nil
}

func (r Redo) openLogs(ctx context.Context, d *applied) error {
	previous, cuts := r.After.Logs[d.id], r.Cuts
	if slices.Contains(r.added, d.id) {
		previous, cuts = "", r.addedCuts
	}
	for _, s := range cuts {
		for _, c := range s.Cut.Disks {
			if c.Disk != d.id {
				continue
			}
			for n, log := range c.Logs {
				name := logName(d.id, s.Number, n, log.ID)
				if err := d.openLog(ctx, r.Store, r.ReplicaID(), name, log, previous); err != nil {
					return fmt.Errorf("open log %s: %w", log.ID, err)
				}
				previous = log.ID
			}
		}
	}
	return d.indexLogs()
}

func closeAdded(disks []replica.Disk) {
	for _, d := range disks {
		_ = d.Close() // it was read only: the apply writes through one of its own
	}
}

func closeAll(disks []*applied) {
	for _, d := range disks {
		d.close()
	}
}
