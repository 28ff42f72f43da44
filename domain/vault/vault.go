// Package vault decides what may happen to a vault: the tenant to which
// everything else belongs.
package vault

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Category begins the name of every vault's stream; the vault's id follows.
const Category = "vault"

// State is everything a rule needs to know about a vault.
type State struct {
	Created bool
	Name    string
}

// Command asks for something to happen to a vault.
type Command interface {
	decide(s State) ([]Event, error)
}

// Event has happened to a vault.
type Event interface {
	domain.Event
	evolve(s State) State
}

// Decider is the vault aggregate.
var Decider = domain.Decider[Command, Event, State]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, e Event) State { return e.evolve(s) },
}

// Events lists one zero value of each event, for the codec.
func Events() []Event { return []Event{Created{}} }

// Create makes a vault. Creating it again under the same name changes nothing.
type Create struct {
	Name string
	At   time.Time
}

func (c Create) decide(s State) ([]Event, error) {
	if err := domain.CheckName("/name", c.Name); err != nil {
		return nil, err
	}
	switch {
	case !s.Created:
		return []Event{Created(c)}, nil
	case s.Name == c.Name:
		return nil, nil
	default:
		return nil, domain.Reject(domain.Conflict, errorcatalog.AlreadyExistsWithOtherSettings, "the vault exists under the name %q", s.Name).At("/name")
	}
}

// Created makes the vault available.
type Created struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
}

// EventType implements domain.Event.
func (Created) EventType() string { return "vault.created.v1" }

func (e Created) evolve(State) State { return State{Created: true, Name: e.Name} }
