package engine_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore/pgtest"
	"farshore/workers/failback"
	"farshore/workers/resynchronization"
	"farshore/workers/reversereplication"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

func is(want protecteditem.ProtectionState) func(protecteditem.State) bool {
	return func(st protecteditem.State) bool {
		return st.Protection == want && (st.Job == nil || want == protecteditem.FailbackAwaitingCompletion)
	}
}

// failOver takes the VM to the recovery side for good, where its guest writes on
// into the same journal.
func (s *scene) failOver() {
	s.t.Helper()
	s.enable()
	s.until("protected", protected)
	s.do(protecteditem.StartPlannedFailover{JobID: newID(), At: s.now()})
	s.until("failed over", is(protecteditem.FailoverCommitRequired))
	s.do(protecteditem.CommitFailover{JobID: newID(), At: s.now()})
	s.until("committed", is(protecteditem.FailedOver))
	must(s.t, s.away.Stop(s.t.Context(), "web-dr"))
	must(s.t, os.Symlink(filepath.Join(s.source, "journal"), filepath.Join(s.dir, "away", "web-dr", "journal")))
	must(s.t, s.away.Start(s.t.Context(), "web-dr"))
	s.writesOn()
}

// writesOn returns once the guest, wherever it runs, has written more.
func (s *scene) writesOn() {
	s.t.Helper()
	size := func() int64 {
		info, err := os.Stat(filepath.Join(s.source, "journal"))
		must(s.t, err)
		return info.Size()
	}
	before := size()
	eventually(s.t, waitForJob, "the guest writes", func() bool { return size() > before+4<<10 })
}

func (s *scene) awayPower(want site.PowerState) {
	s.t.Helper()
	got, err := s.away.PowerState(s.t.Context(), "web-dr")
	must(s.t, err)
	if got != want {
		s.t.Errorf("the recovery VM is %s, want %s", got, want)
	}
}

// originals are the bytes of the source's disks.
func (s *scene) originals() [][]byte {
	s.t.Helper()
	var out [][]byte
	for _, d := range disks {
		b, err := os.ReadFile(filepath.Join(s.source, d+".raw"))
		must(s.t, err)
		out = append(out, b)
	}
	return out
}

func (s *scene) untouched(before [][]byte) {
	s.t.Helper()
	for n, b := range s.originals() {
		if !bytes.Equal(b, before[n]) {
			s.t.Errorf("disk %s of the source is not what it was", disks[n])
		}
	}
}

func TestAFailbackLosesNothingAndTheVMIsProtectedAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.child("w")
	s.failOver()
	before := s.originals()
	id := newID()
	s.do(protecteditem.StartFailback{JobID: id, Mode: protecteditem.MinimizeDowntime, At: s.now()})
	s.until("synchronized", is(protecteditem.FailbackAwaitingCompletion))
	s.sentLittle(id)
	s.untouched(before)
	s.awayPower(site.Running)
	s.writesOn()
	s.do(protecteditem.CompleteFailback{At: s.now()})
	st := s.until("failed back", is(protecteditem.FailbackCommitRequired))
	s.endedWell(id)
	s.power(site.Running)
	s.awayPower(site.Off)
	if st.ActiveLocation != protecteditem.Primary {
		t.Errorf("the %s side is active", st.ActiveLocation)
	}
	s.writesOn()
	commit := newID()
	s.do(protecteditem.CommitFailback{JobID: commit, At: s.now()})
	s.until("failback committed", is(protecteditem.FailedBack))
	s.endedWell(commit)
	s.nothingOf("web-dr")
	s.reProtect()
}

// reProtect replicates the VM again and has its points judged.
func (s *scene) reProtect() {
	s.t.Helper()
	again := newID()
	s.do(protecteditem.ReProtect{JobID: again, At: s.now()})
	st := s.until("protected again", protected)
	s.endedWell(again)
	s.sentLittle(again)
	newest, _ := st.NewestPoint()
	first := s.judge(newest)
	if s.judge(s.replicate()) < first {
		s.t.Error("the next point holds less")
	}
}

// sentLittle checks that what was sent one way or the other is what differed.
func (s *scene) sentLittle(id string) {
	s.t.Helper()
	check := func(scanned, sent int64) {
		s.t.Logf("%d bytes scanned, %d sent", scanned, sent)
		if scanned != 2*diskBytes || sent <= 0 || sent > 2*guestArea {
			s.t.Errorf("%d bytes were scanned and %d sent", scanned, sent)
		}
	}
	for rec, err := range s.store.Stream(s.t.Context(), s.items.StreamOf(itemKey), 0) {
		must(s.t, err)
		switch e := rec.Event.(type) {
		case protecteditem.FailbackSynchronized:
			if e.JobID == id {
				check(e.BytesScanned, e.BytesSent)
				return
			}
		case protecteditem.ReverseReplicationCompleted:
			if e.JobID == id {
				check(e.BytesScanned, e.BytesSent)
				return
			}
		}
	}
	s.t.Errorf("job %s has sent nothing", id)
}

func TestAFailbackWaitsForAHostThatIsAwayAndIsCanceledByItsJob(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.child("w")
	s.failOver()
	before := s.originals()
	socket := s.Hosts["h1"]
	must(t, os.Rename(socket, socket+".away"))
	id := newID()
	s.do(protecteditem.StartFailback{JobID: id, Mode: protecteditem.MinimizeDowntime, At: s.now()})
	st := s.until("an attempt has failed", func(st protecteditem.State) bool { return st.Retry.Attempt == 1 })
	if st.Protection != protecteditem.FailbackSynchronizing || st.Retry.Failure.Code != errorcatalog.HostUnreachable {
		t.Errorf("the failback is %s: %v", st.Protection, st.Retry.Failure)
	}
	must(t, os.Rename(socket+".away", socket))
	s.do(protecteditem.RetryNow{At: s.now()})
	s.until("synchronized", is(protecteditem.FailbackAwaitingCompletion))
	s.cancelJob(id)
	s.until("failed over again", is(protecteditem.FailedOver))
	s.jobIs(id, job.Canceled)
	s.awayPower(site.Running)
	s.power(site.Off)
	s.untouched(before)
}

func TestASourceThatWasStartedByHandIsNotWrittenTo(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.child("w")
	s.failOver()
	s.until("fenced", func(st protecteditem.State) bool { return st.Fencing.Fenced })
	must(t, s.host.SetActive(t.Context(), "web", true))
	must(t, s.host.Start(t.Context(), "web"))
	id := newID()
	s.do(protecteditem.StartFailback{JobID: id, Mode: protecteditem.MinimizeDowntime, At: s.now()})
	s.jobIs(id, job.Failed)
	st := s.until("failed over still", is(protecteditem.FailedOver))
	if st.Failure == nil || st.Failure.Code != errorcatalog.SourceStillRunning {
		t.Errorf("the failback has left %v", st.Failure)
	}
	if _, err := os.Stat(filepath.Join(s.source, "return.json")); err == nil {
		t.Error("a return was begun")
	}
	s.awayPower(site.Running)
	s.until("fenced again", func(st protecteditem.State) bool { return st.Fencing.Fenced && !st.Fencing.SourceActive })
	s.power(site.Off)
	s.do(protecteditem.StartFailback{JobID: newID(), Mode: protecteditem.MinimizeDowntime, At: s.now()})
	s.until("synchronized", is(protecteditem.FailbackAwaitingCompletion))
}

func TestDisablingInSpiteOfAFailbackTakesItBack(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.child("w")
	s.failOver()
	before := s.originals()
	s.do(protecteditem.StartFailback{JobID: newID(), Mode: protecteditem.FullDownload, At: s.now()})
	s.until("failed back", is(protecteditem.FailbackCommitRequired))
	s.writesOn()
	s.do(protecteditem.DisableProtection{JobID: newID(), Force: true, Survivor: "web-dr", At: s.now()})
	s.until("unprotected", func(st protecteditem.State) bool { return st.Protection == protecteditem.Unprotected })
	s.power(site.Off)
	s.awayPower(site.Running)
	s.untouched(before)
	s.cleanHost()
}

func TestAPrimaryHostThatIsLostDoesNotKeepTheRecoveryVMDown(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := newScene(t, func(c *config) { c.Database, c.Speed = db.URL, 20 })
	w := s.child("w")
	s.failOver()
	before := s.originals()
	h := s.holdTasks(pgtest.Open(t, db.OwnerURL))
	h.at("stop_recovery_vm")
	id := newID()
	s.do(protecteditem.StartFailback{JobID: id, Mode: protecteditem.MinimizeDowntime, At: s.now()})
	s.completes("stop_recovery_vm")
	h.await("stop_recovery_vm")
	end(w)
	s.awayPower(site.Off)
	s.goesAway("h1")
	h.at("")
	s.child("next")
	st := s.until("failed over again", is(protecteditem.FailedOver))
	if st.Failure == nil || st.Failure.Code != errorcatalog.HostUnreachable {
		t.Errorf("the failback has left %v", st.Failure)
	}
	s.jobIs(id, job.Failed)
	s.awayPower(site.Running)
	s.writesOn()
	s.leftBehind(st, "web", protecteditem.Restore)
	s.returns("h1")
	s.power(site.Off)
	s.untouched(before)
	if left, err := filepath.Glob(filepath.Join(s.source, "*.failback.*")); err != nil || len(left) > 0 {
		t.Errorf("beside the original disks there is %v, %v", left, err)
	}
}

func TestAFullDownloadBringsTheVMBackWithoutWaiting(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.child("w")
	s.failOver()
	s.do(protecteditem.StartFailback{JobID: newID(), Mode: protecteditem.FullDownload, At: s.now()})
	s.until("failed back", is(protecteditem.FailbackCommitRequired))
	s.power(site.Running)
	s.awayPower(site.Off)
	s.writesOn()
	s.do(protecteditem.CommitFailback{JobID: newID(), At: s.now()})
	s.until("failback committed", is(protecteditem.FailedBack))
	s.reProtect()
}

// minimizing lists the steps of a failback that waits.
func minimizing() []string {
	return []string{
		"inspect_hosts", "synchronize_disks", "await_completion", "stop_recovery_vm", "synchronize_last_changes", "merge_disks",
		"start_primary_vm", "complete_failback",
	}
}

// completes says the word that a failback waits for, if the step lies behind it.
func (s *scene) completes(step string) {
	s.t.Helper()
	waits := []string{"inspect_hosts", "create_primary_vm", "synchronize_disks"} // before the word is waited for
	if (slices.Contains(minimizing(), step) || slices.Contains(making(), step)) && !slices.Contains(waits, step) {
		s.until("synchronized", func(st protecteditem.State) bool {
			return st.Protection == protecteditem.FailbackAwaitingCompletion || st.Protection == protecteditem.FailbackCompleting
		})
		s.do(protecteditem.CompleteFailback{At: s.now()})
	}
}

func end(w *exec.Cmd) {
	_ = w.Process.Kill()
	_ = w.Wait()
}

// walk runs a job and kills its worker in each of its steps, when it has done what
// the step does. It returns the worker that is left.
func (s *scene) walk(h hold, w *exec.Cmd, steps []string, begin func(id string), at func(step string)) *exec.Cmd {
	s.t.Helper()
	id := newID()
	h.at(steps[0])
	begin(id)
	for n, step := range steps {
		s.completes(step)
		h.await(step)
		end(w)
		if at != nil {
			at(step)
		}
		next := ""
		if n+1 < len(steps) {
			next = steps[n+1]
		}
		h.at(next)
		w = s.child("w" + step)
	}
	eventually(s.t, waitForJob, "the job ends", func() bool { return s.job(id).Status.Ended() })
	s.endedWell(id)
	return w
}

func TestAFailbackCanceledAtAnyStepLeavesTheOriginalDisksAsTheyWere(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := newScene(t, func(c *config) { c.Database = db.URL })
	w := s.child("w")
	s.failOver()
	before := s.originals()
	h := s.holdTasks(pgtest.Open(t, db.OwnerURL))
	cancel := func(id string, status job.Status) {
		s.do(protecteditem.CancelFailback{JobID: newID(), At: s.now()})
		s.until("failed over again", is(protecteditem.FailedOver))
		s.jobIs(id, status)
		s.power(site.Off)
		s.awayPower(site.Running)
		s.untouched(before)
		s.cleanRecovery()
		s.writesOn()
	}
	for _, step := range minimizing() {
		id := newID()
		h.at(step)
		s.do(protecteditem.StartFailback{JobID: id, Mode: protecteditem.MinimizeDowntime, At: s.now()})
		s.completes(step)
		h.await(step)
		end(w)
		h.at("")
		w = s.child("w" + step)
		if step == "complete_failback" { // which had been recorded
			s.until("failed back", is(protecteditem.FailbackCommitRequired))
			s.writesOn()
			cancel(id, job.Succeeded)
			continue
		}
		cancel(id, job.Canceled)
	}
	id := newID()
	s.do(protecteditem.StartFailback{JobID: id, Mode: protecteditem.MinimizeDowntime, At: s.now()})
	s.until("synchronized", is(protecteditem.FailbackAwaitingCompletion))
	cancel(id, job.Canceled)
	s.gapless()
}

func TestAWorkerKilledAtAnyStepOfAFailbackFinishesIt(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := newScene(t, func(c *config) { c.Database = db.URL })
	w := s.child("w")
	s.failOver()
	h := s.holdTasks(pgtest.Open(t, db.OwnerURL))
	w = s.walk(h, w, minimizing(), func(id string) {
		s.do(protecteditem.StartFailback{JobID: id, Mode: protecteditem.MinimizeDowntime, At: s.now()})
	}, func(step string) {
		if step == "merge_disks" {
			s.power(site.Off)
			s.awayPower(site.Off)
			s.sameOnRecovery()
		}
	})
	s.until("failed back", is(protecteditem.FailbackCommitRequired))
	s.writesOn()
	w = s.walk(h, w, runbook.Names(failback.Commit{}.Steps()), func(id string) {
		s.do(protecteditem.CommitFailback{JobID: id, At: s.now()})
	}, nil)
	s.until("failback committed", is(protecteditem.FailedBack))
	s.walk(h, w, runbook.Names(reversereplication.ReverseReplication{}.Steps()), func(id string) {
		s.do(protecteditem.ReProtect{JobID: id, At: s.now()})
	}, nil)
	st := s.until("protected again", protected)
	newest, _ := st.NewestPoint()
	s.judge(newest)
	s.judge(s.replicate())
	s.gapless()
}

func TestStepNamesOfTheWayBackAreNeverChanged(t *testing.T) {
	t.Parallel()
	item := func(mode protecteditem.FailbackMode) *workflow.Item {
		return &workflow.Item{State: protecteditem.State{Failback: protecteditem.FailbackRun{Mode: mode}}}
	}
	anew := func(mode protecteditem.FailbackMode) *workflow.Item {
		i := item(mode)
		i.State.Failback.Target = protecteditem.FailbackTarget{Site: "s3", Host: "h3", VMName: "web"}
		return i
	}
	comparison := runbook.Names(resynchronization.Comparison(nil))
	for name, tt := range map[string]struct {
		steps []runbook.Step
		want  []string
	}{
		"failback": {failback.Failback{Item: item(protecteditem.MinimizeDowntime)}.Steps(), minimizing()},
		"full download": {failback.Failback{Item: item(protecteditem.FullDownload)}.Steps(), []string{
			"inspect_hosts", "stop_recovery_vm", "bring_disks", "complete_synchronization", "merge_disks", "start_primary_vm", "complete_failback",
		}},
		"failback to a new VM": {failback.Failback{Item: anew(protecteditem.MinimizeDowntime)}.Steps(), making()},
		"full download to a new VM": {failback.Failback{Item: anew(protecteditem.FullDownload)}.Steps(), []string{
			"inspect_hosts", "create_primary_vm", "stop_recovery_vm", "bring_disks", "complete_synchronization",
			"complete_primary_vm", "start_primary_vm", "complete_failback",
		}},
		"cancel": {failback.Cancel{}.Steps(), []string{"check_original_disks", "take_back", "complete_failback_cancel"}},
		"commit": {failback.Commit{}.Steps(), []string{"settle_disks", "remove_recovery_vm", "complete_failback_commit"}},
		"reverse replication": {
			reversereplication.ReverseReplication{}.Steps(),
			slices.Concat([]string{"restore_relationship"}, comparison, []string{"complete_reverse_replication"}),
		},
	} {
		if got := runbook.Names(tt.steps); !slices.Equal(got, tt.want) {
			t.Errorf("the steps of %s are %q, were %q", name, got, tt.want)
		}
	}
}
