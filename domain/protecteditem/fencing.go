package protecteditem

import (
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Fencing is what is known of the source while the recovery side is the active
// one.
type Fencing struct {
	SourceActive bool // the source VM was seen running
	Detail       string
	Since        time.Time
	Fenced       bool         // its host knows that it is not active and keeps the VM off
	Held         []ShippedLog // sealed logs at the source that were never replicated, as its host lists them
}

// RecordSourceRunning reports that the source VM runs although it is not the
// active side.
type RecordSourceRunning struct {
	Detail string
	At     time.Time
}

func (c RecordSourceRunning) decide(s State) ([]Event, error) {
	if err := s.requireFailedOver(); err != nil {
		return nil, err
	}
	if s.Fencing.SourceActive {
		return nil, nil
	}
	return []Event{SourceFoundRunning(c)}, nil
}

// requireFailedOver refuses what concerns an item whose source is not the active
// side.
func (s State) requireFailedOver() error {
	if err := s.requireItem(); err != nil {
		return err
	}
	if (s.ActiveLocation == Recovery || s.LeavesSource()) && s.Protection != DisablingProtection && s.Protection != Unprotected {
		return nil
	}
	return domain.Reject(domain.Conflict, errorcatalog.NotFailedOver, "the %s side is active (%s)", s.ActiveLocation, s.Protection)
}

// SourceFoundRunning means that two VMs run; nothing of the source is shipped.
type SourceFoundRunning struct {
	Detail string    `json:"detail,omitempty"`
	At     time.Time `json:"at"`
}

// EventType implements domain.Event.
func (SourceFoundRunning) EventType() string { return "protected_item.source_found_running.v1" }

func (e SourceFoundRunning) evolve(s State) State {
	s.Fencing.SourceActive, s.Fencing.Fenced, s.Fencing.Detail, s.Fencing.Since = true, false, e.Detail, e.At
	return s
}

// RecordSourceFenced reports that the source's host keeps the VM off, and which
// of its logs were never replicated. They are kept until the failback's commit.
type RecordSourceFenced struct {
	Held []ShippedLog
	At   time.Time
}

func (c RecordSourceFenced) decide(s State) ([]Event, error) {
	if err := s.requireFailedOver(); err != nil {
		return nil, err
	}
	if s.Fencing.Fenced && !s.Fencing.SourceActive && slices.Equal(s.Fencing.Held, c.Held) {
		return nil, nil
	}
	return []Event{SourceFenced{Held: slices.Clone(c.Held), At: c.At}}, nil
}

// SourceFenced means that the source cannot run until the item has failed back or
// its failover was cancelled.
type SourceFenced struct {
	Held []ShippedLog `json:"held,omitempty"`
	At   time.Time    `json:"at"`
}

// EventType implements domain.Event.
func (SourceFenced) EventType() string { return "protected_item.source_fenced.v1" }

func (e SourceFenced) evolve(s State) State {
	s.Fencing = Fencing{Fenced: true, Held: e.Held, Since: e.At}
	return s
}
