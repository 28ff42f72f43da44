package engine

import (
	"context"
	"fmt"
	"maps"

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
	state, _, err := e.Jobs.Load(ctx, ended.ID)
	if err != nil || state.Status.Ended() {
		return err
	}
	if state.Status == "" {
		return e.concludeOvertaken(ctx, i)
	}
	how := i.Execution()
	how.Metadata.Job = ended.ID
	rb := runbook.Runbook{Jobs: e.Jobs, ID: ended.ID, Kind: state.Kind, Subject: state.Subject, Execution: how, Now: e.Now}
	switch {
	case !ended.Failed && state.Kind == job.FailoverCommit:
		// What a store that is away keeps is swept when the lane is next at work.
		if err := e.later(ctx, i, retention.Sweep(ctx, i)); err != nil {
			return err
		}
		return rb.Succeed(ctx, state)
	case !ended.Failed:
		return rb.Succeed(ctx, state)
	case state.Kind == job.Resynchronization && i.State.Resync.Unscheduled:
		e.dropSnapshot(ctx, i, ended.ID)
		return rb.Cancel(ctx)
	case state.Kind == job.BackgroundCopy:
		return rb.Cancel(ctx)
	case state.CancelRequested, i.State.Protection == protecteditem.DisablingProtection:
		return rb.Cancel(ctx)
	case state.Kind == job.TestFailover || state.Kind == job.TestFailoverCleanup:
		return end(ctx, rb, i.State.TestFailure)
	case i.State.Protection == protecteditem.UnplannedFailoverInProgress, present != nil && present.Kind == protecteditem.FailbackCancelJob:
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

// dropSnapshot removes what a resynchronization that was canceled has left at the
// source. The next one begins with a snapshot of its own, so nothing depends on it.
func (e Engine) dropSnapshot(ctx context.Context, i *workflow.Item, snapshot string) {
	source, err := i.Source(ctx)
	if err == nil {
		err = source.DeleteSnapshot(ctx, i.VM(), snapshot)
	}
	if err != nil {
		e.Logger.WarnContext(ctx, "snapshot of a canceled resynchronization was not deleted", "item", i.Item(), "snapshot", snapshot, "error", err)
	}
}

// lookBack is how many of an item's last events are searched for jobs that were
// overtaken: whatever overtakes them has only just begun.
const lookBack = 64

// concludeOvertaken ends the jobs that were overtaken before they had begun their
// journals, so that none is said to be about to start for ever.
func (e Engine) concludeOvertaken(ctx context.Context, i *workflow.Item) error {
	overtaken, err := e.overtaken(ctx, i)
	if err != nil {
		return err
	}
	for id, kind := range overtaken {
		if err := e.cancelJob(ctx, i, id, kind); err != nil {
			return err
		}
	}
	return nil
}

// overtaken finds the jobs whose place another took, in the item's last events.
func (e Engine) overtaken(ctx context.Context, i *workflow.Item) (map[string]job.Kind, error) {
	begun, overtaken := map[string]job.Kind{}, map[string]job.Kind{}
	for rec, err := range e.Items.Store.Stream(ctx, e.Items.StreamOf(i.Item()), max(0, i.Version-lookBack)) {
		if err != nil {
			return nil, fmt.Errorf("read events of %s: %w", i.Item(), err)
		}
		event, ok := rec.Event.(protecteditem.Event)
		if !ok {
			continue
		}
		for _, ref := range protecteditem.BegunJobs(event) {
			begun[ref.ID] = job.Kind(ref.Kind)
		}
		for _, id := range protecteditem.OvertakenJobs(event) {
			if kind, ok := begun[id]; ok {
				overtaken[id] = kind
			}
		}
		if _, disabling := event.(protecteditem.ProtectionDisabling); disabling {
			// A resynchronization that was asked for and had not begun.
			maps.Copy(overtaken, resynchronizations(begun))
		}
	}
	return overtaken, nil
}

func resynchronizations(jobs map[string]job.Kind) map[string]job.Kind {
	found := maps.Clone(jobs)
	maps.DeleteFunc(found, func(_ string, kind job.Kind) bool { return kind != job.Resynchronization })
	return found
}

func (e Engine) cancelJob(ctx context.Context, i *workflow.Item, id string, kind job.Kind) error {
	state, _, err := e.Jobs.Load(ctx, id)
	if err != nil || state.Status.Ended() {
		return err
	}
	how := i.Execution()
	how.Metadata.Job = id
	if !state.Begun() {
		start := job.Start{Vault: i.State.Vault, Kind: kind, Subject: i.State.Key(), At: e.Now()}
		if _, err := e.Jobs.Execute(ctx, id, start, how); err != nil {
			return fmt.Errorf("open job %s: %w", id, err)
		}
	}
	return runbook.Runbook{Jobs: e.Jobs, ID: id, Kind: kind, Subject: i.State.Key(), Execution: how, Now: e.Now}.Cancel(ctx)
}
