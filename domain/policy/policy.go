// Package policy decides what may happen to a replication policy: how often a
// protected item's change logs are shipped, how long its recovery points are
// kept, and when a resynchronization may run.
//
//	define.go    the policy's definition
//	settings.go  its settings, a value that protected items copy
package policy

import "farshore/domain"

// Category begins the name of every policy's stream; "<vault>.<policy>" follows.
const Category = "policy"

// State is everything a rule needs to know about a policy.
type State struct {
	Defined  bool
	Name     string
	Settings Settings
}

// Command asks for something to happen to a policy.
type Command interface {
	decide(s State) ([]Event, error)
}

// Event has happened to a policy.
type Event interface {
	domain.Event
	evolve(s State) State
}

// Decider is the policy aggregate.
var Decider = domain.Decider[Command, Event, State]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, e Event) State { return e.evolve(s) },
}

// Events lists one zero value of each event, for the codec.
func Events() []Event { return []Event{Defined{}} }
