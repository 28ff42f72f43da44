package engine_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
)

func TestTheLastChangesAreWhatWasWrittenSince(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.child("w")
	s.failOver()
	id, recorded := newID(), s.records()
	s.do(protecteditem.StartFailback{JobID: id, Mode: protecteditem.MinimizeDowntime, At: s.now()})
	s.until("synchronized", is(protecteditem.FailbackAwaitingCompletion))
	s.writesOn()
	s.do(protecteditem.CompleteFailback{At: s.now()})
	s.until("failed back", is(protecteditem.FailbackCommitRequired))
	last, written := s.completed(id), s.blocksSince(recorded)
	t.Logf("last changes: %d bytes scanned, %d differing, %d sent of %d written", last.BytesScanned, last.BytesDiffering, last.BytesSent, written)
	if last.Compared != "" || last.BytesScanned <= 0 || last.BytesScanned > written || last.BytesSent > last.BytesScanned {
		t.Errorf("the last changes were %+v; %d bytes had been written", last, written)
	}
	s.cleanRecovery()
}

// Logs that have outgrown their limit tell nothing: all is compared once more.
func TestLogsOfTheRecoveryVMThatCannotBeTrustedAreReplacedByAComparison(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(s *scene){
		"log_threshold_exceeded": func(s *scene) {
			eventually(t, waitForJob, "tracking has stopped", func() bool {
				rel, err := s.away.Replication(t.Context(), "web-dr")
				must(t, err)
				return len(rel.Tracking) == 2 && rel.Tracking[0].ResyncReason != "" && rel.Tracking[1].ResyncReason != ""
			})
		},
		"relationship_not_found": func(s *scene) { must(t, s.away.StopReplication(t.Context(), "web-dr")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, nil)
			s.child("w")
			s.failOver()
			settings := s.state().Policy
			if strings.HasPrefix(name, "log") {
				settings.ResyncThresholdPercent = 1
			}
			s.do(protecteditem.ChangePolicy{PolicyID: "tight", Settings: settings, At: s.now()})
			id := newID()
			s.do(protecteditem.StartFailback{JobID: id, Mode: protecteditem.MinimizeDowntime, At: s.now()})
			s.until("synchronized", is(protecteditem.FailbackAwaitingCompletion))
			spoil(s)
			s.writesOn()
			s.do(protecteditem.CompleteFailback{At: s.now()})
			s.until("failed back", is(protecteditem.FailbackCommitRequired))
			last := s.completed(id)
			if !strings.HasPrefix(last.Compared, name) || last.BytesScanned != 2*diskBytes {
				t.Errorf("the last changes were %+v", last)
			}
			if task, _ := s.job(id).Task("synchronize_last_changes"); task.Output["compared"] != last.Compared {
				t.Errorf("the job says %v", task.Output)
			}
			s.cleanRecovery()
			s.do(protecteditem.CommitFailback{JobID: newID(), At: s.now()})
			s.until("failback committed", is(protecteditem.FailedBack))
			settings.ResyncThresholdPercent = 50
			s.do(protecteditem.ChangePolicy{PolicyID: "wide", Settings: settings, At: s.now()})
			s.reProtect()
		})
	}
}

func TestARecoveryHostThatIsLostWhileItIsReadIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.child("w")
	s.failOver()
	before := s.originals()
	socket := s.Hosts["h2"]
	must(t, os.Rename(socket, socket+".away"))
	id := newID()
	s.do(protecteditem.StartFailback{JobID: id, Mode: protecteditem.MinimizeDowntime, At: s.now()})
	st := s.until("an attempt has failed", func(st protecteditem.State) bool { return st.Retry.Attempt == 1 })
	if st.Protection != protecteditem.FailbackSynchronizing || st.Retry.Failure.Code != errorcatalog.HostUnreachable {
		t.Errorf("the failback is %s: %v", st.Protection, st.Retry.Failure)
	}
	must(t, os.Rename(socket+".away", socket))
	s.writesOn()
	s.do(protecteditem.RetryNow{At: s.now()})
	s.until("synchronized", is(protecteditem.FailbackAwaitingCompletion))
	s.untouched(before)
	s.do(protecteditem.CompleteFailback{At: s.now()})
	s.until("failed back", is(protecteditem.FailbackCommitRequired))
	if last := s.completed(id); last.Compared != "" {
		t.Errorf("the logs were not used: %s", last.Compared)
	}
	s.do(protecteditem.CommitFailback{JobID: newID(), At: s.now()})
	s.until("failback committed", is(protecteditem.FailedBack))
	s.reProtect()
}

// The original disks are written to between the two phases: what was brought lies
// beside disks that are no more.
func TestDisksThatChangedBeneathAFailbackAreComparedAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.child("w")
	s.failOver()
	id := newID()
	s.do(protecteditem.StartFailback{JobID: id, Mode: protecteditem.MinimizeDowntime, At: s.now()})
	s.until("synchronized", is(protecteditem.FailbackAwaitingCompletion))
	f, err := os.OpenFile(filepath.Join(s.source, "os.raw"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("changed by hand"), diskBytes-4096)
	must(t, err)
	must(t, f.Close())
	s.do(protecteditem.CompleteFailback{At: s.now()})
	s.until("failed back", is(protecteditem.FailbackCommitRequired))
	if last := s.completed(id); last.Compared == "" || last.BytesScanned != 2*diskBytes {
		t.Errorf("the last changes were %+v", last)
	}
	must(t, s.host.Stop(t.Context(), "web"))
	must(t, s.host.Start(t.Context(), "web"))
	s.do(protecteditem.CommitFailback{JobID: newID(), At: s.now()})
	s.until("failback committed", is(protecteditem.FailedBack))
	s.reProtect()
}

func TestDisablingLeavesTheRecoveryHostWithoutLogs(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.child("w")
	s.failOver()
	s.do(protecteditem.StartFailback{JobID: newID(), Mode: protecteditem.MinimizeDowntime, At: s.now()})
	s.until("synchronized", is(protecteditem.FailbackAwaitingCompletion))
	if rel, err := s.away.Replication(t.Context(), "web-dr"); err != nil || !slices.Equal(rel.Disks, disks) {
		t.Errorf("the recovery VM is not tracked: %+v, %v", rel, err)
	}
	s.do(protecteditem.DisableProtection{JobID: newID(), Force: true, Survivor: "web-dr", At: s.now()})
	s.until("unprotected", func(st protecteditem.State) bool { return st.Protection == protecteditem.Unprotected })
	s.cleanRecovery()
	s.cleanHost()
	s.awayPower(site.Running)
	s.power(site.Off)
}

func TestAPointReleasedByACleanupAfterACommitLeavesTheStoreAtOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.child("w")
	s.enable()
	older, _ := s.until("protected", protected).NewestPoint()
	s.replicate()
	s.drill(newID(), protecteditem.PointChoice(older.ID))
	s.do(protecteditem.StartPlannedFailover{JobID: newID(), At: s.now()})
	s.until("failed over", is(protecteditem.FailoverCommitRequired))
	s.do(protecteditem.CommitFailover{JobID: newID(), At: s.now()})
	s.until("committed and fenced", func(st protecteditem.State) bool {
		return is(protecteditem.FailedOver)(st) && st.Fencing.Fenced // nothing else is due for a minute
	})
	if !slices.Contains(s.stored(), older.ID) {
		t.Fatal("the test's point is gone before its cleanup")
	}
	s.do(protecteditem.CleanUpTestFailover{JobID: newID(), At: s.now()})
	st := s.until("cleaned up, and the store has followed", func(st protecteditem.State) bool {
		return st.TestFailover == protecteditem.TestFailoverNone && len(st.Released) == 0
	})
	if slices.Contains(s.stored(), older.ID) || len(st.Points) != 1 {
		t.Errorf("the store holds %v, the item lists %d", s.stored(), len(st.Points))
	}
}
