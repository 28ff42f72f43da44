package protecteditem

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// ChangeRecoveryPoint begins to bring the failed-over VM up from another point, or
// from the same one afresh: the recovery VM is stopped and its writes are lost,
// which the caller confirms. It is possible until the failover's commit.
type ChangeRecoveryPoint struct {
	JobID   string
	Choice  PointChoice
	Confirm bool
	At      time.Time
}

func (c ChangeRecoveryPoint) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if s.repeats(c.JobID, false) || (s.runs(c.JobID) && s.Job.Kind == RecoveryPointChangeJob) {
		return nil, nil
	}
	if err := s.requireUncommitted(); err != nil {
		return nil, err
	}
	if c.Choice == Latest { // no log is applied any more
		c.Choice = LatestProcessed
	}
	point, err := s.choose(c.Choice)
	if err != nil {
		return nil, err
	}
	if !c.Confirm {
		return nil, domain.Reject(domain.Conflict, errorcatalog.ConfirmationRequired,
			"what the recovery VM %q has written since the failover is lost", s.Recovery.VM).At("/confirm")
	}
	return []Event{RecoveryPointChangeStarted{JobID: c.JobID, Point: point, At: c.At}}, nil
}

// requireUncommitted refuses what is possible only between a failover and its
// commit, while neither a commit nor anything else is under way.
func (s State) requireUncommitted() error {
	if err := s.requireItem(); err != nil {
		return err
	}
	if s.Protection != FailoverCommitRequired {
		return domain.Reject(domain.Conflict, errorcatalog.NoFailoverPending, "there is no failover that waits for its commit (%s)", s.Protection)
	}
	return s.requireNoJob()
}

// RecoveryPointChangeStarted gives the item to the job that changes the point.
type RecoveryPointChangeStarted struct {
	JobID string    `json:"jobId"`
	Point string    `json:"point"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (RecoveryPointChangeStarted) EventType() string {
	return "protected_item.recovery_point_change_started.v1"
}

func (e RecoveryPointChangeStarted) evolve(s State) State {
	s.NextFailoverPoint, s.Failure = e.Point, nil
	return s.startJob(e.JobID, RecoveryPointChangeJob)
}

// CompleteRecoveryPointChange reports that the VM runs from the other point.
type CompleteRecoveryPointChange struct {
	JobID      string
	RecoveryVM string
	CopyJobID  string // to copy the VM's disks; empty: it has them
	At         time.Time
}

func (c CompleteRecoveryPointChange) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireUncommittedStep(c.JobID, RecoveryPointChangeJob); err != nil {
		return nil, err
	}
	if err := requireID("/recoveryVm", c.RecoveryVM); err != nil {
		return nil, err
	}
	done := RecoveryPointChangeCompleted{
		JobID: c.JobID, Point: s.NextFailoverPoint, RecoveryVM: c.RecoveryVM, OvertakenCopyJobID: s.copyJobID(), At: c.At,
	}
	return withCopy(done, c.CopyJobID, done.Point, c.At), nil
}

// requireUncommittedStep refuses a step of one of the workflows that run before a
// failover's commit to the jobs of the others.
func (s State) requireUncommittedStep(job, kind string) error {
	return s.requireStepOf(kind, job, FailoverCommitRequired)
}

// RecoveryPointChangeCompleted replaces the failover's point and VM.
type RecoveryPointChangeCompleted struct {
	JobID              string    `json:"jobId"`
	Point              string    `json:"point"`
	RecoveryVM         string    `json:"recoveryVm"`
	OvertakenCopyJobID string    `json:"overtakenCopyJobId,omitempty"` // of the VM that was replaced
	At                 time.Time `json:"at"`
}

// EventType implements domain.Event.
func (RecoveryPointChangeCompleted) EventType() string {
	return "protected_item.recovery_point_change_completed.v1"
}

func (e RecoveryPointChangeCompleted) evolve(s State) State {
	s.FailoverPoint, s.NextFailoverPoint, s.Recovery.VM = e.Point, "", e.RecoveryVM
	return s.endCopy(true).endJob(false)
}

// FailRecoveryPointChange gives the change up. RecoveryVM is what is left of the
// VM from the point used so far: its id, or empty if it was removed already; then
// a point is to be chosen, or the failover cancelled, before a commit.
type FailRecoveryPointChange struct {
	JobID      string
	Failure    *errorcatalog.Failure
	RecoveryVM string
	At         time.Time
}

func (c FailRecoveryPointChange) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, true) {
		return nil, nil
	}
	if err := s.requireUncommittedStep(c.JobID, RecoveryPointChangeJob); err != nil {
		return nil, err
	}
	return []Event{RecoveryPointChangeFailed{
		JobID: c.JobID, Failure: plain(c.Failure), RecoveryVM: c.RecoveryVM, OvertakenCopyJobID: s.copyEnds(c.RecoveryVM), At: c.At,
	}}, nil
}

// RecoveryPointChangeFailed leaves the failover with the point it had.
type RecoveryPointChangeFailed struct {
	JobID              string               `json:"jobId"`
	Failure            errorcatalog.Failure `json:"failure"`
	RecoveryVM         string               `json:"recoveryVm,omitempty"`
	OvertakenCopyJobID string               `json:"overtakenCopyJobId,omitempty"` // of the VM that was removed
	At                 time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (RecoveryPointChangeFailed) EventType() string {
	return "protected_item.recovery_point_change_failed.v1"
}

func (e RecoveryPointChangeFailed) evolve(s State) State {
	s.NextFailoverPoint, s.Recovery.VM = "", e.RecoveryVM
	s.Failure, s.FailedAt = &e.Failure, e.At
	return s.endCopyWithoutVM().endJob(true)
}
