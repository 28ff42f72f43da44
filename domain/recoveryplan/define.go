package recoveryplan

import (
	"time"
)

// Define makes a plan, or changes it. Defining it again as it is changes nothing.
type Define struct {
	Definition Definition
	Limits     Limits
	At         time.Time
}

func (c Define) decide(s State) ([]Event, error) {
	if err := c.Definition.validate(c.Limits); err != nil {
		return nil, err
	}
	if s.Defined && s.Definition.Equal(c.Definition) {
		return nil, nil
	}
	if err := s.requireIdle(); err != nil {
		return nil, err
	}
	return []Event{Defined{Definition: c.Definition, Revision: s.Revision + 1, At: c.At}}, nil
}

// Defined gives the plan its content. What was found of its readiness before has
// lapsed.
type Defined struct {
	Definition
	Revision int       `json:"revision"`
	At       time.Time `json:"at"`
}

// EventType implements domain.Event.
func (Defined) EventType() string { return "recovery_plan.defined.v1" }

func (e Defined) evolve(s State) State {
	s.Defined, s.Definition, s.Revision = true, e.Definition, e.Revision
	return s
}

// Delete gives a plan up. Its items stay as they are.
type Delete struct{ At time.Time }

func (c Delete) decide(s State) ([]Event, error) {
	if err := s.requirePlan(); err != nil {
		return nil, err
	}
	if err := s.requireIdle(); err != nil {
		return nil, err
	}
	return []Event{Deleted(c)}, nil
}

// Deleted ends the plan. One of the same name may be defined again.
type Deleted struct {
	At time.Time `json:"at"`
}

// EventType implements domain.Event.
func (Deleted) EventType() string { return "recovery_plan.deleted.v1" }

func (Deleted) evolve(s State) State { return State{Revision: s.Revision, LastRun: s.LastRun} }
