package recoveryplan

import (
	"slices"
	"time"

	"farshore/domain/errorcatalog"
)

// Finding is something that would make a run fail.
type Finding struct {
	Group  int               `json:"group"`            // counted from 1
	Item   string            `json:"item,omitempty"`   // what it is about,
	Action string            `json:"action,omitempty"` // one or the other
	Code   errorcatalog.Code `json:"code"`
	Detail string            `json:"detail,omitempty"`
}

// Readiness is what a check of the plan has found.
type Readiness struct {
	Revision  int // of the plan that was checked
	Operation Operation
	Findings  []Finding
	By        string
	At        time.Time
}

// Lapsed says whether the plan has changed since it was checked.
func (s State) Lapsed() bool { return s.Readiness != nil && s.Readiness.Revision != s.Revision }

// Ready says whether the plan was found ready as it is now.
func (s State) Ready() bool {
	return s.Readiness != nil && !s.Lapsed() && len(s.Readiness.Findings) == 0
}

// RecordReadiness reports what a check has found.
type RecordReadiness struct {
	Operation Operation
	Findings  []Finding
	By        string
	At        time.Time
}

func (c RecordReadiness) decide(s State) ([]Event, error) {
	if err := s.requirePlan(); err != nil {
		return nil, err
	}
	if !slices.Contains(Operations(), c.Operation) {
		return nil, invalid("/operation", "%q is not an operation of a plan", c.Operation)
	}
	return []Event{ReadinessChecked{
		Revision: s.Revision, Operation: c.Operation, Ready: len(c.Findings) == 0, Findings: slices.Clone(c.Findings), By: c.By, At: c.At,
	}}, nil
}

// ReadinessChecked is the result of a check.
type ReadinessChecked struct {
	Revision  int       `json:"revision"`
	Operation Operation `json:"operation"`
	Ready     bool      `json:"ready"`
	Findings  []Finding `json:"findings,omitempty"`
	By        string    `json:"by,omitempty"`
	At        time.Time `json:"at"`
}

// EventType implements domain.Event.
func (ReadinessChecked) EventType() string { return "recovery_plan.readiness_checked.v1" }

func (e ReadinessChecked) evolve(s State) State {
	s.Readiness = &Readiness{Revision: e.Revision, Operation: e.Operation, Findings: e.Findings, By: e.By, At: e.At}
	return s
}
