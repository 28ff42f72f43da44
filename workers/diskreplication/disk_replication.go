// Package diskreplication makes disks part of a replica that exists: disks that are
// added to a protected VM, and disks that have grown. Only they are replicated anew;
// the others go on with a recovery point each cycle, and their chains of logs do not
// notice.
//
// A disk that is added is tracked from an instant on and copied from a snapshot that
// is later than it, while its logs are shipped with every cut. Once it is copied,
// the next cut is later than the last block that was read: the point made of it holds
// the disk with all others, at one instant. A disk that its host has grown begins
// with nothing but zeroes in what was added, so its next point holds all of it.
package diskreplication

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/deltareplication"
	"farshore/workers/host"
	"farshore/workers/replica"
	"farshore/workers/retention"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// DiskReplication is the workflow of an item's disk job.
type DiskReplication struct {
	*workflow.Item
	// Cycle does the replication cycle that is due, or one now, and settles its
	// failure, which is not one of the disks that are new.
	Cycle func(ctx context.Context, now bool) error
}

// Steps is the workflow as a table.
func (r DiskReplication) Steps() []runbook.Step {
	return []runbook.Step{
		{Name: "track_disks", Title: "Begin to track the disks", Run: r.track},
		{Name: "copy_disks", Title: "Copy the disks", Run: r.copyDisks},
		{Name: "delete_snapshot", Title: "Delete the snapshot", Run: r.deleteSnapshot},
		{Name: "make_recovery_point", Title: "Make the first recovery point that holds them", Run: r.makePoint},
	}
}

// track repeats safely: disks that are tracked since an instant that is known stay
// so.
func (r DiskReplication) track(ctx context.Context, _ *runbook.Memo) error {
	if len(protecteditem.Added(r.State)) == 0 {
		return nil
	}
	if err := r.check(ctx); err != nil {
		return err
	}
	_, err := r.ensure(ctx)
	return err
}

// check reads only: it holds the VM against what the command was decided on, and
// looks for room.
func (r DiskReplication) check(ctx context.Context) error {
	source, err := r.Source(ctx)
	if err != nil {
		return err
	}
	if f, err := missing(ctx, r.Item, source); err != nil || f != nil {
		return failure(f, err)
	}
	store, err := r.Replica(ctx)
	if err != nil {
		return err
	}
	usage, err := store.Usage(ctx, r.ReplicaID())
	if err != nil {
		return fmt.Errorf("read usage of the replica store: %w", err)
	}
	if need := size(protecteditem.Added(r.State)); usage.Free >= 0 && usage.Free < need {
		return errorcatalog.Fail(errorcatalog.ReplicaStoreFull, "the replica store has %d bytes free, the disks need %d", usage.Free, need)
	}
	return nil
}

func failure(f *errorcatalog.Failure, err error) error {
	if err != nil || f == nil {
		return err
	}
	return f
}

func size(disks []site.Disk) (n int64) {
	for _, d := range disks {
		n += d.SizeBytes
	}
	return n
}

// missing says which of the disks that are being added is no longer what it was.
func missing(ctx context.Context, i *workflow.Item, source host.Inventory) (*errorcatalog.Failure, error) {
	vm, err := source.VirtualMachine(ctx, i.VM())
	if err != nil {
		return nil, fmt.Errorf("read vm %s: %w", i.VM(), err)
	}
	for _, d := range protecteditem.Added(i.State) {
		n := slices.IndexFunc(vm.Disks, func(o site.Disk) bool { return o.ID == d.ID })
		switch {
		case n < 0 || vm.Disks[n].SizeBytes == 0:
			return errorcatalog.Fail(errorcatalog.DiskNotFound, "vm %s has no disk %s", vm.Name, d.ID), nil
		case vm.Disks[n].SizeBytes != d.SizeBytes:
			return errorcatalog.Fail(errorcatalog.DiskSizeChanged, "disk %s has %d bytes, %d when it was added", d.ID, vm.Disks[n].SizeBytes, d.SizeBytes), nil
		}
	}
	return nil, nil //nolint:nilnil // nothing is missing
}

// ensure returns how far the disks have come. If they are not tracked, or no longer,
// it begins anew.
func (r DiskReplication) ensure(ctx context.Context) (deltareplication.Adding, error) {
	source, err := r.Source(ctx)
	if err != nil {
		return deltareplication.Adding{}, err
	}
	rel, err := source.Replication(ctx, r.VM())
	if err != nil {
		return deltareplication.Adding{}, fmt.Errorf("read relationship of %s: %w", r.VM(), err)
	}
	a, begun, err := deltareplication.LoadAdding(ctx, r.Item)
	if err != nil || begun && tracked(rel, protecteditem.Added(r.State)) {
		return a, err
	}
	return r.begin(ctx, source, rel.Relationship)
}

// tracked says whether the logs of all of the disks can be trusted.
func tracked(rel host.Replication, disks []site.Disk) bool {
	for _, d := range disks {
		followed := func(t host.DiskTracking) bool { return t.Disk == d.ID && t.ResyncReason == "" }
		if !slices.ContainsFunc(rel.Tracking, followed) {
			return false
		}
	}
	return true
}

// begin leaves empty replica disks, fresh chains of logs and a snapshot later than
// their beginning. What says that there are such is removed first and written last.
func (r DiskReplication) begin(ctx context.Context, source host.Host, rel host.Relationship) (deltareplication.Adding, error) {
	var none deltareplication.Adding
	store, err := r.Replica(ctx)
	if err != nil {
		return none, err
	}
	if err := deltareplication.DropAdded(ctx, r.Item, source); err != nil {
		return none, err
	}
	for _, d := range protecteditem.Added(r.State) {
		if err := remove(ctx, r.Item, store, d.ID); err != nil {
			return none, err
		}
		spec := replica.DiskSpec{Item: r.ReplicaID(), Disk: d.ID, SizeBytes: d.SizeBytes}
		if err := store.CreateDisk(ctx, spec, r.Token()); err != nil {
			return none, fmt.Errorf("create replica disk %s: %w", d.ID, err)
		}
	}
	rel.Disks = deltareplication.Tracked(r.State)
	if err := source.UpdateRelationship(ctx, r.VM(), rel); err != nil {
		return none, fmt.Errorf("begin to track disks of %s: %w", r.VM(), err)
	}
	if err := source.CreateSnapshot(ctx, r.VM(), r.State.DiskJob.ID); err != nil {
		return none, fmt.Errorf("take snapshot of %s: %w", r.VM(), err)
	}
	a := deltareplication.Adding{Job: r.State.DiskJob.ID}
	return a, a.Save(ctx, store, r.ReplicaID())
}

// deleteSnapshot repeats safely: an unknown snapshot was deleted before.
func (r DiskReplication) deleteSnapshot(ctx context.Context, _ *runbook.Memo) error {
	if len(protecteditem.Added(r.State)) == 0 {
		return nil
	}
	source, err := r.Source(ctx)
	if err != nil {
		return err
	}
	if err := source.DeleteSnapshot(ctx, r.VM(), r.State.DiskJob.ID); err != nil {
		return fmt.Errorf("delete snapshot %s: %w", r.State.DiskJob.ID, err)
	}
	return nil
}

// makePoint makes a cut and the point of it. It repeats safely: whoever makes a
// point from here on, this job or a later cycle, makes it of the disks, too.
func (r DiskReplication) makePoint(ctx context.Context, m *runbook.Memo) error {
	if r.State.DiskJob == nil {
		return nil
	}
	job := r.State.DiskJob.ID
	if len(protecteditem.Added(r.State)) > 0 {
		if err := r.ready(ctx, m); err != nil {
			return err
		}
	}
	if err := r.Cycle(ctx, true); err != nil {
		return err
	}
	if done := r.State.EndedDisks; done.ID == job && !done.Failed {
		return nil
	}
	return overtaken(r.State)
}

// ready marks the copy as complete. What was lost since the copy is made again.
func (r DiskReplication) ready(ctx context.Context, m *runbook.Memo) error {
	a, err := r.ensure(ctx)
	if err != nil || a.Ready {
		return err
	}
	if err := r.copyDisks(ctx, m); err != nil {
		return err
	}
	if err := r.deleteSnapshot(ctx, m); err != nil {
		return err
	}
	if a, err = r.ensure(ctx); err != nil {
		return err
	}
	return deltareplication.MarkReady(ctx, r.Item, a)
}

// overtaken reports that the item has moved on under its disk job.
func overtaken(s protecteditem.State) error {
	return domain.Reject(domain.Conflict, errorcatalog.StaleJob, "the disks wait (%s, resynchronization %s)", s.Protection, s.Resync.State)
}

// Isolate looks whether a cycle has failed for a disk that is being added. If so, it
// ends the tracking of those disks, so that the others go on, and returns why.
func Isolate(ctx context.Context, i *workflow.Item, cause error) (*errorcatalog.Failure, error) {
	added := protecteditem.Added(i.State)
	if len(added) == 0 || i.State.DiskJob == nil {
		return nil, nil //nolint:nilnil // there is nothing to isolate
	}
	source, err := i.Source(ctx)
	if err != nil {
		return nil, err
	}
	rel, err := source.Replication(ctx, i.VM())
	if err != nil {
		return nil, fmt.Errorf("read relationship of %s: %w", i.VM(), err)
	}
	f, err := missing(ctx, i, source)
	if err != nil {
		return nil, err
	}
	for _, t := range rel.Tracking {
		isAdded := slices.ContainsFunc(added, func(d site.Disk) bool { return d.ID == t.Disk })
		if f == nil && isAdded && t.ResyncReason != "" {
			f = workflow.Unfollowable(t.ResyncReason, t.Disk, t.Detail)
		}
	}
	if f == nil && errors.Is(cause, deltareplication.ErrAdded) {
		f = errorcatalog.Of(cause)
	}
	if f == nil {
		return nil, nil //nolint:nilnil // none of them is the cause
	}
	return f, deltareplication.DropAdded(ctx, i, source)
}

// Erase removes what the store still has of disks that are no longer protected, once
// no recovery point holds them. It repeats safely.
func Erase(ctx context.Context, i *workflow.Item) error {
	gone := protecteditem.Unheld(i.State)
	if len(gone) == 0 {
		return nil
	}
	store, err := i.Replica(ctx)
	if err != nil {
		return err
	}
	for _, id := range gone {
		if err := remove(ctx, i, store, id); err != nil {
			return err
		}
	}
	if i.State.DiskJob == nil {
		if err := deltareplication.DropAdding(ctx, i, gone); err != nil {
			return err
		}
	}
	return i.Record(ctx, protecteditem.RecordReplicaDisksRemoved{Disks: gone, At: i.Now()})
}

// remove deletes a replica disk with its manifests. A point that the item no longer
// lists may hold it yet: that goes first.
func remove(ctx context.Context, i *workflow.Item, store replica.Store, id string) error {
	err := store.RemoveDisk(ctx, i.ReplicaID(), id, i.Token())
	if workflow.Is(err, errorcatalog.DiskInRecoveryPoints) {
		if err := retention.Sweep(ctx, i); err != nil {
			return err
		}
		err = store.RemoveDisk(ctx, i.ReplicaID(), id, i.Token())
	}
	if err != nil {
		return fmt.Errorf("remove replica disk %s: %w", id, err)
	}
	return retention.Forget(ctx, i, store, id)
}
