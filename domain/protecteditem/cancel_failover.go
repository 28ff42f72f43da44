package protecteditem

import (
	"time"

	"farshore/domain/errorcatalog"
)

// CancelFailover begins to take a failover back before its commit: the recovery
// VM is removed, the source started if Farshore stopped it, and replication goes
// on.
type CancelFailover struct {
	JobID string
	Force bool // without a recovery host that does not answer; also while the cancel is under way
	At    time.Time
}

func (c CancelFailover) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if s.repeats(c.JobID, false) || (s.runs(c.JobID) && s.Job.Kind == FailoverCancelJob) {
		return nil, nil
	}
	if c.Force && s.unforced(FailoverCancelJob) {
		return []Event{JobForced{JobID: s.Job.ID, At: c.At}}, nil
	}
	if err := s.requireUncommitted(); err != nil {
		return nil, err
	}
	return []Event{FailoverCancelStarted(c)}, nil
}

// FailoverCancelStarted gives the item to the job that takes the failover back.
type FailoverCancelStarted struct {
	JobID string    `json:"jobId"`
	Force bool      `json:"force,omitempty"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (FailoverCancelStarted) EventType() string { return "protected_item.failover_cancel_started.v1" }

func (e FailoverCancelStarted) evolve(s State) State {
	s.Failure = nil
	s = s.startJob(e.JobID, FailoverCancelJob)
	s.Forced = e.Force
	return s
}

// CompleteFailoverCancel reports that the recovery VM is gone and that the source
// may run.
type CompleteFailoverCancel struct {
	JobID string
	At    time.Time
}

func (c CompleteFailoverCancel) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireUncommittedStep(c.JobID, FailoverCancelJob); err != nil {
		return nil, err
	}
	return []Event{FailoverCanceled{
		JobID: c.JobID, SourceRestarted: s.SourceStopped, ChainBroken: s.ChainBroken(), OvertakenCopyJobID: s.copyJobID(), At: c.At,
	}}, nil
}

// FailoverCanceled returns the item to protection. The source's next cut follows
// the last one, unless its chain is broken: then a resynchronization is required.
type FailoverCanceled struct {
	JobID              string    `json:"jobId"`
	SourceRestarted    bool      `json:"sourceRestarted,omitempty"` // it had been stopped by the failover
	ChainBroken        bool      `json:"chainBroken,omitempty"`
	OvertakenCopyJobID string    `json:"overtakenCopyJobId,omitempty"` // of the VM that was removed
	At                 time.Time `json:"at"`
}

// EventType implements domain.Event.
func (FailoverCanceled) EventType() string { return "protected_item.failover_canceled.v1" }

func (FailoverCanceled) evolve(s State) State {
	return s.endJob(false).returnToPrimary()
}

// FailFailoverCancel gives the cancel up. RecoveryVM is as in
// FailRecoveryPointChange.
type FailFailoverCancel struct {
	JobID      string
	Failure    *errorcatalog.Failure
	RecoveryVM string
	At         time.Time
}

func (c FailFailoverCancel) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, true) {
		return nil, nil
	}
	if err := s.requireUncommittedStep(c.JobID, FailoverCancelJob); err != nil {
		return nil, err
	}
	return []Event{FailoverCancelFailed{
		JobID: c.JobID, Failure: plain(c.Failure), RecoveryVM: c.RecoveryVM, OvertakenCopyJobID: s.copyEnds(c.RecoveryVM), At: c.At,
	}}, nil
}

// FailoverCancelFailed leaves the failover to be committed, cancelled or brought
// to another point.
type FailoverCancelFailed struct {
	JobID              string               `json:"jobId"`
	Failure            errorcatalog.Failure `json:"failure"`
	RecoveryVM         string               `json:"recoveryVm,omitempty"`
	OvertakenCopyJobID string               `json:"overtakenCopyJobId,omitempty"` // of the VM that was removed
	At                 time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (FailoverCancelFailed) EventType() string { return "protected_item.failover_cancel_failed.v1" }

func (e FailoverCancelFailed) evolve(s State) State {
	s.Recovery.VM, s.Failure, s.FailedAt = e.RecoveryVM, &e.Failure, e.At
	return s.endCopyWithoutVM().endJob(true)
}

// returnToPrimary returns an item to protection after a failover that came to
// nothing: the source is the active side, and a resynchronization is required if
// its chain of cuts is broken.
func (s State) returnToPrimary() State {
	s.Protection, s.ActiveLocation, s.Recovery.VM = Protected, Primary, ""
	s.FailoverChoice, s.FailoverPoint, s.NextFailoverPoint, s.ShutDownSource = "", "", "", false
	s.SourceStopped, s.Fencing = false, Fencing{}
	s = s.endCopy(true)
	if s.Owed != nil {
		s.Resync, s.Owed = *s.Owed, nil
	}
	return s
}
