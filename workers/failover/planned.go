// Package failover moves a VM to the recovery side. A planned failover loses
// nothing: the source is shut down first, its last writes are shipped and
// applied, and the VM is brought up from the point made of them. If anything
// fails before that VM has started, all of it is taken back.
package failover

import (
	"context"
	"fmt"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/deltareplication"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Planned is the workflow that follows StartPlannedFailover.
type Planned struct{ *workflow.Item }

// Steps is the workflow as a table. One that is held waits where all can still be
// taken back.
func (p Planned) Steps() []runbook.Step {
	steps := []runbook.Step{
		{Name: "inspect_source", Title: "Inspect the source", Run: p.inspectSource},
		{Name: stopStep, Title: "Shut the source down", Run: p.stopSource},
		{Name: "ship_last_cut", Title: "Ship the last change logs", Run: p.shipLastCut},
		{Name: "apply_change_logs", Title: "Make the last recovery point", Run: p.applyChangeLogs},
		{Name: createStep, Title: "Create the recovery VM", Run: p.createVM},
		{Name: bringStep, Title: bringTitle, Run: p.copyDisks},
	}
	if p.Item != nil && p.State.Hold != protecteditem.NotHeld {
		steps = append(steps, runbook.Step{Name: "await_release", Title: "Wait for the recovery plan", Run: p.await})
	}
	return append(steps,
		runbook.Step{Name: startStep, Title: startTitle, Run: p.startVM},
		runbook.Step{Name: "complete_planned_failover", Title: "Complete the planned failover", Run: p.complete})
}

// await repeats safely: a failover that was released is past asking.
func (p Planned) await(ctx context.Context, _ *runbook.Memo) error {
	if err := p.Record(ctx, protecteditem.RecordPlannedFailoverReady{JobID: p.State.Job.ID, At: p.Now()}); err != nil {
		return err
	}
	if p.State.Hold == protecteditem.HoldReady {
		return runbook.ErrWaiting
	}
	return nil
}

// inspectSource reads only. What it finds is journaled before anything changes,
// and with it the id of the last cut, so that a repeated step repeats that cut.
func (p Planned) inspectSource(ctx context.Context, m *runbook.Memo) error {
	source, err := p.Source(ctx)
	if err != nil {
		return err
	}
	state, err := source.PowerState(ctx, p.VM())
	if err != nil {
		return fmt.Errorf("read power state of %s: %w", p.VM(), err)
	}
	if err := target(p.Item).Vacant(ctx); err != nil {
		return err
	}
	m.Note(wasRunning, no)
	if state == site.Running {
		m.Note(wasRunning, yes)
	}
	m.Note(lastCut, p.NewID())
	return connect(ctx, p.Item, m)
}

// stopSource repeats safely: stopping a stopped VM succeeds.
func (p Planned) stopSource(ctx context.Context, _ *runbook.Memo) error { return shut(ctx, p.Item) }

// shipLastCut repeats safely: the cut keeps its id.
func (p Planned) shipLastCut(ctx context.Context, m *runbook.Memo) error {
	return shipLast(ctx, p.Item, m.Value(lastCut))
}

// applyChangeLogs repeats safely: it ends in the same bytes and the same point.
func (p Planned) applyChangeLogs(ctx context.Context, m *runbook.Memo) error {
	if err := deltareplication.Apply(ctx, p.Item, m.Value(lastCut)); err != nil {
		return err
	}
	if newest, _ := p.State.NewestPoint(); newest.ID != m.Value(lastCut) {
		return errorcatalog.Fail(errorcatalog.LogMissing, "the last cut %s is not the newest recovery point, %s is", m.Value(lastCut), newest.ID)
	}
	return nil
}

// createVM repeats safely: a VM under construction is taken up again.
func (p Planned) createVM(ctx context.Context, m *runbook.Memo) error {
	return target(p.Item).Create(ctx, m.Value(lastCut), m)
}

// copyDisks repeats safely: what has begun goes on.
func (p Planned) copyDisks(ctx context.Context, m *runbook.Memo) error {
	return target(p.Item).Bring(ctx, m, m.Value(lastCut))
}

// startVM repeats safely: a running VM is left alone.
func (p Planned) startVM(ctx context.Context, _ *runbook.Memo) error {
	if p.State.Hold == protecteditem.HoldReleased {
		if err := p.stillOff(ctx); err != nil {
			return err
		}
	}
	return target(p.Item).Start(ctx)
}

// stillOff looks after the source once more, which may have been started while the
// failover was held: what it has written since was not shipped. A host that does not
// answer holds nothing up, for the VM was off when it was last seen.
func (p Planned) stillOff(ctx context.Context) error {
	quick, cancel := context.WithTimeout(ctx, fencePatience)
	defer cancel()
	source, err := p.Source(quick)
	if err != nil {
		return err
	}
	state, err := source.PowerState(quick, p.VM())
	switch {
	case err != nil && workflow.OutcomeOf(ctx, err) != workflow.Failed:
		return fmt.Errorf("read power state of %s: %w", p.VM(), err)
	case err == nil && state == site.Running:
		return errorcatalog.Fail(errorcatalog.SourceStillRunning, "%s was started on %s while its failover waited", p.VM(), p.State.Host)
	default:
		return nil
	}
}

func (p Planned) complete(ctx context.Context, m *runbook.Memo) error {
	if p.State.Protection != protecteditem.PlannedFailoverInProgress {
		return nil
	}
	p.Forget()
	return p.Record(ctx, protecteditem.CompletePlannedFailover{
		JobID: p.State.Job.ID, Point: m.Value(lastCut), RecoveryVM: target(p.Item).Machine.ID,
		CopyJobID: target(p.Item).copyJob(m), At: p.Now(),
	})
}

// Undo takes a failed planned failover back.
func (p Planned) Undo(ctx context.Context, journal job.State) error {
	return TakeBack(ctx, p.Item, journal)
}
