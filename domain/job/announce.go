package job

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Announce makes a job known before a worker takes it up, as a part of another
// one: a recovery plan names its items' jobs before it asks for them, so that
// none is without a story and the end of each is heard of.
type Announce struct {
	Vault   string
	Kind    Kind
	Subject string
	Parent  string // the job that it is a part of
	At      time.Time
}

func (c Announce) decide(s State) ([]Event, error) {
	if s.Status != "" {
		if s.Kind == c.Kind && s.Subject == c.Subject && s.Parent == c.Parent {
			return nil, nil
		}
		return nil, domain.Reject(domain.Conflict, errorcatalog.AlreadyExistsWithOtherSettings, "the job is a %s of %s", s.Kind, s.Subject)
	}
	switch {
	case c.Kind == "":
		return nil, invalid("/kind", "a job has a kind")
	case c.Subject == "":
		return nil, invalid("/subject", "a job has a subject")
	case c.Parent == "":
		return nil, invalid("/parent", "a job that is announced is a part of another one")
	}
	return []Event{JobAnnounced(c)}, nil
}

// JobAnnounced makes the job known.
type JobAnnounced struct {
	Vault   string    `json:"vault"`
	Kind    Kind      `json:"kind"`
	Subject string    `json:"subject"`
	Parent  string    `json:"parent"`
	At      time.Time `json:"at"`
}

// EventType implements domain.Event.
func (JobAnnounced) EventType() string { return "job.announced.v1" }

func (e JobAnnounced) evolve(s State) State {
	s.Status, s.Vault, s.Kind, s.Subject, s.Parent = NotStarted, e.Vault, e.Kind, e.Subject, e.Parent
	return s
}

// Begun says whether a worker has taken the job up.
func (s State) Begun() bool { return s.Status != "" && s.Status != NotStarted }
