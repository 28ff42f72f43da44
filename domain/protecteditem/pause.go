package protecteditem

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Pause says why and by whom replication was paused.
type Pause struct {
	Reason string
	By     string
	Since  time.Time
}

// PauseReplication stops cuts and a running resynchronization, which keeps its
// position. Tracking goes on, up to the policy's threshold. What was on its way to
// the replica when the pause came is still recorded.
type PauseReplication struct {
	Reason string
	By     string
	At     time.Time
}

func (c PauseReplication) decide(s State) ([]Event, error) {
	if err := s.requireState(InitialReplicationPending, InitialReplicationInProgress, FinalizingProtection, Protected); err != nil {
		return nil, err
	}
	if s.Paused != nil {
		return nil, nil
	}
	if len(c.Reason) > maxNotes {
		return nil, invalid("/reason", "a reason has at most %d bytes", maxNotes)
	}
	return []Event{ReplicationPaused(c)}, nil
}

// ReplicationPaused leaves the replica as it is until replication is resumed.
type ReplicationPaused struct {
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"`
	At     time.Time `json:"at"`
}

// EventType implements domain.Event.
func (ReplicationPaused) EventType() string { return "protected_item.replication_paused.v1" }

func (e ReplicationPaused) evolve(s State) State {
	s.Paused, s.Requested = &Pause{Reason: e.Reason, By: e.By, Since: e.At}, CycleRequest{}
	return s
}

// ResumeReplication lets replication go on where it was paused.
type ResumeReplication struct {
	By string
	At time.Time
}

func (c ResumeReplication) decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	if s.Paused == nil {
		return nil, nil
	}
	return []Event{ReplicationResumed(c)}, nil
}

// ReplicationResumed ends a pause.
type ReplicationResumed struct {
	By string    `json:"by,omitempty"`
	At time.Time `json:"at"`
}

// EventType implements domain.Event.
func (ReplicationResumed) EventType() string { return "protected_item.replication_resumed.v1" }

func (ReplicationResumed) evolve(s State) State {
	s.Paused = nil
	return s
}

// requireNotPaused refuses what would make replication go on against an
// operator's will.
func (s State) requireNotPaused() error {
	if s.Paused == nil {
		return nil
	}
	return domain.Reject(domain.Conflict, errorcatalog.ReplicationPausedRefusal,
		"replication is paused since %s: %s", s.Paused.Since.UTC().Format(time.RFC3339), s.Paused.Reason)
}
