package protecteditem

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// CancelResynchronization stops a resynchronization that runs or is due. It stays
// required, and does not start again before an operator asks for it.
type CancelResynchronization struct{ At time.Time }

func (c CancelResynchronization) decide(s State) ([]Event, error) {
	if err := s.requireState(InitialReplicationInProgress, FinalizingProtection, Protected); err != nil {
		return nil, err
	}
	if s.Resync.State == ResyncNone {
		return nil, domain.Reject(domain.Conflict, errorcatalog.NothingToDo, "no resynchronization is required")
	}
	if s.Resync.Unscheduled {
		return nil, nil
	}
	return []Event{ResynchronizationCanceled{JobID: s.Resync.Job, At: c.At}}, nil
}

// ResynchronizationCanceled leaves the replica as it was: the points of before
// remain.
type ResynchronizationCanceled struct {
	JobID string    `json:"jobId,omitempty"` // the job that it ends, if one was named
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (ResynchronizationCanceled) EventType() string {
	return "protected_item.resynchronization_canceled.v1"
}

func (e ResynchronizationCanceled) evolve(s State) State {
	s = s.stopResync()
	s.Resync.State, s.Resync.Job = ResyncRequired, ""
	s.Resync.ScheduledFor, s.Resync.Unscheduled = time.Time{}, true
	return s
}

// stopResync ends the work of a resynchronization that runs; what it has shipped
// is of no use any more.
func (s State) stopResync() State {
	if s.Resync.State != ResyncInProgress {
		return s
	}
	return s.endJob(true).restartChain()
}

// ResyncDue returns when a required resynchronization may start, and whether it
// starts by itself.
func ResyncDue(s State) (time.Time, bool) {
	if s.Resync.State != ResyncRequired || s.Resync.Unscheduled || s.Paused != nil {
		return time.Time{}, false
	}
	return s.Resync.ScheduledFor, true
}
