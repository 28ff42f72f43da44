package protecteditem

import (
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// StartInitialReplication reports that a snapshot of the VM exists and its disks
// are being copied. The running job reports it again when the snapshot was lost
// and the copy goes on from a new one.
type StartInitialReplication struct {
	JobID      string
	Snapshot   string
	TotalBytes int64
	At         time.Time
}

func (c StartInitialReplication) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if err := requireID("/snapshot", c.Snapshot); err != nil {
		return nil, err
	}
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if s.Protection == InitialReplicationInProgress {
		if err := s.requireJob(c.JobID); err != nil {
			return nil, err
		}
		if s.Snapshot == c.Snapshot {
			return nil, nil
		}
		return []Event{InitialReplicationStarted(c)}, nil
	}
	if err := s.requireState(InitialReplicationPending); err != nil {
		return nil, err
	}
	if err := s.requireNotPaused(); err != nil {
		return nil, err
	}
	return []Event{InitialReplicationStarted(c)}, nil
}

// InitialReplicationStarted begins the copy of the disks.
type InitialReplicationStarted struct {
	JobID      string    `json:"jobId"`
	Snapshot   string    `json:"snapshot"`
	TotalBytes int64     `json:"totalBytes"`
	At         time.Time `json:"at"`
}

// EventType implements domain.Event.
func (InitialReplicationStarted) EventType() string {
	return "protected_item.initial_replication_started.v1"
}

func (e InitialReplicationStarted) evolve(s State) State {
	s.Protection, s.Snapshot = InitialReplicationInProgress, e.Snapshot
	if s.runs(e.JobID) {
		s.Retry = Retry{}
		return s
	}
	return s.startJob(e.JobID, InitialReplicationJob)
}

// CompleteInitialReplication reports that all disks are copied and every log
// since is applied: the first recovery point. FinalizeJobID, if set, names the
// job that finalizes protection.
type CompleteInitialReplication struct {
	JobID         string
	Bytes         int64
	Point         Point
	FinalizeJobID string
	At            time.Time
}

func (c CompleteInitialReplication) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, InitialReplicationInProgress); err != nil {
		return nil, err
	}
	if err := s.requireInSync(); err != nil {
		return nil, err
	}
	if err := s.validatePoint(c.Point); err != nil {
		return nil, err
	}
	return []Event{
		InitialReplicationCompleted{JobID: c.JobID, Bytes: c.Bytes, FinalizeJobID: c.FinalizeJobID, At: c.At},
		RecoveryPointCreated{Point: c.Point, At: c.At},
	}, nil
}

// InitialReplicationCompleted leaves protection to be finalized. The first
// recovery point follows in the same append.
type InitialReplicationCompleted struct {
	JobID         string    `json:"jobId"`
	Bytes         int64     `json:"bytes"`
	FinalizeJobID string    `json:"finalizeJobId,omitempty"`
	At            time.Time `json:"at"`
}

// EventType implements domain.Event.
func (InitialReplicationCompleted) EventType() string {
	return "protected_item.initial_replication_completed.v1"
}

func (e InitialReplicationCompleted) evolve(s State) State {
	return s.endJob(false).replicated(e.FinalizeJobID)
}

// replicated leaves an item, whose replica is complete for the first time, to be
// finalized.
func (s State) replicated(finalizeJob string) State {
	s.Protection, s.InitialReplicated, s.Snapshot = FinalizingProtection, true, ""
	if finalizeJob != "" {
		return s.startJob(finalizeJob, FinalizeProtectionJob)
	}
	return s
}

// validatePoint refuses a recovery point that does not hold all protected disks.
func (s State) validatePoint(p Point) error {
	if err := requireID("/point/id", p.ID); err != nil {
		return err
	}
	if p.Instant.IsZero() {
		return invalid("/point/instant", "a recovery point has an instant")
	}
	if p.Consistency != CrashConsistent && p.Consistency != AppConsistent && p.Consistency != Planned {
		return invalid("/point/consistency", "%q is not a kind of recovery point", p.Consistency)
	}
	if _, known := s.Point(p.ID); known {
		return domain.Reject(domain.Conflict, errorcatalog.CutOutOfOrder, "recovery point %s exists already", p.ID)
	}
	for _, disk := range s.Disks {
		if !slices.ContainsFunc(p.Disks, func(d PointDisk) bool { return d.Disk == disk }) {
			return invalid("/point/disks", "disk %q is missing", disk)
		}
	}
	return nil
}
