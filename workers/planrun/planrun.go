// Package planrun runs recovery plans. A run goes on under a job of its own, on a
// lane of its own kind: the job's tasks are the plan's steps, and each item's job
// is announced as a part of it before the item is asked. What an item is asked for
// is what the API asks for, so that the item's own rules answer and its own lane
// does the work.
//
// A run holds its lane only while it has something to do. It lets go while items
// are on their way or an operator is awaited: the end of an item's job, the word
// of the operator or, as a floor, a clock brings it back. Every step may be taken
// again after a crash.
package planrun

import (
	"context"
	"fmt"
	"strings"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/recoveryplan"
	"farshore/eventstore"
	"farshore/workers/lane"
	"farshore/workers/workflow"
)

// Plans executes commands on recovery plans.
type Plans = eventstore.Repository[recoveryplan.Command, recoveryplan.Event, recoveryplan.State]

// Worker runs plans whose lanes are due.
type Worker struct {
	workflow.Parts
	Plans   Plans
	Scripts string // the directory of the programs that plans may run
	// Places holds a value for each script that runs, and bounds them; nil: any number may.
	Places chan struct{}
}

// Session is the hold on a plan's lane; a lane.Session is one.
type Session interface {
	workflow.Session
	// Leased returns a context that ends before somebody else may hold the lane.
	Leased(ctx context.Context) (context.Context, context.CancelFunc)
}

// The pauses of a run.
const (
	// floor is how soon a run looks after its items without being told to.
	floor = 30 * time.Second
	// again is how soon it goes on after a hiccup.
	again = 2 * time.Second
	// knock is how often a port is tried, or a place for a script.
	knock = time.Second
)

// turns bounds how often a run whose state has moved under it is read again at once.
const turns = 5

// Handle goes on with the run of a plan as far as it can.
func (w Worker) Handle(ctx context.Context, s Session) (lane.Result, error) {
	for range turns {
		due, err := w.turn(ctx, s)
		if err == nil {
			return lane.Result{DueAt: due}, nil
		}
		switch workflow.OutcomeOf(ctx, err) {
		case workflow.Lost:
			return lane.Result{}, lane.ErrFenced
		case workflow.Interrupted:
			return lane.Result{DueAt: w.Now()}, nil
		case workflow.Waiting:
			w.Logger.WarnContext(ctx, "database is away; waiting", "plan", s.Item(), "error", err)
			return lane.Result{DueAt: w.Now().Add(again)}, nil
		case workflow.Overtaken:
			w.Logger.InfoContext(ctx, "the plan has moved on", "plan", s.Item(), "error", err)
		case workflow.Failed:
			return lane.Result{}, err
		}
	}
	return lane.Result{DueAt: w.Now().Add(again)}, nil
}

// turn goes on with the plan's run, if one is open, and returns when it is due
// next: zero when an event says so.
func (w Worker) turn(ctx context.Context, s Session) (time.Time, error) {
	plan, _, err := w.Plans.Load(ctx, s.Item())
	if err != nil {
		return time.Time{}, fmt.Errorf("load recovery plan %s: %w", s.Item(), err)
	}
	r := &run{Worker: w, hold: s, key: s.Item(), plan: plan}
	r.vault, _, _ = strings.Cut(r.key, ".")
	if plan.LastRun != nil {
		if err := r.conclude(ctx, *plan.LastRun); err != nil {
			return time.Time{}, err
		}
	}
	if plan.Run == nil {
		return time.Time{}, nil
	}
	r.now = *plan.Run
	r.steps = recoveryplan.Steps(plan.Definition, r.now.Operation)
	if err := r.begin(ctx); err != nil {
		return time.Time{}, err
	}
	return r.work(ctx)
}

// run is the run of a plan in the hands of the holder of its lane.
type run struct {
	Worker
	hold       Session
	key, vault string
	plan       recoveryplan.State
	now        recoveryplan.Run
	steps      []recoveryplan.Step
	journal    job.State
	due        time.Time // when what is waited for is looked after
}

// execution says on whose behalf this worker records under a job of the run, and
// under which fence.
func (r *run) execution(id string) eventstore.Execution {
	fence := r.hold.Fence()
	return eventstore.Execution{
		Metadata: eventstore.Metadata{Actor: "worker:" + r.Parts.Worker, Vault: r.vault, Job: id, Correlation: r.now.JobID}, Fence: &fence,
	}
}

// record journals a command on the run's job.
func (r *run) record(ctx context.Context, cmd job.Command) error {
	out, err := r.Jobs.Execute(ctx, r.now.JobID, cmd, r.execution(r.now.JobID))
	if err != nil {
		return fmt.Errorf("journal %T of job %s: %w", cmd, r.now.JobID, err)
	}
	r.journal = out.State
	return nil
}

// begin opens the job, or reads it again. A run that goes on with a failed one
// takes over which of its actions are done. Its items are looked at again: one may
// have been left out, taken back or cancelled since, and what is where it belongs
// is skipped.
func (r *run) begin(ctx context.Context) error {
	tasks := make([]job.TaskSpec, len(r.steps))
	for i, s := range r.steps {
		tasks[i] = job.TaskSpec{Name: s.Name, Title: s.Title}
	}
	err := r.record(ctx, job.Start{Vault: r.vault, Kind: job.PlanKind(string(r.now.Operation)), Subject: r.key, Tasks: tasks, At: r.Now()})
	if err != nil || r.now.RestartOf == "" {
		return err
	}
	before, _, err := r.Jobs.Load(ctx, r.now.RestartOf)
	if err != nil {
		return fmt.Errorf("load job %s: %w", r.now.RestartOf, err)
	}
	for _, s := range r.steps {
		was, _ := before.Task(s.Name)
		is, _ := r.journal.Task(s.Name)
		if s.Kind != recoveryplan.Act || was.Status != job.Succeeded || is.Status != job.NotStarted {
			continue
		}
		out := before.Output(s.Name)
		if out == nil {
			out = map[string]string{}
		}
		out[noteKey] = "done by job " + r.now.RestartOf
		if err := r.record(ctx, job.CompleteTask{Task: s.Name, Output: out, At: r.Now()}); err != nil {
			return err
		}
	}
	return nil
}

// work takes the steps that are left, until one has to wait or the run ends.
func (r *run) work(ctx context.Context) (time.Time, error) {
	if r.journal.CancelRequested {
		return r.leave(ctx, recoveryplan.Canceled, nil)
	}
	var failure *errorcatalog.Failure
	for _, step := range r.steps {
		if err := r.take(ctx, step); err != nil {
			return r.due, waits(err)
		}
		task, _ := r.journal.Task(step.Name)
		if task.Status != job.Failed {
			continue
		}
		if r.plan.Definition.OnFailure == recoveryplan.Stop {
			return r.leave(ctx, recoveryplan.Failed, task.Failure)
		}
		if failure == nil {
			failure = task.Failure
		}
	}
	if failure != nil {
		return r.leave(ctx, recoveryplan.Failed, failure)
	}
	return r.leave(ctx, recoveryplan.Succeeded, nil)
}

// leave ends a run once its items are at rest. Of one that has failed or was
// canceled, what can be taken back is, and what has changed sides stays.
func (r *run) leave(ctx context.Context, outcome recoveryplan.Outcome, f *errorcatalog.Failure) (time.Time, error) {
	resting, err := r.rest(ctx)
	if err != nil {
		return time.Time{}, err
	}
	if !resting {
		return r.Now().Add(floor), nil
	}
	return time.Time{}, r.end(ctx, outcome, f)
}

// end closes the run. The plan's own event comes first: the job's follows from it
// whatever happens in between.
func (r *run) end(ctx context.Context, outcome recoveryplan.Outcome, f *errorcatalog.Failure) error {
	items, err := r.outcomes(ctx)
	if err != nil {
		return err
	}
	cmd := recoveryplan.EndRun{JobID: r.now.JobID, Outcome: outcome, Failure: f, Items: items, At: r.Now()}
	out, err := r.Plans.Execute(ctx, r.key, cmd, r.execution(r.now.JobID))
	if err != nil {
		return fmt.Errorf("end the run of recovery plan %s: %w", r.key, err)
	}
	r.plan = out.State
	if r.plan.LastRun == nil {
		return nil
	}
	return r.conclude(ctx, *r.plan.LastRun)
}

// conclude ends the job of the run that ended last, if a crash came between the
// plan's event and the job's.
func (r *run) conclude(ctx context.Context, last recoveryplan.EndedRun) error {
	state, _, err := r.Jobs.Load(ctx, last.JobID)
	if err != nil {
		return fmt.Errorf("load job %s: %w", last.JobID, err)
	}
	if !state.Begun() || state.Status.Ended() {
		return nil
	}
	r.now = last.Run
	switch last.Outcome {
	case recoveryplan.Succeeded:
		return r.record(ctx, job.Succeed{At: r.Now()})
	case recoveryplan.Canceled:
		return r.record(ctx, job.Cancel{At: r.Now()})
	default:
		return r.record(ctx, job.Fail{Failure: last.Failure, At: r.Now()})
	}
}
