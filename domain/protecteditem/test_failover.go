package protecteditem

import (
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/site"
)

// TestRun is the test failover that is open.
type TestRun struct {
	Choice    PointChoice
	Point     string // pinned while the test is open; empty while logs are to be applied first
	Network   string // the isolated network the VM is attached to; empty: none
	VM        string // its id on the recovery host, once it runs
	Notes     string // of whoever cleans it up
	StartedAt time.Time
}

// StartTestFailover begins to bring up a copy of the VM in an isolated network.
// Replication goes on beside it.
type StartTestFailover struct {
	JobID   string
	Choice  PointChoice
	Network string
	Known   *Networks // nil: the network is not looked at
	At      time.Time
}

func (c StartTestFailover) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if s.runsTest(c.JobID) || s.repeatsTest(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireState(Protected); err != nil {
		return nil, err
	}
	if s.testOpen() {
		return nil, domain.Reject(domain.Conflict, errorcatalog.TestFailoverOpen, "a test failover is open since %s (%s)",
			s.Test.StartedAt.UTC().Format(time.RFC3339), s.TestFailover)
	}
	if c.Known != nil {
		if err := s.requireIsolated(c.Network, *c.Known); err != nil {
			return nil, err
		}
	}
	point, err := s.choose(c.Choice)
	if err != nil {
		return nil, err
	}
	return []Event{TestFailoverStarted{JobID: c.JobID, Choice: c.Choice, Point: point, Network: c.Network, At: c.At}}, nil
}

// requireIsolated refuses a network that recovery VMs are meant to be connected to: a
// copy in it would stand beside the VM, or beside those of others. It refuses one that
// the recovery site does not have, too.
func (s State) requireIsolated(network string, known Networks) error {
	if network == "" {
		return nil
	}
	there, found := site.FindNetwork(known.Recovery, network)
	switch {
	case !found && known.RecoveryLoaded:
		return domain.Reject(domain.Invalid, errorcatalog.NetworkNotFound, "site %q has no network %q", s.Recovery.Site, network).At("/network")
	case !found:
		there = site.Network{ID: network, Name: network}
	}
	used := slices.Clone(known.Led)
	for _, nic := range PlanNetworks(s, known).NICs {
		if nic.Network != "" {
			used = append(used, site.Network{Name: nic.Network})
		}
	}
	if slices.ContainsFunc(used, func(u site.Network) bool { return u.ID == there.ID || u.Name == there.Name }) {
		return domain.Reject(domain.Conflict, errorcatalog.TestNetworkNotIsolated, "recovery VMs are connected to network %q of site %q", there.Name, s.Recovery.Site).At("/network")
	}
	return nil
}

func (s State) testOpen() bool { return s.TestFailover != "" && s.TestFailover != TestFailoverNone }

// runsTest says whether a job is the test failover's.
func (s State) runsTest(job string) bool { return s.TestJob != nil && s.TestJob.ID == job }

// repeatsTest says whether a command only repeats what its test failover's job
// has ended with.
func (s State) repeatsTest(job string, failed bool) bool {
	return job != "" && s.EndedTest == EndedJob{ID: job, Failed: failed}
}

// requireTestStep refuses a step of a test failover outside its state, or by a
// job that is not the test's.
func (s State) requireTestStep(job string, state TestFailoverState) error {
	if err := s.requireItem(); err != nil {
		return err
	}
	if !s.runsTest(job) || s.TestFailover != state {
		return domain.Reject(domain.Conflict, errorcatalog.StaleJob, "job %q is not the test failover's present one (%s)", job, s.TestFailover)
	}
	return nil
}

func (s State) startTestJob(id, kind string) State {
	s.TestJob, s.TestRetry = &JobRef{ID: id, Kind: kind}, Retry{}
	return s
}

func (s State) endTestJob(failed bool) State {
	if s.TestJob != nil {
		s.EndedTest = EndedJob{ID: s.TestJob.ID, Failed: failed}
	}
	s.TestJob, s.TestRetry = nil, Retry{}
	return s
}

// TestFailoverStarted opens a test failover with a job of its own.
type TestFailoverStarted struct {
	JobID   string      `json:"jobId"`
	Choice  PointChoice `json:"choice"`
	Point   string      `json:"point,omitempty"` // absent while logs are to be applied first
	Network string      `json:"network,omitempty"`
	At      time.Time   `json:"at"`
}

// EventType implements domain.Event.
func (TestFailoverStarted) EventType() string { return "protected_item.test_failover_started.v1" }

func (e TestFailoverStarted) evolve(s State) State {
	s.TestFailover, s.TestFailure = TestFailoverInProgress, nil
	s.Test = TestRun{Choice: e.Choice, Point: e.Point, Network: e.Network, StartedAt: e.At}
	return s.startTestJob(e.JobID, TestFailoverJob)
}

// RecordTestFailoverPoint pins the point that a test failover uses, before it is
// read.
type RecordTestFailoverPoint struct {
	JobID string
	Point string
	At    time.Time
}

func (c RecordTestFailoverPoint) decide(s State) ([]Event, error) {
	if s.repeatsTest(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireTestStep(c.JobID, TestFailoverInProgress); err != nil {
		return nil, err
	}
	if s.Test.Point == c.Point && c.Point != "" {
		return nil, nil
	}
	if err := s.requireTestPoint(c.Point); err != nil {
		return nil, err
	}
	return []Event{TestFailoverPointChosen(c)}, nil
}

// requireTestPoint refuses a point that the test failover is not of. Replication
// goes on, so the latest one of its start need not be the newest any more.
func (s State) requireTestPoint(point string) error {
	if s.Test.Point != "" && s.Test.Point != point {
		return domain.Reject(domain.Conflict, errorcatalog.RecoveryPointNotFound, "the test failover is of recovery point %s", s.Test.Point).At("/point")
	}
	if _, known := s.Point(point); !known {
		return domain.Reject(domain.Conflict, errorcatalog.RecoveryPointNotFound, "there is no recovery point %q", point).At("/point")
	}
	return nil
}

// TestFailoverPointChosen fixes the test failover's point.
type TestFailoverPointChosen struct {
	JobID string    `json:"jobId"`
	Point string    `json:"point"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (TestFailoverPointChosen) EventType() string {
	return "protected_item.test_failover_point_chosen.v1"
}

func (e TestFailoverPointChosen) evolve(s State) State {
	s.Test.Point = e.Point
	return s
}

// CompleteTestFailover reports that the copy of the VM runs.
type CompleteTestFailover struct {
	JobID string
	Point string
	VM    string // its id on the recovery host
	At    time.Time
}

func (c CompleteTestFailover) decide(s State) ([]Event, error) {
	if s.repeatsTest(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireTestStep(c.JobID, TestFailoverInProgress); err != nil {
		return nil, err
	}
	if err := requireID("/vm", c.VM); err != nil {
		return nil, err
	}
	if err := s.requireTestPoint(c.Point); err != nil {
		return nil, err
	}
	return []Event{TestFailoverCompleted(c)}, nil
}

// TestFailoverCompleted leaves the copy to be looked at and cleaned up.
type TestFailoverCompleted struct {
	JobID string    `json:"jobId"`
	Point string    `json:"point"`
	VM    string    `json:"vm"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (TestFailoverCompleted) EventType() string { return "protected_item.test_failover_completed.v1" }

func (e TestFailoverCompleted) evolve(s State) State {
	s.TestFailover, s.Test.Point, s.Test.VM = TestFailoverAwaitingCleanup, e.Point, e.VM
	s.LastTestFailover = e.At
	return s.endTestJob(false)
}

// FailTestFailover gives a test failover up. VM is what could not be removed
// again: then the test waits for its cleanup; empty if nothing is left.
type FailTestFailover struct {
	JobID   string
	Failure *errorcatalog.Failure
	VM      string
	At      time.Time
}

func (c FailTestFailover) decide(s State) ([]Event, error) {
	if s.repeatsTest(c.JobID, true) {
		return nil, nil
	}
	if err := s.requireTestStep(c.JobID, TestFailoverInProgress); err != nil {
		return nil, err
	}
	return []Event{TestFailoverFailed{JobID: c.JobID, Failure: plain(c.Failure), VM: c.VM, At: c.At}}, nil
}

// TestFailoverFailed closes a test failover of which nothing is left.
type TestFailoverFailed struct {
	JobID   string               `json:"jobId"`
	Failure errorcatalog.Failure `json:"failure"`
	VM      string               `json:"vm,omitempty"`
	At      time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (TestFailoverFailed) EventType() string { return "protected_item.test_failover_failed.v1" }

func (e TestFailoverFailed) evolve(s State) State {
	s.TestFailure, s.TestFailedAt = &e.Failure, e.At
	if e.VM != "" {
		s.TestFailover, s.Test.VM = TestFailoverAwaitingCleanup, e.VM
	} else {
		s.TestFailover, s.Test = TestFailoverNone, TestRun{}
	}
	return s.endTestJob(true)
}
