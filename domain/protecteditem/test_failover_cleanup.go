package protecteditem

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// maxNotes is how long what an operator writes may be.
const maxNotes = 4096

// CleanUpTestFailover begins to remove what a test failover brought up, in
// whatever state the item is by then. Notes say what the drill has shown.
type CleanUpTestFailover struct {
	JobID string
	Notes string
	At    time.Time
}

func (c CleanUpTestFailover) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if err := s.requireItem(); err != nil {
		return nil, err
	}
	if s.repeatsTest(c.JobID, false) || (s.TestFailover == TestFailoverCleaningUp && s.runsTest(c.JobID)) {
		return nil, nil
	}
	if len(c.Notes) > maxNotes {
		return nil, invalid("/notes", "notes have at most %d bytes", maxNotes)
	}
	switch {
	case !s.testOpen():
		return nil, domain.Reject(domain.Conflict, errorcatalog.NoTestFailover, "no test failover is open")
	case s.TestJob != nil:
		return nil, domain.Reject(domain.Conflict, errorcatalog.OperationInProgress, "%s is in progress (job %s)", s.TestJob.Kind, s.TestJob.ID)
	case s.Protection == DisablingProtection:
		return nil, s.requireNoJob() // which cleans up as well
	default:
		return []Event{TestFailoverCleanupStarted(c)}, nil
	}
}

// TestFailoverCleanupStarted gives the test failover to the job that ends it.
type TestFailoverCleanupStarted struct {
	JobID string    `json:"jobId"`
	Notes string    `json:"notes,omitempty"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (TestFailoverCleanupStarted) EventType() string {
	return "protected_item.test_failover_cleanup_started.v1"
}

func (e TestFailoverCleanupStarted) evolve(s State) State {
	s.TestFailover, s.Test.Notes = TestFailoverCleaningUp, e.Notes
	return s.startTestJob(e.JobID, TestFailoverCleanupJob)
}

// CompleteTestFailoverCleanup reports that nothing of the test failover is left.
type CompleteTestFailoverCleanup struct {
	JobID string
	At    time.Time
}

func (c CompleteTestFailoverCleanup) decide(s State) ([]Event, error) {
	if s.repeatsTest(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireTestStep(c.JobID, TestFailoverCleaningUp); err != nil {
		return nil, err
	}
	events := []Event{TestFailoverCleanedUp(c)}
	// The commit of a failover has given up all points but its own and the one
	// that the test was reading.
	if s.committed() && s.Test.Point != s.FailoverPoint {
		if _, kept := s.Point(s.Test.Point); kept {
			events = append(events, RecoveryPointsRemoved{IDs: []string{s.Test.Point}, Reason: "failover commit", At: c.At})
		}
	}
	return events, nil
}

// committed says whether the item's failover has been committed and it has not
// been protected from the source since.
func (s State) committed() bool {
	return s.Base != nil && s.Protection != DisablingProtection
}

// TestFailoverCleanedUp closes the test failover.
type TestFailoverCleanedUp struct {
	JobID string    `json:"jobId"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (TestFailoverCleanedUp) EventType() string { return "protected_item.test_failover_cleaned_up.v1" }

func (TestFailoverCleanedUp) evolve(s State) State {
	s.TestFailover, s.Test, s.TestFailure = TestFailoverNone, TestRun{}, nil
	return s.endTestJob(false)
}

// FailTestFailoverCleanup gives the cleanup up.
type FailTestFailoverCleanup struct {
	JobID   string
	Failure *errorcatalog.Failure
	At      time.Time
}

func (c FailTestFailoverCleanup) decide(s State) ([]Event, error) {
	if s.repeatsTest(c.JobID, true) {
		return nil, nil
	}
	if err := s.requireTestStep(c.JobID, TestFailoverCleaningUp); err != nil {
		return nil, err
	}
	return []Event{TestFailoverCleanupFailed{JobID: c.JobID, Failure: plain(c.Failure), At: c.At}}, nil
}

// TestFailoverCleanupFailed leaves the test failover to be cleaned up.
type TestFailoverCleanupFailed struct {
	JobID   string               `json:"jobId"`
	Failure errorcatalog.Failure `json:"failure"`
	At      time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (TestFailoverCleanupFailed) EventType() string {
	return "protected_item.test_failover_cleanup_failed.v1"
}

func (e TestFailoverCleanupFailed) evolve(s State) State {
	s.TestFailover, s.TestFailure, s.TestFailedAt = TestFailoverAwaitingCleanup, &e.Failure, e.At
	return s.endTestJob(true)
}
