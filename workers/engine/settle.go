package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/workers/failback"
	"farshore/workers/failover"
	"farshore/workers/protection"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// settle decides what becomes of a run's error: only what failed by itself counts
// as an attempt. rb is nil when no job was at work.
func (e Engine) settle(ctx context.Context, i *workflow.Item, rb *runbook.Runbook, err error) error {
	if errors.Is(err, runbook.ErrWaiting) {
		return nil
	}
	if err == nil || workflow.OutcomeOf(ctx, err) != workflow.Failed {
		return err
	}
	e.Logger.WarnContext(ctx, "attempt has failed", "item", i.Item(), "state", i.State.Protection, "error", err)
	f := errorcatalog.Of(err)
	if rb == nil {
		return e.count(ctx, i, f)
	}
	step := ""
	if se, ok := errors.AsType[*runbook.StepError](err); ok {
		step = se.Step
	}
	_, retreats := retreatOf(i, rb.Kind)
	retreats = retreats && i.State.Job != nil
	switch {
	case rb.Kind == job.EnableProtection && errorcatalog.ClassOf(f.Code) != errorcatalog.Recoverable:
		return e.failEnable(ctx, i, rb, step, f)
	case retreats && !endures(i, rb.Kind, f):
		if err := rb.Failed(ctx, step, f, time.Time{}); err != nil {
			return err
		}
		return e.undo(ctx, i, rb, f)
	case rb.Kind == job.FailbackCancel && failback.Cancel{Item: i}.GivenUp(step, f):
		if err := i.Record(ctx, protecteditem.FailFailbackCancel{JobID: rb.ID, Failure: f, At: e.Now()}); err != nil {
			return err
		}
		return e.close(ctx, rb, f)
	case slices.Contains(unending(), rb.Kind):
		// Giving up would leave an item that can neither follow nor be let go.
		f = persistent(f)
	}
	if err := e.count(ctx, i, f); err != nil {
		return err
	}
	return rb.Failed(ctx, step, f, i.State.Retry.NextAt)
}

// count records a failed attempt, or that the replica can no longer follow.
func (e Engine) count(ctx context.Context, i *workflow.Item, f *errorcatalog.Failure) error {
	if errorcatalog.ClassOf(f.Code) == errorcatalog.Resynchronize {
		return e.require(ctx, i, f)
	}
	cmd := protecteditem.RecordFailure{Failure: f, At: e.Now()}
	if i.State.Job != nil {
		cmd.JobID = i.State.Job.ID
	}
	return i.Record(ctx, cmd)
}

// require marks the item for resynchronization: off-hours if there is a replica
// to fall back on, at once while there is none.
func (e Engine) require(ctx context.Context, i *workflow.Item, f *errorcatalog.Failure) error {
	now := e.Now()
	at := now
	if i.State.InitialReplicated {
		at = i.State.Policy.ResyncWindow.Next(now, i.Zone(ctx))
	}
	return i.Record(ctx, protecteditem.RequireResynchronization{Reason: f.Code, Detail: f.Detail, ScheduledFor: at, At: now})
}

// unending are the workflows that are tried until they succeed.
func unending() []job.Kind {
	return []job.Kind{job.Resynchronization, job.DisableProtection, job.FailbackCancel, job.FailbackCommit, job.ReverseReplication}
}

// endures says whether a workflow that could be taken back is tried again instead:
// a failback harms nothing while the recovery VM runs, and keeps what it has
// brought; a commit is given up only if it waits for an operator, and so is what was
// forced.
func endures(i *workflow.Item, kind job.Kind, f *errorcatalog.Failure) bool {
	if kind == job.FailoverCommit || i.State.Forced {
		return errorcatalog.ClassOf(f.Code) == errorcatalog.Recoverable
	}
	return kind == job.Failback && i.State.Protection == protecteditem.FailbackSynchronizing &&
		i.State.Failback.Mode == protecteditem.MinimizeDowntime && errorcatalog.ClassOf(f.Code) == errorcatalog.Recoverable
}

// persistent keeps a failure on the retry schedule whatever its class.
func persistent(f *errorcatalog.Failure) *errorcatalog.Failure {
	if errorcatalog.ClassOf(f.Code) == errorcatalog.Recoverable {
		return f
	}
	return errorcatalog.Fail(errorcatalog.InternalError, "%s: %s", f.Code, f.Detail)
}

// failEnable gives up an enable that no retry would help, and leaves nothing of
// it behind. Taking back is retried like anything else.
func (e Engine) failEnable(ctx context.Context, i *workflow.Item, rb *runbook.Runbook, step string, f *errorcatalog.Failure) error {
	if err := (protection.Enable{Item: i}).Undo(ctx); err != nil {
		if workflow.OutcomeOf(ctx, err) != workflow.Failed {
			return err
		}
		return e.count(ctx, i, persistent(errorcatalog.Of(err)))
	}
	if step != "" {
		if err := rb.Failed(ctx, step, f, time.Time{}); err != nil {
			return err
		}
	}
	if err := i.Record(ctx, protecteditem.FailEnable{JobID: rb.ID, Failure: f, At: e.Now()}); err != nil {
		return err
	}
	return e.close(ctx, rb, f)
}

// close ends the job of a workflow that has been taken back.
func (e Engine) close(ctx context.Context, rb *runbook.Runbook, f *errorcatalog.Failure) error {
	if f.Code == errorcatalog.Canceled {
		return rb.Cancel(ctx)
	}
	return rb.Fail(ctx, f)
}

// retreat is how a workflow that has failed leaves the item so that an operator
// can go on with it.
type retreat struct {
	undo func(ctx context.Context, journal job.State) error
	fail func(journal job.State, f *errorcatalog.Failure) protecteditem.Command
}

// retreatOf is the retreat of a kind of workflow that is not tried again by
// itself.
func retreatOf(i *workflow.Item, kind job.Kind) (retreat, bool) {
	switch kind {
	case job.PlannedFailover:
		return retreat{failover.Planned{Item: i}.Undo, func(_ job.State, f *errorcatalog.Failure) protecteditem.Command {
			return protecteditem.FailPlannedFailover{JobID: i.State.Job.ID, Failure: f, At: i.Now()}
		}}, true
	case job.UnplannedFailover:
		return retreat{failover.Unplanned{Item: i}.Undo, func(_ job.State, f *errorcatalog.Failure) protecteditem.Command {
			return protecteditem.FailUnplannedFailover{JobID: i.State.Job.ID, Failure: f, At: i.Now()}
		}}, true
	case job.ApplyRecoveryPoint:
		return retreat{failover.ChangePoint{Item: i}.Undo, func(journal job.State, f *errorcatalog.Failure) protecteditem.Command {
			return protecteditem.FailRecoveryPointChange{JobID: i.State.Job.ID, Failure: f, RecoveryVM: failover.Left(i.State, journal), At: i.Now()}
		}}, true
	case job.FailoverCommit:
		return retreat{nothingToUndo, func(_ job.State, f *errorcatalog.Failure) protecteditem.Command {
			return protecteditem.FailFailoverCommit{JobID: i.State.Job.ID, Failure: f, At: i.Now()}
		}}, true
	case job.Failback:
		left := false
		undo := func(ctx context.Context, journal job.State) (err error) {
			left, err = failback.Failback{Item: i}.Undo(ctx, journal)
			return err
		}
		return retreat{undo, func(_ job.State, f *errorcatalog.Failure) protecteditem.Command {
			return protecteditem.FailFailback{JobID: i.State.Job.ID, Failure: f, Left: left, At: i.Now()}
		}}, true
	case job.FailoverCancel:
		return retreat{failover.Cancel{Item: i}.Undo, func(journal job.State, f *errorcatalog.Failure) protecteditem.Command {
			return protecteditem.FailFailoverCancel{JobID: i.State.Job.ID, Failure: f, RecoveryVM: failover.Left(i.State, journal), At: i.Now()}
		}}, true
	default:
		return retreat{}, false
	}
}

func nothingToUndo(context.Context, job.State) error { return nil }

// undo takes a workflow back that has failed or was canceled. It is tried on the
// schedule until it succeeds, for the VM may run nowhere.
func (e Engine) undo(ctx context.Context, i *workflow.Item, rb *runbook.Runbook, f *errorcatalog.Failure) error {
	if f == nil {
		return nil
	}
	journal, _, err := e.Jobs.Load(ctx, rb.ID)
	if err != nil {
		return err
	}
	back, _ := retreatOf(i, rb.Kind)
	err = runbook.Patiently(ctx, e.Now, func() error { return back.undo(ctx, journal) })
	if err != nil {
		if workflow.OutcomeOf(ctx, err) != workflow.Failed {
			return err
		}
		e.Logger.WarnContext(ctx, "workflow was not taken back; trying again later", "item", i.Item(), "job", rb.Kind, "error", err)
		return e.count(ctx, i, persistent(errorcatalog.Of(err)))
	}
	if err := i.Record(ctx, back.fail(journal, f)); err != nil {
		return err
	}
	if err := e.close(ctx, rb, f); err != nil {
		return err
	}
	if rb.Kind == job.PlannedFailover && errorcatalog.ClassOf(f.Code) == errorcatalog.Resynchronize {
		return e.require(ctx, i, f)
	}
	return nil
}

// failedStep returns the failure of a step that the journal lists as failed.
func failedStep(ctx context.Context, rb *runbook.Runbook) (*errorcatalog.Failure, error) {
	journal, _, err := rb.Jobs.Load(ctx, rb.ID)
	if err != nil {
		return nil, err
	}
	for _, t := range journal.Tasks {
		if t.Status == job.Failed {
			return t.Failure, nil
		}
	}
	return nil, nil
}
