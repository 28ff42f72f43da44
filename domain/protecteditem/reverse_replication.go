package protecteditem

import (
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/site"
)

// ReProtect begins to replicate a VM that has failed back: what differs from the
// replica's base is sent.
type ReProtect struct {
	JobID string
	VM    *site.VirtualMachine // as the host's inventory describes it; nil: as it was known
	At    time.Time
}

func (c ReProtect) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if s.repeats(c.JobID, false) || (s.Protection == ReverseReplicating && s.runs(c.JobID)) {
		return nil, nil
	}
	if err := s.requireItem(); err != nil {
		return nil, err
	}
	if s.Protection == ReverseReplicating {
		return nil, s.requireNoJob()
	}
	if s.Protection != FailedBack {
		return nil, domain.Reject(domain.Conflict, errorcatalog.NotFailedBack, "the item has not failed back (%s)", s.Protection)
	}
	if c.VM != nil {
		if err := s.requireSameDisks(*c.VM); err != nil {
			return nil, err
		}
	}
	return []Event{ReverseReplicationStarted(c)}, nil
}

// requireSameDisks refuses a VM without the protected disks.
func (s State) requireSameDisks(vm site.VirtualMachine) error {
	for _, id := range s.Disks {
		if !slices.ContainsFunc(vm.Disks, func(d site.Disk) bool { return d.ID == id }) {
			return domain.Reject(domain.Conflict, errorcatalog.VirtualMachineNotProtectable, "the VM has no disk %q", id).At("/virtualMachine")
		}
	}
	return nil
}

// ReverseReplicationStarted begins a new chain of cuts.
type ReverseReplicationStarted struct {
	JobID string               `json:"jobId"`
	VM    *site.VirtualMachine `json:"vm,omitempty"`
	At    time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (ReverseReplicationStarted) EventType() string {
	return "protected_item.reverse_replication_started.v1"
}

func (e ReverseReplicationStarted) evolve(s State) State {
	s.Protection, s.Failure = ReverseReplicating, nil
	if e.VM != nil {
		held := s.heldDisks()
		s.VM = *e.VM
		s = s.describe(held...)
	}
	return s.restartChain().startJob(e.JobID, ReverseReplicationJob)
}

// CompleteReverseReplication reports that the replica agrees with the VM at a new
// recovery point.
type CompleteReverseReplication struct {
	JobID          string
	BytesScanned   int64
	BytesDiffering int64
	BytesSent      int64
	Point          Point
	At             time.Time
}

func (c CompleteReverseReplication) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, ReverseReplicating); err != nil {
		return nil, err
	}
	if err := s.validatePoint(c.Point); err != nil {
		return nil, err
	}
	return []Event{
		ReverseReplicationCompleted{
			JobID: c.JobID, BytesScanned: c.BytesScanned, BytesDiffering: c.BytesDiffering, BytesSent: c.BytesSent, Point: c.Point.ID, At: c.At,
		},
		RecoveryPointCreated{Point: c.Point, At: c.At},
	}, nil
}

// ReverseReplicationCompleted protects the item again. The recovery point follows
// in the same append.
type ReverseReplicationCompleted struct {
	JobID          string    `json:"jobId"`
	BytesScanned   int64     `json:"bytesScanned"`
	BytesDiffering int64     `json:"bytesDiffering"`
	BytesSent      int64     `json:"bytesSent"`
	Point          string    `json:"point"`
	At             time.Time `json:"at"`
}

// EventType implements domain.Event.
func (ReverseReplicationCompleted) EventType() string {
	return "protected_item.reverse_replication_completed.v1"
}

func (e ReverseReplicationCompleted) evolve(s State) State {
	s = s.endJob(false).returnToPrimary()
	s.Base, s.ProtectedAt = nil, e.At
	return s
}

// FailReverseReplication gives it up. The replica's base and its point are as
// they were.
type FailReverseReplication struct {
	JobID   string
	Failure *errorcatalog.Failure
	At      time.Time
}

func (c FailReverseReplication) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, true) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, ReverseReplicating); err != nil {
		return nil, err
	}
	return []Event{ReverseReplicationFailed{JobID: c.JobID, Failure: plain(c.Failure), At: c.At}}, nil
}

// ReverseReplicationFailed leaves the item failed back, to be protected again.
type ReverseReplicationFailed struct {
	JobID   string               `json:"jobId"`
	Failure errorcatalog.Failure `json:"failure"`
	At      time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (ReverseReplicationFailed) EventType() string {
	return "protected_item.reverse_replication_failed.v1"
}

func (e ReverseReplicationFailed) evolve(s State) State {
	s.Protection, s.Failure, s.FailedAt = FailedBack, &e.Failure, e.At
	return s.endJob(true).restartChain()
}
