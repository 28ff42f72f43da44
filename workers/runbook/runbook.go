// Package runbook runs a workflow's steps in order. Its journal is the job's own
// stream: a completed task is a journaled step, and what the step noted is the
// task's output. After a crash a workflow resumes at the first step that is not
// journaled, so every step may run again and says why that does no harm.
package runbook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/eventstore"
)

// Step is one named action of a workflow.
type Step struct {
	Name  string // journaled, so never renamed; a golden list in the tests pins it
	Title string // what the job's task is called
	Run   func(ctx context.Context, m *Memo) error
}

// Names lists the names of steps, for the golden lists.
func Names(steps []Step) []string {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.Name
	}
	return names
}

// Memo is what the steps of a workflow tell each other across a crash.
type Memo struct {
	before map[string]string // what finished steps noted
	noted  map[string]string // what the running step notes
}

// Value returns what a finished step, or this one, noted under a key.
func (m *Memo) Value(key string) string {
	if v, ok := m.noted[key]; ok {
		return v
	}
	return m.before[key]
}

// Note keeps a value for the steps after this one. It becomes durable with the
// end of the step.
func (m *Memo) Note(key, value string) { m.noted[key] = value }

// Warn keeps what an operator should know of a step that goes on all the same: a
// code of the catalogue, what it concerns and what exactly it is.
func (m *Memo) Warn(code errorcatalog.Code, subject, detail string) {
	m.Note(job.WarningKey(code, subject), detail)
}

// Jobs executes commands on job streams.
type Jobs = eventstore.Repository[job.Command, job.Event, job.State]

// Runbook is a workflow about to run.
type Runbook struct {
	Jobs      Jobs
	ID        string // of the job
	Kind      job.Kind
	Vault     string
	Subject   string // what the job is about: the item's key
	Steps     []Step
	Execution eventstore.Execution // under which every entry is journaled
	Now       func() time.Time
}

// ErrWaiting ends the run of a job that an operator has to let go on. Nothing has
// failed: its step is begun again after that.
var ErrWaiting = errors.New("wait for an operator")

// StepError is the failure of a step.
type StepError struct {
	Step string
	Err  error
}

func (e *StepError) Error() string { return "step " + e.Step + ": " + e.Err.Error() }

// Unwrap returns what the step failed with.
func (e *StepError) Unwrap() error { return e.Err }

// Run performs the steps that the journal does not list as completed, then
// concludes the job. A job that has ended is left as it is.
func (r Runbook) Run(ctx context.Context) error {
	state, err := r.Open(ctx)
	if err != nil || state.Status.Ended() {
		return err
	}
	m := &Memo{before: map[string]string{}}
	for _, step := range r.Steps {
		if task, ok := state.Task(step.Name); ok && task.Status == job.Succeeded {
			maps.Copy(m.before, task.Output)
			continue
		}
		if err := r.perform(ctx, step, m); err != nil {
			return err
		}
	}
	return r.execute(ctx, job.Succeed{At: r.Now()})
}

// Open begins the journal, or reads it again.
func (r Runbook) Open(ctx context.Context) (job.State, error) {
	state, _, err := r.Jobs.Load(ctx, r.ID)
	if err != nil || state.Begun() {
		return state, err
	}
	tasks := make([]job.TaskSpec, len(r.Steps))
	for i, s := range r.Steps {
		tasks[i] = job.TaskSpec{Name: s.Name, Title: s.Title}
	}
	out, err := r.Jobs.Execute(ctx, r.ID, job.Start{Vault: r.Vault, Kind: r.Kind, Subject: r.Subject, Tasks: tasks, At: r.Now()}, r.Execution)
	if err != nil {
		return state, fmt.Errorf("open job %s: %w", r.ID, err)
	}
	return out.State, nil
}

func (r Runbook) perform(ctx context.Context, step Step, m *Memo) error {
	if err := r.execute(ctx, job.StartTask{Task: step.Name, At: r.Now()}); err != nil {
		return err
	}
	m.noted = map[string]string{}
	if err := Patiently(ctx, r.Now, func() error { return step.Run(ctx, m) }); err != nil {
		return &StepError{Step: step.Name, Err: err}
	}
	if err := r.execute(ctx, job.CompleteTask{Task: step.Name, Output: m.noted, At: r.Now()}); err != nil {
		return err
	}
	maps.Copy(m.before, m.noted)
	m.noted = nil
	return nil
}

// Succeed concludes a job whose work is known to be done: a step that was begun
// has ended.
func (r Runbook) Succeed(ctx context.Context, state job.State) error {
	for _, t := range state.Tasks {
		if t.Status == job.Succeeded || t.Status == job.NotStarted {
			continue
		}
		if err := r.execute(ctx, job.CompleteTask{Task: t.Name, At: r.Now()}); err != nil {
			return err
		}
	}
	return r.execute(ctx, job.Succeed{At: r.Now()})
}

// Failed journals the failure of a step and when it is tried again.
func (r Runbook) Failed(ctx context.Context, step string, f *errorcatalog.Failure, next time.Time) error {
	return r.execute(ctx, job.FailTask{Task: step, Failure: f, NextAttemptAt: next, At: r.Now()})
}

// Fail ends the job as failed. A job that never began its journal begins it, so
// that what an item's event named is never without a story.
func (r Runbook) Fail(ctx context.Context, f *errorcatalog.Failure) error {
	if _, err := r.Open(ctx); err != nil {
		return err
	}
	return r.execute(ctx, job.Fail{Failure: f, At: r.Now()})
}

// Cancel ends the job as canceled.
func (r Runbook) Cancel(ctx context.Context) error {
	return r.execute(ctx, job.Cancel{At: r.Now()})
}

// execute journals one entry. A refusal means that the job has ended already,
// through the item's own events: there is nothing left to journal.
func (r Runbook) execute(ctx context.Context, cmd job.Command) error {
	_, err := r.Jobs.Execute(ctx, r.ID, cmd, r.Execution)
	if _, refused := errors.AsType[*domain.RejectionError](err); refused {
		return nil
	}
	if err != nil {
		return fmt.Errorf("journal %T of job %s: %w", cmd, r.ID, err)
	}
	return nil
}
