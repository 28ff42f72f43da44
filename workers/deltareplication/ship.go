package deltareplication

import (
	"context"
	"fmt"
	"slices"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/host"
	"farshore/workers/replica"
	"farshore/workers/workflow"
)

// Ship brings every cut that the host still holds into the store, in order, and
// lets the host delete it. It repeats safely: an object put twice is the same, a
// cut recorded twice is no event, a cut released twice is gone.
func Ship(ctx context.Context, i *workflow.Item) error {
	source, err := i.Source(ctx)
	if err != nil {
		return err
	}
	rel, err := source.Replication(ctx, i.VM())
	if err != nil {
		return fmt.Errorf("read relationship of %s: %w", i.VM(), err)
	}
	if rel, err = reconcile(ctx, i, source, rel); err != nil {
		return err
	}
	if f := distrusted(rel); f != nil {
		return f
	}
	for _, cut := range rel.Cuts {
		if err := ship(ctx, i, source, cut); err != nil {
			return err
		}
	}
	return nil
}

// distrusted says why the logs of a disk can no longer be trusted, or nil.
func distrusted(rel host.Replication) *errorcatalog.Failure {
	for _, t := range rel.Tracking {
		if t.ResyncReason != "" {
			return workflow.Unfollowable(t.ResyncReason, t.Disk, t.Detail)
		}
	}
	return nil
}

// Untrack ends the tracking of disks that are no longer protected, if there is any.
func Untrack(ctx context.Context, i *workflow.Item, source host.Host) error {
	rel, err := source.Replication(ctx, i.VM())
	if workflow.Is(err, errorcatalog.RelationshipNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read relationship of %s: %w", i.VM(), err)
	}
	_, err = reconcile(ctx, i, source, rel)
	return err
}

// reconcile ends the tracking of disks that are no longer protected, or were given
// up before they were: what goes wrong with their logs is not to touch the others.
// It repeats safely.
func reconcile(ctx context.Context, i *workflow.Item, source host.Host, rel host.Replication) (host.Replication, error) {
	wanted := Tracked(i.State)
	foreign := func(disk string) bool { return !slices.Contains(wanted, disk) }
	if !slices.ContainsFunc(rel.Disks, foreign) {
		return rel, nil
	}
	if ended := i.State.EndedDisks; ended.ID != "" { // what its disks were copied from
		if err := source.DeleteSnapshot(ctx, i.VM(), ended.ID); err != nil {
			return rel, fmt.Errorf("delete snapshot %s: %w", ended.ID, err)
		}
	}
	next := rel.Relationship
	next.Disks = slices.DeleteFunc(slices.Clone(next.Disks), foreign)
	if err := source.UpdateRelationship(ctx, i.VM(), next); err != nil {
		return rel, fmt.Errorf("end the tracking of disks of %s: %w", i.VM(), err)
	}
	rel, err := source.Replication(ctx, i.VM())
	if err != nil {
		return rel, fmt.Errorf("read relationship of %s: %w", i.VM(), err)
	}
	return rel, nil
}

// Cut makes a new cut of the given id and ships it.
func Cut(ctx context.Context, i *workflow.Item, id string) (host.Cut, error) {
	return makeCut(ctx, i, host.CutRequest{ID: id})
}

func makeCut(ctx context.Context, i *workflow.Item, req host.CutRequest) (host.Cut, error) {
	source, err := i.Source(ctx)
	if err != nil {
		return host.Cut{}, err
	}
	made, err := source.Cut(ctx, i.VM(), req)
	if err != nil {
		return host.Cut{}, fmt.Errorf("cut the logs of %s: %w", i.VM(), err)
	}
	return made, ship(ctx, i, source, made)
}

// CutIfDue keeps the logs at the source short while something long runs: they are
// shipped, not applied.
func CutIfDue(ctx context.Context, i *workflow.Item) error {
	last := i.State.LastShipped
	if last.Cut != "" && i.Now().Before(last.Instant.Add(i.State.Policy.CopyFrequency())) {
		return nil
	}
	if err := Ship(ctx, i); err != nil {
		return err
	}
	_, err := Cut(ctx, i, i.NewID())
	return err
}

func ship(ctx context.Context, i *workflow.Item, source host.Host, cut host.Cut) error {
	if cut.ID != i.State.LastShipped.Cut {
		if err := bringOver(ctx, i, source, cut); err != nil {
			return whyDropped(ctx, i, source, err)
		}
	}
	// Only now: what the source deletes is durable and recorded elsewhere.
	if err := source.ReleaseCut(ctx, i.VM(), cut.ID); err != nil {
		return fmt.Errorf("release cut %s: %w", cut.ID, err)
	}
	return nil
}

// whyDropped looks why a log is missing: a host whose tracking of a disk fails drops the
// disk's logs, also while they are shipped.
func whyDropped(ctx context.Context, i *workflow.Item, source host.Host, missing error) error {
	if !workflow.Is(missing, errorcatalog.LogMissing) {
		return missing
	}
	rel, err := source.Replication(ctx, i.VM())
	if err != nil {
		return missing
	}
	if f := distrusted(rel); f != nil {
		return f
	}
	return missing
}

// bringOver makes a cut durable in the store and records it.
func bringOver(ctx context.Context, i *workflow.Item, source host.Tracker, cut host.Cut) error {
	store, err := i.Replica(ctx)
	if err != nil {
		return err
	}
	if err := put(ctx, i, source, store, cut); err != nil {
		return err
	}
	if err := i.Record(ctx, delta(cut, i)); err != nil {
		return err
	}
	return noteGrown(ctx, i, cut)
}

// put makes a cut's logs durable in the store, and its record last: a record
// names only logs that are there.
func put(ctx context.Context, i *workflow.Item, source host.Tracker, store replica.Store, cut host.Cut) error {
	number, err := numberOf(ctx, i, store, cut.ID)
	if err != nil {
		return err
	}
	added := protecteditem.Added(i.State)
	for _, d := range cut.Disks {
		for n, log := range d.Logs {
			body := &logBody{ctx: ctx, source: source, vm: i.VM(), disk: d.Disk, log: log}
			err := store.PutObject(ctx, i.ReplicaID(), logName(d.Disk, number, n, log.ID), body, log.Bytes)
			if err := body.settle(err); err != nil {
				if hasDisk(added, d.Disk) {
					err = unusable(err)
				}
				return fmt.Errorf("ship log %s of disk %s: %w", log.ID, d.Disk, err)
			}
		}
	}
	shipped := Shipped{Number: number, Cut: cut}
	if err := putAdded(ctx, i, store, shipped); err != nil {
		return err
	}
	return putJSON(ctx, store, i.ReplicaID(), cutName(number, cut.ID), shipped)
}

// numberOf gives a cut its place in the store's order; a cut whose shipping was
// interrupted keeps the one it has.
func numberOf(ctx context.Context, i *workflow.Item, store replica.Store, cut string) (int64, error) {
	last, _, err := newest(ctx, i, store)
	if err != nil {
		return 0, err
	}
	waiting, err := pending(ctx, store, i.ReplicaID(), last.Number)
	if err != nil {
		return 0, err
	}
	highest, err := highestAdded(ctx, i, store)
	if err != nil {
		return 0, err
	}
	highest = max(highest, last.Number)
	for _, s := range waiting {
		if s.Cut.ID == cut {
			return s.Number, nil
		}
		highest = max(highest, s.Number)
	}
	return highest + 1, nil
}

// newest returns what the store's newest point ends with.
func newest(ctx context.Context, i *workflow.Item, store replica.Store) (Chain, *replica.PointInfo, error) {
	points, err := store.ListPoints(ctx, i.ReplicaID())
	if err != nil {
		return Chain{}, nil, fmt.Errorf("list recovery points: %w", err)
	}
	if len(points) == 0 {
		return Chain{}, nil, nil
	}
	p := points[len(points)-1]
	c, err := chainOf(ctx, store, i.ReplicaID(), p.ID)
	return c, &p, err
}

func delta(cut host.Cut, i *workflow.Item) protecteditem.RecordDelta {
	cmd := protecteditem.RecordDelta{Cut: cut.ID, PreviousCut: cut.PreviousID, Instant: cut.Instant, At: i.Now()}
	if cut.AppConsistent {
		cmd.Consistency = protecteditem.AppConsistent
	}
	if f := cut.Freeze; f != nil {
		cmd.Freeze = &protecteditem.Freeze{Milliseconds: f.Milliseconds, Failure: f.Failure}
	}
	for _, d := range cut.Disks {
		for _, log := range d.Logs {
			cmd.Logs = append(cmd.Logs, protecteditem.ShippedLog{Disk: d.Disk, Log: log.ID, Bytes: log.Bytes})
			cmd.Bytes += log.Bytes
		}
	}
	return cmd
}
