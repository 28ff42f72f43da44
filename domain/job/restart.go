package job

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Restart reports that another job begins a failed one anew. A failed job itself
// stays what it is.
type Restart struct {
	Job string // the new one
	By  string
	At  time.Time
}

func (c Restart) decide(s State) ([]Event, error) {
	switch {
	case c.Job == "":
		return nil, invalid("/job", "a job is begun anew by another one")
	case s.Status == "":
		return nil, domain.Reject(domain.NotFound, errorcatalog.JobNotFound, "the job has not been started")
	case s.RestartedAs == c.Job:
		return nil, nil
	case s.RestartedAs != "":
		return nil, domain.Reject(domain.Conflict, errorcatalog.JobNotRestartable, "the job was begun anew as %s", s.RestartedAs)
	case s.Status != Failed:
		return nil, domain.Reject(domain.Conflict, errorcatalog.JobNotFailed, "the job is %s", s.Status)
	default:
		return []Event{JobRestarted(c)}, nil
	}
}

// JobRestarted names the job that begins this one anew.
type JobRestarted struct {
	Job string    `json:"job"`
	By  string    `json:"by,omitempty"`
	At  time.Time `json:"at"`
}

// EventType implements domain.Event.
func (JobRestarted) EventType() string { return "job.restarted.v1" }

func (e JobRestarted) evolve(s State) State {
	s.RestartedAs = e.Job
	return s
}
