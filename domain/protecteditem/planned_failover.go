package protecteditem

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// StartPlannedFailover begins to move the VM to the recovery side without loss:
// the source is shut down, its last writes are shipped, the VM is brought up from
// the point made of them.
type StartPlannedFailover struct {
	JobID  string
	Resume bool // replication, if it is paused
	Hold   bool // do all but start the recovery VM, then wait for ReleasePlannedFailover
	// AllowUnmappedNetworks lets the VM come up with adapters that are not connected.
	AllowUnmappedNetworks bool
	Networks              *NetworkPlan // as it is known now; nil: as it was checked last
	At                    time.Time
}

func (c StartPlannedFailover) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if s.Protection == PlannedFailoverInProgress && s.runs(c.JobID) {
		return nil, nil
	}
	if err := s.requireFailoverFree(); err != nil {
		return nil, err
	}
	if err := s.requireState(Protected); err != nil {
		return nil, err
	}
	if err := s.requireInSync(); err != nil {
		return nil, err
	}
	if err := s.requireNoJob(); err != nil {
		return nil, err
	}
	if err := s.requireNoDiskJob(); err != nil { // or the new disk would be lost
		return nil, err
	}
	if len(s.Points) == 0 {
		return nil, domain.Reject(domain.Conflict, errorcatalog.NoRecoveryPoint, "the item has no recovery point")
	}
	if err := c.requireNetworks(s); err != nil {
		return nil, err
	}
	started := PlannedFailoverStarted{JobID: c.JobID, Hold: c.Hold, AllowUnmappedNetworks: c.AllowUnmappedNetworks, At: c.At}
	if s.Paused != nil && c.Resume {
		return []Event{ReplicationResumed{At: c.At}, started}, nil
	}
	if err := s.requireNotPaused(); err != nil {
		return nil, err
	}
	return []Event{started}, nil
}

// requireNetworks refuses to leave adapters unconnected unless that is allowed.
func (c StartPlannedFailover) requireNetworks(s State) error {
	switch {
	case c.AllowUnmappedNetworks:
		return nil
	case c.Networks != nil:
		return requireConnected(c.Networks.Findings)
	default:
		return requireConnected(s.NetworkFindings)
	}
}

// PlannedFailoverStarted gives the item to the failover's job.
type PlannedFailoverStarted struct {
	JobID                 string    `json:"jobId"`
	Hold                  bool      `json:"hold,omitempty"`
	AllowUnmappedNetworks bool      `json:"allowUnmappedNetworks,omitempty"`
	At                    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (PlannedFailoverStarted) EventType() string { return "protected_item.planned_failover_started.v1" }

func (e PlannedFailoverStarted) evolve(s State) State {
	s.Protection, s.SourceStopped, s.Failure, s.Requested = PlannedFailoverInProgress, false, nil, CycleRequest{}
	s.AllowUnmapped, s.Hold = e.AllowUnmappedNetworks, NotHeld
	if e.Hold {
		s.Hold = HoldAsked
	}
	return s.startJob(e.JobID, PlannedFailoverJob)
}

// RecordSourceStopped reports that the source VM is shut down and kept off.
type RecordSourceStopped struct {
	JobID string
	At    time.Time
}

func (c RecordSourceStopped) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, PlannedFailoverInProgress, UnplannedFailoverInProgress); err != nil {
		return nil, err
	}
	if s.SourceStopped {
		return nil, nil
	}
	return []Event{SourceStopped(c)}, nil
}

// SourceStopped means that Farshore shut the source down, and starts it again if
// the failover fails.
type SourceStopped struct {
	JobID string    `json:"jobId"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (SourceStopped) EventType() string { return "protected_item.source_stopped.v1" }

func (SourceStopped) evolve(s State) State {
	s.SourceStopped = true
	return s
}

// CompletePlannedFailover reports that the VM runs on the recovery side, from the
// point that holds the source's last write.
type CompletePlannedFailover struct {
	JobID      string
	Point      string // the newest recovery point
	RecoveryVM string // the VM's id on the recovery host
	CopyJobID  string // to copy its disks; empty: it has them
	At         time.Time
}

func (c CompletePlannedFailover) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, PlannedFailoverInProgress); err != nil {
		return nil, err
	}
	if err := s.requireInSync(); err != nil {
		return nil, err
	}
	if err := requireID("/recoveryVm", c.RecoveryVM); err != nil {
		return nil, err
	}
	if !s.SourceStopped {
		return nil, domain.Reject(domain.Conflict, errorcatalog.SourceNotStopped, "the source has not been stopped")
	}
	if err := s.requireLatest(c.Point); err != nil {
		return nil, err
	}
	done := PlannedFailoverCompleted{JobID: c.JobID, Point: c.Point, RecoveryVM: c.RecoveryVM, At: c.At}
	return withCopy(done, c.CopyJobID, c.Point, c.At), nil
}

// PlannedFailoverCompleted makes the recovery side the active one.
type PlannedFailoverCompleted struct {
	JobID      string    `json:"jobId"`
	Point      string    `json:"point"`
	RecoveryVM string    `json:"recoveryVm"`
	At         time.Time `json:"at"`
}

// EventType implements domain.Event.
func (PlannedFailoverCompleted) EventType() string {
	return "protected_item.planned_failover_completed.v1"
}

func (e PlannedFailoverCompleted) evolve(s State) State {
	s.Protection, s.ActiveLocation = FailoverCommitRequired, Recovery
	s.FailoverPoint, s.Recovery.VM = e.Point, e.RecoveryVM
	return s.endJob(false)
}

// FailPlannedFailover gives a failover up before the recovery VM has started. The
// source runs again if Farshore stopped it.
type FailPlannedFailover struct {
	JobID   string
	Failure *errorcatalog.Failure
	At      time.Time
}

func (c FailPlannedFailover) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, true) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, PlannedFailoverInProgress); err != nil {
		return nil, err
	}
	return []Event{PlannedFailoverFailed{JobID: c.JobID, Failure: plain(c.Failure), SourceRestarted: s.SourceStopped, At: c.At}}, nil
}

// PlannedFailoverFailed returns the item to protection.
type PlannedFailoverFailed struct {
	JobID           string               `json:"jobId"`
	Failure         errorcatalog.Failure `json:"failure"`
	SourceRestarted bool                 `json:"sourceRestarted"` // it had been stopped by the failover
	At              time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (PlannedFailoverFailed) EventType() string { return "protected_item.planned_failover_failed.v1" }

func (e PlannedFailoverFailed) evolve(s State) State {
	s.Protection, s.SourceStopped, s.Failure, s.FailedAt = Protected, false, &e.Failure, e.At
	return s.endJob(true)
}
