package protecteditem

import (
	"time"

	"farshore/domain/errorcatalog"
)

// RestartFailback reports that what was pulled no longer fits the primary side's
// disks, because they changed meanwhile: it is compared anew. The recovery VM
// runs.
type RestartFailback struct {
	JobID  string
	Reason string
	At     time.Time
}

func (c RestartFailback) decide(s State) ([]Event, error) {
	if s.runs(c.JobID) && s.Protection == FailbackSynchronizing {
		return nil, nil
	}
	if err := s.requireFailbackStep(c.JobID, FailbackAwaitingCompletion, FailbackCompleting); err != nil {
		return nil, err
	}
	return []Event{FailbackRestarted(c)}, nil
}

// FailbackRestarted takes the failback back to its first phase.
type FailbackRestarted struct {
	JobID  string    `json:"jobId"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// EventType implements domain.Event.
func (FailbackRestarted) EventType() string { return "protected_item.failback_restarted.v1" }

func (FailbackRestarted) evolve(s State) State {
	s.Protection = FailbackSynchronizing
	return s
}

// FailFailback gives a failback up before the VM runs on the primary side: its
// disks are as they were, and the recovery VM runs.
type FailFailback struct {
	JobID   string
	Failure *errorcatalog.Failure
	Left    bool // the primary side does not answer
	At      time.Time
}

func (c FailFailback) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, true) {
		return nil, nil
	}
	if err := s.requireFailbackStep(c.JobID, FailbackSynchronizing, FailbackAwaitingCompletion, FailbackCompleting); err != nil {
		return nil, err
	}
	return []Event{FailbackFailed{JobID: c.JobID, Failure: plain(c.Failure), Left: c.Left, At: c.At}}, nil
}

// FailbackFailed leaves the VM failed over.
type FailbackFailed struct {
	JobID   string               `json:"jobId"`
	Failure errorcatalog.Failure `json:"failure"`
	Left    bool                 `json:"left,omitempty"`
	At      time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (FailbackFailed) EventType() string { return "protected_item.failback_failed.v1" }

func (e FailbackFailed) evolve(s State) State {
	if e.Left {
		s = s.leavePrimary(e.At)
	}
	s = s.endJob(true).returnToRecovery()
	s.Failure, s.FailedAt = &e.Failure, e.At
	return s
}

// CancelFailback begins to take a failback back, until its commit: the original
// disks are restored, and the recovery VM runs again. The failback's job ends.
type CancelFailback struct {
	JobID string
	Force bool // without a primary side that does not answer; also while the cancel is under way
	At    time.Time
}

func (c CancelFailback) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if s.repeats(c.JobID, false) || (s.runs(c.JobID) && s.Job.Kind == FailbackCancelJob) {
		return nil, nil
	}
	if err := s.requireFailback(); err != nil {
		return nil, err
	}
	if c.Force && s.unforced(FailbackCancelJob) {
		return []Event{JobForced{JobID: s.Job.ID, At: c.At}}, nil
	}
	e := FailbackCancelStarted{JobID: c.JobID, Force: c.Force, At: c.At}
	if s.Job != nil {
		if s.Job.Kind != FailbackJob {
			return nil, s.requireNoJob()
		}
		e.OvertakenJobID = s.Job.ID
	}
	return []Event{e}, nil
}

// FailbackCancelStarted gives the item to the job that takes the failback back.
type FailbackCancelStarted struct {
	JobID          string    `json:"jobId"`
	OvertakenJobID string    `json:"overtakenJobId,omitempty"` // the failback's
	Force          bool      `json:"force,omitempty"`
	At             time.Time `json:"at"`
}

// EventType implements domain.Event.
func (FailbackCancelStarted) EventType() string { return "protected_item.failback_cancel_started.v1" }

func (e FailbackCancelStarted) evolve(s State) State {
	s = s.endJob(true).startJob(e.JobID, FailbackCancelJob)
	s.Forced = e.Force
	return s
}

// CompleteFailbackCancel reports that the original disks are as they were and the
// recovery VM runs. A cancel that fails is attempted until it succeeds: only then
// are the disks whole.
type CompleteFailbackCancel struct {
	JobID string
	Left  bool // the primary side does not answer
	At    time.Time
}

func (c CompleteFailbackCancel) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireStepOf(FailbackCancelJob, c.JobID,
		FailbackSynchronizing, FailbackAwaitingCompletion, FailbackCompleting, FailbackCommitRequired); err != nil {
		return nil, err
	}
	return []Event{FailbackCanceled(c)}, nil
}

// FailbackCanceled leaves the VM failed over.
type FailbackCanceled struct {
	JobID string    `json:"jobId"`
	Left  bool      `json:"left,omitempty"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (FailbackCanceled) EventType() string { return "protected_item.failback_canceled.v1" }

func (e FailbackCanceled) evolve(s State) State {
	if e.Left {
		s = s.leavePrimary(e.At)
	}
	return s.endJob(false).returnToRecovery()
}

// FailFailbackCancel gives the cancel of a completed failback up before anything
// was changed: the original disks cannot be restored any more.
type FailFailbackCancel struct {
	JobID   string
	Failure *errorcatalog.Failure
	At      time.Time
}

func (c FailFailbackCancel) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, true) {
		return nil, nil
	}
	if err := s.requireStepOf(FailbackCancelJob, c.JobID, FailbackCommitRequired); err != nil {
		return nil, err
	}
	return []Event{FailbackCancelFailed{JobID: c.JobID, Failure: plain(c.Failure), At: c.At}}, nil
}

// FailbackCancelFailed leaves the failback to be committed.
type FailbackCancelFailed struct {
	JobID   string               `json:"jobId"`
	Failure errorcatalog.Failure `json:"failure"`
	At      time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (FailbackCancelFailed) EventType() string { return "protected_item.failback_cancel_failed.v1" }

func (e FailbackCancelFailed) evolve(s State) State {
	s = s.endJob(true)
	s.Failure, s.FailedAt = &e.Failure, e.At
	return s
}

// returnToRecovery leaves an item failed over after a failback that came to
// nothing.
func (s State) returnToRecovery() State {
	s.Protection, s.ActiveLocation, s.Failback = FailedOver, Recovery, FailbackRun{}
	return s
}

// leavePrimary remembers the VM on the primary side of a failback that came to nothing.
func (s State) leavePrimary(at time.Time) State {
	t := s.Failback.Target
	if t.Original() {
		return s.leave(LeftBehind{Site: s.Site, Host: s.Host, VM: s.VM.ID, Fate: Restore, Since: at})
	}
	return s.leave(LeftBehind{Site: t.Site, Host: t.Host, VM: t.VM(), Fate: Remove, Owner: s.ReplicaID(), Since: at})
}
