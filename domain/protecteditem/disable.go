package protecteditem

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// DisableProtection begins to end the protection, from whatever state: a
// workflow that runs is overtaken. An open test failover is cleaned up first, or
// with it if that is asked for. A failback is cancelled first, or the recovery VM
// named as the one that stays. Disabling what is being or has been disabled
// changes nothing, unless it is to be forced now.
type DisableProtection struct {
	JobID       string
	KeepReplica time.Duration // how long the replica is kept after
	Reason      string
	CleanUp     bool   // an open test failover, too
	Force       bool   // in spite of an open failback, and without hosts and stores that do not answer
	Survivor    string // with Force and an open failback: the VM that is to be the one that is left
	At          time.Time
}

func (c DisableProtection) decide(s State) ([]Event, error) {
	if err := s.requireItem(); err != nil {
		return nil, err
	}
	switch {
	case c.Force && s.unforced(DisableProtectionJob):
		return []Event{JobForced{JobID: s.Job.ID, At: c.At}}, nil
	case s.Protection == DisablingProtection, s.Protection == Unprotected:
		return nil, nil
	}
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if c.KeepReplica < 0 || c.KeepReplica > maxKeepReplica {
		return nil, invalid("/keepReplica", "the replica is kept for 0 to 365 days")
	}
	if s.failingBack() {
		if !c.Force {
			return nil, s.failbackOpen()
		}
		if want := s.survivor(); c.Survivor == "" || c.Survivor != want {
			return nil, invalid("/survivor", "the VM %q is to be named as the survivor", want)
		}
	}
	if s.testOpen() && !c.CleanUp {
		return nil, domain.Reject(domain.Conflict, errorcatalog.TestFailoverOpen, "a test failover is open (%s)", s.TestFailover).At("/cleanup")
	}
	e := ProtectionDisabling{JobID: c.JobID, KeepReplicaSeconds: int64(c.KeepReplica / time.Second), Reason: c.Reason, Force: c.Force, At: c.At}
	if s.Job != nil {
		e.OvertakenJobID = s.Job.ID
	}
	if s.TestJob != nil {
		e.OvertakenTestJobID = s.TestJob.ID
	}
	if s.DiskJob != nil {
		e.OvertakenDiskJobID = s.DiskJob.ID
	}
	e.CleanUpTestFailover = s.testOpen()
	if s.failingBack() {
		e.Survivor = c.Survivor
	}
	return []Event{e}, nil
}

// survivor is the VM that disabling in spite of a failback leaves: the recovery VM, or
// the one on the primary side once the failback is being committed.
func (s State) survivor() string {
	if s.unforced(FailbackCommitJob) {
		return s.Failback.VM
	}
	return s.Recovery.VM
}

const maxKeepReplica = 365 * 24 * time.Hour

// ProtectionDisabling is the first phase: no work of the item goes on but its
// end.
type ProtectionDisabling struct {
	JobID               string    `json:"jobId"`
	OvertakenJobID      string    `json:"overtakenJobId,omitempty"` // the job that ends with it
	KeepReplicaSeconds  int64     `json:"keepReplicaSeconds"`
	Reason              string    `json:"reason,omitempty"`
	Force               bool      `json:"force,omitempty"` // without those who do not answer
	OvertakenTestJobID  string    `json:"overtakenTestJobId,omitempty"`
	OvertakenDiskJobID  string    `json:"overtakenDiskJobId,omitempty"`
	CleanUpTestFailover bool      `json:"cleanUpTestFailover,omitempty"` // what it brought up is removed first
	Survivor            string    `json:"survivor,omitempty"`            // when a failback was open
	At                  time.Time `json:"at"`
}

// EventType implements domain.Event.
func (ProtectionDisabling) EventType() string { return "protected_item.protection_disabling.v1" }

func (e ProtectionDisabling) evolve(s State) State {
	if s.unforced(FailbackCommitJob) { // there is no way back from it, and the recovery VM may be gone
		s = FailbackCommitted{JobID: s.Job.ID, Target: s.Failback.Target, VM: s.Failback.VM, Left: true, At: e.At}.evolve(s)
	}
	s.Protection, s.Resync, s.Requested = DisablingProtection, Resync{State: ResyncNone}, CycleRequest{}
	s.Paused, s.Owed = nil, nil
	if s.testOpen() {
		s.TestFailover = TestFailoverCleaningUp
	}
	s = s.endTestJob(true).endDisks(true)
	s.CopyRetry = s.CopyRetry.at(e.At) // a VM that is gone ends it now
	s.KeepReplica = time.Duration(e.KeepReplicaSeconds) * time.Second
	s = s.endJob(true).startJob(e.JobID, DisableProtectionJob)
	s.Forced = e.Force
	return s
}

// CompleteDisable reports that nothing of the item is left on the host.
type CompleteDisable struct {
	JobID string
	At    time.Time
}

func (c CompleteDisable) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, DisablingProtection); err != nil {
		return nil, err
	}
	if err := s.requireCopied(); err != nil {
		return nil, err
	}
	return []Event{ProtectionDisabled{JobID: c.JobID, Replica: s.ReplicaID(), ReplicaUntil: c.At.Add(s.KeepReplica), At: c.At}}, nil
}

// ProtectionDisabled is the second phase: the cycle is over. Its replica may be
// removed once it need not be kept.
type ProtectionDisabled struct {
	JobID        string    `json:"jobId"`
	Replica      string    `json:"replica"` // its name in the store
	ReplicaUntil time.Time `json:"replicaUntil"`
	At           time.Time `json:"at"`
}

// EventType implements domain.Event.
func (ProtectionDisabled) EventType() string { return "protected_item.protection_disabled.v1" }

func (e ProtectionDisabled) evolve(s State) State {
	s = s.endJob(false)
	return State{
		Vault: s.Vault, Item: s.Item, Cycle: s.Cycle, Protection: Unprotected,
		Resync: Resync{State: ResyncNone}, TestFailover: TestFailoverNone, ActiveLocation: s.ActiveLocation,
		Site: s.Site, Host: s.Host, VM: s.VM, Disks: s.Disks, PolicyID: s.PolicyID, Policy: s.Policy, Store: s.Store,
		Recovery: s.Recovery, Ended: s.Ended, EndedCopy: s.EndedCopy, DisabledAt: e.At, ReplicaUntil: e.ReplicaUntil, Reported: s.Reported,
		LeftBehind: s.LeftBehind, // its hosts are told when they answer
	}
}
