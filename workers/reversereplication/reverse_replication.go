// Package reversereplication protects a VM again that has failed back: its disks
// are compared with what the replica kept of the failover, and only what differs
// is sent.
package reversereplication

import (
	"context"
	"fmt"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/protection"
	"farshore/workers/resynchronization"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// ReverseReplication is the workflow that follows ReProtect. It is tried until it
// succeeds: the replica's base stays what it is meanwhile.
type ReverseReplication struct{ *workflow.Item }

// Steps is the workflow as a table.
func (r ReverseReplication) Steps() []runbook.Step {
	steps := []runbook.Step{{Name: "restore_relationship", Title: "Restore the relationship with the host", Run: r.relate}}
	steps = append(steps, resynchronization.Comparison(r.Item)...)
	return append(steps, runbook.Step{Name: "complete_reverse_replication", Title: "Complete the reverse replication", Run: r.complete})
}

// relate repeats safely: the host leaves an equal relationship alone. Its
// tracking begins anew in the next step.
func (r ReverseReplication) relate(ctx context.Context, _ *runbook.Memo) error {
	source, err := r.Source(ctx)
	if err != nil {
		return err
	}
	want := protection.Relationship(r.Item, r.State.Policy.ResyncThresholdPercent)
	_, err = source.Replication(ctx, r.VM())
	switch {
	case err == nil:
		err = source.UpdateRelationship(ctx, r.VM(), want)
	case workflow.Is(err, errorcatalog.RelationshipNotFound):
		err = source.StartReplication(ctx, r.VM(), want)
	}
	if err != nil {
		return fmt.Errorf("restore relationship of %s: %w", r.VM(), err)
	}
	return nil
}

func (r ReverseReplication) complete(ctx context.Context, m *runbook.Memo) error {
	if r.State.Protection != protecteditem.ReverseReplicating {
		return nil
	}
	found, err := resynchronization.ResultOf(ctx, r.Item, m)
	if err != nil {
		return err
	}
	r.Forget()
	return r.Record(ctx, protecteditem.CompleteReverseReplication{
		JobID: r.State.Job.ID, BytesScanned: found.BytesScanned, BytesDiffering: found.BytesDiffering,
		BytesSent: found.BytesSent, Point: found.Point, At: r.Now(),
	})
}
