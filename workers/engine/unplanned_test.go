package engine_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/workflow"
)

func uncommitted(st protecteditem.State) bool {
	return st.Protection == protecteditem.FailoverCommitRequired && st.Job == nil
}

// seldom leaves cuts to those who ask for them.
func seldom(c *config) { c.Frequency = 900 }

// recoveredFrom compares the recovery VM's disks with a point.
func (s *scene) recoveredFrom(point string) {
	s.t.Helper()
	s.until("the disks are there", copiedOver)
	for _, d := range disks {
		got, err := os.ReadFile(filepath.Join(s.dir, "away", "web-dr", d+".raw"))
		must(s.t, err)
		if !bytes.Equal(got, s.content(point, d)) {
			s.t.Errorf("disk %s of the recovery VM is not that of point %s", d, point)
		}
	}
	if p, err := s.away.PowerState(s.t.Context(), "web-dr"); err != nil || p != site.Running {
		s.t.Errorf("the recovery VM is %s, %v", p, err)
	}
}

// power checks whether the source runs.
func (s *scene) power(want site.PowerState) {
	s.t.Helper()
	if p, err := s.host.PowerState(s.t.Context(), "web"); err != nil || p != want {
		s.t.Errorf("the source is %s, %v; want %s", p, err, want)
	}
}

// followed checks that the item is replicated as if nothing had been.
func (s *scene) followed() {
	s.t.Helper()
	before := s.judge(s.replicate())
	eventually(s.t, waitForJob, "the guest writes again", func() bool { return s.judge(s.replicate()) > before })
}

// begins says how long it took from a request to its job's first entry.
func (s *scene) begins(id string, asked time.Time) {
	s.t.Helper()
	j, _, err := s.jobs.Load(s.t.Context(), id)
	must(s.t, err)
	if took := j.StartedAt.Sub(asked); took > 2*time.Second {
		s.t.Errorf("%s began %s after it was asked for", j.Kind, took)
	}
}

func (s *scene) job(id string) job.State {
	s.t.Helper()
	j, _, err := s.jobs.Load(s.t.Context(), id)
	must(s.t, err)
	return j
}

func (s *scene) jobIs(id string, want job.Status) {
	s.t.Helper()
	eventually(s.t, waitForJob, "job "+id+" is "+string(want), func() bool { return s.job(id).Status == want })
}

func TestAVMIsFailedOverThoughItsHostIsLost(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { seldom(c); c.Mortal = true })
	s.work()
	s.enable()
	first := s.until("protected", protected).Points[0]
	last := s.replicate()
	s.loseHost()
	id, asked := newID(), s.now()
	cmd := protecteditem.StartUnplannedFailover{JobID: id, Choice: protecteditem.Latest, ShutDownSource: true, At: asked}
	s.do(cmd)
	st := s.until("failed over", uncommitted)
	s.begins(id, asked)
	s.endedWell(id)
	if st.FailoverPoint != last.ID || st.Fencing.Fenced {
		t.Errorf("the VM runs from %s, want %s; the source is fenced: %t", st.FailoverPoint, last.ID, st.Fencing.Fenced)
	}
	s.judge(last)
	s.recoveredFrom(last.ID)
	for step, note := range map[string]string{"stop_source": "stopFailed", "ship_last_cut": "shipFailed", "fence_source": "fenceFailed"} {
		if got := s.job(id).Output(step)[note]; !strings.HasPrefix(got, string(errorcatalog.HostUnreachable)) {
			t.Errorf("step %s notes %q", step, got)
		}
	}

	// The host comes back and its VM runs: it is stopped, and nothing it has
	// written is shipped.
	shipped := count(s.events(), "delta_shipped")
	s.returnHost()
	st = s.until("the source is fenced", func(st protecteditem.State) bool { return st.Fencing.Fenced })
	s.power(site.Off)
	if err := s.host.Start(t.Context(), "web"); !workflow.Is(err, errorcatalog.VMNotActive) {
		t.Errorf("the source could be started: %v", err)
	}
	events := s.events()
	if count(events, "source_found_running") != 1 || count(events, "delta_shipped") != shipped || len(st.Fencing.Held) == 0 {
		t.Errorf("%v; held: %v", events, st.Fencing.Held)
	}

	change := newID()
	s.do(protecteditem.ChangeRecoveryPoint{JobID: change, Choice: protecteditem.PointChoice(first.ID), Confirm: true, At: s.now()})
	st = s.until("changed", uncommitted)
	s.endedWell(change)
	if st.FailoverPoint != first.ID {
		t.Errorf("the VM runs from %s, want %s", st.FailoverPoint, first.ID)
	}
	s.recoveredFrom(first.ID)

	cancel := newID()
	s.do(protecteditem.CancelFailover{JobID: cancel, At: s.now()})
	st = s.until("protected again", protected)
	s.endedWell(cancel)
	s.power(site.Running)
	s.nothingOf("web-dr")
	if st.Resync.State != protecteditem.ResyncNone {
		t.Errorf("a resynchronization is %s: %s", st.Resync.State, st.Resync.Detail)
	}
	s.followed()
	for _, p := range s.state().Points {
		s.judge(p)
	}
	s.gapless()
}

func TestTheLatestPointHoldsWhatWasShippedBeforeTheDisaster(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) {
		slow(time.Millisecond)(c)
		seldom(c)
		c.Mortal, c.Hold = true, filepath.Join(filepath.Dir(c.Store), "hold")
	})
	w := s.child("w")
	s.enable()
	before := s.until("protected", protected)
	must(t, os.WriteFile(s.Hold, nil, 0o600)) // what is shipped from now on waits to be applied
	s.do(protecteditem.ReplicateNow{At: s.now()})
	st := s.until("a cut is shipped", func(st protecteditem.State) bool { return st.LastShipped.Cut != before.LastShipped.Cut })
	must(t, w.Process.Kill())
	_ = w.Wait()
	if len(s.state().Points) != len(before.Points) {
		t.Fatal("the cut was applied, though its disks were held")
	}
	must(t, os.Remove(s.Hold))
	s.loseHost()
	s.child("next")
	s.do(protecteditem.StartUnplannedFailover{JobID: newID(), Choice: protecteditem.Latest, At: s.now()})
	after := s.until("failed over", uncommitted)
	if after.FailoverPoint != st.LastShipped.Cut {
		t.Errorf("the VM runs from %s, %s was shipped last", after.FailoverPoint, st.LastShipped.Cut)
	}
	newest, _ := after.NewestPoint()
	s.judge(newest)
	s.recoveredFrom(newest.ID)
}

func TestAnUnplannedFailoverThatCannotBringUpItsVMIsTakenBack(t *testing.T) {
	t.Parallel()
	s := newScene(t, seldom)
	s.work()
	s.enable()
	s.until("protected", protected)
	must(t, os.MkdirAll(filepath.Join(s.dir, "away", "web-dr"), 0o700))
	id := newID()
	s.do(protecteditem.StartUnplannedFailover{JobID: id, Choice: protecteditem.Latest, ShutDownSource: true, At: s.now()})
	st := s.until("protected again", protected)
	if st.Failure == nil || st.Failure.Code != errorcatalog.VMExists || st.SourceStopped {
		t.Errorf("the failover ended with %v, the source stopped: %t", st.Failure, st.SourceStopped)
	}
	s.jobIs(id, job.Failed)
	s.power(site.Running)
	s.followed()
}

func TestAFailoverOutranksAResynchronizationWhichIsOwedThen(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { slow(20 * time.Millisecond)(c); seldom(c) })
	s.work()
	s.enable()
	newest := s.until("protected", protected).Points[0]
	repair := newID()
	s.do(protecteditem.RepairReplication{JobID: repair, At: s.now()})
	eventually(t, 30*time.Second, "differences are being sent", func() bool {
		task, _ := s.job(repair).Task("send_differences")
		return task.Attempts > 0
	})
	id, asked := newID(), s.now()
	s.do(protecteditem.StartUnplannedFailover{JobID: id, Choice: protecteditem.LatestProcessed, At: asked})
	st := s.until("failed over", uncommitted)
	s.begins(id, asked)
	s.jobIs(repair, job.Canceled)
	if !st.ChainBroken() || st.FailoverPoint != newest.ID {
		t.Errorf("a resynchronization is owed: %t; the VM runs from %s, want %s", st.ChainBroken(), st.FailoverPoint, newest.ID)
	}
	s.recoveredFrom(newest.ID)
	s.until("the source is fenced", func(st protecteditem.State) bool { return st.Fencing.Fenced })
	s.power(site.Off)

	s.do(protecteditem.CancelFailover{JobID: newID(), At: s.now()})
	s.until("in step again", func(st protecteditem.State) bool {
		return protected(st) && st.Resync.State == protecteditem.ResyncNone && len(st.Points) > 1
	})
	s.power(site.Running)
	s.judge(newest)
	s.followed()
}

func TestAWorkerKilledAtAnyStepOfAFailoverAndItsWayBackFinishesIt(t *testing.T) {
	t.Parallel()
	db := ownDatabase(t)
	s := newScene(t, func(c *config) { seldom(c); c.Database = db.URL })
	w, owner := s.child("w"), "w"
	s.enable()
	first := s.until("protected", protected).Points[0]
	s.replicate()
	h := s.holdTasks(db.owner)
	for _, run := range []struct {
		steps []string
		start func(id string) protecteditem.Command
		ended func(protecteditem.State) bool
	}{
		{
			[]string{
				"inspect_hosts", "stop_source", "ship_last_cut", "apply_change_logs", "choose_recovery_point", "create_recovery_vm",
				"copy_disks", "fence_source", "start_recovery_vm", "complete_unplanned_failover",
			},
			func(id string) protecteditem.Command {
				return protecteditem.StartUnplannedFailover{JobID: id, Choice: protecteditem.Latest, ShutDownSource: true, At: s.now()}
			},
			uncommitted,
		},
		{
			[]string{"inspect_recovery_point", "remove_recovery_vm", "create_recovery_vm", "copy_disks", "start_recovery_vm", "complete_recovery_point_change"},
			func(id string) protecteditem.Command {
				return protecteditem.ChangeRecoveryPoint{JobID: id, Choice: protecteditem.PointChoice(first.ID), Confirm: true, At: s.now()}
			},
			uncommitted,
		},
		{
			[]string{"inspect_source", "remove_recovery_vm", "release_source", "complete_failover_cancel"},
			func(id string) protecteditem.Command { return protecteditem.CancelFailover{JobID: id, At: s.now()} },
			protected,
		},
	} {
		id := newID()
		h.at(run.steps[0])
		s.do(run.start(id))
		for n, step := range run.steps {
			h.await(step)
			if n+1 < len(run.steps) {
				s.do(run.start(id)) // the same request again changes nothing
			}
			must(t, w.Process.Kill())
			_ = w.Wait()
			must(t, s.lanes.Abandon(t.Context(), owner))
			next := ""
			if n+1 < len(run.steps) {
				next = run.steps[n+1]
			}
			h.at(next)
			owner = step + id
			w = s.child(owner)
		}
		st := s.until("ended", run.ended)
		s.endedWell(id)
		if uncommitted(st) {
			s.recoveredFrom(st.FailoverPoint)
			s.power(site.Off)
			last, _ := st.NewestPoint()
			s.judge(last)
			s.sameAsSource(last)
		}
	}
	s.power(site.Running)
	s.nothingOf("web-dr")
	s.followed()
	s.gapless()
}

func TestWhileReplicationIsPausedNothingIsShipped(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.work()
	s.enable()
	s.until("protected", protected)
	before := s.judge(s.replicate())
	s.do(protecteditem.PauseReplication{Reason: "maintenance", At: s.now()})
	shipped := s.state().LastShipped
	s.refused(protecteditem.StartPlannedFailover{JobID: newID(), At: s.now()}, errorcatalog.ReplicationPausedRefusal)
	s.refused(protecteditem.ReplicateNow{At: s.now()}, errorcatalog.ReplicationPausedRefusal)
	if due, is := workflow.Due(s.state(), s.now().Add(time.Hour)); is {
		t.Errorf("a paused item is due at %s", due)
	}
	id := newID()
	s.do(protecteditem.StartUnplannedFailover{JobID: id, Choice: protecteditem.LatestProcessed, At: s.now()})
	s.until("failed over", uncommitted)
	s.do(protecteditem.CancelFailover{JobID: newID(), At: s.now()})
	st := s.until("protected again", protected)
	if st.Paused == nil || st.LastShipped != shipped {
		t.Errorf("paused: %v; shipped: %v, before %v", st.Paused, st.LastShipped, shipped)
	}
	s.do(protecteditem.ResumeReplication{At: s.now()})
	if n := s.judge(s.replicate()); n <= before {
		t.Errorf("the point after the pause holds %d records, the one before %d", n, before)
	}
}

func TestAFailoverOutranksACycle(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { slow(40 * time.Millisecond)(c); seldom(c) })
	s.work()
	s.enable()
	before := s.until("protected", protected)
	length := s.traced()
	s.do(protecteditem.ReplicateNow{At: s.now()})
	eventually(t, 30*time.Second, "logs are being applied", func() bool { return s.traced() > length })
	id, asked := newID(), s.now()
	s.do(protecteditem.StartUnplannedFailover{JobID: id, Choice: protecteditem.LatestProcessed, At: asked})
	st := s.until("failed over", uncommitted)
	s.begins(id, asked)
	s.recoveredFrom(st.FailoverPoint)
	s.judge(before.Points[0])
	s.do(protecteditem.CancelFailover{JobID: newID(), At: s.now()})
	s.until("protected again", protected)
	s.followed()
	for _, p := range s.state().Points {
		s.judge(p)
	}
}

func TestDisablingTakesAFailoverBack(t *testing.T) {
	t.Parallel()
	db := ownDatabase(t)
	s := newScene(t, func(c *config) { seldom(c); c.Database = db.URL })
	w := s.child("w")
	s.enable()
	s.until("protected", protected)
	h := s.holdTasks(db.owner)
	id := newID()
	h.at("fence_source")
	s.do(protecteditem.StartUnplannedFailover{JobID: id, Choice: protecteditem.Latest, At: s.now()})
	h.await("fence_source")
	must(t, w.Process.Kill())
	_ = w.Wait()
	h.at("")
	s.do(protecteditem.DisableProtection{JobID: newID(), At: s.now()})
	s.child("next")
	s.until("unprotected", func(st protecteditem.State) bool { return st.Protection == protecteditem.Unprotected })
	s.jobIs(id, job.Canceled)
	s.nothingOf("web-dr")
	s.power(site.Running)
	must(t, s.host.Stop(t.Context(), "web"))
	must(t, s.host.Start(t.Context(), "web")) // it may run
	s.cleanHost()
}

func TestACommittedFailoverIsGuardedOn(t *testing.T) {
	t.Parallel()
	s := newScene(t, seldom)
	s.work()
	s.enable()
	s.until("protected", protected)
	s.do(protecteditem.StartUnplannedFailover{JobID: newID(), Choice: protecteditem.Latest, At: s.now()})
	s.until("fenced", func(st protecteditem.State) bool { return uncommitted(st) && st.Fencing.Fenced })
	id := newID()
	s.do(protecteditem.CommitFailover{JobID: id, At: s.now()})
	st := s.until("committed", func(st protecteditem.State) bool { return st.Protection == protecteditem.FailedOver })
	s.endedWell(id)
	s.power(site.Off)
	s.recoveredFrom(st.FailoverPoint)
	s.refused(protecteditem.CancelFailover{JobID: newID(), At: s.now()}, errorcatalog.NoFailoverPending)
	s.refused(protecteditem.ChangeRecoveryPoint{JobID: newID(), Choice: protecteditem.LatestProcessed, Confirm: true, At: s.now()}, errorcatalog.NoFailoverPending)
}
