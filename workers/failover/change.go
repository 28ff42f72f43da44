package failover

import (
	"context"

	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// ChangePoint is the workflow that follows ChangeRecoveryPoint: the failed-over VM
// is made again from another point, and what it has written is lost.
type ChangePoint struct{ *workflow.Item }

// Steps is the workflow as a table.
func (c ChangePoint) Steps() []runbook.Step {
	return []runbook.Step{
		{Name: "inspect_recovery_point", Title: "Inspect the recovery point", Run: c.inspect},
		{Name: removeStep, Title: "Remove the recovery VM", Run: c.removeVM},
		{Name: createStep, Title: "Create the recovery VM again", Run: c.createVM},
		{Name: bringStep, Title: bringTitle, Run: c.copyDisks},
		{Name: startStep, Title: startTitle, Run: c.startVM},
		{Name: "complete_recovery_point_change", Title: "Complete the change of the recovery point", Run: c.complete},
	}
}

// inspect reads only: the VM is not given up for a point that cannot be read.
func (c ChangePoint) inspect(ctx context.Context, m *runbook.Memo) error {
	if err := passOn(ctx, c.Item, m); err != nil {
		return err
	}
	if err := target(c.Item).Readable(ctx, c.State.NextFailoverPoint); err != nil {
		return err
	}
	return connect(ctx, c.Item, m)
}

// removeVM repeats safely: what is gone is gone.
func (c ChangePoint) removeVM(ctx context.Context, _ *runbook.Memo) error {
	return target(c.Item).Delete(ctx)
}

// createVM repeats safely: a VM under construction is taken up again.
func (c ChangePoint) createVM(ctx context.Context, m *runbook.Memo) error {
	return target(c.Item).Create(ctx, c.State.NextFailoverPoint, m)
}

// copyDisks repeats safely: what has begun goes on.
func (c ChangePoint) copyDisks(ctx context.Context, m *runbook.Memo) error {
	return target(c.Item).Bring(ctx, m, c.State.NextFailoverPoint)
}

// startVM repeats safely: a running VM is left alone.
func (c ChangePoint) startVM(ctx context.Context, _ *runbook.Memo) error {
	return target(c.Item).Start(ctx)
}

func (c ChangePoint) complete(ctx context.Context, m *runbook.Memo) error {
	c.Forget()
	return c.Record(ctx, protecteditem.CompleteRecoveryPointChange{
		JobID: c.State.Job.ID, RecoveryVM: target(c.Item).Machine.ID, CopyJobID: target(c.Item).copyJob(m), At: c.Now(),
	})
}

// Undo leaves either the VM as it was or none.
func (c ChangePoint) Undo(ctx context.Context, journal job.State) error {
	c.Forget()
	if !Begun(journal, removeStep) {
		return nil
	}
	return target(c.Item).Delete(ctx)
}

// Left is the recovery VM that a failed change of the point, or a failed cancel,
// has left: its id or nothing.
func Left(s protecteditem.State, journal job.State) string {
	if Begun(journal, removeStep) {
		return ""
	}
	return s.Recovery.VM
}
