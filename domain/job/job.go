// Package job decides what may happen to a job: one run of a workflow, with its
// tasks. A job's stream is also its runbook's journal: a completed task is a step
// that is not done again, and its output is what the step has to remember.
//
//	lifecycle.go  NotStarted → Running → Succeeded, Failed or Canceled
//	task.go       the tasks in between
//	announce.go   a job that is a part of another one
//	input.go      waiting for an operator
//	resume.go     an operator's word for a job that waits for it
//	restart.go    the job that begins a failed one anew
package job

import (
	"maps"
	"slices"
	"strings"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Category begins the name of every job's stream; its UUID follows.
const Category = "job"

// Kind says which workflow a job runs.
type Kind string

// The kinds of job.
const (
	EnableProtection   Kind = "EnableProtection"
	InitialReplication Kind = "InitialReplication"
	FinalizeProtection Kind = "FinalizeProtection"
	Resynchronization  Kind = "Resynchronization"
	PlannedFailover    Kind = "PlannedFailover"
	FailoverCommit     Kind = "FailoverCommit"
	DisableProtection  Kind = "DisableProtection"

	UnplannedFailover   Kind = "UnplannedFailover"
	TestFailover        Kind = "TestFailover"
	TestFailoverCleanup Kind = "TestFailoverCleanup"
	FailoverCancel      Kind = "FailoverCancel"
	ApplyRecoveryPoint  Kind = "ApplyRecoveryPoint"
	Failback            Kind = "Failback"
	FailbackCommit      Kind = "FailbackCommit"
	FailbackCancel      Kind = "FailbackCancel"
	DiskReplication     Kind = "DiskReplication"
	BackgroundCopy      Kind = "BackgroundCopy"
	ReverseReplication  Kind = "ReverseReplication"
)

// The kinds of job that run a recovery plan, whose key is their subject.
const (
	RecoveryPlanTestFailover             = planPrefix + TestFailover
	RecoveryPlanTestFailoverCleanup      = planPrefix + TestFailoverCleanup
	RecoveryPlanPlannedFailover          = planPrefix + PlannedFailover
	RecoveryPlanUnplannedFailover        = planPrefix + UnplannedFailover
	RecoveryPlanFailback                 = planPrefix + Failback
	RecoveryPlanFailoverCommit           = planPrefix + FailoverCommit
	planPrefix                      Kind = "RecoveryPlan"
)

// PlanKind is the kind of the job that runs a recovery plan as an operation.
func PlanKind(operation string) Kind { return planPrefix + Kind(operation) }

// OfPlan says whether a job of this kind runs a recovery plan.
func (k Kind) OfPlan() bool { return strings.HasPrefix(string(k), string(planPrefix)) }

// Status is a job's or task's place in its life cycle.
type Status string

// The statuses. WaitingForInput is a job that an operator has to let go on, Waiting
// a task that begins by itself once there is room for it.
const (
	NotStarted      Status = "NotStarted"
	Waiting         Status = "Waiting"
	Running         Status = "Running"
	WaitingForInput Status = "WaitingForInput"
	Succeeded       Status = "Succeeded"
	Failed          Status = "Failed"
	Canceled        Status = "Canceled"
	Skipped         Status = "Skipped" // a task that its job ended without
)

// TaskSpec describes a task when its job starts.
type TaskSpec struct {
	Name  string `json:"name"`  // a step's name, unique in the job
	Title string `json:"title"` // for people
}

// Task is the state of a task.
type Task struct {
	TaskSpec
	Status        Status
	Attempts      int
	Output        map[string]string
	Failure       *errorcatalog.Failure // of the last attempt; or what the task waits for
	NextAttemptAt time.Time             // zero: there is none
	StartedAt     time.Time             // the first attempt
	EndedAt       time.Time
}

// State is everything a rule needs to know about a job. The empty status belongs
// to a job that has not been started.
type State struct {
	Status          Status
	Vault           string
	Kind            Kind
	Subject         string // what it works on: the key of a protected item
	Parent          string // the job that it is a part of
	Tasks           []Task
	Input           *Input // what it waits for
	CancelRequested bool
	Comments        []Comment
	RestartOf       string // the failed job that this one begins anew; read models know it
	RestartedAs     string // the job that begins this one anew
	Failure         *errorcatalog.Failure
	StartedAt       time.Time
	EndedAt         time.Time
}

// Ended says whether a job or task of this status is over.
func (s Status) Ended() bool {
	return s == Succeeded || s == Failed || s == Canceled || s == Skipped
}

// Task returns the task of the given name.
func (s State) Task(name string) (Task, bool) {
	i := s.find(name)
	if i < 0 {
		return Task{}, false
	}
	return s.Tasks[i], true
}

// Output returns what a completed task has to remember, or nil.
func (s State) Output(task string) map[string]string {
	t, _ := s.Task(task)
	return maps.Clone(t.Output)
}

// Command asks for something to happen to a job.
type Command interface {
	decide(s State) ([]Event, error)
}

// Event has happened to a job.
type Event interface {
	domain.Event
	evolve(s State) State
}

// Decider is the job aggregate.
var Decider = domain.Decider[Command, Event, State]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, e Event) State { return e.evolve(s) },
}

// Events lists one zero value of each event, for the codec.
func Events() []Event {
	return []Event{
		JobAnnounced{},
		JobStarted{},
		TaskStarted{},
		TaskDeferred{},
		TaskCompleted{},
		TaskFailed{},
		JobSucceeded{},
		JobFailed{},
		CancelRequested{},
		JobCanceled{},
		InputAwaited{},
		JobResumed{},
		JobRestarted{},
	}
}

func (s State) find(task string) int {
	return slices.IndexFunc(s.Tasks, func(t Task) bool { return t.Name == task })
}

// withTask returns the state with a task changed.
func (s State) withTask(name string, change func(Task) Task) State {
	if i := s.find(name); i >= 0 {
		s.Tasks = slices.Clone(s.Tasks)
		s.Tasks[i] = change(s.Tasks[i])
	}
	return s
}

// requireOpen refuses a command to a job that does not exist or is over.
func (s State) requireOpen() error {
	switch {
	case s.Status == "":
		return domain.Reject(domain.NotFound, errorcatalog.JobNotFound, "the job has not been started")
	case s.Status.Ended():
		return domain.Reject(domain.Conflict, errorcatalog.JobEnded, "the job has ended (%s)", s.Status)
	default:
		return nil
	}
}

// plain is a failure as it is stored: without the error behind it.
func plain(f *errorcatalog.Failure) errorcatalog.Failure {
	if f == nil {
		return errorcatalog.Failure{Code: errorcatalog.InternalError, Detail: "no failure was given"}
	}
	return errorcatalog.Failure{Code: f.Code, Detail: f.Detail}
}

func invalid(field, format string, args ...any) error {
	return domain.Reject(domain.Invalid, errorcatalog.ValidationFailed, format, args...).At(field)
}
