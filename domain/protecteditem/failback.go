package protecteditem

import (
	"slices"
	"strings"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// FailbackMode says how a failback brings the disks back.
type FailbackMode string

// The modes.
const (
	MinimizeDowntime FailbackMode = "minimizeDowntime" // compare and pull what differs while the recovery VM runs
	FullDownload     FailbackMode = "fullDownload"     // pull everything
)

// FailbackTarget is where the VM goes back to: a new VM on a host, or, when it is
// empty, the original one.
type FailbackTarget struct {
	Site   string `json:"site,omitempty"`
	Host   string `json:"host,omitempty"`
	VMName string `json:"vmName,omitempty"`
}

// Original says whether the VM goes back to where it came from.
func (t FailbackTarget) Original() bool { return t == FailbackTarget{} }

// VM is the id that the new VM has on its host.
func (t FailbackTarget) VM() string { return strings.ToLower(t.VMName) }

func (t FailbackTarget) validate() error {
	if t.Original() {
		return nil
	}
	if err := domain.CheckSlug("/target/site", t.Site); err != nil {
		return err
	}
	if err := domain.CheckSlug("/target/host", t.Host); err != nil {
		return err
	}
	if !validVMName(t.VMName) {
		return invalid("/target/vmName", "%q is not 1 to 63 letters, digits and hyphens that begin and end with a letter or digit", t.VMName)
	}
	return nil
}

// FailbackRun is the failback that is open.
type FailbackRun struct {
	JobID     string // the failback's own, whichever job is at it now
	Mode      FailbackMode
	Target    FailbackTarget
	VM        string // the VM's id on the primary side, once it runs there
	StartedAt time.Time
}

// Base is what the replica keeps of a committed failover, so that replicating the
// VM again after its failback sends only what differs.
type Base struct {
	Point string // the failover's
	Cut   string // the one that the replica disks are at
}

// StartFailback begins to bring a VM that has failed over back to the primary
// side. Nothing of its original disks changes before they are switched to.
type StartFailback struct {
	JobID  string
	Mode   FailbackMode
	Target FailbackTarget
	At     time.Time
}

func (c StartFailback) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if s.failingBack() && s.runs(c.JobID) {
		return nil, nil
	}
	if err := s.requireItem(); err != nil {
		return nil, err
	}
	if s.failingBack() {
		return nil, s.failbackOpen()
	}
	if s.Protection != FailedOver {
		return nil, domain.Reject(domain.Conflict, errorcatalog.NotFailedOver, "there is no committed failover (%s)", s.Protection)
	}
	if c.Mode != MinimizeDowntime && c.Mode != FullDownload {
		return nil, invalid("/mode", "%q is not a mode of failback", c.Mode)
	}
	if err := c.Target.validate(); err != nil {
		return nil, err
	}
	if r := s.Recovery; c.Target.Site == r.Site && c.Target.Host == r.Host && c.Target.VM() == r.VM {
		return nil, domain.Reject(domain.Conflict, errorcatalog.VMNameTaken, "%s is the recovery VM itself", c.Target.VMName).At("/target/vmName")
	}
	if err := s.requireSourceOff(c.Target); err != nil {
		return nil, err
	}
	return []Event{FailbackStarted(c)}, nil
}

// failingBack says whether the item is in a failback that is not committed.
func (s State) failingBack() bool {
	return slices.Contains([]ProtectionState{
		FailbackSynchronizing, FailbackAwaitingCompletion, FailbackCompleting, FailbackCommitRequired,
	}, s.Protection)
}

// failbackOpen refuses what an open failback forbids.
func (s State) failbackOpen() error {
	return domain.Reject(domain.Conflict, errorcatalog.FailbackOpen, "a failback is open since %s (%s)",
		s.Failback.StartedAt.UTC().Format(time.RFC3339), s.Protection)
}

// LeavesSource says whether an open failback leaves the original VM where it is:
// it is to stay off there.
func (s State) LeavesSource() bool {
	return s.failingBack() && s.Failback.Target.leaves(s)
}

// leaves says whether the original VM and the one at the target are two.
func (t FailbackTarget) leaves(s State) bool {
	return !t.Original() && (t.Site != s.Site || t.Host != s.Host || t.VM() != s.VM.ID)
}

// requireSourceOff refuses to write to the disks of a VM that runs.
func (s State) requireSourceOff(target FailbackTarget) error {
	if s.Fencing.SourceActive && target.Original() {
		return domain.Reject(domain.Conflict, errorcatalog.SourceStillRunningRefusal, "the source VM was seen running at %s",
			s.Fencing.Since.UTC().Format(time.RFC3339))
	}
	return nil
}

// requireFailbackStep refuses a step of a failback outside its states, or by
// another job than the failback's own.
func (s State) requireFailbackStep(job string, allowed ...ProtectionState) error {
	return s.requireStepOf(FailbackJob, job, allowed...)
}

// FailbackStarted gives the item to the failback's job.
type FailbackStarted struct {
	JobID  string         `json:"jobId"`
	Mode   FailbackMode   `json:"mode"`
	Target FailbackTarget `json:"target"`
	At     time.Time      `json:"at"`
}

// EventType implements domain.Event.
func (FailbackStarted) EventType() string { return "protected_item.failback_started.v1" }

func (e FailbackStarted) evolve(s State) State {
	s.Protection, s.Failure = FailbackSynchronizing, nil
	s.Failback = FailbackRun{JobID: e.JobID, Mode: e.Mode, Target: e.Target, StartedAt: e.At}
	if e.Target.Original() {
		s = s.forget(s.Site, s.Host, s.VM.ID) // what an earlier failback has left beside its disks is this one's
	}
	return s.startJob(e.JobID, FailbackJob)
}

// RecordFailbackSynchronized reports that the primary side holds what the
// recovery VM had written a moment ago, beside the disks.
type RecordFailbackSynchronized struct {
	JobID          string
	BytesScanned   int64
	BytesDiffering int64
	BytesSent      int64
	At             time.Time
}

func (c RecordFailbackSynchronized) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) || (s.runs(c.JobID) && s.Protection == FailbackAwaitingCompletion) {
		return nil, nil
	}
	if err := s.requireFailbackStep(c.JobID, FailbackSynchronizing); err != nil {
		return nil, err
	}
	return []Event{FailbackSynchronized(c)}, nil
}

// FailbackSynchronized makes the failback's job wait for the operator.
type FailbackSynchronized struct {
	JobID          string    `json:"jobId"`
	BytesScanned   int64     `json:"bytesScanned"`
	BytesDiffering int64     `json:"bytesDiffering"`
	BytesSent      int64     `json:"bytesSent"`
	At             time.Time `json:"at"`
}

// EventType implements domain.Event.
func (FailbackSynchronized) EventType() string { return "protected_item.failback_synchronized.v1" }

func (e FailbackSynchronized) evolve(s State) State {
	s.Protection, s.Retry = FailbackAwaitingCompletion, Retry{}
	return s
}

// CompleteFailback is the operator's word that the recovery VM may be stopped. It
// goes on under the failback's job, which JobID names or, when empty, means.
type CompleteFailback struct {
	JobID string
	At    time.Time
}

func (c CompleteFailback) decide(s State) ([]Event, error) {
	if err := s.requireItem(); err != nil {
		return nil, err
	}
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if s.Protection != FailbackAwaitingCompletion && s.Protection != FailbackCompleting {
		return nil, domain.Reject(domain.Conflict, errorcatalog.NoFailbackPending, "no failback waits for its completion (%s)", s.Protection)
	}
	if c.JobID == "" && s.Job != nil {
		c.JobID = s.Job.ID
	}
	if err := s.requireFailbackStep(c.JobID, FailbackAwaitingCompletion, FailbackCompleting); err != nil {
		return nil, err
	}
	if s.Protection == FailbackCompleting {
		return nil, nil
	}
	if err := s.requireSourceOff(s.Failback.Target); err != nil {
		return nil, err
	}
	return []Event{FailbackCompletionStarted(c)}, nil
}

// FailbackCompletionStarted lets the failback stop the recovery VM and switch.
type FailbackCompletionStarted struct {
	JobID string    `json:"jobId"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (FailbackCompletionStarted) EventType() string {
	return "protected_item.failback_completion_started.v1"
}

func (FailbackCompletionStarted) evolve(s State) State {
	s.Protection = FailbackCompleting
	return s
}

// RecordFailbackCompleted reports that the VM runs on the primary side and the
// recovery VM is off. The original content of what was changed is kept until the
// failback's commit.
//
// The bytes are those of the last changes, which were brought after that VM was
// shut down; Compared says why its disks were compared as a whole for them,
// instead of what was written since they had been compared before.
type RecordFailbackCompleted struct {
	JobID          string
	VM             string // its id on the primary side
	BytesScanned   int64
	BytesDiffering int64
	BytesSent      int64
	Compared       string
	At             time.Time
}

func (c RecordFailbackCompleted) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireFailbackStep(c.JobID, FailbackCompleting); err != nil {
		return nil, err
	}
	if err := requireID("/vm", c.VM); err != nil {
		return nil, err
	}
	return []Event{FailbackCompleted(c)}, nil
}

// FailbackCompleted makes the primary side the active one.
type FailbackCompleted struct {
	JobID          string    `json:"jobId"`
	VM             string    `json:"vm"`
	BytesScanned   int64     `json:"bytesScanned,omitempty"`
	BytesDiffering int64     `json:"bytesDiffering,omitempty"`
	BytesSent      int64     `json:"bytesSent,omitempty"`
	Compared       string    `json:"compared,omitempty"`
	At             time.Time `json:"at"`
}

// EventType implements domain.Event.
func (FailbackCompleted) EventType() string { return "protected_item.failback_completed.v1" }

func (e FailbackCompleted) evolve(s State) State {
	s.Protection, s.ActiveLocation, s.Failback.VM = FailbackCommitRequired, Primary, e.VM
	at := s.Failback.Target
	if at.Original() {
		at.Site, at.Host = s.Site, s.Host
	}
	s = s.forget(at.Site, at.Host, e.VM) // it is the VM that is to run
	if !s.LeavesSource() {
		s.Fencing = Fencing{Held: s.Fencing.Held}
	}
	return s.endJob(false)
}
