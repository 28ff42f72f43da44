package engine_test

import (
	"os"
	"path/filepath"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
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
