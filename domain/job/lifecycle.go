package job

import (
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Start begins a job. A worker that takes it up again may start it again.
type Start struct {
	Vault   string
	Kind    Kind
	Subject string
	Tasks   []TaskSpec
	At      time.Time
}

func (c Start) decide(s State) ([]Event, error) {
	if s.Status != "" {
		same := s.Kind == c.Kind && s.Subject == c.Subject
		if same && s.Begun() {
			return nil, nil
		}
		if !same {
			return nil, domain.Reject(domain.Conflict, errorcatalog.AlreadyExistsWithOtherSettings, "the job is a %s of %s", s.Kind, s.Subject)
		}
	}
	switch {
	case c.Kind == "":
		return nil, invalid("/kind", "a job has a kind")
	case c.Subject == "":
		return nil, invalid("/subject", "a job has a subject")
	}
	for i, t := range c.Tasks {
		if t.Name == "" || slices.ContainsFunc(c.Tasks[:i], func(o TaskSpec) bool { return o.Name == t.Name }) {
			return nil, invalid("/tasks", "task names are unique and not empty (%q)", t.Name)
		}
	}
	return []Event{JobStarted{Vault: c.Vault, Kind: c.Kind, Subject: c.Subject, Tasks: slices.Clone(c.Tasks), At: c.At}}, nil
}

// JobStarted sets a job going.
type JobStarted struct {
	Vault   string     `json:"vault"`
	Kind    Kind       `json:"kind"`
	Subject string     `json:"subject"`
	Tasks   []TaskSpec `json:"tasks"`
	At      time.Time  `json:"at"`
}

// EventType implements domain.Event.
func (JobStarted) EventType() string { return "job.started.v1" }

func (e JobStarted) evolve(s State) State {
	s.Status, s.Vault, s.Kind, s.Subject, s.StartedAt = Running, e.Vault, e.Kind, e.Subject, e.At
	s.Tasks = nil
	for _, t := range e.Tasks {
		s.Tasks = append(s.Tasks, Task{TaskSpec: t, Status: NotStarted})
	}
	return s
}

// Succeed ends a job whose work is done. Tasks that were never started count as
// skipped.
type Succeed struct{ At time.Time }

func (c Succeed) decide(s State) ([]Event, error) {
	if s.Status == Succeeded {
		return nil, nil
	}
	if err := s.requireOpen(); err != nil {
		return nil, err
	}
	for _, t := range s.Tasks {
		if t.Status != Succeeded && t.Status != NotStarted {
			return nil, domain.Reject(domain.Conflict, errorcatalog.JobTasksUnfinished, "task %q is %s", t.Name, t.Status)
		}
	}
	return []Event{JobSucceeded(c)}, nil
}

// JobSucceeded ends the job well.
type JobSucceeded struct {
	At time.Time `json:"at"`
}

// EventType implements domain.Event.
func (JobSucceeded) EventType() string { return "job.succeeded.v1" }

func (e JobSucceeded) evolve(s State) State { return s.end(Succeeded, e.At) }

// Fail ends a job that cannot go on.
type Fail struct {
	Failure *errorcatalog.Failure
	At      time.Time
}

func (c Fail) decide(s State) ([]Event, error) {
	if s.Status == Failed {
		return nil, nil
	}
	if err := s.requireOpen(); err != nil {
		return nil, err
	}
	return []Event{JobFailed{Failure: plain(c.Failure), At: c.At}}, nil
}

// JobFailed ends the job with the reason.
type JobFailed struct {
	Failure errorcatalog.Failure `json:"failure"`
	At      time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (JobFailed) EventType() string { return "job.failed.v1" }

func (e JobFailed) evolve(s State) State {
	s = s.end(Failed, e.At)
	s.Failure = &e.Failure
	return s
}

// RequestCancel asks a job to stop. Its worker does so where that is safe.
type RequestCancel struct {
	By string
	At time.Time
}

func (c RequestCancel) decide(s State) ([]Event, error) {
	if err := s.requireOpen(); err != nil {
		return nil, err
	}
	if s.CancelRequested {
		return nil, nil
	}
	return []Event{CancelRequested(c)}, nil
}

// CancelRequested tells the worker to stop.
type CancelRequested struct {
	By string    `json:"by,omitempty"`
	At time.Time `json:"at"`
}

// EventType implements domain.Event.
func (CancelRequested) EventType() string { return "job.cancel_requested.v1" }

func (CancelRequested) evolve(s State) State {
	s.CancelRequested = true
	return s
}

// Cancel ends a job that has stopped, because it was asked to or another one took
// its place.
type Cancel struct{ At time.Time }

func (c Cancel) decide(s State) ([]Event, error) {
	if s.Status == Canceled {
		return nil, nil
	}
	if err := s.requireOpen(); err != nil {
		return nil, err
	}
	return []Event{JobCanceled(c)}, nil
}

// JobCanceled ends the job unfinished.
type JobCanceled struct {
	At time.Time `json:"at"`
}

// EventType implements domain.Event.
func (JobCanceled) EventType() string { return "job.canceled.v1" }

func (e JobCanceled) evolve(s State) State { return s.end(Canceled, e.At) }

// end closes the job and the tasks that are still open.
func (s State) end(status Status, at time.Time) State {
	s.Status, s.EndedAt, s.Input = status, at, nil
	s.Tasks = slices.Clone(s.Tasks)
	for i, t := range s.Tasks {
		switch t.Status {
		case NotStarted, Waiting:
			s.Tasks[i].Status, s.Tasks[i].Failure = Skipped, nil
		case Running:
			s.Tasks[i].Status, s.Tasks[i].EndedAt = status, at
		default:
		}
		s.Tasks[i].NextAttemptAt = time.Time{}
	}
	return s
}
