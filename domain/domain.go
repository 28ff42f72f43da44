// Package domain holds what every aggregate shares: the Decider that defines
// one, the Event it produces and the RejectionError it answers with. It imports
// nothing but the standard library's pure packages.
package domain

// Event is a fact that has happened to an aggregate. Its type name is part of
// the stored format and never changes once released.
type Event interface {
	EventType() string
}

// Decider is an aggregate reduced to two pure functions. Decide answers a
// command with the events it causes, or a RejectionError. Evolve folds one event
// into the state. Neither reads a clock, draws an ID or performs I/O: whatever
// they need travels inside the command.
//
// Decide may answer with no events and no error: the command asked for what is
// already so, and repeating it is harmless.
type Decider[C, E, S any] struct {
	Decide func(S, C) ([]E, error)
	Evolve func(S, E) S
}

// Fold replays events onto s.
func (d Decider[C, E, S]) Fold(s S, events ...E) S {
	for _, e := range events {
		s = d.Evolve(s, e)
	}
	return s
}
