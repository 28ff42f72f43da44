package engine_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/workers/host/local"
	"farshore/workers/host/local/nbd"
)

const testVM = "web-dr-test"

// enableShort protects the VM with an adapter and a policy that keeps no point
// but the newest. change may make it another VM.
func (s *scene) enableShort(change ...func(*site.VirtualMachine)) protecteditem.State {
	s.t.Helper()
	vm, err := s.host.VirtualMachine(s.t.Context(), "web")
	must(s.t, err)
	vm.NICs = []site.NIC{{Name: "lan", MACAddress: "00:15:5d:00:00:01", Network: "production"}}
	for _, c := range change {
		c(&vm)
	}
	settings := s.settings()
	settings.CopyFrequencySeconds, settings.RetentionHours = 900, 0
	settings.ResyncThresholdPercent = 100 // the guest writes all the while, and is cut seldom
	s.do(protecteditem.EnableProtection{
		JobID: newID(), Vault: vault, Item: "web", Site: "s1", Host: "h1", VM: vm, Policy: settings, Disks: disks,
		Store:        protecteditem.StoreRef{ID: "acc", Kind: protecteditem.DirectoryStore},
		RecoverySite: "s2", RecoveryHost: "h2", RecoveryVMName: "web-dr", At: s.now(),
	})
	return s.until("protected", protected)
}

// drill starts a test failover and waits for its VM.
func (s *scene) drill(id string, choice protecteditem.PointChoice) protecteditem.State {
	s.t.Helper()
	s.do(protecteditem.StartTestFailover{JobID: id, Choice: choice, Network: "isolated", At: s.now()})
	return s.until("the test VM is up", func(st protecteditem.State) bool { return st.TestFailover == protecteditem.TestFailoverAwaitingCleanup })
}

// cleanUp ends the test failover and checks that nothing of it is left.
func (s *scene) cleanUp() {
	s.t.Helper()
	id := newID()
	s.do(protecteditem.CleanUpTestFailover{JobID: id, Notes: "it came up", At: s.now()})
	s.until("cleaned up", func(st protecteditem.State) bool { return st.TestFailover == protecteditem.TestFailoverNone })
	s.endedWell(id)
	s.nothingOf(testVM)
	for rec, err := range s.store.Stream(s.t.Context(), s.items.StreamOf(itemKey), 0) {
		must(s.t, err)
		if e, ok := rec.Event.(protecteditem.TestFailoverCleanupStarted); ok && e.JobID == id && e.Notes != "it came up" {
			s.t.Errorf("the notes are recorded as %q", e.Notes)
		}
	}
}

// nothingOf checks that the recovery host has forgotten a VM.
func (s *scene) nothingOf(vm string) {
	s.t.Helper()
	must(s.t, filepath.WalkDir(filepath.Join(s.dir, "away"), func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.Contains(filepath.Base(path), vm) {
			s.t.Errorf("%s is left on the recovery host", path)
		}
		return err
	}))
}

// content reads a disk of a point.
func (s *scene) content(point, disk string) []byte {
	s.t.Helper()
	r, err := s.replica.OpenPoint(s.t.Context(), s.state().ReplicaID(), point, disk)
	must(s.t, err)
	b, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	must(s.t, errors.Join(err, r.Close()))
	return b
}

func (s *scene) contents(point string) map[string][]byte {
	s.t.Helper()
	out := map[string][]byte{}
	for _, d := range disks {
		out[d] = s.content(point, d)
	}
	return out
}

// same checks that a point still is what it was.
func (s *scene) same(point string, before map[string][]byte) {
	s.t.Helper()
	for _, d := range disks {
		if !bytes.Equal(s.content(point, d), before[d]) {
			s.t.Errorf("disk %s of point %s has changed", d, point)
		}
	}
}

// brought checks the disks of the test VM, which nobody has written to yet,
// against the point.
func (s *scene) brought(point map[string][]byte) {
	s.t.Helper()
	for _, d := range disks {
		c, err := nbd.Dial(s.t.Context(), local.SocketPath(s.Hosts["h2"], testVM, d), d)
		must(s.t, err)
		got := make([]byte, len(point[d]))
		_, err = c.ReadAt(got, 0)
		must(s.t, errors.Join(err, c.Close()))
		if !bytes.Equal(got, point[d]) {
			s.t.Errorf("disk %s of the test VM differs from its point", d)
		}
	}
}

// scribble writes to the disks of the running test VM as its guest would.
func (s *scene) scribble() {
	s.t.Helper()
	for _, d := range disks {
		c, err := nbd.Dial(s.t.Context(), local.SocketPath(s.Hosts["h2"], testVM, d), d)
		must(s.t, err)
		for at := int64(0); at < diskBytes; at += 1 << 20 {
			_, err := c.WriteAt(bytes.Repeat([]byte{0xa5}, 64<<10), at)
			must(s.t, err)
		}
		must(s.t, errors.Join(c.Flush(), c.Close()))
	}
}

// stored lists the points that the store holds.
func (s *scene) stored() []string {
	s.t.Helper()
	points, err := s.replica.ListPoints(s.t.Context(), s.state().ReplicaID())
	must(s.t, err)
	var ids []string
	for _, p := range points {
		ids = append(ids, p.ID)
	}
	return ids
}

// refused executes a command that is to be refused.
func (s *scene) refused(cmd protecteditem.Command, code errorcatalog.Code) {
	s.t.Helper()
	how := eventstore.Execution{Metadata: eventstore.Metadata{Actor: "apikey:test", Vault: vault}}
	_, err := s.items.Execute(s.t.Context(), itemKey, cmd, how)
	if r, ok := errors.AsType[*domain.RejectionError](err); !ok || r.Code != code {
		s.t.Errorf("%T was answered with %v, not %s", cmd, err, code)
	}
}

func TestATestFailoverRunsWhileReplicationGoesOn(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.work()
	s.enableShort()
	p := s.replicate()
	before := s.contents(p.ID)
	s.refused(protecteditem.StartTestFailover{JobID: newID(), Choice: protecteditem.LatestAppConsistent, At: s.now()}, errorcatalog.NoRecoveryPoint)
	id := newID()
	st := s.drill(id, protecteditem.LatestProcessed)
	if st.Test.Point != p.ID || st.Test.VM != testVM || st.Protection != protecteditem.Protected {
		t.Fatalf("the test failover is %+v (%s)", st.Test, st.Protection)
	}
	s.endedWell(id)
	vm, err := s.away.VirtualMachine(t.Context(), testVM)
	must(t, err)
	if want := []site.NIC{{Name: "lan", Network: "isolated"}}; !slices.Equal(vm.NICs, want) || vm.Name != testVM {
		t.Errorf("the test VM is %s with %+v", vm.Name, vm.NICs)
	}
	if power, err := s.away.PowerState(t.Context(), testVM); err != nil || power != site.Running {
		t.Errorf("the test VM is %s, %v", power, err)
	}
	s.brought(before)
	s.scribble()

	// The same request again changes nothing, another one is refused.
	version := s.version()
	s.do(protecteditem.StartTestFailover{JobID: id, Choice: protecteditem.LatestProcessed, Network: "isolated", At: s.now()})
	if v := s.version(); v != version {
		t.Errorf("a repeated request has added %d events", v-version)
	}
	s.refused(protecteditem.StartTestFailover{JobID: newID(), Choice: protecteditem.Latest, At: s.now()}, errorcatalog.TestFailoverOpen)

	records := s.judge(p)
	var newest protecteditem.Point
	for range 3 {
		newest = s.replicate()
		s.judge(newest)
	}
	eventually(t, waitForJob, "all points but the newest and the pinned one are gone", func() bool {
		return slices.Equal(s.stored(), []string{p.ID, newest.ID})
	})
	s.same(p.ID, before)
	if n := s.judge(p); n != records {
		t.Errorf("the pinned point held %d records, now %d", records, n)
	}

	s.cleanUp()
	last := s.replicate()
	eventually(t, waitForJob, "the point is let go of", func() bool { return slices.Equal(s.stored(), []string{last.ID}) })
	s.judge(last)
}

// version is that of the item's stream.
func (s *scene) version() eventstore.Version {
	s.t.Helper()
	_, v, err := s.items.Load(s.t.Context(), itemKey)
	must(s.t, err)
	return v
}

func TestATestFailoverFromTheLatestWaitsForWhatWasShipped(t *testing.T) {
	t.Parallel()
	s := newScene(t, slow(4*time.Millisecond))
	s.work()
	s.enableShort()
	s.do(protecteditem.ReplicateNow{At: s.now()})
	shipped := ""
	eventually(t, waitForJob, "a cut is shipped and not applied", func() bool {
		st := s.state()
		shipped = st.LastShipped.Cut
		return len(st.Pending) > 0
	})
	id := newID()
	st := s.drill(id, protecteditem.Latest)
	if st.Test.Point < shipped { // ids of version 7 ascend
		t.Errorf("the latest was %s, the test is of %s", shipped, st.Test.Point)
	}
	p, listed := st.Point(st.Test.Point)
	if !listed {
		t.Fatalf("point %s is not listed", st.Test.Point)
	}
	s.judge(p)
	s.brought(s.contents(p.ID))
	s.endedWell(id)
	s.cleanUp()
	s.judge(s.replicate())
}

func TestATestFailoverFromTheLatestSaysWhatKeepsItFromBeingMade(t *testing.T) {
	t.Parallel()
	s := newScene(t, slow(20*time.Millisecond))
	s.work()
	s.enableShort()
	s.do(protecteditem.ReplicateNow{At: s.now()})
	eventually(t, waitForJob, "a cut is shipped and not applied", func() bool { return len(s.state().Pending) > 0 })
	s.do(protecteditem.PauseReplication{At: s.now()})
	id := newID()
	s.do(protecteditem.StartTestFailover{JobID: id, Choice: protecteditem.Latest, At: s.now()})
	st := s.until("given up", func(st protecteditem.State) bool { return st.TestFailover == protecteditem.TestFailoverNone })
	if st.TestFailure == nil || st.TestFailure.Code != errorcatalog.ReplicationPaused || len(st.Pending) == 0 {
		t.Errorf("the test failover ended with %v, %v are not applied", st.TestFailure, st.Pending)
	}
	s.nothingOf(testVM)
	s.drill(newID(), protecteditem.LatestProcessed)
	s.cleanUp()
	shipped := st.LastShipped.Cut
	s.do(protecteditem.ResumeReplication{At: s.now()})
	st = s.drill(newID(), protecteditem.Latest)
	if p, listed := st.Point(st.Test.Point); listed && p.ID >= shipped {
		s.judge(p)
	} else {
		t.Errorf("the test is of %s, %s was shipped", st.Test.Point, shipped)
	}
	s.cleanUp()
}

func TestACanceledTestFailoverIsTakenBack(t *testing.T) {
	t.Parallel()
	s := newScene(t, slow(20*time.Millisecond))
	s.work()
	s.enableShort()
	s.do(protecteditem.ReplicateNow{At: s.now()})
	eventually(t, waitForJob, "a cut is shipped and not applied", func() bool { return len(s.state().Pending) > 0 })
	id := newID()
	s.do(protecteditem.StartTestFailover{JobID: id, Choice: protecteditem.Latest, At: s.now()})
	eventually(t, waitForJob, "its job has begun", func() bool {
		_, version, err := s.jobs.Load(t.Context(), id)
		return err == nil && version > 0
	})
	how := eventstore.Execution{Metadata: eventstore.Metadata{Actor: "apikey:test", Vault: vault}}
	_, err := s.jobs.Execute(t.Context(), id, job.RequestCancel{At: s.now(), By: "an operator"}, how)
	must(t, err)
	st := s.until("given up", func(st protecteditem.State) bool { return st.TestFailover == protecteditem.TestFailoverNone })
	if st.TestFailure == nil || st.TestFailure.Code != errorcatalog.Canceled || st.Retry.Failure != nil {
		t.Errorf("the test failover ended with %v, replication with %v", st.TestFailure, st.Retry.Failure)
	}
	eventually(t, waitForJob, "its job has ended", func() bool {
		j, _, err := s.jobs.Load(t.Context(), id)
		return err == nil && j.Status.Ended() && j.Status != job.Succeeded
	})
	s.nothingOf(testVM)
	s.judge(s.replicate())
}

func TestATestFailoverThatFailsIsTakenBack(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.work()
	s.enableShort()
	p := s.replicate()

	// Somebody else's VM is in the way: it is left alone.
	theirs := filepath.Join(s.dir, "away", testVM, "vm.json")
	vm, err := s.host.VirtualMachine(t.Context(), "web")
	must(t, err)
	vm.ID, vm.Name, vm.Guest = testVM, testVM, nil
	must(t, s.away.CreateVM(t.Context(), vm, "somebody"))
	must(t, s.away.CompleteVM(t.Context(), testVM, "somebody"))
	s.failsWith(errorcatalog.VMExists)
	if _, err := os.Stat(theirs); err != nil {
		t.Errorf("somebody else's VM is gone: %v", err)
	}
	must(t, s.away.DeleteVM(t.Context(), testVM, "somebody"))

	// A bit of the point has flipped: no VM is made of it.
	flip := func() {
		f, err := os.OpenFile(filepath.Join(s.config.Store, itemKey+".1", "disks", "data.raw"), os.O_RDWR, 0)
		must(t, err)
		b := make([]byte, 1)
		_, err = f.ReadAt(b, 16<<20)
		must(t, err)
		b[0] ^= 1
		_, err = f.WriteAt(b, 16<<20)
		must(t, errors.Join(err, f.Close()))
	}
	flip()
	s.failsWith(errorcatalog.ReplicaCorrupt)
	s.nothingOf(testVM)
	flip()

	// And then it works.
	s.judge(s.replicate())
	id := newID()
	st := s.drill(id, protecteditem.LatestProcessed)
	if st.Test.Point == p.ID {
		t.Errorf("the test is of an old point")
	}
	s.endedWell(id)
	s.cleanUp()
}

// failsWith starts a test failover that is to fail, and checks that replication
// does not notice.
func (s *scene) failsWith(code errorcatalog.Code) {
	s.t.Helper()
	id := newID()
	s.do(protecteditem.StartTestFailover{JobID: id, Choice: protecteditem.LatestProcessed, At: s.now()})
	st := s.until("given up", func(st protecteditem.State) bool { return st.TestFailover == protecteditem.TestFailoverNone })
	if st.TestFailure == nil || st.TestFailure.Code != code || st.Protection != protecteditem.Protected || st.Retry.Failure != nil {
		s.t.Errorf("the test failover ended with %v in the state %s, replication with %v", st.TestFailure, st.Protection, st.Retry.Failure)
	}
	if len(st.Pinned()) > 0 {
		s.t.Errorf("%v is still pinned", st.Pinned())
	}
	eventually(s.t, waitForJob, "the job has failed", func() bool {
		j, _, err := s.jobs.Load(s.t.Context(), id)
		return err == nil && j.Status == job.Failed
	})
	s.replicate()
}

func TestATestVMThatDoesNotStartIsTakenBack(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.work()
	s.enableShort(func(vm *site.VirtualMachine) { vm.Guest = &site.Guest{Command: []string{"/nowhere/guest"}} })
	s.failsWith(errorcatalog.GuestStartFailed)
	s.nothingOf(testVM)
}

func TestAPlannedFailoverMayOvertakeAnOpenTestFailover(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.work()
	s.enableShort()
	p := s.replicate()
	before := s.contents(p.ID)
	s.drill(newID(), protecteditem.PointChoice(p.ID))
	s.scribble()
	s.replicate()
	s.do(protecteditem.StartPlannedFailover{JobID: newID(), At: s.now()})
	st := s.until("failed over", func(st protecteditem.State) bool { return st.Protection == protecteditem.FailoverCommitRequired })
	last, _ := st.NewestPoint()
	s.same(p.ID, before)
	s.sameAsSource(last)
	s.sameOnRecovery()
	commit := newID()
	s.do(protecteditem.CommitFailover{JobID: commit, At: s.now()})
	s.until("committed", func(st protecteditem.State) bool { return st.Protection == protecteditem.FailedOver })
	s.endedWell(commit)
	if got := s.stored(); !slices.Equal(got, []string{p.ID, last.ID}) {
		t.Errorf("the store keeps %v, not %s and %s", got, p.ID, last.ID)
	}
	s.same(p.ID, before)
	if power, err := s.away.PowerState(t.Context(), testVM); err != nil || power != site.Running {
		t.Errorf("the test VM is %s, %v", power, err)
	}
	s.cleanUp()
	if got := s.state().Points; len(got) != 1 || got[0].ID != last.ID {
		t.Errorf("the item lists %v after the cleanup", got)
	}
	s.sameOnRecovery()
}
