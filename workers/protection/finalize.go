// Package protection begins and ends the protection of a VM: enable, which leads
// up to initial replication, finalize, which follows it, and disable.
package protection

import (
	"context"
	"fmt"

	"farshore/domain/protecteditem"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Finalize is the workflow that follows a completed initial replication.
type Finalize struct{ *workflow.Item }

// Steps is the workflow as a table.
func (f Finalize) Steps() []runbook.Step {
	return []runbook.Step{
		{Name: "apply_policy", Title: "Apply the policy to the relationship", Run: f.applyPolicy},
		{Name: "remove_former_replica", Title: "Remove the replica of a former protection", Run: f.removeFormer},
		{Name: "finalize_protection", Title: "Finalize protection", Run: f.finalize},
	}
}

// applyPolicy replaces the threshold of initial replication by the policy's. It
// repeats safely: settings set twice are set.
func (f Finalize) applyPolicy(ctx context.Context, _ *runbook.Memo) error {
	source, err := f.Source(ctx)
	if err != nil {
		return err
	}
	r := Relationship(f.Item, f.State.Policy.ResyncThresholdPercent)
	if err := source.UpdateRelationship(ctx, f.VM(), r); err != nil {
		return fmt.Errorf("update relationship of %s: %w", f.VM(), err)
	}
	return nil
}

// removeFormer removes what an earlier cycle of protection may have left to be
// kept for a while: from here on there is a newer replica. It repeats safely.
func (f Finalize) removeFormer(ctx context.Context, _ *runbook.Memo) error {
	if f.State.Cycle < 2 {
		return nil
	}
	store, err := f.Replica(ctx)
	if err != nil {
		return err
	}
	former := f.State
	former.Cycle--
	if err := store.RemoveItem(ctx, former.ReplicaID(), f.Token()); err != nil {
		return fmt.Errorf("remove replica %s: %w", former.ReplicaID(), err)
	}
	return nil
}

func (f Finalize) finalize(ctx context.Context, _ *runbook.Memo) error {
	if f.State.Protection != protecteditem.FinalizingProtection {
		return nil
	}
	return f.Record(ctx, protecteditem.FinalizeProtection{JobID: f.State.Job.ID, At: f.Now()})
}
