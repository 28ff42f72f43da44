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
		{Name: "complete_failover_commit", Title: "Give up the other recovery points", Run: c.complete},
		{Name: "remove_points", Title: "Remove them from the replica store", Run: c.removePoints},
	}
}

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
