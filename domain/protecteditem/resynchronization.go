package protecteditem

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// RequireResynchronization reports that the replica can no longer follow its
// source. Points stay, and none is made until it has been resynchronized.
type RequireResynchronization struct {
	Reason       errorcatalog.Code // of class Resynchronize
	Detail       string
	ScheduledFor time.Time // the start of the policy's window
	JobID        string    // of a resynchronization that runs and finds that it is to begin anew; empty otherwise
	At           time.Time
}

func (c RequireResynchronization) decide(s State) ([]Event, error) {
	if errorcatalog.ClassOf(c.Reason) != errorcatalog.Resynchronize {
		return nil, invalid("/reason", "%q is not a reason for a resynchronization", c.Reason)
	}
	if err := s.requireState(InitialReplicationInProgress, FinalizingProtection, Protected,
		PlannedFailoverInProgress, UnplannedFailoverInProgress, FailoverCommitRequired); err != nil {
		return nil, err
	}
	e := ResynchronizationRequired{Reason: c.Reason, Detail: c.Detail, ScheduledFor: c.ScheduledFor, At: c.At}
	switch {
	case s.Resync.State == ResyncInProgress && c.JobID != "" && c.JobID == s.Resync.Job:
		e.OvertakenJobID = c.JobID
	case s.Resync.State != ResyncNone || s.ChainBroken():
		return nil, nil
	}
	return []Event{e}, nil
}

// ResynchronizationRequired stops delta replication until the resynchronization.
// During an unplanned failover, and until its commit, the resynchronization is owed.
type ResynchronizationRequired struct {
	Reason         errorcatalog.Code `json:"reason"`
	Detail         string            `json:"detail,omitempty"`
	ScheduledFor   time.Time         `json:"scheduledFor"`
	OvertakenJobID string            `json:"overtakenJobId,omitempty"` // of the resynchronization that came to nothing
	At             time.Time         `json:"at"`
}

// EventType implements domain.Event.
func (ResynchronizationRequired) EventType() string {
	return "protected_item.resynchronization_required.v1"
}

func (e ResynchronizationRequired) evolve(s State) State {
	resync := Resync{State: ResyncRequired, Reason: e.Reason, Detail: e.Detail, Since: e.At, ScheduledFor: e.ScheduledFor}
	if s.Protection == UnplannedFailoverInProgress || s.Protection == FailoverCommitRequired {
		s.Owed = &resync
		return s
	}
	s = s.stopResync()
	s.Resync, s.Retry, s.Requested = resync, Retry{}, CycleRequest{}
	return s
}

// postponeResync ends a resynchronization for a failover: what is required or
// runs is owed when the source is replicated again.
func (s State) postponeResync(at time.Time) State {
	if s.Resync.State == ResyncNone {
		return s
	}
	owed := s.Resync
	if owed.State == ResyncInProgress {
		owed.ScheduledFor = at
		s = s.restartChain()
	}
	owed.State, owed.Job = ResyncRequired, ""
	s.Owed, s.Resync = &owed, Resync{State: ResyncNone}
	return s
}

// RepairReplication asks for a resynchronization at once, whether or not one is
// required already.
type RepairReplication struct {
	JobID string
	At    time.Time
}

func (c RepairReplication) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if s.Resync.Job == c.JobID || s.repeats(c.JobID, false) {
		return nil, nil
	}
	if s.Protection != InitialReplicationInProgress || s.Resync.State == ResyncNone {
		if err := s.requireState(Protected); err != nil {
			return nil, err
		}
	}
	if err := s.requireNotPaused(); err != nil {
		return nil, err
	}
	if s.Resync.Job != "" {
		return nil, domain.Reject(domain.Conflict, errorcatalog.OperationInProgress,
			"a resynchronization is under way or about to start (job %s)", s.Resync.Job)
	}
	return []Event{ResynchronizationRequested(c)}, nil
}

// ResynchronizationRequested makes a resynchronization due at once.
type ResynchronizationRequested struct {
	JobID string    `json:"jobId"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (ResynchronizationRequested) EventType() string {
	return "protected_item.resynchronization_requested.v1"
}

func (e ResynchronizationRequested) evolve(s State) State {
	if s.Resync.State != ResyncRequired {
		s.Resync = Resync{State: ResyncRequired, Reason: errorcatalog.ResynchronizationRequested, Since: e.At}
	}
	s.Resync.ScheduledFor, s.Resync.Job, s.Resync.Unscheduled = e.At, e.JobID, false
	s.Retry, s.Requested = Retry{}, CycleRequest{}
	return s
}

// StartResynchronization reports that tracking has begun anew and the disks are
// being brought to agree. During initial replication it takes the place of that
// job.
type StartResynchronization struct {
	JobID string
	At    time.Time
}

func (c StartResynchronization) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if s.repeats(c.JobID, false) || (s.Resync.State == ResyncInProgress && s.runs(c.JobID)) {
		return nil, nil
	}
	if err := s.requireState(InitialReplicationInProgress, Protected); err != nil {
		return nil, err
	}
	if err := s.requireNotPaused(); err != nil {
		return nil, err
	}
	if s.Resync.State == ResyncNone {
		return nil, domain.Reject(domain.Conflict, errorcatalog.NothingToDo, "no resynchronization is required")
	}
	if s.Resync.Unscheduled {
		return nil, domain.Reject(domain.Conflict, errorcatalog.StaleJob, "the resynchronization was cancelled")
	}
	if s.Resync.Job != "" && s.Resync.Job != c.JobID {
		return nil, domain.Reject(domain.Conflict, errorcatalog.StaleJob, "the resynchronization belongs to job %s", s.Resync.Job)
	}
	return []Event{ResynchronizationStarted(c)}, nil
}

// ResynchronizationStarted begins a new chain of cuts.
type ResynchronizationStarted struct {
	JobID string    `json:"jobId"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (ResynchronizationStarted) EventType() string {
	return "protected_item.resynchronization_started.v1"
}

func (e ResynchronizationStarted) evolve(s State) State {
	s.Resync.State, s.Resync.Job, s.Resync.Unscheduled = ResyncInProgress, e.JobID, false
	return s.endJob(true).startJob(e.JobID, ResynchronizationJob).restartChain()
}

// CompleteResynchronization reports that the replica agrees with the source at a
// new recovery point. FinalizeJobID is as in CompleteInitialReplication, when the
// resynchronization took its place.
type CompleteResynchronization struct {
	JobID          string
	BytesScanned   int64
	BytesDiffering int64
	BytesSent      int64
	Point          Point
	FinalizeJobID  string
	At             time.Time
}

func (c CompleteResynchronization) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, InitialReplicationInProgress, Protected); err != nil {
		return nil, err
	}
	if s.Resync.State != ResyncInProgress {
		return nil, domain.Reject(domain.Conflict, errorcatalog.StaleJob, "job %q does not resynchronize", c.JobID)
	}
	if err := s.validatePoint(c.Point); err != nil {
		return nil, err
	}
	return []Event{
		ResynchronizationCompleted{
			JobID: c.JobID, BytesScanned: c.BytesScanned, BytesDiffering: c.BytesDiffering, BytesSent: c.BytesSent,
			FinalizeJobID: c.FinalizeJobID, At: c.At,
		},
		RecoveryPointCreated{Point: c.Point, At: c.At},
	}, nil
}

// ResynchronizationCompleted lets delta replication go on. The recovery point
// follows in the same append.
type ResynchronizationCompleted struct {
	JobID          string    `json:"jobId"`
	BytesScanned   int64     `json:"bytesScanned"`
	BytesDiffering int64     `json:"bytesDiffering"`
	BytesSent      int64     `json:"bytesSent"`
	FinalizeJobID  string    `json:"finalizeJobId,omitempty"`
	At             time.Time `json:"at"`
}

// EventType implements domain.Event.
func (ResynchronizationCompleted) EventType() string {
	return "protected_item.resynchronization_completed.v1"
}

func (e ResynchronizationCompleted) evolve(s State) State {
	s = s.endJob(false)
	s.Resync = Resync{State: ResyncNone}
	if s.Protection == InitialReplicationInProgress {
		return s.replicated(e.FinalizeJobID)
	}
	return s
}
