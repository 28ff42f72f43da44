package job

import (
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// maxComments is how long what an operator writes may be.
const maxComments = 4096

// Comment is what somebody said who let a job go on.
type Comment struct {
	Task string // at which the job waited; empty if its item waited
	By   string
	Text string
	At   time.Time
}

// Resume lets a job go on that waits for an operator. Comments say what was seen
// or done meanwhile. A task that was answered before is answered: whoever asks twice
// answers once.
type Resume struct {
	By string
	// Task is the one that is answered. Only a job that waits once may leave it out.
	Task     string
	Comments string
	// Awaited says that the job is known to wait from its item, whose word its
	// journal does not have.
	Awaited bool
	At      time.Time
}

func (c Resume) decide(s State) ([]Event, error) {
	if len(c.Comments) > maxComments {
		return nil, invalid("/comments", "comments have at most %d bytes", maxComments)
	}
	if _, answered := s.Answered(c.Task); answered && c.Task != "" {
		return nil, nil
	}
	if err := s.requireOpen(); err != nil {
		return nil, err
	}
	if s.Status != WaitingForInput && !c.Awaited {
		return nil, domain.Reject(domain.Conflict, errorcatalog.JobNotWaiting, "the job waits for nobody (%s)", s.Status)
	}
	waiting := s.waitsAt()
	switch {
	case c.Task == "" && s.Kind.OfPlan():
		return nil, domain.Reject(domain.Invalid, errorcatalog.TaskRequired, "the job waits at %q; name the task that is answered", waiting).At("/task")
	case c.Task != "" && c.Task != waiting:
		return nil, domain.Reject(domain.Conflict, errorcatalog.OtherTaskWaits, "the job waits at %q, not at %q", waiting, c.Task).At("/task")
	}
	e := JobResumed{Task: c.Task, By: c.By, Comments: c.Comments, At: c.At}
	if s.Input != nil {
		e.Task = s.Input.Task
	}
	return []Event{e}, nil
}

// waitsAt is the task at which a job waits: the one whose question it has, or the
// one that runs while its item waits.
func (s State) waitsAt() string {
	if s.Input != nil {
		return s.Input.Task
	}
	for _, t := range s.Tasks {
		if t.Status == Running {
			return t.Name
		}
	}
	return ""
}

// JobResumed lets the job go on.
type JobResumed struct {
	Task     string    `json:"task,omitempty"`
	By       string    `json:"by,omitempty"`
	Comments string    `json:"comments,omitempty"`
	At       time.Time `json:"at"`
}

// EventType implements domain.Event.
func (JobResumed) EventType() string { return "job.resumed.v1" }

func (e JobResumed) evolve(s State) State {
	s.Comments = append(slices.Clone(s.Comments), Comment{Task: e.Task, By: e.By, Text: e.Comments, At: e.At})
	s.Input = nil
	if s.Status == WaitingForInput {
		s.Status = Running
	}
	return s
}
