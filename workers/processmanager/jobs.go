package processmanager

import (
	"context"
	"fmt"

	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
	"farshore/workers/lane"
	"farshore/workers/runbook"
)

// handleJob makes the worker at a job look at a request to cancel it, the run of a
// recovery plan go on when it is let, and the plan of which a job is a part when
// that job has ended.
func (m *Manager) handleJob(ctx context.Context, id, event string) error {
	switch event {
	case job.CancelRequested{}.EventType(), job.JobResumed{}.EventType():
	case job.JobSucceeded{}.EventType(), job.JobFailed{}.EventType(), job.JobCanceled{}.EventType():
		return m.wakePlanOf(ctx, id)
	default:
		return nil
	}
	state, err := m.job(ctx, id)
	if err != nil {
		return err
	}
	if state.Status.Ended() || state.Subject == "" {
		return nil
	}
	interrupt := event == job.CancelRequested{}.EventType()
	kind := lane.Replication
	switch {
	case state.Kind.OfPlan():
		kind = lane.Plan
	case !interrupt: // its item's own event has woken the lane
		return nil
	case state.Kind == job.BackgroundCopy:
		kind = lane.Copy
	case state.Kind == job.TestFailover || state.Kind == job.TestFailoverCleanup:
		kind = lane.Drill
	}
	return m.ask(ctx, lane.Due{Key: lane.Key{Item: state.Subject, Kind: kind}, At: m.Now(), Interrupt: interrupt})
}

// handlePlan makes the lane of a plan due whose run begins.
func (m *Manager) handlePlan(ctx context.Context, plan, event string) error {
	if event != (recoveryplan.RunStarted{}).EventType() {
		return nil
	}
	return m.ask(ctx, lane.Due{Key: lane.Key{Item: plan, Kind: lane.Plan}, At: m.Now()})
}

// awaitsPlan says whether an item waits, after an event, for the recovery plan
// that it is moved by, if it is.
func awaitsPlan(event string) bool {
	return event == protecteditem.PlannedFailoverReady{}.EventType() || event == protecteditem.FailbackSynchronized{}.EventType()
}

// wakePlanOf makes the lane of the recovery plan due of whose run a job is a part.
func (m *Manager) wakePlanOf(ctx context.Context, id string) error {
	state, err := m.job(ctx, id)
	if err != nil || state.Parent == "" {
		return err
	}
	run, err := m.job(ctx, state.Parent)
	if err != nil || run.Status.Ended() || !run.Kind.OfPlan() {
		return err
	}
	return m.ask(ctx, lane.Due{Key: lane.Key{Item: run.Subject, Kind: lane.Plan}, At: m.Now()})
}

func (m *Manager) job(ctx context.Context, id string) (job.State, error) {
	jobs := runbook.Jobs{Store: m.Items.Store, Category: job.Category, Decider: job.Decider}
	state, _, err := jobs.Load(ctx, id)
	if err != nil {
		return state, fmt.Errorf("load job %s: %w", id, err)
	}
	return state, nil
}
