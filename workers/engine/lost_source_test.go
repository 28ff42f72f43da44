package engine_test

import (
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
)

// held waits until a planned failover waits for its release.
func (s *scene) held() string {
	s.t.Helper()
	id := newID()
	s.do(protecteditem.StartPlannedFailover{JobID: id, Hold: true, At: s.now()})
	s.until("held", func(st protecteditem.State) bool { return st.Hold == protecteditem.HoldReady })
	return id
}

func TestAVMWhoseHostIsLostDuringAHoldIsFailedOver(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { seldom(c); c.Mortal = true })
	s.work()
	s.enable()
	s.until("protected", protected)
	planned := s.held()
	s.loseHost()
	id := newID()
	s.do(protecteditem.StartUnplannedFailover{JobID: id, Choice: protecteditem.Latest, At: s.now()})
	st := s.until("failed over", uncommitted)
	s.endedWell(id)
	s.jobIs(planned, job.Canceled)
	newest, _ := st.NewestPoint()
	if st.FailoverPoint != newest.ID || newest.Consistency != protecteditem.Planned {
		t.Errorf("the VM runs from %s, want the point of its planned failover, %+v", st.FailoverPoint, newest)
	}
	s.judge(newest)
	s.recoveredFrom(newest.ID)
	// The host comes back: the VM stays off, and runs there again once it is given back.
	s.returnHost()
	s.until("the source is fenced", func(st protecteditem.State) bool { return st.Fencing.Fenced })
	s.power(site.Off)
	s.do(protecteditem.CancelFailover{JobID: newID(), At: s.now()})
	s.until("protected again", protected)
	s.power(site.Running)
	s.nothingOf("web-dr")
	s.followed()
}

func TestAHeldFailoverThatIsNotTakenBackIsTriedOnScheduleAndYields(t *testing.T) {
	t.Parallel()
	const speed = 20
	s := newScene(t, func(c *config) { seldom(c); c.Mortal, c.Speed = true, speed })
	s.work()
	s.enable()
	s.until("protected", protected)
	planned := s.held()
	s.loseHost()
	s.cancelJob(planned)
	first := s.until("not taken back", func(st protecteditem.State) bool { return st.Retry.Failure != nil }).Retry
	second := s.until("tried again", func(st protecteditem.State) bool { return st.Retry.Attempt > first.Attempt }).Retry
	if failed := second.NextAt.Add(-protecteditem.RetryDelay(second.Attempt)); failed.Before(first.NextAt) {
		t.Errorf("attempt %d failed at %s, it was due at %s", second.Attempt, failed, first.NextAt)
	}
	id := newID()
	s.do(protecteditem.StartUnplannedFailover{JobID: id, Choice: protecteditem.Latest, At: s.now()})
	st := s.until("failed over", uncommitted)
	s.endedWell(id)
	s.jobIs(planned, job.Canceled)
	s.recoveredFrom(st.FailoverPoint)
}

func TestAHeldFailoverWhoseSourceWasStartedIsTakenBack(t *testing.T) {
	t.Parallel()
	s := newScene(t, seldom)
	s.work()
	s.enable()
	s.until("protected", protected)
	id := s.held()
	must(t, s.host.SetActive(t.Context(), "web", true))
	must(t, s.host.Start(t.Context(), "web"))
	s.do(protecteditem.ReleasePlannedFailover{JobID: id, At: s.now()})
	st := s.until("protected again", protected)
	s.jobIs(id, job.Failed)
	if st.Failure == nil || st.Failure.Code != errorcatalog.SourceStillRunning {
		t.Errorf("the failover ended with %+v", st.Failure)
	}
	s.power(site.Running)
	s.nothingOf("web-dr")
	s.followed()
}
