package protection

import (
	"context"
	"fmt"
	"slices"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/failback"
	"farshore/workers/host"
	"farshore/workers/replica"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Enable is the workflow that follows EnableProtection.
type Enable struct{ *workflow.Item }

// Steps is the workflow as a table.
func (e Enable) Steps() []runbook.Step {
	return []runbook.Step{
		{Name: "check_prerequisites", Title: "Check prerequisites", Run: e.checkPrerequisites},
		{Name: "create_relationship", Title: "Create the replication relationship", Run: e.createRelationship},
		{Name: "create_replica_disks", Title: "Create the replica disks", Run: e.createReplicaDisks},
		{Name: "record_relationship", Title: "Begin replication", Run: e.recordRelationship},
	}
}

// checkPrerequisites reads only.
func (e Enable) checkPrerequisites(ctx context.Context, _ *runbook.Memo) error {
	source, err := e.Source(ctx)
	if err != nil {
		return err
	}
	vm, err := source.VirtualMachine(ctx, e.VM())
	if err != nil {
		return fmt.Errorf("read vm %s: %w", e.VM(), err)
	}
	if err := e.sameDisks(vm); err != nil {
		return err
	}
	limits := protecteditem.LimitsOf(e.State.Store.Kind)
	if found := protecteditem.CheckPrerequisites(vm, e.State.Disks, limits).Failures; len(found) > 0 {
		return &found[0]
	}
	store, err := e.Replica(ctx)
	if err != nil {
		return err
	}
	if err := store.Check(ctx); err != nil {
		return fmt.Errorf("check replica store %s: %w", e.State.Store.ID, err)
	}
	return CheckSpace(ctx, e.Item)
}

// sameDisks holds the VM against what the command was decided on.
func (e Enable) sameDisks(vm site.VirtualMachine) error {
	for _, id := range e.State.Disks {
		n := slices.IndexFunc(vm.Disks, func(d site.Disk) bool { return d.ID == id })
		if n < 0 {
			return errorcatalog.Fail(errorcatalog.DiskNotFound, "vm %s has no disk %s", vm.Name, id)
		}
		if got, want := vm.Disks[n].SizeBytes, e.DiskSize(id); got != want {
			return errorcatalog.Fail(errorcatalog.DiskSizeChanged, "disk %s has %d bytes, %d when protection was enabled", id, got, want)
		}
	}
	return nil
}

// The space that replication must find before it begins. The host keeps a
// reserve of its own and ends tracking when it is reached, so beginning below it
// would be in vain.
const (
	reservePercent = 5
	reserveFloor   = 1 << 30
	// churnPercent of the disks is the least that their logs and the snapshot's
	// overwritten blocks should find.
	churnPercent = 5
)

// CheckSpace verifies that the source has room for a snapshot and logs, and that
// the store has room for the replica.
func CheckSpace(ctx context.Context, i *workflow.Item) error {
	source, err := i.Source(ctx)
	if err != nil {
		return err
	}
	space, err := source.Space(ctx, i.VM())
	if err != nil {
		return fmt.Errorf("read free space of %s: %w", i.VM(), err)
	}
	need := max(space.Total/100*reservePercent, reserveFloor) + i.TotalBytes()/100*churnPercent
	if space.Free < need {
		return errorcatalog.Fail(errorcatalog.InsufficientSourceSpace, "%d bytes are free where the disks lie, replication needs %d", space.Free, need)
	}
	store, err := i.Replica(ctx)
	if err != nil {
		return err
	}
	usage, err := store.Usage(ctx, i.ReplicaID())
	if err != nil {
		return fmt.Errorf("read usage of the replica store: %w", err)
	}
	if missing := i.TotalBytes() - usage.Item; usage.Free >= 0 && usage.Free < missing {
		return errorcatalog.Fail(errorcatalog.ReplicaStoreFull, "the replica store has %d bytes free, the replica needs %d", usage.Free, missing)
	}
	return nil
}

// createRelationship repeats safely: the host leaves an equal relationship alone.
func (e Enable) createRelationship(ctx context.Context, _ *runbook.Memo) error {
	source, err := e.Source(ctx)
	if err != nil {
		return err
	}
	// What an earlier failback has left is not to be undone beneath the new protection.
	if err := failback.Keep(ctx, source, e.VM()); err != nil && !workflow.Is(err, errorcatalog.OperationInProgress) {
		return err
	}
	if err := source.StartReplication(ctx, e.VM(), Relationship(e.Item, fullLog)); err != nil {
		return fmt.Errorf("create relationship of %s: %w", e.VM(), err)
	}
	return nil
}

// fullLog is the threshold during initial replication, when copying everything
// again would be no cheaper.
const fullLog = 100

// Relationship is the host's side of an item, with a threshold for its logs.
func Relationship(i *workflow.Item, logLimitPercent int) host.Relationship {
	return host.Relationship{ID: i.ReplicaID(), Disks: i.State.Disks, LogLimitPercent: logLimitPercent}
}

// createReplicaDisks repeats safely: a disk of the same size is left as it is.
func (e Enable) createReplicaDisks(ctx context.Context, _ *runbook.Memo) error {
	store, err := e.Replica(ctx)
	if err != nil {
		return err
	}
	for _, d := range e.State.Disks {
		spec := replica.DiskSpec{Item: e.ReplicaID(), Disk: d, SizeBytes: e.DiskSize(d)}
		if err := store.CreateDisk(ctx, spec, e.Token()); err != nil {
			return fmt.Errorf("create replica disk %s: %w", d, err)
		}
	}
	return nil
}

// recordRelationship is last: the item is waiting for its start from here on.
func (e Enable) recordRelationship(ctx context.Context, _ *runbook.Memo) error {
	if e.State.Protection != protecteditem.EnablingProtection {
		return nil
	}
	now := e.Now()
	return e.Record(ctx, protecteditem.RecordRelationship{
		JobID: e.State.Job.ID, StartAt: e.State.Policy.NextStart(now, e.Zone(ctx)), At: now,
	})
}

// Undo takes back what an enable has made before it failed for good: the host
// and the store are left as if it had never been asked.
func (e Enable) Undo(ctx context.Context) error { return clean(ctx, e.Item) }
