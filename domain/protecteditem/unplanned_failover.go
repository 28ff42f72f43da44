package protecteditem

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// StartUnplannedFailover begins to bring the VM up on the recovery side whatever
// has become of its source. It is allowed while a resynchronization is required
// or runs, which ends with it, and while replication is paused. It takes the place
// of a failover that yields.
type StartUnplannedFailover struct {
	JobID          string
	Choice         PointChoice
	ShutDownSource bool // try to stop the source and to ship its last writes first
	At             time.Time
}

func (c StartUnplannedFailover) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if s.Protection == UnplannedFailoverInProgress && s.runs(c.JobID) {
		return nil, nil
	}
	if !s.failoverYields() {
		if err := s.requireFailoverFree(); err != nil {
			return nil, err
		}
		if err := s.requireState(Protected); err != nil {
			return nil, err
		}
	}
	point, err := s.choose(c.Choice)
	if err != nil {
		return nil, err
	}
	e := UnplannedFailoverStarted{JobID: c.JobID, Choice: c.Choice, Point: point, ShutDownSource: c.ShutDownSource, OvertakenJobID: s.Resync.Job, At: c.At}
	if s.Job != nil {
		e.OvertakenJobID = s.Job.ID
	}
	if s.DiskJob != nil {
		e.OvertakenDiskJobID = s.DiskJob.ID
	}
	if c.Choice == Latest && c.ShutDownSource { // what is shipped last makes another one
		e.Point = ""
	}
	return []Event{e}, nil
}

// failoverYields says whether the failover that runs gives way to an unplanned one:
// it is held, so that its recovery VM has not started, or it cannot be taken back to
// a source that Farshore has stopped. If the source is lost, nothing else would bring
// the VM up.
func (s State) failoverYields() bool {
	stuck := s.SourceStopped && s.Retry.Failure != nil
	switch s.Protection {
	case PlannedFailoverInProgress:
		return stuck || s.Hold == HoldAsked || s.Hold == HoldReady
	case UnplannedFailoverInProgress:
		return stuck
	default:
		return false
	}
}

// requireFailoverFree refuses a failover while another one runs or the item is
// being disabled, and names their job.
func (s State) requireFailoverFree() error {
	switch s.Protection {
	case PlannedFailoverInProgress, UnplannedFailoverInProgress, DisablingProtection:
		return s.requireNoJob()
	default:
		return nil
	}
}

// UnplannedFailoverStarted gives the item to the failover's job.
type UnplannedFailoverStarted struct {
	JobID              string      `json:"jobId"`
	Choice             PointChoice `json:"choice"`
	Point              string      `json:"point,omitempty"` // absent while logs are to be applied first
	ShutDownSource     bool        `json:"shutDownSource,omitempty"`
	OvertakenJobID     string      `json:"overtakenJobId,omitempty"`     // of the resynchronization or the failover that ends with it
	OvertakenDiskJobID string      `json:"overtakenDiskJobId,omitempty"` // of the new disks that are given up
	At                 time.Time   `json:"at"`
}

// EventType implements domain.Event.
func (UnplannedFailoverStarted) EventType() string {
	return "protected_item.unplanned_failover_started.v1"
}

func (e UnplannedFailoverStarted) evolve(s State) State {
	s = s.postponeResync(e.At)
	if s.Protection == Protected {
		s.SourceStopped = false
	} // otherwise it is still off, and is to run again if this failover comes to nothing
	s.Protection, s.Hold, s.Failure, s.Requested = UnplannedFailoverInProgress, NotHeld, nil, CycleRequest{}
	s.FailoverChoice, s.FailoverPoint, s.ShutDownSource = e.Choice, e.Point, e.ShutDownSource
	return s.endDisks(true).endJob(true).startJob(e.JobID, UnplannedFailoverJob)
}

// RecordFailoverPoint reports the point that an unplanned failover uses, once the
// logs that were shipped are applied.
type RecordFailoverPoint struct {
	JobID string
	Point string
	At    time.Time
}

func (c RecordFailoverPoint) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, UnplannedFailoverInProgress); err != nil {
		return nil, err
	}
	if s.FailoverPoint == c.Point && c.Point != "" {
		return nil, nil
	}
	if err := s.requireFailoverPoint(c.Point); err != nil {
		return nil, err
	}
	return []Event{FailoverPointChosen(c)}, nil
}

// requireFailoverPoint refuses a point that is not the one the failover was asked
// for.
func (s State) requireFailoverPoint(point string) error {
	if s.FailoverPoint == "" {
		return s.requireLatest(point)
	}
	if s.FailoverPoint != point {
		return domain.Reject(domain.Conflict, errorcatalog.RecoveryPointNotFound, "the failover is to recovery point %s", s.FailoverPoint).At("/point")
	}
	return nil
}

// FailoverPointChosen fixes the failover's point.
type FailoverPointChosen struct {
	JobID string    `json:"jobId"`
	Point string    `json:"point"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (FailoverPointChosen) EventType() string { return "protected_item.failover_point_chosen.v1" }

func (e FailoverPointChosen) evolve(s State) State {
	s.FailoverPoint = e.Point
	return s
}

// CompleteUnplannedFailover reports that the VM runs on the recovery side.
type CompleteUnplannedFailover struct {
	JobID         string
	Point         string
	RecoveryVM    string // the VM's id on the recovery host
	SourceStopped bool   // the source is known to be shut down
	CopyJobID     string // to copy the VM's disks; empty: it has them
	At            time.Time
}

func (c CompleteUnplannedFailover) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, UnplannedFailoverInProgress); err != nil {
		return nil, err
	}
	if err := requireID("/recoveryVm", c.RecoveryVM); err != nil {
		return nil, err
	}
	if err := s.requireFailoverPoint(c.Point); err != nil {
		return nil, err
	}
	done := UnplannedFailoverCompleted{
		JobID: c.JobID, Point: c.Point, RecoveryVM: c.RecoveryVM, SourceStopped: c.SourceStopped || s.SourceStopped, At: c.At,
	}
	return withCopy(done, c.CopyJobID, c.Point, c.At), nil
}

// UnplannedFailoverCompleted makes the recovery side the active one.
type UnplannedFailoverCompleted struct {
	JobID         string    `json:"jobId"`
	Point         string    `json:"point"`
	RecoveryVM    string    `json:"recoveryVm"`
	SourceStopped bool      `json:"sourceStopped"`
	At            time.Time `json:"at"`
}

// EventType implements domain.Event.
func (UnplannedFailoverCompleted) EventType() string {
	return "protected_item.unplanned_failover_completed.v1"
}

func (e UnplannedFailoverCompleted) evolve(s State) State {
	s.Protection, s.ActiveLocation = FailoverCommitRequired, Recovery
	s.FailoverPoint, s.Recovery.VM, s.SourceStopped = e.Point, e.RecoveryVM, e.SourceStopped
	return s.endJob(false)
}

// FailUnplannedFailover gives a failover up before the recovery VM has started.
// The source runs again if Farshore stopped it.
type FailUnplannedFailover struct {
	JobID   string
	Failure *errorcatalog.Failure
	At      time.Time
}

func (c FailUnplannedFailover) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, true) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, UnplannedFailoverInProgress); err != nil {
		return nil, err
	}
	return []Event{UnplannedFailoverFailed{JobID: c.JobID, Failure: plain(c.Failure), SourceRestarted: s.SourceStopped, At: c.At}}, nil
}

// UnplannedFailoverFailed returns the item to protection. A resynchronization
// that the failover ended is required again.
type UnplannedFailoverFailed struct {
	JobID           string               `json:"jobId"`
	Failure         errorcatalog.Failure `json:"failure"`
	SourceRestarted bool                 `json:"sourceRestarted,omitempty"` // it had been stopped by the failover
	At              time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (UnplannedFailoverFailed) EventType() string {
	return "protected_item.unplanned_failover_failed.v1"
}

func (e UnplannedFailoverFailed) evolve(s State) State {
	s = s.endJob(true).returnToPrimary()
	s.Failure, s.FailedAt = &e.Failure, e.At
	return s
}
