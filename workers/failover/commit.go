package failover

import (
	"context"

	"farshore/domain/protecteditem"
	"farshore/workers/retention"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Commit is the workflow that follows CommitFailover.
type Commit struct{ *workflow.Item }

// Steps is the workflow as a table.
func (c Commit) Steps() []runbook.Step {
	return []runbook.Step{
		{Name: "inspect_failover", Title: "Inspect the failover", Run: c.inspect},
		{Name: "finish_background_copy", Title: "Finish the copy of the VM's disks", Run: c.finishCopy},
		{Name: "complete_failover_commit", Title: "Give up the other recovery points", Run: c.complete},
		{Name: "remove_points", Title: "Remove them from the replica store", Run: c.removePoints},
	}
}

// inspect reads only. What the failover has noted is kept for whoever takes it back
// if the commit is given up.
func (c Commit) inspect(ctx context.Context, m *runbook.Memo) error {
	return passOn(ctx, c.Item, m)
}

// finishCopy waits: nothing is given up while the VM needs its recovery point.
func (c Commit) finishCopy(ctx context.Context, _ *runbook.Memo) error { return AwaitCopy(ctx, c.Item) }

// complete takes the points out of the item's list; the store follows, and what
// a crash leaves there is swept up when the lane is next at work.
func (c Commit) complete(ctx context.Context, _ *runbook.Memo) error {
	if c.State.Protection != protecteditem.FailoverCommitRequired {
		return nil
	}
	return c.Record(ctx, protecteditem.CompleteFailoverCommit{JobID: c.State.Job.ID, At: c.Now()})
}

// removePoints repeats safely: what is gone is gone.
func (c Commit) removePoints(ctx context.Context, _ *runbook.Memo) error {
	return retention.Sweep(ctx, c.Item)
}
