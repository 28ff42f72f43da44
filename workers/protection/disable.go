package protection

import (
	"context"
	"fmt"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/workers/failback"
	"farshore/workers/failover"
	"farshore/workers/runbook"
	"farshore/workers/testfailover"
	"farshore/workers/workflow"
)

// Disable is the workflow that follows DisableProtection. Nothing is forgotten
// before it is gone: a host that cannot be reached is tried until it can, unless the
// disable is forced. Then the host is told later, and the replica is removed when the
// store answers.
type Disable struct{ *workflow.Item }

// Steps is the workflow as a table.
func (d Disable) Steps() []runbook.Step {
	return []runbook.Step{
		{Name: "end_test_failover", Title: "Remove the test VM", Run: d.endTestFailover},
		{Name: "finish_background_copy", Title: "Finish the copy of the VM's disks", Run: d.finishCopy},
		{Name: "release_source", Title: "Give the VM back to its host", Run: d.releaseSource},
		{Name: "stop_replication", Title: "Remove the relationship from the host", Run: d.stopReplication},
		{Name: "remove_replica", Title: "Remove or keep the replica", Run: d.removeReplica},
		{Name: "complete_disable", Title: "End protection", Run: d.complete},
	}
}

// endTestFailover repeats safely: what is gone is gone.
func (d Disable) endTestFailover(ctx context.Context, _ *runbook.Memo) error {
	if d.State.TestFailover != protecteditem.TestFailoverCleaningUp {
		return nil
	}
	return d.orLeave(ctx, testfailover.End(ctx, d.Item), d.MadeThere(testfailover.VM(d.State)))
}

// orLeave passes over a host that does not answer, if the disable is forced, and
// records what it is told later.
func (d Disable) orLeave(ctx context.Context, err error, left protecteditem.LeftBehind) error {
	if !d.State.Forced || !workflow.HostLost(err) {
		return err
	}
	d.Logger.WarnContext(ctx, "a host does not answer and is told later", "item", d.Item.Item(), "host", left.Host, "vm", left.VM, "error", err)
	return d.Record(ctx, protecteditem.LeaveBehind{JobID: d.State.Job.ID, Left: left, At: d.Now()})
}

// finishCopy waits until a VM that runs on the recovery side does without the
// replica. It repeats safely.
func (d Disable) finishCopy(ctx context.Context, _ *runbook.Memo) error {
	if d.State.ActiveLocation != protecteditem.Recovery {
		return nil
	}
	overtaken, _, err := d.Jobs.Load(ctx, d.State.Ended.ID)
	if err != nil {
		return fmt.Errorf("load job %s: %w", d.State.Ended.ID, err)
	}
	return failover.FinishCopy(ctx, d.Item, overtaken)
}

// releaseSource takes back what a failover that was overtaken has begun: otherwise
// the VM would run nowhere. It repeats safely.
func (d Disable) releaseSource(ctx context.Context, _ *runbook.Memo) error {
	if d.State.Failback.Mode != "" { // the recovery VM is the one that stays
		return d.takeFailbackBack(ctx)
	}
	overtaken, _, err := d.Jobs.Load(ctx, d.State.Ended.ID)
	if err != nil {
		return fmt.Errorf("load job %s: %w", d.State.Ended.ID, err)
	}
	if overtaken.Kind == job.FailbackCommit {
		return d.orLeave(ctx, d.keepFailback(ctx), d.source())
	}
	unplanned := d.State.FailoverChoice != ""
	if !d.State.SourceStopped && !unplanned || d.State.ActiveLocation != protecteditem.Primary {
		return nil
	}
	removal := failover.RemoveBegun(ctx, d.Item, overtaken)
	if err := d.orLeave(ctx, removal, d.MadeThere(failover.VM(d.State))); err != nil {
		return err
	}
	if removal != nil && failover.PastRecall(overtaken) {
		// It may run there: whether the source is started is for its operator to say.
		return d.orLeave(ctx, failover.Release(ctx, d.Item), d.source())
	}
	source := d.source()
	source.Start = failover.Restarts(d.State, overtaken)
	return d.orLeave(ctx, failover.GiveBack(ctx, d.Item, overtaken), source)
}

// keepFailback makes a failback final whose commit was overtaken.
func (d Disable) keepFailback(ctx context.Context) error {
	source, err := d.Source(ctx)
	if err != nil {
		return err
	}
	return failback.Keep(ctx, source, d.VM())
}

// takeFailbackBack leaves the VM on the primary side at a host that does not answer.
func (d Disable) takeFailbackBack(ctx context.Context) error {
	behind, err := failback.TakeBack(ctx, d.Item)
	if err != nil || !behind {
		return err
	}
	left := d.source()
	if t := d.State.Failback.Target; !t.Original() {
		left = protecteditem.LeftBehind{Site: t.Site, Host: t.Host, VM: t.VM(), Fate: protecteditem.Remove, Owner: d.ReplicaID()}
	}
	return d.Record(ctx, protecteditem.LeaveBehind{JobID: d.State.Job.ID, Left: left, At: d.Now()})
}

// source is the VM that is replicated, to be left at a host that does not answer. It
// stays off if the VM runs on the recovery side.
func (d Disable) source() protecteditem.LeftBehind {
	l := protecteditem.LeftBehind{Site: d.State.Site, Host: d.State.Host, VM: d.VM(), Fate: protecteditem.GiveBack}
	if d.State.ActiveLocation == protecteditem.Recovery || d.State.Failback.Mode != "" {
		l.Fate = protecteditem.KeepOff
	}
	return l
}

// stopReplication repeats safely: without a relationship the host says yes.
func (d Disable) stopReplication(ctx context.Context, _ *runbook.Memo) error {
	return d.orLeave(ctx, stopReplication(ctx, d.Item), d.source())
}

func stopReplication(ctx context.Context, i *workflow.Item) error {
	source, err := i.Source(ctx)
	if err != nil {
		return err
	}
	err = source.StopReplication(ctx, i.VM())
	if err != nil && !workflow.Is(err, errorcatalog.VMNotFound) {
		return fmt.Errorf("remove relationship of %s: %w", i.VM(), err)
	}
	return nil
}

// removeReplica removes it now unless it is kept for a while; then the lane is
// due once more when that time is over. A VM that was failed over has disks of
// its own and is not touched.
func (d Disable) removeReplica(ctx context.Context, _ *runbook.Memo) error {
	if d.State.KeepReplica > 0 {
		return nil
	}
	err := RemoveReplica(ctx, d.Item)
	if err != nil && d.State.Forced && workflow.OutcomeOf(ctx, err) == workflow.Failed {
		d.Logger.WarnContext(ctx, "the replica is removed later", "item", d.Item.Item(), "error", err)
		return nil
	}
	return err
}

// RemoveReplica deletes everything of an item from its store, and repeats safely.
func RemoveReplica(ctx context.Context, i *workflow.Item) error {
	store, err := i.Replica(ctx)
	if err != nil {
		return err
	}
	if err := store.RemoveItem(ctx, i.ReplicaID(), i.Token()); err != nil {
		return fmt.Errorf("remove replica %s: %w", i.ReplicaID(), err)
	}
	return nil
}

func (d Disable) complete(ctx context.Context, _ *runbook.Memo) error {
	if d.State.Protection != protecteditem.DisablingProtection {
		return nil
	}
	return d.Record(ctx, protecteditem.CompleteDisable{JobID: d.State.Job.ID, At: d.Now()})
}

// clean leaves host and store without a trace of an item.
func clean(ctx context.Context, i *workflow.Item) error {
	if err := stopReplication(ctx, i); err != nil {
		return err
	}
	return RemoveReplica(ctx, i)
}
