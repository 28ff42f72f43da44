package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore/pgtest"
)

// events lists the types of the item's events.
func (s *scene) events() []string {
	s.t.Helper()
	var types []string
	for rec, err := range s.store.Stream(s.t.Context(), s.items.StreamOf(itemKey), 0) {
		must(s.t, err)
		types = append(types, strings.TrimSuffix(strings.TrimPrefix(rec.Event.EventType(), "protected_item."), ".v1"))
	}
	return types
}

func count(types []string, event string) int {
	n := 0
	for _, e := range types {
		if e == event {
			n++
		}
	}
	return n
}

func TestADamagedLogIsNeverAppliedAndResynchronizationMendsIt(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	var armed atomic.Bool
	s.damage = func(item, name string) {
		if !strings.HasPrefix(name, "logs/data/") || !armed.CompareAndSwap(true, false) {
			return
		}
		path := filepath.Join(s.config.Store, item, "objects", name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			return
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Error(err)
		}
	}
	s.work()
	s.enable()
	s.until("protected", protected)
	s.replicate()
	armed.Store(true)
	s.do(protecteditem.ReplicateNow{At: s.now()})
	st := s.notFollowed()
	if st.Resync.Reason != errorcatalog.LogChecksumMismatch || len(st.Points) != 2 {
		t.Errorf("resynchronization is %+v with %d points", st.Resync, len(st.Points))
	}
	if n := count(s.events(), "replication_failed"); n != 0 {
		t.Errorf("%d attempts were counted for what no attempt can mend", n)
	}
	if window := st.Policy.ResyncWindow.Next(s.now(), time.UTC); st.Resync.ScheduledFor.Sub(window).Abs() > time.Minute {
		t.Errorf("it is scheduled for %s, the window begins at %s", st.Resync.ScheduledFor, window)
	}
	old := st.Points

	repair := newID()
	s.do(protecteditem.RepairReplication{JobID: repair, At: s.now()})
	st = s.until("in step again", func(st protecteditem.State) bool { return st.Resync.State == protecteditem.ResyncNone })
	s.endedWell(repair)
	for _, p := range old {
		if _, listed := st.Point(p.ID); !listed {
			t.Errorf("point %s is gone", p.ID)
		}
		s.judge(p)
	}
	newest, _ := st.NewestPoint()
	s.judge(newest)
	s.judge(s.replicate())
	s.sendsLittle(repair)
}

// sendsLittle checks that a resynchronization sent what differs and no more.
func (s *scene) sendsLittle(id string) {
	s.t.Helper()
	for rec, err := range s.store.Stream(s.t.Context(), s.items.StreamOf(itemKey), 0) {
		must(s.t, err)
		if e, ok := rec.Event.(protecteditem.ResynchronizationCompleted); ok && e.JobID == id {
			if e.BytesScanned != 2*diskBytes || e.BytesDiffering <= 0 || e.BytesDiffering > guestArea*2 {
				s.t.Errorf("the resynchronization scanned %d and sent %d bytes", e.BytesScanned, e.BytesSent)
			}
			return
		}
	}
	s.t.Error("the resynchronization has no event")
}

func TestAStoreThatIsAwayIsRetriedOnTheSchedule(t *testing.T) {
	t.Parallel()
	const speed = 20
	s := newScene(t, func(c *config) { c.Speed = speed })
	s.work()
	s.enable()
	s.until("protected", protected)
	must(t, os.Rename(s.config.Store, s.config.Store+".away"))
	st := s.until("two failed attempts", func(st protecteditem.State) bool { return st.Retry.Attempt >= 2 })
	if code := st.Retry.Failure.Code; code != errorcatalog.ReplicaStoreUnreachable {
		t.Errorf("the failure is %s: %s", code, st.Retry.Failure.Detail)
	}
	var gaps []time.Duration
	for rec, err := range s.store.Stream(t.Context(), s.items.StreamOf(itemKey), 0) {
		must(t, err)
		if e, ok := rec.Event.(protecteditem.ReplicationFailed); ok {
			gaps = append(gaps, e.NextRetryAt.Sub(e.At))
		}
	}
	if !slices.Equal(gaps[:2], []time.Duration{time.Minute, 2 * time.Minute}) {
		t.Errorf("the waits are %v", gaps)
	}
	points := len(st.Points)
	_ = os.RemoveAll(s.config.Store)
	must(t, os.Rename(s.config.Store+".away", s.config.Store))
	st = s.until("points again", func(st protecteditem.State) bool { return len(st.Points) > points && st.Retry.Failure == nil })
	p, _ := st.NewestPoint()
	s.judge(p)
}

func TestAPlannedFailoverThatCannotBringUpItsVMIsTakenBack(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.work()
	s.enable()
	s.until("protected", protected)
	// Something that is no VM lies where the recovery VM would be made.
	must(t, os.MkdirAll(filepath.Join(s.dir, "away", "web-dr"), 0o700))
	id := newID()
	s.do(protecteditem.StartPlannedFailover{JobID: id, At: s.now()})
	st := s.until("protected again", protected)
	if st.Failure == nil || st.Failure.Code != errorcatalog.VMExists || st.SourceStopped {
		t.Errorf("the failover ended with %v, the source stopped: %t", st.Failure, st.SourceStopped)
	}
	if p, err := s.host.PowerState(t.Context(), "web"); err != nil || p != site.Running {
		t.Errorf("the source is %s, %v", p, err)
	}
	eventually(t, waitForJob, "the job has failed", func() bool {
		j, _, err := s.jobs.Load(t.Context(), id)
		return err == nil && j.Status == job.Failed
	})
	before := s.judge(s.replicate())
	eventually(t, waitForJob, "the guest writes again", func() bool { return s.judge(s.replicate()) > before })
}

func TestAGuestThatDoesNotShutDownEndsAPlannedFailover(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Grace = 1 })
	s.work()
	s.enable()
	s.until("protected", protected)
	stubborn := filepath.Join(s.source, "stubborn")
	must(t, os.WriteFile(stubborn, nil, 0o600))
	s.do(protecteditem.StartPlannedFailover{JobID: newID(), At: s.now()})
	st := s.until("protected again", protected)
	must(t, os.Remove(stubborn))
	if st.Failure == nil || st.Failure.Code != errorcatalog.GuestShutdownTimeout {
		t.Errorf("the failover ended with %v", st.Failure)
	}
	if p, err := s.host.PowerState(t.Context(), "web"); err != nil || p != site.Running {
		t.Errorf("the source is %s, %v", p, err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "away", "web-dr")); err == nil {
		t.Error("a recovery VM is left")
	}
	s.judge(s.replicate())
}

func TestDisablingInTheMiddleOfACopyLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, slow(20*time.Millisecond))
	s.work()
	s.enable()
	eventually(t, time.Minute, "a disk is being copied", func() bool { return s.copied()["os"] >= 4<<20 })
	id := newID()
	asked := time.Now()
	s.do(protecteditem.DisableProtection{JobID: id, At: s.now()})
	s.until("unprotected", func(st protecteditem.State) bool { return st.Protection == protecteditem.Unprotected })
	if took := time.Since(asked); took > 3*time.Second {
		t.Errorf("it took %s to let go of a copy", took)
	}
	s.endedWell(id)
	s.cleanHost()
	for _, j := range s.jobsOf() {
		if j.Kind == job.InitialReplication && j.Status != job.Canceled {
			t.Errorf("the overtaken initial replication is %s", j.Status)
		}
	}
	// And it can be protected anew.
	s.enable()
	st := s.until("protected", protected)
	s.judge(st.Points[0])
}

func TestAWorkerThatWakesLateChangesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, slow(10*time.Millisecond))
	sleeper := s.child("sleeper")
	s.enable()
	eventually(t, time.Minute, "a disk is being copied", func() bool { return s.copied()["os"] >= 4<<20 })
	must(t, sleeper.Process.Signal(syscall.SIGSTOP))
	t.Cleanup(func() { _ = sleeper.Process.Signal(syscall.SIGCONT) })
	// A stopped process may hold a lock of the store for a write; its death would
	// free it, and so does its waking.
	woken := time.AfterFunc(6*time.Second, func() { _ = sleeper.Process.Signal(syscall.SIGCONT) })
	defer woken.Stop()
	s.child("next")
	st := s.until("protected", protected)
	_ = sleeper.Process.Signal(syscall.SIGCONT)
	s.judge(st.Points[0])
	s.judge(s.replicate())
	s.judge(s.replicate())
	s.gapless()
}

func TestADatabaseThatIsAwayCountsAsNothing(t *testing.T) {
	t.Parallel()
	server := pgtest.Durable(t)
	s := newScene(t, func(c *config) {
		slow(400 * time.Millisecond)(c)
		c.Database = server.DB.URL
	})
	s.work()
	s.enable()
	eventually(t, time.Minute, "a disk is being copied", func() bool { return s.copied()["os"] >= 4<<20 })
	for range 2 {
		must(t, server.Halt(t.Context()))
		<-time.After(3 * time.Second)
		must(t, server.Restart(t.Context()))
	}
	st := s.until("protected", protected)
	s.judge(st.Points[0])
	must(t, server.Halt(t.Context()))
	<-time.After(3 * time.Second)
	must(t, server.Restart(t.Context()))
	s.judge(s.replicate())
	if n := count(s.events(), "replication_failed"); n != 0 {
		t.Errorf("%d attempts were counted as failed", n)
	}
	s.gapless()
}

func TestAnEnableThatCannotSucceedLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.enable()
	id := s.state().Job.ID
	must(t, s.host.Stop(t.Context(), "web"))
	must(t, os.Truncate(filepath.Join(s.source, "data.raw"), diskBytes/2))
	s.work()
	st := s.until("given up", func(st protecteditem.State) bool { return st.Protection == protecteditem.Unprotected })
	if st.Failure == nil || st.Failure.Code != errorcatalog.DiskSizeChanged {
		t.Errorf("enabling ended with %v", st.Failure)
	}
	eventually(t, waitForJob, "the job has failed", func() bool {
		j, _, err := s.jobs.Load(context.Background(), id)
		return err == nil && j.Status == job.Failed
	})
	s.cleanHost()
}
