package engine

import (
	"context"
	"errors"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/workers/failover"
	"farshore/workers/lane"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// copying is a turn of the lane of the background copy of a failed-over VM's disks,
// which goes on beside all others.
func (e Engine) copying(ctx context.Context, i *workflow.Item, stuck bool) (*lane.Result, error) {
	if err := e.conclude(ctx, i, i.State.EndedCopy, i.State.CopyJob); err != nil {
		return nil, err
	}
	due, is := workflow.CopyDue(i.State, e.Now())
	switch {
	case !is || due.After(e.Now()):
		return &lane.Result{DueAt: due}, nil
	case stuck:
		return &lane.Result{DueAt: e.Now().Add(stuckPause)}, nil
	default:
		return nil, e.workOnCopy(ctx, i)
	}
}

// workOnCopy tries until the disks are copied: the VM runs, so there is no way back
// but another workflow's.
func (e Engine) workOnCopy(ctx context.Context, i *workflow.Item) error {
	w := failover.CopyBehind(i, i.State.CopyJob.ID)
	rb := &runbook.Runbook{
		Jobs: e.Jobs, ID: w.JobID, Kind: job.BackgroundCopy, Vault: i.State.Vault, Subject: i.State.Key(),
		Steps: w.Steps(), Execution: i.Execution(), Now: e.Now,
	}
	rb.Execution.Metadata.Job = rb.ID
	journal, _, err := e.Jobs.Load(ctx, rb.ID)
	if err != nil {
		return err
	}
	if journal.CancelRequested {
		decline(rb)
	}
	err = rb.Run(ctx)
	if err == nil || workflow.OutcomeOf(ctx, err) != workflow.Failed {
		return err
	}
	// The event is refused, and the attempt does not count, while another workflow
	// may be removing the VM.
	f := errorcatalog.Of(err)
	if err := w.RecordBeside(ctx, protecteditem.RecordFailure{Failure: persistentCopy(f), JobID: rb.ID, At: e.Now()}); err != nil {
		return err
	}
	e.Logger.WarnContext(ctx, "background copy has failed", "item", i.Item(), "error", err)
	step := ""
	if se, ok := errors.AsType[*runbook.StepError](err); ok {
		step = se.Step
	}
	return rb.Failed(ctx, step, f, i.State.CopyRetry.NextAt)
}

// persistentCopy gives a failure that only a resynchronization would mend, and that
// a failed-over VM cannot have, a class of its own.
func persistentCopy(f *errorcatalog.Failure) *errorcatalog.Failure {
	if errorcatalog.ClassOf(f.Code) == errorcatalog.Resynchronize {
		return persistent(f)
	}
	return f
}
