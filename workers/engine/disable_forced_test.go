package engine_test

import (
	"os"
	"path/filepath"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore/pgtest"
)

// goesAway makes a host not answer any more; what runs there runs on.
func (s *scene) goesAway(host string) {
	s.t.Helper()
	must(s.t, os.Rename(s.Hosts[host], s.Hosts[host]+".away"))
}

// returns makes it answer again, and waits until it knows what it was not told.
func (s *scene) returns(host string) {
	s.t.Helper()
	must(s.t, os.Rename(s.Hosts[host]+".away", s.Hosts[host]))
	s.until("the host is told", func(st protecteditem.State) bool { return len(st.LeftBehind) == 0 })
}

// leftBehind checks that one VM is, and what is to become of it.
func (s *scene) leftBehind(st protecteditem.State, vm string, fate protecteditem.Fate) {
	s.t.Helper()
	if l := st.LeftBehind; len(l) != 1 || l[0].VM != vm || l[0].Fate != fate {
		s.t.Errorf("left behind: %+v", l)
	}
}

// failsBack fails the VM over and back by full download, and returns what the original
// disks held before.
func (s *scene) failsBack() [][]byte {
	s.t.Helper()
	s.failOver()
	before := s.originals()
	s.do(protecteditem.StartFailback{JobID: newID(), Mode: protecteditem.FullDownload, At: s.now()})
	s.until("failed back", is(protecteditem.FailbackCommitRequired))
	return before
}

// stuck says that a job's attempts fail.
func stuck(kind string) func(protecteditem.State) bool {
	return func(st protecteditem.State) bool {
		return st.Job != nil && st.Job.Kind == kind && st.Retry.Attempt > 0
	}
}

// disableByForce disables first without force, which a host that is away keeps from
// ending.
func (s *scene) disableByForce() protecteditem.State {
	s.t.Helper()
	s.do(protecteditem.DisableProtection{JobID: newID(), CleanUp: true, At: s.now()})
	s.until("disabling is stuck", stuck(protecteditem.DisableProtectionJob))
	s.do(protecteditem.DisableProtection{JobID: newID(), Force: true, At: s.now()})
	return s.until("unprotected", is(protecteditem.Unprotected))
}

func TestDisablingByForceGivesALostSourceBackLater(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Speed = 20 })
	s.work()
	s.enable()
	s.until("protected", protected)
	s.goesAway("h1")
	s.leftBehind(s.disableByForce(), "web", protecteditem.GiveBack)
	s.returns("h1")
	s.power(site.Running)
	s.cleanHost()
	s.writesOn()
}

func TestDisablingByForceKeepsALostSourceOffOnceTheVMRunsElsewhere(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Speed = 20 })
	s.work()
	s.failOver()
	s.goesAway("h1")
	s.leftBehind(s.disableByForce(), "web", protecteditem.KeepOff)
	s.awayPower(site.Running)
	s.returns("h1")
	s.cleanHost()
	if err := s.host.Start(t.Context(), "web"); errorcatalog.Of(err).Code != errorcatalog.VMNotActive {
		t.Errorf("the former source can be started: %v", err)
	}
}

func TestDisablingByForceRemovesATestVMOfALostHostLater(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Speed = 20 })
	s.work()
	s.enable()
	s.until("protected", protected)
	s.do(protecteditem.StartTestFailover{JobID: newID(), Choice: protecteditem.LatestProcessed, At: s.now()})
	s.until("the test VM runs", func(st protecteditem.State) bool { return st.TestFailover == protecteditem.TestFailoverAwaitingCleanup })
	s.goesAway("h2")
	s.leftBehind(s.disableByForce(), testVM, protecteditem.Remove)
	s.cleanHost()
	s.returns("h2")
	s.nothingOf(testVM)
}

// stoppedAfter has a worker die once a planned failover has done a step, and a host with
// it; another worker follows.
func (s *scene) stoppedAfter(step, host string, h hold) {
	s.t.Helper()
	w := s.child("w")
	s.enable()
	s.until("protected", protected)
	h.at(step)
	s.do(protecteditem.StartPlannedFailover{JobID: newID(), At: s.now()})
	h.await(step)
	end(w)
	s.goesAway(host)
	h.at("")
	s.child("next")
}

func TestDisablingByForceStartsASourceThatWasStopped(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := newScene(t, func(c *config) { c.Database, c.Speed = db.URL, 20 })
	s.stoppedAfter("stop_source", "h1", s.holdTasks(pgtest.Open(t, db.OwnerURL)))
	s.leftBehind(s.disableByForce(), "web", protecteditem.GiveBack)
	s.returns("h1")
	s.power(site.Running)
	s.cleanHost()
	s.nothingOf("web-dr")
}

func TestDisablingByForceLeavesTheStartToItsOperatorWhileTheRecoveryVMMayRun(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := newScene(t, func(c *config) { c.Database, c.Speed = db.URL, 20 })
	s.stoppedAfter("start_recovery_vm", "h2", s.holdTasks(pgtest.Open(t, db.OwnerURL)))
	s.do(protecteditem.DisableProtection{JobID: newID(), Force: true, At: s.now()})
	s.leftBehind(s.until("unprotected", is(protecteditem.Unprotected)), "web-dr", protecteditem.Remove)
	s.power(site.Off)
	s.cleanHost()
	must(t, s.host.Start(t.Context(), "web"))
	s.returns("h2")
	s.nothingOf("web-dr")
}

func TestEnablingKeepsWhatAnEarlierFailbackHasBrought(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	must(t, s.host.Stop(t.Context(), "web"))
	_, err := s.host.BeginReturn(t.Context(), "web", "failback", disks)
	must(t, err)
	d, err := s.host.OpenBeside(t.Context(), "web", "failback", "os")
	must(t, err)
	_, err = d.WriteAt([]byte("brought back"), diskBytes-4096)
	must(t, err)
	must(t, s.host.MergeReturn(t.Context(), "web", "failback"))
	merged := s.originals()
	s.work()
	s.enable()
	s.until("protected", protected)
	if left, err := filepath.Glob(filepath.Join(s.source, "*.failback.*")); err != nil || len(left) > 0 {
		t.Errorf("beside the disks there is %v, %v", left, err)
	}
	must(t, s.host.UndoReturn(t.Context(), "web", "failback"))
	s.untouched(merged)
}

func TestDisablingByForceOverACommitLeavesTheVMThatFailedBack(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Speed = 20 })
	s.work()
	s.failsBack()
	s.goesAway("h1")
	s.do(protecteditem.CommitFailback{JobID: newID(), At: s.now()})
	s.until("the commit is stuck", stuck(protecteditem.FailbackCommitJob))
	s.do(protecteditem.DisableProtection{JobID: newID(), Force: true, Survivor: "web", At: s.now()})
	s.until("unprotected", is(protecteditem.Unprotected))
	s.returns("h1")
	s.nothingOf("web-dr")
	s.power(site.Running)
	s.cleanHost()
	s.writesOn()
}

func TestACancelByForceLeavesALostRecoveryHost(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Speed = 20 })
	s.work()
	s.enable()
	s.until("protected", protected)
	s.do(protecteditem.StartPlannedFailover{JobID: newID(), At: s.now()})
	s.until("failed over", uncommitted)
	s.goesAway("h2")
	s.do(protecteditem.CancelFailover{JobID: newID(), At: s.now()})
	s.until("the cancel is stuck", stuck(protecteditem.FailoverCancelJob))
	s.power(site.Off)
	s.do(protecteditem.CancelFailover{JobID: newID(), Force: true, At: s.now()})
	s.leftBehind(s.until("protected again", protected), "web-dr", protecteditem.Remove)
	s.power(site.Running)
	s.judge(s.replicate())
	s.returns("h2")
	s.nothingOf("web-dr")
}

func TestAFailbackIsCanceledByForceOnceItsHostIsLost(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Speed = 20 })
	s.work()
	before := s.failsBack()
	must(s.t, os.Remove(filepath.Join(s.dir, "away", "web-dr", "journal"))) // one guest alone writes to it
	s.goesAway("h1")
	s.do(protecteditem.CancelFailback{JobID: newID(), At: s.now()})
	s.until("the cancel is stuck", stuck(protecteditem.FailbackCancelJob))
	s.awayPower(site.Off)
	s.do(protecteditem.CancelFailback{JobID: newID(), Force: true, At: s.now()})
	s.leftBehind(s.until("failed over again", is(protecteditem.FailedOver)), "web", protecteditem.Restore)
	s.awayPower(site.Running)
	s.returns("h1")
	s.power(site.Off)
	s.untouched(before)
}

func TestDisablingByForceWaitsForNoStore(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Speed = 20 })
	s.work()
	s.enable()
	s.until("protected", protected)
	aside := s.config.Store + ".away"
	must(t, os.Rename(s.config.Store, aside))
	must(t, os.WriteFile(s.config.Store, nil, 0o600)) // not a directory
	if st := s.disableByForce(); len(st.LeftBehind) > 0 {
		t.Errorf("left behind: %+v", st.LeftBehind)
	}
	s.cleanHost()
	must(t, os.Remove(s.config.Store))
	must(t, os.Rename(aside, s.config.Store))
	eventually(t, waitForJob, "the replica is removed", func() bool {
		left, err := filepath.Glob(filepath.Join(s.config.Store, itemKey+".1*"))
		return err == nil && len(left) == 0
	})
}
