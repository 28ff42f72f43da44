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
// or done meanwhile.
type Resume struct {
	By       string
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
	if err := s.requireOpen(); err != nil {
		return nil, err
	}
	if s.Status != WaitingForInput && !c.Awaited {
		return nil, domain.Reject(domain.Conflict, errorcatalog.JobNotWaiting, "the job waits for nobody (%s)", s.Status)
	}
	e := JobResumed{By: c.By, Comments: c.Comments, At: c.At}
	if s.Input != nil {
		e.Task = s.Input.Task
	}
	return []Event{e}, nil
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
