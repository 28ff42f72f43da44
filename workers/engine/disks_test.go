package engine_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore"
)

// logs is the disk that is added.
const logs = "logs"

// attached are the disks that the guest writes to.
func (s *scene) attached() []string {
	if s.withLogs {
		return append(slices.Clone(disks), logs)
	}
	return disks
}

func holds(p protecteditem.Point, disk string) bool {
	return slices.ContainsFunc(p.Disks, func(d protecteditem.PointDisk) bool { return d.Disk == disk })
}

// third is a VM whose third disk is copied slowly, or not at all while there is a
// hold.
func third(t *testing.T, changes ...func(*config)) *scene {
	t.Helper()
	return newScene(t, func(c *config) {
		for _, change := range changes {
			change(c)
		}
		slow(4 * time.Millisecond)(c)
		c.Third, c.Only, c.Hold = true, logs, filepath.Join(filepath.Dir(c.Store), "hold")
	})
}

// hold keeps the copy of the disk from going on until it is let go.
func (s *scene) hold() (letGo func()) {
	s.t.Helper()
	must(s.t, os.WriteFile(s.Hold, nil, 0o600))
	letGo = func() { _ = os.Remove(s.Hold) }
	s.t.Cleanup(letGo) // or the worker cannot stop
	return letGo
}

// add begins to add the third disk.
func (s *scene) add() (id string) {
	s.t.Helper()
	vm, err := s.host.VirtualMachine(s.t.Context(), "web")
	must(s.t, err)
	n := slices.IndexFunc(vm.Disks, func(d site.Disk) bool { return d.ID == logs })
	id = newID()
	s.do(protecteditem.AddDisks{JobID: id, Disks: vm.Disks[n : n+1], At: s.now()})
	return id
}

// copying waits until the disk is being copied.
func (s *scene) copying(job string) {
	s.t.Helper()
	s.stepBegins(job, "copy_disks")
	eventually(s.t, waitForJob, "the disk is being copied", func() bool {
		b, err := os.ReadFile(s.Trace)
		return err == nil && strings.Contains(string(b), logs+" ")
	})
}

func (s *scene) stepBegins(id, step string) {
	s.t.Helper()
	eventually(s.t, waitForJob, step+" begins", func() bool {
		j, _, err := s.jobs.Load(s.t.Context(), id)
		task, _ := j.Task(step)
		return err == nil && task.Attempts > 0
	})
}

// added waits until the disk is protected, and judges the first point that holds it.
func (s *scene) added(id string) {
	s.t.Helper()
	st := s.until("the disk is protected", func(st protecteditem.State) bool { return slices.Contains(st.Disks, logs) })
	first := slices.IndexFunc(st.Points, func(p protecteditem.Point) bool { return holds(p, logs) })
	for n, p := range st.Points {
		if holds(p, logs) != (n >= first) {
			s.t.Errorf("point %d of %d holds the disk: %t", n, len(st.Points), holds(p, logs))
		}
		s.judge(p)
	}
	s.endedWell(id)
}

// tracking is what lies beside the disk on its host.
func (s *scene) tracking() []string {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(s.source, logs+".raw.*"))
	must(s.t, err)
	return found
}

func TestADiskIsAddedWhileTheOthersGoOnAndRemovedAgain(t *testing.T) {
	t.Parallel()
	s := third(t)
	s.work()
	s.enable()
	s.until("protected", protected)
	before := s.replicate()
	letGo := s.hold()
	id := s.add()
	s.copying(id)
	for range 2 { // a point a cycle
		if p := s.replicate(); holds(p, logs) {
			t.Errorf("point %s holds a disk that is being copied", p.ID)
		}
	}
	if got := protecteditem.DiskStates(s.state())[logs]; got != protecteditem.DiskReplicating {
		t.Errorf("a disk that is being copied is %s", got)
	}
	letGo()
	s.added(id)
	if p := s.replicate(); !holds(p, logs) {
		t.Error("the next cycle's point lacks the disk")
	} else {
		s.judge(p)
	}

	s.do(protecteditem.RemoveDisks{Disks: []string{logs}, At: s.now()})
	last := s.replicate()
	for holds(last, logs) { // a cycle that was under way had begun with it
		last = s.replicate()
	}
	s.judge(last)
	if left := s.tracking(); len(left) > 0 {
		t.Errorf("a disk that was removed is tracked: %v", left)
	}
	st := s.state()
	if !slices.Equal(st.FormerDisks, []string{logs}) {
		t.Errorf("former disks are %v", st.FormerDisks)
	}
	for _, p := range append(st.Points, before) {
		s.judge(p)
	}
	// Once no point holds it, nothing of it is left.
	policy := st.Policy
	policy.RetentionHours = 0
	s.do(protecteditem.ChangePolicy{PolicyID: "short", Settings: policy, At: s.now()})
	s.replicate()
	s.until("nothing is left of the disk", func(st protecteditem.State) bool { return len(st.FormerDisks) == 0 })
	s.lacksReplica()
	s.judge(s.replicate())
}

// lacksReplica checks that the store has nothing of the disk.
func (s *scene) lacksReplica() {
	s.t.Helper()
	if _, err := os.Stat(filepath.Join(s.config.Store, s.state().ReplicaID(), "disks", logs+".raw")); err == nil {
		s.t.Error("the replica of the disk is there")
	}
	names, err := s.replica.ListObjects(s.t.Context(), s.state().ReplicaID(), "")
	must(s.t, err)
	for _, name := range names {
		if strings.Contains(name, "/"+logs+"/") || strings.HasPrefix(name, "added/") || name == "adding.json" {
			s.t.Errorf("object %s is left", name)
		}
	}
}

func TestAWorkerKilledAtEachStepOfAddingADiskGoesOn(t *testing.T) {
	t.Parallel()
	s := third(t)
	owner := "w0"
	w := s.child(owner)
	s.enable()
	s.until("protected", protected)
	letGo := s.hold()
	id := s.add()
	kill := func(n int) {
		must(t, w.Process.Kill())
		_ = w.Wait()
		s.disconnected(owner)
		owner = "w" + strconv.Itoa(n)
		w = s.child(owner)
	}
	s.stepBegins(id, "track_disks")
	kill(1)
	s.copying(id)
	kill(2)
	letGo()
	eventually(t, waitForJob, "a part is copied", func() bool { return s.addedTo() >= 4<<20 })
	letGo = s.hold()
	kill(3)
	from, length := s.addedTo(), s.traced()
	var first string
	eventually(t, waitForJob, "the copy goes on", func() bool {
		first = s.written(length)
		return first != ""
	})
	_, text, _ := strings.Cut(first, " ")
	if at, err := strconv.ParseInt(text, 10, 64); err != nil || from < seededBytes && at < from {
		t.Errorf("the copy goes on at %q, %d bytes were copied", first, from)
	}
	letGo()
	for n, step := range []string{"delete_snapshot", "make_recovery_point"} {
		s.stepBegins(id, step)
		kill(4 + n)
	}
	s.added(id)
	s.judge(s.replicate())
	s.gapless()
}

// addedTo is how much of the disk its copy has made durable.
func (s *scene) addedTo() int64 {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.config.Store, s.state().ReplicaID(), "objects", "adding.json"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), `"offset":`)
	digits, _, _ := strings.Cut(rest, ",")
	n, _ := strconv.ParseInt(strings.TrimRight(digits, "}"), 10, 64)
	return n
}

func TestADiskThatVanishesIsGivenUpAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	s := third(t)
	s.work()
	s.enable()
	s.until("protected", protected)
	letGo := s.hold()
	id := s.add()
	s.copying(id)
	away := filepath.Join(s.dir, "away.raw")
	must(t, os.Rename(filepath.Join(s.source, logs+".raw"), away))
	s.do(protecteditem.ReplicateNow{At: s.now()})
	letGo()
	st := s.until("the disk is given up", func(st protecteditem.State) bool { return st.DiskJob == nil })
	if st.Failure == nil || st.Failure.Code != errorcatalog.DiskNotFound || slices.Contains(st.Disks, logs) {
		t.Errorf("the failure is %v, the disks %v", st.Failure, st.Disks)
	}
	s.ends(id, job.Failed)
	s.judge(s.replicate())
	s.until("nothing is left of the disk", func(st protecteditem.State) bool { return len(st.FormerDisks) == 0 })
	s.lacksReplica()
	must(t, os.Rename(away, filepath.Join(s.source, logs+".raw")))
}

func (s *scene) ends(id string, want job.Status) {
	s.t.Helper()
	eventually(s.t, waitForJob, "the job has ended", func() bool {
		j, _, err := s.jobs.Load(s.t.Context(), id)
		return err == nil && j.Status.Ended()
	})
	if j, _, _ := s.jobs.Load(s.t.Context(), id); j.Status != want {
		s.t.Errorf("job ended as %s, want %s (%v)", j.Status, want, j.Failure)
	}
}

// interrupted waits until the worker has been told to stop: it renews the lane no
// longer.
func (s *scene) interrupted() {
	s.t.Helper()
	var lease time.Time
	since := time.Now()
	eventually(s.t, waitForJob, "the worker is told to stop", func() bool {
		var asked bool
		var until time.Time
		must(s.t, s.pool.QueryRow(s.t.Context(),
			`SELECT cancel_requested, coalesce(lease_until, 'epoch') FROM lanes WHERE item = $1 AND kind = 'replication'`, itemKey).Scan(&asked, &until))
		if !asked || !until.Equal(lease) {
			lease, since = until, time.Now()
		}
		return asked && time.Since(since) > 500*time.Millisecond // five times what it renews it in
	})
}

func TestAddingADiskWaitsForAPauseAndAResynchronizationAndBeginsAnewWithoutItsLogs(t *testing.T) {
	t.Parallel()
	s := third(t, seldom)
	s.work()
	s.enable()
	s.until("protected", protected)
	letGo := s.hold()
	id := s.add()
	s.copying(id)
	s.do(protecteditem.PauseReplication{By: "eva", At: s.now()})
	s.interrupted()
	letGo()
	eventually(t, waitForJob, "the copy stands still", func() bool {
		var held int
		must(t, s.pool.QueryRow(t.Context(), `SELECT count(*) FROM lanes WHERE item = $1 AND owner IS NOT NULL`, itemKey).Scan(&held))
		return held == 0
	})
	s.do(protecteditem.ResumeReplication{By: "eva", At: s.now()})
	letGo = s.hold()
	s.replicate()
	repair := newID()
	s.do(protecteditem.RepairReplication{JobID: repair, At: s.now()})
	s.interrupted()
	letGo()
	s.until("the others are resynchronized", func(st protecteditem.State) bool { return st.Resync.State == protecteditem.ResyncInProgress })
	letGo = s.hold()
	s.until("the others are in step again", func(st protecteditem.State) bool {
		p, _ := st.NewestPoint()
		return st.Resync.State == protecteditem.ResyncNone && st.Ended.ID == repair && !holds(p, logs)
	})
	// Its tracking is lost: the others go on, and it begins anew.
	eventually(t, waitForJob, "it is tracked again", func() bool {
		rel, err := s.host.Replication(t.Context(), "web")
		return err == nil && slices.Contains(rel.Disks, logs)
	})
	s.flood(logs, 2*diskBytes)
	s.do(protecteditem.ReplicateNow{At: s.now()})
	st := s.until("its logs are lost", func(st protecteditem.State) bool { return st.DiskRetry.Failure != nil })
	letGo()
	if !strings.Contains(st.DiskRetry.Failure.Detail, string(errorcatalog.LogThresholdExceeded)) || st.Resync.State != protecteditem.ResyncNone {
		t.Errorf("the failure is %v, the resynchronization %s", st.DiskRetry.Failure, st.Resync.State)
	}
	s.judge(s.replicate())
	s.do(protecteditem.RetryNow{At: s.now()})
	s.added(id)
	s.judge(s.replicate())
}

func TestAddingADiskIsCanceledAndGivenUpForAFailover(t *testing.T) {
	t.Parallel()
	s := third(t)
	s.work()
	s.enable()
	s.until("protected", protected)
	letGo := s.hold()
	id := s.add()
	s.copying(id)
	how := eventstore.Execution{Metadata: eventstore.Metadata{Actor: "apikey:test", Vault: vault}}
	if _, err := s.items.Execute(t.Context(), itemKey, protecteditem.StartPlannedFailover{JobID: newID(), At: s.now()}, how); err == nil {
		t.Error("a planned failover began while a disk was being added")
	}
	s.cancelJob(id)
	letGo()
	s.ends(id, job.Canceled)
	s.judge(s.replicate())
	st := s.until("nothing is left of the disk", func(st protecteditem.State) bool { return len(st.FormerDisks) == 0 })
	if left := s.tracking(); len(left) > 0 || st.Failure != nil {
		t.Errorf("a canceled disk is tracked: %v, failure %v", left, st.Failure)
	}

	letGo = s.hold()
	again := s.add()
	s.stepBegins(again, "copy_disks")
	crash := newID()
	s.do(protecteditem.StartUnplannedFailover{JobID: crash, Choice: protecteditem.LatestProcessed, At: s.now()})
	letGo()
	st = s.until("failed over", func(st protecteditem.State) bool { return st.Protection == protecteditem.FailoverCommitRequired })
	s.ends(again, job.Canceled)
	vm, err := s.away.VirtualMachine(t.Context(), "web-dr")
	must(t, err)
	if len(vm.Disks) != len(disks) {
		t.Errorf("the recovery VM has %d disks", len(vm.Disks))
	}
	// Taken back, the others go on, and the disk can be added.
	s.do(protecteditem.CancelFailover{JobID: newID(), At: s.now()})
	s.until("protected again", protected)
	s.judge(s.replicate())
	s.added(s.add())
	// An older point brings up the disks that it holds.
	s.do(protecteditem.StartUnplannedFailover{JobID: newID(), Choice: protecteditem.PointChoice(st.Points[0].ID), At: s.now()})
	s.until("failed over", func(st protecteditem.State) bool { return st.Protection == protecteditem.FailoverCommitRequired })
	vm, err = s.away.VirtualMachine(t.Context(), "web-dr")
	must(t, err)
	if len(vm.Disks) != len(disks) {
		t.Errorf("from an older point, the recovery VM has %d disks", len(vm.Disks))
	}
	newest, _ := s.state().NewestPoint()
	s.do(protecteditem.ChangeRecoveryPoint{JobID: newID(), Choice: protecteditem.PointChoice(newest.ID), Confirm: true, At: s.now()})
	s.until("another point", func(st protecteditem.State) bool { return st.FailoverPoint == newest.ID && st.Job == nil })
	vm, err = s.away.VirtualMachine(t.Context(), "web-dr")
	must(t, err)
	if len(vm.Disks) != len(disks)+1 {
		t.Errorf("from the newest point, the recovery VM has %d disks", len(vm.Disks))
	}
}
