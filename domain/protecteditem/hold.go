package protecteditem

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Hold says where a planned failover stands that is to wait before its recovery VM
// starts: a recovery plan shuts VMs down in one order and starts them in another.
// Until it is released everything can still be taken back.
type Hold string

// The stages of a hold.
const (
	NotHeld      Hold = ""
	HoldAsked    Hold = "Asked"    // on its way to where it waits
	HoldReady    Hold = "Ready"    // the source is off, the recovery VM has its disks and does not run
	HoldReleased Hold = "Released" // it goes on, or will not wait
)

// RecordPlannedFailoverReady reports that all is done but to start the recovery VM.
type RecordPlannedFailoverReady struct {
	JobID string
	At    time.Time
}

func (c RecordPlannedFailoverReady) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, PlannedFailoverInProgress); err != nil {
		return nil, err
	}
	if s.Hold == HoldReady || s.Hold == HoldReleased {
		return nil, nil
	}
	return []Event{PlannedFailoverReady(c)}, nil
}

// PlannedFailoverReady makes the failover wait for its release.
type PlannedFailoverReady struct {
	JobID string    `json:"jobId"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (PlannedFailoverReady) EventType() string { return "protected_item.planned_failover_ready.v1" }

func (PlannedFailoverReady) evolve(s State) State {
	s.Hold = HoldReady
	return s
}

// ReleasePlannedFailover lets a failover that is held start the recovery VM, at
// once or when it gets there.
type ReleasePlannedFailover struct {
	JobID string
	At    time.Time
}

func (c ReleasePlannedFailover) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, PlannedFailoverInProgress); err != nil {
		return nil, err
	}
	switch s.Hold {
	case HoldReleased:
		return nil, nil
	case NotHeld:
		return nil, domain.Reject(domain.Conflict, errorcatalog.JobNotWaiting, "the failover is not held before the start of its recovery VM")
	default:
		return []Event{PlannedFailoverReleased(c)}, nil
	}
}

// PlannedFailoverReleased lets the failover go on.
type PlannedFailoverReleased struct {
	JobID string    `json:"jobId"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (PlannedFailoverReleased) EventType() string {
	return "protected_item.planned_failover_released.v1"
}

func (PlannedFailoverReleased) evolve(s State) State {
	s.Hold = HoldReleased
	return s
}
