package protecteditem

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// CommitFailback accepts the failback: it cannot be taken back any more. The
// recovery VM and the original content of the disks are given up.
type CommitFailback struct {
	JobID string
	At    time.Time
}

func (c CommitFailback) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if s.repeats(c.JobID, false) || (s.runs(c.JobID) && s.Job.Kind == FailbackCommitJob) {
		return nil, nil
	}
	if err := s.requireFailback(); err != nil {
		return nil, err
	}
	if s.Protection != FailbackCommitRequired {
		return nil, domain.Reject(domain.Conflict, errorcatalog.NoFailbackPending, "the failback has not completed (%s)", s.Protection)
	}
	if err := s.requireNoJob(); err != nil {
		return nil, err
	}
	return []Event{FailbackCommitStarted(c)}, nil
}

// requireFailback refuses what is possible only while a failback is open.
func (s State) requireFailback() error {
	if err := s.requireItem(); err != nil {
		return err
	}
	if s.failingBack() {
		return nil
	}
	return domain.Reject(domain.Conflict, errorcatalog.NoFailbackPending, "no failback is open (%s)", s.Protection)
}

// requireStepOf refuses a step outside its states, or by a job of another kind.
func (s State) requireStepOf(kind, job string, allowed ...ProtectionState) error {
	if err := s.requireStep(job, allowed...); err != nil {
		return err
	}
	if s.Job.Kind != kind {
		return domain.Reject(domain.Conflict, errorcatalog.StaleJob, "job %q is a %s", job, s.Job.Kind)
	}
	return nil
}

// FailbackCommitStarted gives the item to the commit's job.
type FailbackCommitStarted struct {
	JobID string    `json:"jobId"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (FailbackCommitStarted) EventType() string { return "protected_item.failback_commit_started.v1" }

func (e FailbackCommitStarted) evolve(s State) State {
	return s.startJob(e.JobID, FailbackCommitJob)
}

// CompleteFailbackCommit reports that nothing of the failover is left but the
// replica's base.
type CompleteFailbackCommit struct {
	JobID string
	At    time.Time
}

func (c CompleteFailbackCommit) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireStepOf(FailbackCommitJob, c.JobID, FailbackCommitRequired); err != nil {
		return nil, err
	}
	return []Event{FailbackCommitted{JobID: c.JobID, Target: s.Failback.Target, VM: s.Failback.VM, At: c.At}}, nil
}

// FailbackCommitted makes the VM on the primary side the item's source, wherever
// it runs there. It is not replicated yet. A new VM has the disks that had failed
// over, and they are what is protected from now on.
type FailbackCommitted struct {
	JobID  string         `json:"jobId"`
	Target FailbackTarget `json:"target"`
	VM     string         `json:"vm"`
	At     time.Time      `json:"at"`
}

// EventType implements domain.Event.
func (FailbackCommitted) EventType() string { return "protected_item.failback_committed.v1" }

func (e FailbackCommitted) evolve(s State) State {
	if e.Target.leaves(s) {
		s = s.leave(LeftBehind{Site: s.Site, Host: s.Host, VM: s.VM.ID, Fate: KeepOff, Since: e.At})
	}
	s.Protection, s.Failback, s.Recovery.VM = FailedBack, FailbackRun{}, ""
	s.SourceStopped, s.Fencing, s.VM.ID = false, Fencing{}, e.VM
	if !e.Target.Original() {
		s.Site, s.Host, s.VM.Name = e.Target.Site, e.Target.Host, e.Target.VMName
		s = s.takeOver(s.FailedOverDisks())
	}
	return s.endJob(false)
}
