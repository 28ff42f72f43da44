package site

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Register makes a site known. Registering it again as it is changes nothing.
type Register struct {
	Name     string
	Kind     Kind
	TimeZone string // IANA name, which the caller has found to exist; empty is UTC
	At       time.Time
}

func (c Register) decide(s State) ([]Event, error) {
	if err := domain.CheckName("/name", c.Name); err != nil {
		return nil, err
	}
	switch {
	case c.Kind != HyperV && c.Kind != VMM && c.Kind != Local:
		return nil, invalid("/kind", "%q is not one of %s, %s, %s", c.Kind, HyperV, VMM, Local)
	case !validZoneName(c.TimeZone):
		return nil, invalid("/timeZone", "%q is not a time zone like Europe/Vienna", c.TimeZone)
	case !s.Registered:
		return []Event{Registered(c)}, nil
	case s.Name == c.Name && s.Kind == c.Kind && s.TimeZone == c.TimeZone:
		return nil, nil
	default:
		return nil, domain.Reject(domain.Conflict, errorcatalog.AlreadyExistsWithOtherSettings, "the site is registered with other settings")
	}
}

// Registered makes the site ready for hosts.
type Registered struct {
	Name     string    `json:"name"`
	Kind     Kind      `json:"kind"`
	TimeZone string    `json:"timeZone,omitempty"`
	At       time.Time `json:"at"`
}

// EventType implements domain.Event.
func (Registered) EventType() string { return "site.registered.v1" }

func (e Registered) evolve(s State) State {
	s.Registered, s.Name, s.Kind, s.TimeZone = true, e.Name, e.Kind, e.TimeZone
	return s
}

// validZoneName checks the form only: which zones exist is known to the machine,
// not to a rule.
func validZoneName(name string) bool {
	const longest = 64
	if len(name) > longest || name == "Local" {
		return false
	}
	for i, c := range []byte(name) {
		letter := (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
		other := (c >= '0' && c <= '9') || c == '/' || c == '_' || c == '-' || c == '+'
		if !letter && (!other || i == 0) {
			return false
		}
	}
	return true
}
