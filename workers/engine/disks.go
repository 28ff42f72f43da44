package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/workers/diskreplication"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// disks is the job of disks that are added or have grown, beside the item's. It has
// no lane of its own: only the item's main one may write to the replica.
func (e Engine) disks(i *workflow.Item, id string) *runbook.Runbook {
	rb := &runbook.Runbook{
		Jobs: e.Jobs, ID: id, Kind: job.DiskReplication, Vault: i.State.Vault, Subject: i.State.Key(), Execution: i.Execution(), Now: e.Now,
	}
	rb.Execution.Metadata.Job = id
	rb.Steps = diskreplication.DiskReplication{Item: i, Cycle: func(ctx context.Context, now bool) error {
		return e.settle(ctx, i, nil, e.cycle(ctx, i, now))
	}}.Steps()
	return rb
}

// workOnDisks runs the disk job and settles its failure, which leaves the
// replication of the other disks as it is.
func (e Engine) workOnDisks(ctx context.Context, i *workflow.Item) error {
	rb := e.disks(i, i.State.DiskJob.ID)
	err := rb.Run(ctx)
	if err == nil || workflow.OutcomeOf(ctx, err) != workflow.Failed {
		return err
	}
	step := ""
	if se, ok := errors.AsType[*runbook.StepError](err); ok {
		step = se.Step
	}
	e.Logger.WarnContext(ctx, "disks were not replicated", "item", i.Item(), "error", err)
	return e.failDisks(ctx, i, step, errorcatalog.Of(err))
}

// failDisks counts a failed attempt of the disk job, or gives the disks up if they
// are what is wrong.
func (e Engine) failDisks(ctx context.Context, i *workflow.Item, step string, f *errorcatalog.Failure) error {
	if i.State.DiskJob == nil {
		return nil
	}
	rb := e.disks(i, i.State.DiskJob.ID)
	if slices.Contains(hopeless(), f.Code) {
		if step != "" {
			if err := rb.Failed(ctx, step, f, time.Time{}); err != nil {
				return err
			}
		}
		return i.Record(ctx, protecteditem.FailDiskReplication{JobID: rb.ID, Failure: f, At: e.Now()})
	}
	if errorcatalog.ClassOf(f.Code) == errorcatalog.Resynchronize || f.Code == errorcatalog.ReplicaCorrupt {
		f = persistent(f) // it begins anew
	}
	if err := i.Record(ctx, protecteditem.RecordFailure{Failure: f, JobID: rb.ID, At: e.Now()}); err != nil || step == "" {
		return err
	}
	return rb.Failed(ctx, step, f, i.State.DiskRetry.NextAt)
}

// hopeless are the failures of a disk that no further attempt would help.
func hopeless() []errorcatalog.Code {
	return []errorcatalog.Code{errorcatalog.DiskNotFound, errorcatalog.DiskSizeChanged, errorcatalog.DiskFormatUnsupported}
}

// isolate makes a failed cycle the disk job's failure, if one of the disks that are
// being added is its cause, and nil of the cycle's error.
func (e Engine) isolate(ctx context.Context, i *workflow.Item, err error) error {
	if err == nil || workflow.OutcomeOf(ctx, err) != workflow.Failed {
		return err
	}
	f, looked := diskreplication.Isolate(ctx, i, err)
	switch {
	case looked != nil && workflow.OutcomeOf(ctx, looked) != workflow.Failed:
		return looked
	case looked != nil || f == nil:
		return err
	}
	e.Logger.WarnContext(ctx, "a disk that is being added is tracked no longer; the others go on", "item", i.Item(), "error", f)
	return e.failDisks(ctx, i, "", f)
}

// concludeDisks ends the disk job that ended last, and takes the present one back if
// an operator has asked for that.
func (e Engine) concludeDisks(ctx context.Context, i *workflow.Item) error {
	if ended := i.State.EndedDisks; ended.ID != "" {
		if err := e.endDisks(ctx, i, ended); err != nil {
			return err
		}
	}
	if i.State.DiskJob == nil {
		return nil
	}
	journal, _, err := e.Jobs.Load(ctx, i.State.DiskJob.ID)
	if err != nil || !journal.CancelRequested {
		return err
	}
	f := errorcatalog.Fail(errorcatalog.Canceled, "the job was canceled by an operator")
	if err := i.Record(ctx, protecteditem.FailDiskReplication{JobID: i.State.DiskJob.ID, Failure: f, At: e.Now()}); err != nil {
		return err
	}
	return e.endDisks(ctx, i, i.State.EndedDisks)
}

func (e Engine) endDisks(ctx context.Context, i *workflow.Item, ended protecteditem.EndedJob) error {
	journal, _, err := e.Jobs.Load(ctx, ended.ID)
	if err != nil || journal.Status.Ended() {
		return err
	}
	rb := e.disks(i, ended.ID)
	if !journal.Begun() { // it had come to its end before it had begun its journal
		if journal, err = rb.Open(ctx); err != nil {
			return err
		}
	}
	switch {
	case !ended.Failed:
		return rb.Succeed(ctx, journal)
	case journal.CancelRequested:
		return rb.Cancel(ctx)
	default:
		return end(ctx, *rb, i.State.Failure)
	}
}
