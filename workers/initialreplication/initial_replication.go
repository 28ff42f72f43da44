// Package initialreplication makes the first copy of a VM's disks. It copies a
// snapshot, disk by disk, while the change logs of what is written meanwhile are
// cut and shipped; at the end all of them are laid over the copy in order. Logs
// hold full data, so the result is exact even if blocks were read at different
// times: a snapshot that is lost is replaced by a new one and the copy goes on
// where it was.
package initialreplication

import (
	"context"
	"fmt"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/deltareplication"
	"farshore/workers/protection"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// InitialReplication is the workflow that runs once a relationship's start time
// has come.
type InitialReplication struct{ *workflow.Item }

// What the steps tell each other.
const (
	finalCut = "cut"
	rootOf   = "root/" // and the disk
)

// Steps is the workflow as a table.
func (r InitialReplication) Steps() []runbook.Step {
	return []runbook.Step{
		{Name: "take_snapshot", Title: "Take a snapshot", Run: r.takeSnapshot},
		{Name: "copy_disks", Title: "Copy the disks", Run: r.copyDisks},
		{Name: "delete_snapshot", Title: "Delete the snapshot", Run: r.deleteSnapshot},
		{Name: "ship_final_cut", Title: "Ship the last change logs", Run: r.shipFinalCut},
		{Name: "apply_change_logs", Title: "Apply the change logs", Run: r.applyChangeLogs},
		{Name: "complete_initial_replication", Title: "Complete initial replication", Run: r.complete},
	}
}

// takeSnapshot repeats safely: the host leaves a snapshot that exists as it is.
func (r InitialReplication) takeSnapshot(ctx context.Context, _ *runbook.Memo) error {
	if err := protection.CheckSpace(ctx, r.Item); err != nil {
		return err
	}
	source, err := r.Source(ctx)
	if err != nil {
		return err
	}
	if err := source.CreateSnapshot(ctx, r.VM(), r.State.Snapshot); err != nil {
		return fmt.Errorf("take snapshot of %s: %w", r.VM(), err)
	}
	return nil
}

// deleteSnapshot repeats safely: an unknown snapshot was deleted before. The id
// of the final cut is chosen here, so that the next step repeats the same cut.
func (r InitialReplication) deleteSnapshot(ctx context.Context, m *runbook.Memo) error {
	source, err := r.Source(ctx)
	if err != nil {
		return err
	}
	if err := source.DeleteSnapshot(ctx, r.VM(), r.State.Snapshot); err != nil {
		return fmt.Errorf("delete snapshot %s: %w", r.State.Snapshot, err)
	}
	m.Note(finalCut, r.NewID())
	return nil
}

// shipFinalCut makes a cut later than the last block that was read: with it, the
// shipped logs lead to one instant of all disks.
func (r InitialReplication) shipFinalCut(ctx context.Context, m *runbook.Memo) error {
	if err := deltareplication.Ship(ctx, r.Item); err != nil {
		return err
	}
	cut := m.Value(finalCut)
	if r.State.LastShipped.Cut == cut {
		return nil
	}
	_, err := deltareplication.Cut(ctx, r.Item, cut)
	return err
}

// applyChangeLogs repeats safely: it ends in the same bytes and the same point.
func (r InitialReplication) applyChangeLogs(ctx context.Context, m *runbook.Memo) error {
	roots := map[string]string{}
	for _, d := range r.State.Disks {
		roots[d] = m.Value(rootOf + d)
	}
	return deltareplication.ApplyFirst(ctx, r.Item, m.Value(finalCut), roots)
}

func (r InitialReplication) complete(ctx context.Context, _ *runbook.Memo) error {
	if r.State.Protection != protecteditem.InitialReplicationInProgress {
		return nil
	}
	point, err := deltareplication.NewestPoint(ctx, r.Item)
	if err != nil {
		return err
	}
	if point == nil {
		return errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "the first recovery point of %s is gone", r.ReplicaID())
	}
	r.Forget()
	return r.Record(ctx, protecteditem.CompleteInitialReplication{
		JobID: r.State.Job.ID, Bytes: r.TotalBytes(), Point: *point, FinalizeJobID: r.NewID(), At: r.Now(),
	})
}
