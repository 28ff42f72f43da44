package engine

import (
	"context"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/workers/failover"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// cancelNote is what the steps of a job note that cannot be taken back any more.
const (
	cancelNote    = "cancelRequest"
	cancelRefused = "refused: this workflow cannot be taken back any more and goes on"
)

// canceled takes a workflow back if an operator has asked for that and if it can
// be. Otherwise the job says that it goes on. A job that is about to begin first
// ends those that it has overtaken.
func (e Engine) canceled(ctx context.Context, i *workflow.Item, rb *runbook.Runbook) (bool, error) {
	journal, _, err := e.Jobs.Load(ctx, rb.ID)
	if err != nil {
		return false, err
	}
	if !journal.Begun() && (rb.Kind == job.UnplannedFailover || rb.Kind == job.DisableProtection || rb.Kind == job.FailbackCancel) {
		if err := e.concludeOvertaken(ctx, i); err != nil {
			return false, err
		}
	}
	if !journal.CancelRequested {
		return false, nil
	}
	f := errorcatalog.Fail(errorcatalog.Canceled, "the job was canceled by an operator")
	switch rb.Kind {
	case job.EnableProtection:
		return true, e.failEnable(ctx, i, rb, "", f)
	case job.InitialReplication:
		return true, i.Record(ctx, protecteditem.DisableProtection{JobID: e.NewID(), Reason: "initial replication was canceled", At: e.Now()})
	case job.Failback:
		return true, i.Record(ctx, protecteditem.CancelFailback{JobID: e.NewID(), At: e.Now()})
	case job.ReverseReplication:
		if err := i.Record(ctx, protecteditem.FailReverseReplication{JobID: rb.ID, Failure: f, At: e.Now()}); err != nil {
			return true, err
		}
		return true, rb.Cancel(ctx)
	case job.Resynchronization:
		return true, i.Record(ctx, protecteditem.CancelResynchronization{At: e.Now()})
	case job.FailoverCommit:
		if i.State.CopyJob != nil { // it waits, and nothing is given up yet
			return true, e.undo(ctx, i, rb, f)
		}
	case job.PlannedFailover, job.UnplannedFailover:
		if !failover.PastRecall(journal) {
			return true, e.undo(ctx, i, rb, f)
		}
	default:
	}
	decline(rb)
	return false, nil
}

// called takes a workflow back that waits for an operator or its recovery plan, if
// that is what was asked for. Where that has failed, the schedule says when it is
// tried again.
func (e Engine) called(ctx context.Context, i *workflow.Item) (bool, error) {
	held := i.State.Protection == protecteditem.PlannedFailoverInProgress && i.State.Hold == protecteditem.HoldReady && i.State.Retry.Failure == nil
	if i.State.Protection != protecteditem.FailbackAwaitingCompletion && !held {
		return false, nil
	}
	rb, err := e.runbook(i)
	if err != nil {
		return false, err
	}
	return e.canceled(ctx, i, rb)
}

// decline makes the steps that are left say that the job was not canceled.
func decline(rb *runbook.Runbook) {
	for n, s := range rb.Steps {
		rb.Steps[n].Run = func(ctx context.Context, m *runbook.Memo) error {
			m.Note(cancelNote, cancelRefused)
			return s.Run(ctx, m)
		}
	}
}
