package protecteditem

import (
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Retry is the state of what is being attempted: a replication cycle or a step of
// the present job.
type Retry struct {
	Attempt int                   // failed attempts so far
	NextAt  time.Time             // zero with a failure: not by itself
	Failure *errorcatalog.Failure // of the last attempt
	Since   time.Time             // of the first one
}

// RetryDelay returns how long to wait after the given failed attempt, counted
// from 1: 1, 2, 4, 8, 10 minutes, then 30.
func RetryDelay(attempt int) time.Duration {
	minutes := [...]int{1, 2, 4, 8, 10, 30}
	return time.Duration(minutes[min(max(attempt, 1), len(minutes))-1]) * time.Minute
}

// RecordFailure reports that an attempt has failed. It decides when the next one
// is due: on the schedule when the failure is recoverable, else when an operator
// asks for it. JobID is empty when no job was at work.
type RecordFailure struct {
	Failure *errorcatalog.Failure
	JobID   string
	At      time.Time
}

func (c RecordFailure) decide(s State) ([]Event, error) {
	failure := plain(c.Failure)
	if errorcatalog.ClassOf(failure.Code) == errorcatalog.Resynchronize {
		return nil, invalid("/failure/code", "%s requires a resynchronization, not another attempt", failure.Code)
	}
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	if s.runsTest(c.JobID) {
		return []Event{failedAttempt(s.TestRetry, c.JobID, failure, c.At)}, nil
	}
	if s.runsDisks(c.JobID) {
		return []Event{failedAttempt(s.DiskRetry, c.JobID, failure, c.At)}, nil
	}
	if s.runsCopy(c.JobID) {
		if err := s.requireCopyStep(c.JobID); err != nil {
			return nil, err
		}
		return []Event{failedAttempt(s.CopyRetry, c.JobID, failure, c.At)}, nil
	}
	if c.JobID != "" {
		if err := s.requireJob(c.JobID); err != nil {
			return nil, err
		}
	}
	return []Event{failedAttempt(s.Retry, c.JobID, failure, c.At)}, nil
}

func failedAttempt(r Retry, job string, failure errorcatalog.Failure, at time.Time) ReplicationFailed {
	e := ReplicationFailed{JobID: job, Attempt: r.Attempt + 1, Failure: failure, At: at}
	if errorcatalog.ClassOf(failure.Code) == errorcatalog.Recoverable {
		e.NextRetryAt = at.Add(RetryDelay(e.Attempt))
	}
	return e
}

// RetryNow makes a failed attempt due at once: of the replication, of the job that
// runs, of the test failover's, that of new disks or the background copy's. An
// operator asks for it once the cause of a failure that is not retried by itself is
// mended.
type RetryNow struct{ At time.Time }

func (c RetryNow) decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	attempts := []Retry{s.Retry, s.TestRetry, s.DiskRetry, s.CopyRetry}
	if !slices.ContainsFunc(attempts, func(r Retry) bool { return r.Failure != nil }) {
		return nil, domain.Reject(domain.Conflict, errorcatalog.NothingToDo, "no attempt has failed")
	}
	if !slices.ContainsFunc(attempts, func(r Retry) bool { return r.waits(c.At) }) {
		return nil, nil
	}
	return []Event{RetryRequested(c)}, nil
}

// RetryRequested makes failed attempts due.
type RetryRequested struct {
	At time.Time `json:"at"`
}

// EventType implements domain.Event.
func (RetryRequested) EventType() string { return "protected_item.retry_requested.v1" }

func (e RetryRequested) evolve(s State) State {
	s.Retry, s.TestRetry = s.Retry.at(e.At), s.TestRetry.at(e.At)
	s.DiskRetry, s.CopyRetry = s.DiskRetry.at(e.At), s.CopyRetry.at(e.At)
	return s
}

// waits says whether a failed attempt is not repeated yet.
func (r Retry) waits(now time.Time) bool {
	return r.Failure != nil && (r.NextAt.IsZero() || r.NextAt.After(now))
}

// at makes a failed attempt that waits due.
func (r Retry) at(now time.Time) Retry {
	if r.waits(now) {
		r.NextAt = now
	}
	return r
}

// ReplicationFailed counts a failed attempt.
type ReplicationFailed struct {
	JobID       string               `json:"jobId,omitempty"`
	Attempt     int                  `json:"attempt"`
	Failure     errorcatalog.Failure `json:"failure"`
	NextRetryAt time.Time            `json:"nextRetryAt,omitzero"` // absent: not before an operator acts
	At          time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (ReplicationFailed) EventType() string { return "protected_item.replication_failed.v1" }

func (e ReplicationFailed) evolve(s State) State {
	if s.runsTest(e.JobID) {
		s.TestRetry = s.TestRetry.after(e)
		return s
	}
	if s.runsDisks(e.JobID) {
		s.DiskRetry = s.DiskRetry.after(e)
		return s
	}
	if s.runsCopy(e.JobID) {
		s.CopyRetry = s.CopyRetry.after(e)
		return s
	}
	s.Retry = s.Retry.after(e)
	return s
}

// after is the state of an attempt once it has failed again.
func (r Retry) after(e ReplicationFailed) Retry {
	since := r.Since
	if r.Failure == nil {
		since = e.At
	}
	return Retry{Attempt: e.Attempt, NextAt: e.NextRetryAt, Failure: &e.Failure, Since: since}
}
