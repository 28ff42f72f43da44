package deltareplication

import (
	"context"
	"fmt"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/replica"
	"farshore/workers/workflow"
)

// Cycle is one delta replication: it finishes what an earlier one left
// unfinished, makes a new cut, app-consistent if that is due, and turns every shipped cut into a recovery point.
func Cycle(ctx context.Context, i *workflow.Item) error {
	if err := CatchUp(ctx, i); err != nil {
		return err
	}
	req := host.CutRequest{ID: i.NewID(), AppConsistent: protecteditem.NextConsistency(i.State, i.Now()) == protecteditem.AppConsistent}
	if _, err := makeCut(ctx, i, req); err != nil {
		return err
	}
	return Apply(ctx, i, "")
}

// CatchUp applies what the store still holds, then ships what the host still
// holds and applies that.
func CatchUp(ctx context.Context, i *workflow.Item) error {
	if err := Apply(ctx, i, ""); err != nil {
		return err
	}
	if err := Ship(ctx, i); err != nil {
		return err
	}
	return Apply(ctx, i, "")
}

// Apply turns every shipped cut behind the newest point into a point of its own,
// in chain order. The point of the planned cut, if one is named, says that the
// guest had been shut down before it.
func Apply(ctx context.Context, i *workflow.Item, planned string) error {
	store, err := i.Replica(ctx)
	if err != nil {
		return err
	}
	for {
		after, point, err := newest(ctx, i, store)
		if err != nil {
			return err
		}
		if point == nil {
			return Absent(i)
		}
		if err := recordShipped(ctx, i, store, after.Number); err != nil {
			return err
		}
		if err := adopt(ctx, i, store, point.ID, after.Number); err != nil {
			return err
		}
		if err := settle(ctx, i, store, pointOf(point.PointSpec, after), after.Number); err != nil {
			return err
		}
		waiting, err := pending(ctx, store, i.ReplicaID(), after.Number)
		if err != nil || len(waiting) == 0 {
			return err
		}
		next := Redo{Item: i, Store: store, After: after, Cuts: waiting[:1], Planned: waiting[0].Cut.ID == planned}
		if err := next.over(ctx, point.PointSpec); err != nil {
			return err
		}
	}
}

// recordShipped records the cuts that are whole in the store and whose event a
// crash, or a database that was away, has kept out: a point can only be made of
// a recorded cut.
func recordShipped(ctx context.Context, i *workflow.Item, store replica.Store, number int64) error {
	if i.State.LastShipped.Cut == "" {
		return nil
	}
	// The cut of the newest point itself may be one of them.
	waiting, err := pending(ctx, store, i.ReplicaID(), number-1)
	if err != nil {
		return err
	}
	for _, s := range waiting {
		if s.Cut.PreviousID != i.State.LastShipped.Cut {
			continue // recorded before
		}
		if err := i.Record(ctx, delta(s.Cut, i)); err != nil {
			return err
		}
	}
	return nil
}

// Absent is the failure of a store that has no recovery points of an item that
// lists some: it is not, or not yet, what it was.
func Absent(i *workflow.Item) error {
	return errorcatalog.Fail(errorcatalog.ReplicaStoreUnreachable, "store %s has no recovery point of %s", i.State.Store.ID, i.ReplicaID())
}

// over runs r over a recovery point. The base is the point, not the disk: it stays
// what it is while the disk changes, also across a crash.
func (r Redo) over(ctx context.Context, point replica.PointSpec) error {
	readers, err := OpenPoint(ctx, r.Store, r.ReplicaID(), point)
	defer closeReaders(readers)
	if err != nil {
		return err
	}
	r.Bases = map[string]Base{}
	for n, d := range point.Disks {
		r.Bases[d.Disk] = Base{Content: readers[n], Root: d.Root}
	}
	r, err = r.withAdded(ctx)
	defer closeAdded(r.opened)
	if err != nil {
		return err
	}
	_, err = r.Run(ctx)
	return err
}

// OpenPoint opens all disks of a point, in its order.
func OpenPoint(ctx context.Context, store replica.Points, item string, p replica.PointSpec) ([]disk.Reader, error) {
	var out []disk.Reader
	for _, d := range p.Disks {
		r, err := store.OpenPoint(ctx, item, p.ID, d.Disk)
		if err != nil {
			return out, fmt.Errorf("open recovery point %s of disk %s: %w", p.ID, d.Disk, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func closeReaders(readers []disk.Reader) {
	for _, r := range readers {
		_ = r.Close() // it was read only
	}
}

// settle records a point that the store has and the item does not list yet, and
// removes what was applied to make it. The event comes first: while the logs are
// there, the point can be made again.
func settle(ctx context.Context, i *workflow.Item, store replica.Store, p protecteditem.Point, number int64) error {
	if !Lists(i.State.Points, p.ID) {
		if err := record(ctx, i, p); err != nil {
			return err
		}
	}
	return Sweep(ctx, i, store, number)
}

// Lists says whether an item's points include one.
func Lists(points []protecteditem.Point, id string) bool {
	for _, p := range points {
		if p.ID == id {
			return true
		}
	}
	return false
}

// Sweep deletes the logs and records of cuts up to a number: they have been
// applied, or have lost their meaning to a resynchronization. The logs of disks that
// are being added stay.
func Sweep(ctx context.Context, i *workflow.Item, store replica.Objects, number int64) error {
	names, err := store.ListObjects(ctx, i.ReplicaID(), logsPrefix)
	if err != nil {
		return fmt.Errorf("list shipped logs: %w", err)
	}
	added := protecteditem.Added(i.State)
	for _, name := range names {
		if numberOfLog(name) > number || isLogOfAdded(name, added) {
			continue
		}
		if err := store.DeleteObject(ctx, i.ReplicaID(), name); err != nil {
			return fmt.Errorf("delete %s: %w", name, err)
		}
	}
	// Records go last: they are what tells that logs were shipped.
	names, err = store.ListObjects(ctx, i.ReplicaID(), cutsPrefix)
	if err != nil {
		return fmt.Errorf("list shipped cuts: %w", err)
	}
	for _, name := range names {
		if n := numberIn(name); n == 0 || n > number {
			continue
		}
		if err := store.DeleteObject(ctx, i.ReplicaID(), name); err != nil {
			return fmt.Errorf("delete %s: %w", name, err)
		}
	}
	return nil
}
