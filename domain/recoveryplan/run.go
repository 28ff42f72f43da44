package recoveryplan

import (
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// maxOption is how long a choice or a note of a run may be.
const maxOption = 4096

// Options are the choices of a run, which its items are asked with.
type Options struct {
	RecoveryPoint  string `json:"recoveryPoint,omitempty"` // of a test or an unplanned failover: latest, latestProcessed, latestAppConsistent
	Network        string `json:"network,omitempty"`       // of a test failover
	ShutDownSource bool   `json:"shutDownSource,omitempty"`
	Resume         bool   `json:"resume,omitempty"` // of a planned failover: replication, where it is paused
	Notes          string `json:"notes,omitempty"`  // of a cleanup
	// AllowUnmappedNetworks lets VMs of a planned failover come up with adapters that are not connected.
	AllowUnmappedNetworks bool `json:"allowUnmappedNetworks,omitempty"`
}

// Outcome is how a run, or an item in it, has ended.
type Outcome string

// The outcomes. Skipped is an item that was where the run would have brought it,
// NotReached one that the run did not come to.
const (
	Succeeded  Outcome = "Succeeded"
	Failed     Outcome = "Failed"
	Canceled   Outcome = "Canceled"
	Skipped    Outcome = "Skipped"
	NotReached Outcome = "NotReached"
)

// ItemOutcome is what became of an item in a run.
type ItemOutcome struct {
	Item    string  `json:"item"`
	Job     string  `json:"job,omitempty"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail,omitempty"`
}

// StartRun begins a run under a job of its own. One that goes on with a failed run
// names that run's job.
type StartRun struct {
	JobID     string
	Operation Operation
	Options   Options
	RestartOf string
	By        string
	At        time.Time
}

func (c StartRun) decide(s State) ([]Event, error) {
	switch {
	case c.JobID == "":
		return nil, invalid("/jobId", "an id is required")
	case !slices.Contains(Operations(), c.Operation):
		return nil, invalid("/operation", "%q is not an operation of a plan", c.Operation)
	case len(c.Options.Notes) > maxOption:
		return nil, invalid("/notes", "notes have at most %d bytes", maxOption)
	}
	if err := s.requirePlan(); err != nil {
		return nil, err
	}
	if s.runs(c.JobID) || s.ended(c.JobID) {
		return nil, nil
	}
	if err := s.requireIdle(); err != nil {
		return nil, err
	}
	if c.RestartOf != "" {
		if err := s.requireFailed(c.RestartOf, c.Operation); err != nil {
			return nil, err
		}
	}
	return []Event{RunStarted{
		JobID: c.JobID, Operation: c.Operation, Options: c.Options, RestartOf: c.RestartOf, Revision: s.Revision, By: c.By, At: c.At,
	}}, nil
}

func (s State) runs(job string) bool  { return s.Run != nil && s.Run.JobID == job }
func (s State) ended(job string) bool { return s.LastRun != nil && s.LastRun.JobID == job }

// requireFailed refuses to go on with what is not the plan's last run as it failed.
func (s State) requireFailed(job string, o Operation) error {
	switch {
	case !s.ended(job) || s.LastRun.Operation != o:
		return domain.Reject(domain.Conflict, errorcatalog.JobNotRestartable, "job %s is not the plan's last run; run the plan anew, which skips what is done", job)
	case s.LastRun.Outcome != Failed:
		return domain.Reject(domain.Conflict, errorcatalog.JobNotFailed, "the run has ended as %s", s.LastRun.Outcome)
	case s.LastRun.Revision != s.Revision:
		return domain.Reject(domain.Conflict, errorcatalog.JobNotRestartable, "the plan has changed since; run it anew, which skips what is done")
	default:
		return nil
	}
}

// RunStarted opens a run.
type RunStarted struct {
	JobID     string    `json:"jobId"`
	Operation Operation `json:"operation"`
	Options   Options   `json:"options"`
	RestartOf string    `json:"restartOf,omitempty"`
	Revision  int       `json:"revision"`
	By        string    `json:"by,omitempty"`
	At        time.Time `json:"at"`
}

// EventType implements domain.Event.
func (RunStarted) EventType() string { return "recovery_plan.run_started.v1" }

func (e RunStarted) evolve(s State) State {
	s.Run = &Run{JobID: e.JobID, Operation: e.Operation, Options: e.Options, RestartOf: e.RestartOf, Revision: e.Revision, By: e.By, StartedAt: e.At}
	return s
}

// EndRun reports how a run has ended and what became of each item.
type EndRun struct {
	JobID   string
	Outcome Outcome
	Failure *errorcatalog.Failure
	Items   []ItemOutcome
	At      time.Time
}

func (c EndRun) decide(s State) ([]Event, error) {
	if s.ended(c.JobID) {
		return nil, nil
	}
	if !s.runs(c.JobID) {
		return nil, domain.Reject(domain.Conflict, errorcatalog.StaleJob, "job %q is not the plan's present run", c.JobID)
	}
	if c.Outcome != Succeeded && c.Outcome != Failed && c.Outcome != Canceled {
		return nil, invalid("/outcome", "a run does not end as %q", c.Outcome)
	}
	e := RunEnded{JobID: c.JobID, Outcome: c.Outcome, Items: slices.Clone(c.Items), At: c.At}
	if c.Failure != nil {
		e.Failure = &errorcatalog.Failure{Code: c.Failure.Code, Detail: c.Failure.Detail}
	}
	return []Event{e}, nil
}

// RunEnded closes a run.
type RunEnded struct {
	JobID   string                `json:"jobId"`
	Outcome Outcome               `json:"outcome"`
	Failure *errorcatalog.Failure `json:"failure,omitempty"`
	Items   []ItemOutcome         `json:"items,omitempty"`
	At      time.Time             `json:"at"`
}

// EventType implements domain.Event.
func (RunEnded) EventType() string { return "recovery_plan.run_ended.v1" }

func (e RunEnded) evolve(s State) State {
	if s.Run != nil {
		s.LastRun = &EndedRun{Run: *s.Run, Outcome: e.Outcome, Failure: e.Failure, Items: e.Items, EndedAt: e.At}
	}
	s.Run = nil
	return s
}
