package engine

import (
	"context"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/workers/retention"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// conclude ends the job of the workflow that ended last, if it was overtaken or a
// crash came between the item's event and the job's. present is the job that has
// taken its place, if one has.
func (e Engine) conclude(ctx context.Context, i *workflow.Item, ended protecteditem.EndedJob, present *protecteditem.JobRef) error {
	if ended.ID == "" || present != nil && present.ID == ended.ID {
		return nil
	}
	state, version, err := e.Jobs.Load(ctx, ended.ID)
	if err != nil || version == 0 || state.Status.Ended() {
		return err
	}
	how := i.Execution()
	how.Metadata.Job = ended.ID
	rb := runbook.Runbook{Jobs: e.Jobs, ID: ended.ID, Kind: state.Kind, Subject: state.Subject, Execution: how, Now: e.Now}
	switch {
	case !ended.Failed && state.Kind == job.FailoverCommit:
		if err := retention.Sweep(ctx, i); err != nil {
			return err
		}
		return rb.Succeed(ctx, state)
	case !ended.Failed:
		return rb.Succeed(ctx, state)
	case state.CancelRequested, i.State.Protection == protecteditem.DisablingProtection:
		return rb.Cancel(ctx)
	case state.Kind == job.TestFailover || state.Kind == job.TestFailoverCleanup:
		return end(ctx, rb, i.State.TestFailure)
	case i.State.Protection == protecteditem.UnplannedFailoverInProgress:
		return rb.Cancel(ctx)
	case i.State.Resync.State == protecteditem.ResyncInProgress:
		return rb.Fail(ctx, errorcatalog.Fail(i.State.Resync.Reason, "%s", i.State.Resync.Detail))
	default:
		return end(ctx, rb, i.State.Failure)
	}
}

func end(ctx context.Context, rb runbook.Runbook, f *errorcatalog.Failure) error {
	if f == nil {
		return rb.Cancel(ctx)
	}
	return rb.Fail(ctx, f)
}
