package failover

import (
	"context"
	"fmt"
	"slices"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/workers/host"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Cancel is the workflow that follows CancelFailover: the VM goes back to its
// source, which is replicated on.
type Cancel struct{ *workflow.Item }

// Steps is the workflow as a table.
func (c Cancel) Steps() []runbook.Step {
	return []runbook.Step{
		{Name: "inspect_source", Title: "Inspect the source", Run: c.inspectSource},
		{Name: removeStep, Title: "Remove the recovery VM", Run: c.removeVM},
		{Name: "release_source", Title: "Give the VM back to its host", Run: c.releaseSource},
		{Name: "complete_failover_cancel", Title: "Go on replicating", Run: c.complete},
	}
}

// inspectSource changes nothing on the hosts: the recovery VM is not given up for
// a source that is lost. A source whose logs do not follow what the replica has
// is to be resynchronized.
func (c Cancel) inspectSource(ctx context.Context, m *runbook.Memo) error {
	if err := passOn(ctx, c.Item, m); err != nil {
		return err
	}
	source, err := c.Source(ctx)
	if err != nil {
		return err
	}
	rel, err := source.Replication(ctx, c.VM())
	if err != nil {
		return fmt.Errorf("read relationship of %s: %w", c.VM(), err)
	}
	reason, detail := broken(rel, c.State)
	if reason == "" || c.State.ChainBroken() {
		return nil
	}
	now := c.Now()
	return c.Record(ctx, protecteditem.RequireResynchronization{Reason: reason, Detail: detail, ScheduledFor: now, At: now})
}

// broken says why the source's logs cannot be followed on, if they cannot.
func broken(rel host.Replication, s protecteditem.State) (errorcatalog.Code, string) {
	for _, t := range rel.Tracking {
		if t.ResyncReason != "" {
			return errorcatalog.Code(t.ResyncReason), fmt.Sprintf("disk %s: %s", t.Disk, t.Detail)
		}
	}
	n := slices.IndexFunc(rel.Cuts, func(cut host.Cut) bool { return cut.ID == s.LastShipped.Cut })
	if waiting := rel.Cuts[n+1:]; len(waiting) > 0 && waiting[0].PreviousID != s.LastShipped.Cut {
		return errorcatalog.LogChainBroken, fmt.Sprintf("cut %s follows %q, the last one shipped is %s", waiting[0].ID, waiting[0].PreviousID, s.LastShipped.Cut)
	}
	return "", ""
}

// removeVM repeats safely: what is gone is gone. A recovery host that does not answer is
// told later, if the cancel is forced.
func (c Cancel) removeVM(ctx context.Context, _ *runbook.Memo) error {
	err := target(c.Item).Delete(ctx)
	if !c.State.Forced || !workflow.HostLost(err) {
		return err
	}
	return c.Record(ctx, protecteditem.LeaveBehind{JobID: c.State.Job.ID, Left: c.MadeThere(VM(c.State)), At: c.Now()})
}

// releaseSource repeats safely: a running VM is left alone. The source is started
// unless it is known to have been off before the failover.
func (c Cancel) releaseSource(ctx context.Context, m *runbook.Memo) error {
	source, err := c.Source(ctx)
	if err != nil {
		return err
	}
	if snapshot := m.Value(overtaken); snapshot != "" { // of a resynchronization that the failover ended
		if err := source.DeleteSnapshot(ctx, c.VM(), snapshot); err != nil {
			return fmt.Errorf("delete snapshot %s: %w", snapshot, err)
		}
	}
	if m.Value(wasRunning) == no {
		return Release(ctx, c.Item)
	}
	return restart(ctx, c.Item)
}

func (c Cancel) complete(ctx context.Context, _ *runbook.Memo) error {
	c.Forget()
	return c.Record(ctx, protecteditem.CompleteFailoverCancel{JobID: c.State.Job.ID, At: c.Now()})
}

// Undo keeps what there is. A recovery VM whose removal was begun is removed: a
// point can be chosen to make it again.
func (c Cancel) Undo(ctx context.Context, journal job.State) error {
	c.Forget()
	if !Begun(journal, removeStep) {
		return nil
	}
	return target(c.Item).Delete(ctx)
}
