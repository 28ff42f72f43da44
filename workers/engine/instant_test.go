package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/workers/host/local"
	"farshore/workers/host/local/nbd"
	"farshore/workers/proof"
)

// copiedOver says that the recovery VM does without its recovery point.
func copiedOver(st protecteditem.State) bool { return st.CopyJob == nil }

// tenant is a guest of the recovery VM that is being proven.
type tenant struct {
	*scene
	journal string
	seeds   []proof.Image
	stop    func()
}

// moveIn lets a guest write numbered records to the recovery VM, which begins as a
// point.
func (s *scene) moveIn(point string) *tenant {
	s.t.Helper()
	w := &tenant{scene: s, journal: filepath.Join(s.t.TempDir(), "journal")}
	for _, d := range disks {
		w.seeds = append(w.seeds, image(s.content(point, d)))
	}
	must(s.t, os.WriteFile(w.journal, nil, 0o600))
	g := &proof.Guest{Journal: w.journal, Pause: 2 * time.Millisecond, MaxLength: 24 << 10, Seed: 7}
	for range disks {
		g.Areas = append(g.Areas, proof.Area{Start: 0, End: diskBytes})
	}
	g.Dial = func(ctx context.Context, d int) (proof.Target, error) {
		return nbd.Dial(ctx, local.SocketPath(s.Hosts["h2"], "web-dr", disks[d]), disks[d])
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	ended := false
	w.stop = func() {
		if ended {
			return
		}
		ended = true
		stop()
		if err := <-done; err != nil {
			s.t.Errorf("the guest ended with %v", err)
		}
	}
	s.t.Cleanup(w.stop)
	return w
}

func (w *tenant) acknowledged() int {
	w.t.Helper()
	j, err := proof.ReadJournal(w.journal)
	must(w.t, err)
	return len(j.Records)
}

// writes waits until the guest has written some more.
func (w *tenant) writes() {
	w.t.Helper()
	n := w.acknowledged() + 40
	eventually(w.t, waitForJob, "the guest writes", func() bool { return w.acknowledged() >= n })
}

// proven ends the guest and the VM, and holds the disks against the journal.
func (w *tenant) proven() {
	w.t.Helper()
	w.stop()
	must(w.t, w.away.Stop(w.t.Context(), "web-dr"))
	var images []proof.Image
	for _, d := range disks {
		b, err := os.ReadFile(filepath.Join(w.dir, "away", "web-dr", d+".raw"))
		must(w.t, err)
		images = append(images, image(b))
	}
	j, err := proof.ReadJournal(w.journal)
	must(w.t, err)
	v, err := (&proof.Judge{Seeds: w.seeds, Journal: j}).Examine(w.t.Context(), images)
	must(w.t, err)
	if v.Records == 0 {
		w.t.Error("the guest has written nothing")
	}
	beside, err := os.ReadDir(filepath.Join(w.dir, "away", "web-dr"))
	must(w.t, err)
	if len(beside) != len(disks)+2 { // its description and its owner
		w.t.Errorf("beside the disks there is %v", beside)
	}
}

// bringUp brings the VM up from the newest point.
func (s *scene) bringUp() protecteditem.State {
	s.t.Helper()
	s.do(protecteditem.StartUnplannedFailover{JobID: newID(), Choice: protecteditem.LatestProcessed, At: s.now()})
	return s.until("failed over", func(st protecteditem.State) bool { return st.Protection == protecteditem.FailoverCommitRequired })
}

// takeStore takes the replica store away; the function that it returns brings it
// back.
func (s *scene) takeStore() func() {
	s.t.Helper()
	must(s.t, os.Rename(s.config.Store, s.config.Store+".away"))
	return func() { must(s.t, os.Rename(s.config.Store+".away", s.config.Store)) }
}

// absent is how much the recovery VM's disks still lack.
func (s *scene) absent() int64 {
	s.t.Helper()
	disks, err := s.away.BackedDisks(s.t.Context(), "web-dr")
	must(s.t, err)
	var n int64
	for _, d := range disks {
		n += d.Absent
	}
	return n
}

// slowCopy makes the copy of a running VM's disks long enough to be looked at: it
// reads them in 18 steps.
func slowCopy(step time.Duration) func(*config) {
	return func(c *config) {
		seldom(c)
		c.Stretch, c.SlowRead = 2<<20, step
	}
}

func TestAVMRunsFromItsPointWhileItsDisksAreCopied(t *testing.T) {
	t.Parallel()
	runsFromItsPoint(t, func(*config) {})
}

func runsFromItsPoint(t *testing.T, in func(*config)) {
	t.Helper()
	s := newScene(t, func(c *config) { in(c); slowCopy(120 * time.Millisecond)(c); c.MortalDR = true })
	s.enable()
	w := s.child("w")
	s.until("protected", protected)
	st := s.bringUp()
	guest := s.moveIn(st.FailoverPoint)
	for n := range 3 { // workers die in the middle of it, and a host does
		before := s.absent()
		eventually(t, waitForJob, "the copy goes on", func() bool { return s.absent() < before })
		must(t, w.Process.Kill())
		_ = w.Wait()
		must(t, s.lanes.Abandon(t.Context(), w.Args[0]))
		guest.writes()
		if n == 1 {
			s.killRecovery()
			guest.writes()
		}
		w = s.child("w" + strconv.Itoa(n))
	}
	if s.absent() == 0 {
		t.Error("the copy was over before its workers were")
	}
	st = s.until("copied", copiedOver)
	s.endedWell(st.EndedCopy.ID)
	guest.writes()
	guest.proven()
	s.gapless()
}

func TestAWorkerKilledAtAnyStepOfABackgroundCopyOrACommitFinishesIt(t *testing.T) {
	t.Parallel()
	db := ownDatabase(t)
	s := newScene(t, func(c *config) { seldom(c); c.Database = db.URL })
	w, owner := s.child("w"), "w"
	s.enable()
	s.until("protected", protected)
	h := s.holdTasks(db.owner)
	h.at("copy_blocks")
	st := s.bringUp()
	guest := s.moveIn(st.FailoverPoint)
	copying, commit := st.CopyJob.ID, newID()
	steps := []string{"copy_blocks", "settle_disks", "complete_background_copy", "inspect_failover", "finish_background_copy", "complete_failover_commit"}
	for n, step := range steps {
		if step == "inspect_failover" {
			s.do(protecteditem.CommitFailover{JobID: commit, At: s.now()})
		}
		h.await(step)
		guest.writes()
		must(t, w.Process.Kill())
		_ = w.Wait()
		must(t, s.lanes.Abandon(t.Context(), owner))
		next := ""
		if n+1 < len(steps) {
			next = steps[n+1]
		}
		h.at(next)
		owner = step
		w = s.child(owner)
	}
	s.endedWell(copying)
	s.jobIs(commit, job.Succeeded)
	if st := s.state(); st.Protection != protecteditem.FailedOver || len(st.Points) != 1 || st.CopyJob != nil {
		t.Errorf("the item is %s with %d points, its copy is %v", st.Protection, len(st.Points), st.CopyJob)
	}
	guest.proven()
	s.gapless()
}

func TestACopyWaitsForAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { slowCopy(60 * time.Millisecond)(c); c.Speed = 60 })
	s.enable()
	s.work()
	s.until("protected", protected)
	st := s.bringUp()
	guest := s.moveIn(st.FailoverPoint)
	guest.writes()
	back := s.takeStore()
	st = s.until("the copy is to be tried again", func(st protecteditem.State) bool { return st.CopyRetry.Failure != nil })
	if f := st.CopyRetry; f.Failure.Code != errorcatalog.ReplicaStoreUnreachable || f.NextAt.IsZero() {
		t.Errorf("the copy has failed with %v, again at %s", f.Failure, f.NextAt)
	}
	if health, _ := protecteditem.HealthOf(st, s.now()); health != protecteditem.Warning {
		t.Errorf("the health is %s", health)
	}
	commit := newID()
	s.do(protecteditem.CommitFailover{JobID: commit, At: s.now()})
	eventually(t, waitForJob, "the commit waits", func() bool {
		task, _ := s.job(commit).Task("finish_background_copy")
		return task.Status == job.Running
	})
	back()
	guest.writes()
	s.until("committed", func(st protecteditem.State) bool { return st.Protection == protecteditem.FailedOver })
	s.endedWell(commit)
	s.endedWell(st.CopyJob.ID)
	guest.proven()
}

func TestADamagedPointIsNeverReadAndNeverCopied(t *testing.T) {
	t.Parallel()
	s := newScene(t, seldom)
	s.enable()
	s.work()
	s.until("protected", protected)
	const at = 10<<20 + 77
	f, err := os.OpenFile(filepath.Join(s.config.Store, s.state().ReplicaID(), "disks", "data.raw"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("damaged"), at)
	must(t, errors.Join(err, f.Close()))
	s.bringUp()
	st := s.until("the copy waits for an operator", func(st protecteditem.State) bool { return st.CopyRetry.Failure != nil })
	if r := st.CopyRetry; r.Failure.Code != errorcatalog.RunningPointCorrupt || !r.NextAt.IsZero() {
		t.Errorf("the copy has failed with %v, again at %s", r.Failure, r.NextAt)
	}
	if health, _ := protecteditem.HealthOf(st, s.now()); health != protecteditem.Critical {
		t.Errorf("the health is %s", health)
	}
	c, err := nbd.Dial(t.Context(), local.SocketPath(s.Hosts["h2"], "web-dr", "data"), "data")
	must(t, err)
	if _, err := c.ReadAt(make([]byte, 512), at/512*512); err == nil {
		t.Error("the guest reads a damaged block")
	}
	if _, err := c.WriteAt(make([]byte, 512), at/512*512+4096); err == nil {
		t.Error("a damaged block was completed by a write to another part of it")
	}
	_, err = c.ReadAt(make([]byte, 512), 2<<20)
	must(t, errors.Join(err, c.Close()))

	commit := newID()
	s.do(protecteditem.CommitFailover{JobID: commit, At: s.now()})
	s.jobIs(commit, job.Failed)
	if st := s.until("the commit is given up", uncommitted); st.Failure == nil || st.Failure.Code != errorcatalog.RunningPointCorrupt {
		t.Errorf("the commit ended with %v", st.Failure)
	}
	s.do(protecteditem.CancelFailover{JobID: newID(), At: s.now()})
	s.until("protected again", protected)
	s.jobIs(st.CopyJob.ID, job.Canceled)
	s.nothingOf("web-dr")
	s.power(site.Running)
}

func TestDisablingFinishesTheCopyOfAVMThatStays(t *testing.T) {
	t.Parallel()
	s := newScene(t, slowCopy(150*time.Millisecond))
	s.enable()
	s.work()
	s.until("protected", protected)
	st := s.bringUp()
	guest := s.moveIn(st.FailoverPoint)
	id := newID()
	s.do(protecteditem.DisableProtection{JobID: id, At: s.now()})
	eventually(t, waitForJob, "disabling waits for the copy", func() bool {
		task, _ := s.job(id).Task("finish_background_copy")
		return task.Status == job.Running && s.absent() > 0
	})
	guest.writes()
	s.until("unprotected", func(st protecteditem.State) bool { return st.Protection == protecteditem.Unprotected })
	s.endedWell(id)
	s.endedWell(st.CopyJob.ID)
	if _, err := os.Stat(filepath.Join(s.config.Store, itemKey+".1")); err == nil {
		t.Error("the replica is left")
	}
	guest.writes()
	guest.proven()
	s.cleanHost()
}

func TestAnotherPointAndACancelEndTheCopy(t *testing.T) {
	t.Parallel()
	s := newScene(t, slowCopy(250*time.Millisecond))
	s.enable()
	s.work()
	first := s.until("protected", protected).Points[0]
	s.replicate()
	st := s.bringUp()
	one := st.CopyJob.ID
	before := s.absent()
	eventually(t, waitForJob, "the copy goes on", func() bool { return s.absent() < before })
	commit := newID() // which is thought better of
	s.do(protecteditem.CommitFailover{JobID: commit, At: s.now()})
	s.jobIs(commit, job.Running)
	_, err := s.jobs.Execute(t.Context(), commit, job.RequestCancel{By: "test", At: s.now()}, eventstore.Execution{})
	must(t, err)
	s.jobIs(commit, job.Canceled)
	s.until("the commit is taken back", uncommitted)
	s.do(protecteditem.ChangeRecoveryPoint{JobID: newID(), Choice: protecteditem.PointChoice(first.ID), Confirm: true, At: s.now()})
	st = s.until("changed", func(st protecteditem.State) bool { return uncommitted(st) && st.FailoverPoint == first.ID })
	s.jobIs(one, job.Canceled)
	guest := s.moveIn(first.ID)
	guest.writes()
	two := s.until("copied", copiedOver).EndedCopy.ID
	s.endedWell(two)
	if two != st.CopyJob.ID || two == one {
		t.Errorf("the disks were copied by %s, after %s", two, one)
	}
	guest.proven()

	s.do(protecteditem.ChangeRecoveryPoint{JobID: newID(), Choice: protecteditem.LatestProcessed, Confirm: true, At: s.now()})
	three := s.until("changed again", func(st protecteditem.State) bool { return uncommitted(st) && st.CopyJob != nil }).CopyJob.ID
	s.do(protecteditem.CancelFailover{JobID: newID(), At: s.now()})
	s.until("protected again", protected)
	s.jobIs(three, job.Canceled)
	s.nothingOf("web-dr")
	s.followed()
}

func TestATestFailoverIsCleanedUpBesideACopy(t *testing.T) {
	t.Parallel()
	s := newScene(t, slowCopy(200*time.Millisecond))
	s.work()
	s.enableShort()
	st := s.drill(newID(), protecteditem.LatestProcessed)
	content := s.contents(st.Test.Point)
	s.replicate()
	s.bringUp()
	s.brought(content)
	s.scribble()
	s.cleanUp()
	if s.absent() == 0 {
		t.Error("the cleanup has waited for the copy")
	}
	s.recoveredFrom(s.state().FailoverPoint)
}

func TestWhereNoHostReadsPointsTheDisksAreCopiedFirst(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { seldom(c); c.Copied = true })
	s.work()
	s.enable()
	s.until("protected", protected)
	st := s.bringUp()
	if st.CopyJob != nil || count(s.events(), "background_copy_started") > 0 {
		t.Errorf("the disks are copied by %v", st.CopyJob)
	}
	s.recoveredFrom(st.FailoverPoint)
}
