package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/workers/lane"
	"farshore/workers/runbook"
	"farshore/workers/testfailover"
	"farshore/workers/workflow"
)

// drill is a turn of the lane of an item's test failover, which goes on beside
// the main one.
func (e Engine) drill(ctx context.Context, i *workflow.Item, stuck bool) (*lane.Result, error) {
	if err := e.conclude(ctx, i, i.State.EndedTest, i.State.TestJob); err != nil {
		return nil, err
	}
	due, is := workflow.DrillDue(i.State, e.Now())
	switch {
	case !is || due.After(e.Now()):
		return &lane.Result{DueAt: due}, nil
	case stuck:
		return &lane.Result{DueAt: e.Now().Add(stuckPause)}, nil
	default:
		return nil, e.workOnDrill(ctx, i)
	}
}

// drillWorkflow is a workflow of a test failover. GiveUp leaves the test failover
// as an operator can go on with it.
type drillWorkflow interface {
	Steps() []runbook.Step
	GiveUp(ctx context.Context, f *errorcatalog.Failure) error
}

func (e Engine) workOnDrill(ctx context.Context, i *workflow.Item) error {
	rb := &runbook.Runbook{
		Jobs: e.Jobs, ID: i.State.TestJob.ID, Kind: job.Kind(i.State.TestJob.Kind), Vault: i.State.Vault, Subject: i.State.Key(),
		Execution: i.Execution(), Now: e.Now,
	}
	rb.Execution.Metadata.Job = rb.ID
	var w drillWorkflow
	switch rb.Kind {
	case job.TestFailover:
		w = testfailover.Run{Item: i}
	case job.TestFailoverCleanup:
		w = testfailover.Cleanup{Item: i}
	default:
		return fmt.Errorf("find workflow of job %s: %w: %s", rb.ID, errNoWorkflow, rb.Kind)
	}
	rb.Steps = w.Steps()
	failure, err := failedStep(ctx, rb)
	if err != nil {
		return err
	}
	if failure == nil {
		err := rb.Run(ctx)
		if err == nil || workflow.OutcomeOf(ctx, err) != workflow.Failed {
			return err
		}
		e.Logger.WarnContext(ctx, "test failover has failed", "item", i.Item(), "job", rb.Kind, "error", err)
		failure = errorcatalog.Of(err)
		step := ""
		if se, ok := errors.AsType[*runbook.StepError](err); ok {
			step = se.Step
		}
		if err := rb.Failed(ctx, step, failure, time.Time{}); err != nil {
			return err
		}
	}
	if err := w.GiveUp(ctx, failure); err != nil {
		return err
	}
	return rb.Fail(ctx, failure)
}
