package protecteditem

import (
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// CommitFailover accepts the failover: its recovery point cannot be changed any
// more, and the others are given up.
type CommitFailover struct {
	JobID string
	At    time.Time
}

func (c CommitFailover) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireItem(); err != nil {
		return nil, err
	}
	if s.Protection != FailoverCommitRequired {
		return nil, domain.Reject(domain.Conflict, errorcatalog.NoFailoverPending, "there is no failover to commit (%s)", s.Protection)
	}
	if s.runs(c.JobID) {
		return nil, nil
	}
	if err := s.requireNoJob(); err != nil {
		return nil, err
	}
	if s.Recovery.VM == "" {
		return nil, domain.Reject(domain.Conflict, errorcatalog.RecoveryVMMissing, "the recovery VM was removed when its point was to be changed or the failover cancelled")
	}
	return []Event{FailoverCommitStarted(c)}, nil
}

// FailoverCommitStarted gives the item to the commit's job.
type FailoverCommitStarted struct {
	JobID string    `json:"jobId"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (FailoverCommitStarted) EventType() string { return "protected_item.failover_commit_started.v1" }

func (e FailoverCommitStarted) evolve(s State) State {
	return s.startJob(e.JobID, FailoverCommitJob)
}

// CompleteFailoverCommit reports that nothing on the recovery side needs the
// other points.
type CompleteFailoverCommit struct {
	JobID string
	At    time.Time
}

func (c CompleteFailoverCommit) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireUncommittedStep(c.JobID, FailoverCommitJob); err != nil {
		return nil, err
	}
	if err := s.requireCopied(); err != nil {
		return nil, err
	}
	removed := []string{}
	for _, p := range s.Points {
		if p.ID != s.FailoverPoint && p.ID != s.Test.Point { // a test failover's point goes with its cleanup
			removed = append(removed, p.ID)
		}
	}
	return []Event{FailoverCommitted{JobID: c.JobID, Point: s.FailoverPoint, RemovedPoints: removed, At: c.At}}, nil
}

// FailFailoverCommit gives a commit up: the failover can be changed to another
// point, cancelled, or committed again.
type FailFailoverCommit struct {
	JobID   string
	Failure *errorcatalog.Failure
	At      time.Time
}

func (c FailFailoverCommit) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, true) {
		return nil, nil
	}
	if err := s.requireUncommittedStep(c.JobID, FailoverCommitJob); err != nil {
		return nil, err
	}
	return []Event{FailoverCommitFailed{JobID: c.JobID, Failure: plain(c.Failure), At: c.At}}, nil
}

// FailoverCommitFailed leaves the failover as it was.
type FailoverCommitFailed struct {
	JobID   string               `json:"jobId"`
	Failure errorcatalog.Failure `json:"failure"`
	At      time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (FailoverCommitFailed) EventType() string { return "protected_item.failover_commit_failed.v1" }

func (e FailoverCommitFailed) evolve(s State) State {
	s.Failure, s.FailedAt = &e.Failure, e.At
	return s.endJob(true)
}

// FailoverCommitted ends the failover.
type FailoverCommitted struct {
	JobID         string    `json:"jobId"`
	Point         string    `json:"point"`
	RemovedPoints []string  `json:"removedPoints"`
	At            time.Time `json:"at"`
}

// EventType implements domain.Event.
func (FailoverCommitted) EventType() string { return "protected_item.failover_committed.v1" }

func (e FailoverCommitted) evolve(s State) State {
	s.Protection, s.Owed, s.Paused = FailedOver, nil, nil
	s.Base = &Base{Point: e.Point, Cut: s.LastCut}
	s.Points = slices.DeleteFunc(slices.Clone(s.Points), func(p Point) bool { return slices.Contains(e.RemovedPoints, p.ID) })
	return s.endJob(false)
}
