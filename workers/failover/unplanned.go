package failover

import (
	"context"
	"errors"
	"fmt"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/deltareplication"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Unplanned is the workflow that follows StartUnplannedFailover. Nothing that it
// tries at the source holds it up: the source may be lost. What has failed there
// is noted in the output of the step.
type Unplanned struct{ *workflow.Item }

// What failed at the source, in the outputs of steps.
const (
	stopFailed    = "stopFailed"
	shipFailed    = "shipFailed"
	applyFailed   = "applyFailed"
	fenceFailed   = "fenceFailed"
	inspectFailed = "inspectFailed"
	owedCode      = "resynchronize"
)

// Steps is the workflow as a table.
func (u Unplanned) Steps() []runbook.Step {
	return []runbook.Step{
		{Name: "inspect_hosts", Title: "Inspect the hosts", Run: u.inspect},
		{Name: stopStep, Title: "Try to shut the source down", Run: u.stopSource},
		{Name: "ship_last_cut", Title: "Try to ship the last change logs", Run: u.shipLastCut},
		{Name: "apply_change_logs", Title: "Apply the change logs that were shipped", Run: u.applyChangeLogs},
		{Name: "choose_recovery_point", Title: "Choose the recovery point", Run: u.choosePoint},
		{Name: createStep, Title: "Create the recovery VM", Run: u.createVM},
		{Name: bringStep, Title: bringTitle, Run: u.copyDisks},
		{Name: fenceStep, Title: "Keep the source off", Run: u.fenceSource},
		{Name: startStep, Title: startTitle, Run: u.startVM},
		{Name: "complete_unplanned_failover", Title: "Complete the unplanned failover", Run: u.complete},
	}
}

// inspect removes no more than what an overtaken failover has left. What it finds
// is journaled before anything else changes, and with it the id of the last cut, so
// that a repeated step repeats that cut.
func (u Unplanned) inspect(ctx context.Context, m *runbook.Memo) error {
	if err := u.takeOver(ctx, m); err != nil {
		return err
	}
	if err := target(u.Item).Vacant(ctx); err != nil {
		return err
	}
	m.Note(lastCut, u.NewID())
	m.Note(overtaken, u.State.Ended.ID)
	if err := connect(ctx, u.Item, m); err != nil {
		return err
	}
	if u.State.SourceStopped { // what counts is how it was before
		return nil
	}
	quick, cancel := context.WithTimeout(ctx, fencePatience)
	defer cancel()
	state, err := u.powerState(quick)
	if err != nil {
		return u.tolerate(ctx, m, inspectFailed, err)
	}
	m.Note(wasRunning, no)
	if state == site.Running {
		m.Note(wasRunning, yes)
	}
	return nil
}

// takeOver removes the recovery VM of a failover whose place this one has taken,
// and keeps what that one has found of the source. The VM's name was free when it
// began. It repeats safely: what is gone is gone.
func (u Unplanned) takeOver(ctx context.Context, m *runbook.Memo) error {
	if !u.State.SourceStopped {
		return nil
	}
	before, _, err := u.Jobs.Load(ctx, u.State.Ended.ID)
	if err != nil {
		return fmt.Errorf("load job %s: %w", u.State.Ended.ID, err)
	}
	if ran := told(before, wasRunning); ran != "" {
		m.Note(wasRunning, ran)
	}
	return target(u.Item).Delete(ctx)
}

func (u Unplanned) powerState(ctx context.Context) (site.PowerState, error) {
	source, err := u.Source(ctx)
	if err != nil {
		return "", err
	}
	return source.PowerState(ctx, u.VM())
}

// tolerate notes what failed by itself. What ended the work stays an error.
func (u Unplanned) tolerate(ctx context.Context, m *runbook.Memo, key string, err error) error {
	if err == nil {
		return nil
	}
	if !u.failed(ctx, err) {
		return err
	}
	f := errorcatalog.Of(err)
	u.Logger.WarnContext(ctx, "unplanned failover goes on without its source", "item", u.Item.Item(), "what", key, "error", err)
	m.Note(key, string(f.Code)+": "+f.Detail)
	return nil
}

// failed says whether an error is of the thing that was tried. So is a refusal,
// as long as the failover is the item's job: nothing has overtaken it.
func (u Unplanned) failed(ctx context.Context, err error) bool {
	if workflow.OutcomeOf(ctx, err) == workflow.Failed {
		return true
	}
	job := u.State.Job
	if _, refused := errors.AsType[*domain.RejectionError](err); !refused || ctx.Err() != nil || u.Reload(ctx) != nil {
		return false
	}
	return job != nil && u.State.Job != nil && u.State.Job.ID == job.ID
}

// stopSource repeats safely: stopping a stopped VM succeeds.
func (u Unplanned) stopSource(ctx context.Context, m *runbook.Memo) error {
	if !u.State.ShutDownSource {
		return nil
	}
	// A host that does not answer is not said to have been asked.
	if _, err := u.powerState(ctx); err != nil {
		return u.tolerate(ctx, m, stopFailed, err)
	}
	if err := shut(ctx, u.Item); err != nil {
		return u.tolerate(ctx, m, stopFailed, err)
	}
	m.Note(stopped, yes)
	return nil
}

// shipLastCut repeats safely: the cut keeps its id. Logs that cannot be followed
// any more are of no use to this failover, and what they mean for replication is
// recorded once those that can be are applied.
func (u Unplanned) shipLastCut(ctx context.Context, m *runbook.Memo) error {
	if !u.State.ShutDownSource || u.State.ChainBroken() {
		return nil
	}
	err := shipLast(ctx, u.Item, m.Value(lastCut))
	if f := unfollowable(err); f != nil {
		m.Note(owedCode, string(f.Code))
	}
	return u.tolerate(ctx, m, shipFailed, err)
}

// applyChangeLogs repeats safely: it ends in the same bytes and the same points.
// An apply that is not wanted any more is undone, which shuts out whoever was at
// it.
func (u Unplanned) applyChangeLogs(ctx context.Context, m *runbook.Memo) error {
	if u.State.FailoverPoint != "" || u.State.ChainBroken() {
		if err := u.rollBack(ctx); err != nil {
			return err
		}
		return u.owe(ctx, errorcatalog.Code(m.Value(owedCode)), m.Value(shipFailed))
	}
	planned := ""
	if m.Value(stopped) == yes {
		planned = m.Value(lastCut)
	}
	err := deltareplication.Apply(ctx, u.Item, planned)
	f := unfollowable(err)
	if f == nil {
		if err != nil {
			return err
		}
		return u.owe(ctx, errorcatalog.Code(m.Value(owedCode)), m.Value(shipFailed))
	}
	m.Note(applyFailed, string(f.Code)+": "+f.Detail)
	if err := u.rollBack(ctx); err != nil {
		return err
	}
	return u.owe(ctx, f.Code, f.Detail)
}

// unfollowable is the failure of logs that only a resynchronization mends.
func unfollowable(err error) *errorcatalog.Failure {
	if err == nil {
		return nil
	}
	if f := errorcatalog.Of(err); errorcatalog.ClassOf(f.Code) == errorcatalog.Resynchronize {
		return f
	}
	return nil
}

func (u Unplanned) rollBack(ctx context.Context) error {
	store, err := u.Replica(ctx)
	if err != nil {
		return err
	}
	return store.Rollback(ctx, u.ReplicaID(), u.Token())
}

// owe records that the source is to be resynchronized if the failover is taken
// back.
func (u Unplanned) owe(ctx context.Context, reason errorcatalog.Code, detail string) error {
	if reason == "" {
		return nil
	}
	now := u.Now()
	return u.Record(ctx, protecteditem.RequireResynchronization{Reason: reason, Detail: detail, ScheduledFor: now, At: now})
}

func (u Unplanned) choosePoint(ctx context.Context, m *runbook.Memo) error {
	point := u.State.FailoverPoint
	if point == "" {
		newest, _ := u.State.NewestPoint()
		point = newest.ID
	}
	m.Note("point", point)
	return u.Record(ctx, protecteditem.RecordFailoverPoint{JobID: u.State.Job.ID, Point: point, At: u.Now()})
}

// createVM repeats safely: a VM under construction is taken up again.
func (u Unplanned) createVM(ctx context.Context, m *runbook.Memo) error {
	return target(u.Item).Create(ctx, u.State.FailoverPoint, m)
}

// copyDisks repeats safely: what has begun goes on.
func (u Unplanned) copyDisks(ctx context.Context, m *runbook.Memo) error {
	return target(u.Item).Bring(ctx, m, u.State.FailoverPoint)
}

// fenceSource tells the source's host, if it answers, that the VM is about to run
// elsewhere. A host that does not answer is told when it is back.
func (u Unplanned) fenceSource(ctx context.Context, m *runbook.Memo) error {
	quick, cancel := context.WithTimeout(ctx, fencePatience)
	defer cancel()
	source, err := u.Source(quick)
	if err == nil {
		err = source.SetActive(quick, u.VM(), false)
	}
	if err != nil {
		return u.tolerate(ctx, m, fenceFailed, err)
	}
	m.Note(fenced, yes)
	return nil
}

// startVM repeats safely: a running VM is left alone.
func (u Unplanned) startVM(ctx context.Context, _ *runbook.Memo) error {
	return target(u.Item).Start(ctx)
}

func (u Unplanned) complete(ctx context.Context, m *runbook.Memo) error {
	if u.State.Protection != protecteditem.UnplannedFailoverInProgress {
		return nil
	}
	u.Forget()
	return u.Record(ctx, protecteditem.CompleteUnplannedFailover{
		JobID: u.State.Job.ID, Point: u.State.FailoverPoint, RecoveryVM: target(u.Item).Machine.ID,
		SourceStopped: m.Value(stopped) == yes, CopyJobID: target(u.Item).copyJob(m), At: u.Now(),
	})
}

// Undo takes a failed unplanned failover back.
func (u Unplanned) Undo(ctx context.Context, journal job.State) error {
	return TakeBack(ctx, u.Item, journal)
}
