package deltareplication

import (
	"context"
	"fmt"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/workflow"
)

// ApplyFirst lays every shipped log over a finished copy and makes the replica's
// first point of the given cut. The copy is described by the roots of its disks'
// manifests.
func ApplyFirst(ctx context.Context, i *workflow.Item, cut string, roots map[string]string) error {
	store, err := i.Replica(ctx)
	if err != nil {
		return err
	}
	_, point, err := newest(ctx, i, store)
	if err != nil || point != nil {
		return err
	}
	waiting, err := pending(ctx, store, i.ReplicaID(), 0)
	if err != nil {
		return err
	}
	if len(waiting) == 0 || waiting[len(waiting)-1].Cut.ID != cut {
		return errorcatalog.Fail(errorcatalog.LogMissing, "the last cut %s is not in the replica store", cut)
	}
	bases := map[string]Base{}
	for _, d := range i.State.Disks {
		target, err := store.OpenDisk(ctx, i.ReplicaID(), d, i.Token())
		if err != nil {
			return fmt.Errorf("open replica disk %s: %w", d, err)
		}
		defer target.Close() //nolint:errcheck // only read here; the apply opens its own
		bases[d] = Base{Content: target, Root: roots[d]}
	}
	_, err = Redo{Item: i, Store: store, Cuts: waiting, Bases: bases}.Run(ctx)
	return err
}

// ApplyOver makes the replica's next point of every shipped cut at once, laid over
// the newest point with some blocks replaced. It is how a resynchronization ends.
func ApplyOver(ctx context.Context, i *workflow.Item, cut string, bases map[string]Base) (protecteditem.Point, error) {
	store, err := i.Replica(ctx)
	if err != nil {
		return protecteditem.Point{}, err
	}
	after, point, err := newest(ctx, i, store)
	if err != nil {
		return protecteditem.Point{}, err
	}
	if point != nil && point.ID == cut {
		return pointOf(point.PointSpec, after), nil
	}
	waiting, err := pending(ctx, store, i.ReplicaID(), after.Number)
	if err != nil {
		return protecteditem.Point{}, err
	}
	if len(waiting) == 0 || waiting[len(waiting)-1].Cut.ID != cut {
		return protecteditem.Point{}, errorcatalog.Fail(errorcatalog.LogMissing, "the last cut %s is not in the replica store", cut)
	}
	// The logs begin a new chain: what they are laid over is not the last cut but
	// what the disks were found to hold.
	return Redo{Item: i, Store: store, Cuts: waiting, Bases: bases}.Run(ctx)
}

// NewestPoint is the store's newest point as the item lists it, or nil.
func NewestPoint(ctx context.Context, i *workflow.Item) (*protecteditem.Point, error) {
	store, err := i.Replica(ctx)
	if err != nil {
		return nil, err
	}
	after, point, err := newest(ctx, i, store)
	if err != nil || point == nil {
		return nil, err
	}
	p := pointOf(point.PointSpec, after)
	return &p, nil
}

// Discard drops every cut that was shipped and not applied: a resynchronization
// begins and they lead nowhere.
func Discard(ctx context.Context, i *workflow.Item) error {
	store, err := i.Replica(ctx)
	if err != nil {
		return err
	}
	return Sweep(ctx, i, store, everyNumber)
}

const everyNumber = 1<<62 - 1
