// Package recoveryplan decides what may happen to a recovery plan: groups of
// protected items that are moved one group after the other, with actions before
// and after each.
//
//	definition.go  what a plan consists of, and what makes it valid
//	define.go      a plan is defined, changed and deleted
//	readiness.go   whether it was found ready, as it is now
//	run.go         a run begins and ends; it goes on under a job of its own
//	steps.go       what a run does, in order
package recoveryplan

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Category begins the name of every recovery plan's stream; "<vault>.<plan>"
// follows.
const Category = "recovery_plan"

// State is everything a rule needs to know about a recovery plan.
type State struct {
	Defined    bool // and not deleted since
	Definition Definition
	Revision   int // grows by one with each change of the definition
	Readiness  *Readiness
	Run        *Run      // the one that is open
	LastRun    *EndedRun // the one that ended last
}

// Run is a run of a plan.
type Run struct {
	JobID     string
	Operation Operation
	Options   Options
	RestartOf string // the job of the failed run that this one goes on with
	Revision  int    // of the plan
	By        string
	StartedAt time.Time
}

// EndedRun is a run that is over.
type EndedRun struct {
	Run
	Outcome Outcome
	Failure *errorcatalog.Failure
	Items   []ItemOutcome
	EndedAt time.Time
}

// Command asks for something to happen to a recovery plan.
type Command interface {
	decide(s State) ([]Event, error)
}

// Event has happened to a recovery plan.
type Event interface {
	domain.Event
	evolve(s State) State
}

// Decider is the recovery plan aggregate.
var Decider = domain.Decider[Command, Event, State]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, e Event) State { return e.evolve(s) },
}

// Events lists one zero value of each event, for the codec.
func Events() []Event {
	return []Event{Defined{}, Deleted{}, ReadinessChecked{}, RunStarted{}, RunEnded{}}
}

func (s State) requirePlan() error {
	if s.Defined {
		return nil
	}
	return domain.Reject(domain.NotFound, errorcatalog.RecoveryPlanNotFound, "the recovery plan is not defined")
}

// requireIdle refuses what would change a plan under a run.
func (s State) requireIdle() error {
	if s.Run == nil {
		return nil
	}
	return domain.Reject(domain.Conflict, errorcatalog.OperationInProgress, "%s of the plan is in progress (job %s)", s.Run.Operation, s.Run.JobID)
}

func invalid(field, format string, args ...any) error {
	return domain.Reject(domain.Invalid, errorcatalog.ValidationFailed, format, args...).At(field)
}
