package failback

import (
	"context"
	"fmt"
	"slices"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/workflow"
)

// The recovery VM is tracked from before its disks are read for the first time:
// what its logs name then is all that can be missing once it is off.

// tracking names the relationship of the recovery VM with its host while a
// failback is open.
func tracking(i *workflow.Item) string { return i.ReplicaID() + ".failback" }

// track begins new logs. A snapshot that is older goes first: what was written
// between the two would be in neither.
func (f Failback) track(ctx context.Context, recovery host.Host, snapshot string) error {
	vm := f.State.Recovery.VM
	if err := recovery.DeleteSnapshot(ctx, vm, snapshot); err != nil {
		return fmt.Errorf("delete snapshot %s: %w", snapshot, err)
	}
	if err := untrack(ctx, f.Item, recovery); err != nil {
		return err
	}
	err := recovery.StartReplication(ctx, vm, host.Relationship{
		ID: tracking(f.Item), Disks: f.FailedOverDisks(), LogLimitPercent: f.State.Policy.ResyncThresholdPercent,
	})
	if workflow.Is(err, errorcatalog.AlreadyProtected) { // as another item: its logs are not ours
		f.Logger.WarnContext(ctx, "recovery vm is tracked for another item", "item", f.Item.Item(), "vm", vm)
		return nil
	}
	if err != nil {
		return fmt.Errorf("begin to track %s: %w", vm, err)
	}
	return nil
}

// followed says whether the logs still hold everything since they were begun. It
// is as good if there cannot be any.
func (f Failback) followed(ctx context.Context, recovery host.Replicator) (bool, error) {
	rel, err := recovery.Replication(ctx, f.State.Recovery.VM)
	switch {
	case workflow.Is(err, errorcatalog.RelationshipNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read relationship of %s: %w", f.State.Recovery.VM, err)
	case rel.ID != tracking(f.Item):
		return true, nil
	}
	return !slices.ContainsFunc(rel.Tracking, func(t host.DiskTracking) bool { return t.ResyncReason != "" }), nil
}

// untrack repeats safely. Logs of another item are not touched, and a VM that is
// gone has none.
func untrack(ctx context.Context, i *workflow.Item, recovery host.Replicator) error {
	vm := i.State.Recovery.VM
	rel, err := recovery.Replication(ctx, vm)
	switch {
	case workflow.Is(err, errorcatalog.RelationshipNotFound), workflow.Is(err, errorcatalog.VMNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("read relationship of %s: %w", vm, err)
	case rel.ID != tracking(i):
		return nil
	}
	if err := recovery.StopReplication(ctx, vm); err != nil {
		return fmt.Errorf("end tracking of %s: %w", vm, err)
	}
	return nil
}

// letGo leaves the recovery host without logs and snapshots of a failback. It
// repeats safely: what is gone is gone.
func letGo(ctx context.Context, i *workflow.Item, job string) error {
	recovery, err := i.Recovery(ctx)
	if err != nil {
		return err
	}
	if err := untrack(ctx, i, recovery); err != nil {
		return err
	}
	for _, s := range []string{job, lastSnapshot(job)} {
		if err := recovery.DeleteSnapshot(ctx, i.State.Recovery.VM, s); err != nil {
			return fmt.Errorf("delete snapshot %s: %w", s, err)
		}
	}
	return nil
}

// lastWritten cuts the logs of the recovery VM, which is off, and returns what they
// name by disk; or why they cannot be trusted. It repeats safely: the cut keeps its
// id.
func (f Failback) lastWritten(ctx context.Context, recovery host.Host) (map[string][]disk.Extent, string, error) {
	written, err := f.cutLast(ctx, recovery)
	if err == nil {
		return written, "", nil
	}
	failure := errorcatalog.Of(err)
	if failure.Code == errorcatalog.RelationshipNotFound || errorcatalog.ClassOf(failure.Code) == errorcatalog.Resynchronize {
		return nil, string(failure.Code) + ": " + failure.Detail, nil
	}
	return nil, "", err
}

func (f Failback) cutLast(ctx context.Context, recovery host.Host) (map[string][]disk.Extent, error) {
	vm := f.State.Recovery.VM
	rel, err := recovery.Replication(ctx, vm)
	if err != nil {
		return nil, fmt.Errorf("read relationship of %s: %w", vm, err)
	}
	if rel.ID != tracking(f.Item) {
		return nil, errorcatalog.Fail(errorcatalog.RelationshipNotFound, "%s is tracked as %s", vm, rel.ID)
	}
	cut, err := recovery.Cut(ctx, vm, host.CutRequest{ID: f.State.Job.ID})
	if err != nil {
		return nil, fmt.Errorf("cut the logs of %s: %w", vm, err)
	}
	if cut.PreviousID != "" {
		return nil, errorcatalog.Fail(errorcatalog.LogChainBroken, "the last cut of %s follows %s, which nobody has read", vm, cut.PreviousID)
	}
	written := map[string][]disk.Extent{}
	for _, id := range f.FailedOverDisks() {
		if written[id], err = recovery.Written(ctx, vm, cut.ID, id); err != nil {
			return nil, fmt.Errorf("read what was written to disk %s of %s: %w", id, vm, err)
		}
	}
	return written, nil
}
