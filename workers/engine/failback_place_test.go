package engine_test

import (
	"os"
	"sync/atomic"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore/pgtest"
	"farshore/workers/host/local"
)

func TestANewVMIsNotMadeWhereThereIsNoPlaceForIt(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	var free atomic.Int64
	free.Store(4 << 30)
	e := s.third(func(o *local.Options) {
		o.Space = func(string) (int64, int64, error) { return free.Load(), 8 << 30, nil }
	})
	s.child("w")
	s.failOver()
	fails := func(target protecteditem.FailbackTarget, code errorcatalog.Code) {
		t.Helper()
		id := newID()
		s.do(protecteditem.StartFailback{JobID: id, Mode: protecteditem.MinimizeDowntime, Target: target, At: s.now()})
		s.jobIs(id, job.Failed)
		st := s.until("failed over still", is(protecteditem.FailedOver))
		if st.Failure == nil || st.Failure.Code != code || len(st.LeftBehind) > 0 {
			t.Errorf("the failback has left %v, %+v; want %s", st.Failure, st.LeftBehind, code)
		}
		e.alone()
		s.awayPower(site.Running)
	}
	taken := e.target()
	taken.VMName = "BYSTANDER"
	fails(taken, errorcatalog.VMExists)
	must(t, e.there.CreateVM(t.Context(), site.VirtualMachine{
		ID: "begun", Name: "begun", Generation: 2, CPUs: 1, MemoryMiB: 64, Disks: []site.Disk{{ID: "c", File: "c.raw", Format: site.Raw, SizeBytes: 1 << 20, OS: true}},
	}, "somebody"))
	taken.VMName = "begun"
	id := newID()
	s.do(protecteditem.StartFailback{JobID: id, Mode: protecteditem.FullDownload, Target: taken, At: s.now()})
	s.jobIs(id, job.Failed)
	s.until("failed over still", is(protecteditem.FailedOver))
	must(t, e.there.CompleteVM(t.Context(), "begun", "somebody"))
	must(t, e.there.DeleteVM(t.Context(), "begun", "somebody"))
	free.Store(1<<30 + 2*diskBytes - 1)
	fails(e.target(), errorcatalog.FailbackTargetTooSmall)
}

func TestATargetHostThatIsLostLeavesTheVMFailedOver(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := newScene(t, func(c *config) { c.Database = db.URL })
	e := s.third()
	w := s.child("w")
	s.failOver()
	h := s.holdTasks(pgtest.Open(t, db.OwnerURL))
	h.at("create_primary_vm")
	id := newID()
	e.start(id, protecteditem.MinimizeDowntime)
	h.await("create_primary_vm")
	end(w)
	socket := s.Hosts["h3"]
	must(t, os.Rename(socket, socket+".away"))
	h.at("")
	s.child("next")
	s.until("an attempt has failed", func(st protecteditem.State) bool { return st.Retry.Attempt == 1 })
	s.do(protecteditem.CancelFailback{JobID: newID(), At: s.now()})
	st := s.until("failed over again", is(protecteditem.FailedOver))
	s.jobIs(id, job.Canceled)
	if len(st.LeftBehind) != 1 || st.LeftBehind[0].VM != "web-new" {
		t.Errorf("left behind: %+v", st.LeftBehind)
	}
	s.awayPower(site.Running)
	s.cleanRecovery()
	s.writesOn()
	must(t, os.Rename(socket+".away", socket))
	// A failback to the same place removes what is left there, if nobody has yet.
	e.start(newID(), protecteditem.MinimizeDowntime)
	st = s.until("synchronized", is(protecteditem.FailbackAwaitingCompletion))
	if len(st.LeftBehind) > 0 {
		t.Errorf("left behind: %+v", st.LeftBehind)
	}
	s.do(protecteditem.CancelFailback{JobID: newID(), At: s.now()})
	s.until("failed over again", is(protecteditem.FailedOver))
	e.alone()
}

// losesTargetAfter has a worker die once a failback to the new VM has done a step, and
// the VM's host with it; another worker follows.
func (e *elsewhere) losesTargetAfter(step string, h hold) {
	e.t.Helper()
	w := e.child("w")
	e.failOver()
	h.at(step)
	e.start(newID(), protecteditem.MinimizeDowntime)
	e.completes(step)
	h.await(step)
	end(w)
	if _, err := e.there.VirtualMachine(e.t.Context(), "web-new"); err != nil {
		e.t.Fatalf("the new VM is not complete: %v", err)
	}
	e.goesAway("h3")
	h.at("")
	e.child("next")
}

func TestANewVMThatWasCompletedOnALostHostIsRemovedLater(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := newScene(t, func(c *config) { c.Database, c.Speed = db.URL, 20 })
	e := s.third()
	e.losesTargetAfter("complete_primary_vm", s.holdTasks(pgtest.Open(t, db.OwnerURL)))
	st := s.until("failed over again", is(protecteditem.FailedOver))
	s.leftBehind(st, "web-new", protecteditem.Remove)
	s.awayPower(site.Running)
	s.writesOn()
	s.returns("h3")
	e.alone()
}

func TestAFailbacksCommitWaitsForNoRecoveryHost(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Speed = 20 })
	s.work()
	s.failsBack()
	s.goesAway("h2")
	s.do(protecteditem.CommitFailback{JobID: newID(), At: s.now()})
	s.leftBehind(s.until("committed", is(protecteditem.FailedBack)), "web-dr", protecteditem.Remove)
	s.reProtect()
	must(t, os.Rename(s.Hosts["h2"]+".away", s.Hosts["h2"]))
	// It makes room, if it was not removed yet.
	s.do(protecteditem.StartPlannedFailover{JobID: newID(), At: s.now()})
	st := s.until("failed over", is(protecteditem.FailoverCommitRequired))
	if len(st.LeftBehind) > 0 {
		t.Errorf("left behind: %+v", st.LeftBehind)
	}
	s.awayPower(site.Running)
}

func TestASourceThatComesBackAfterAFailbackElsewhereIsKeptOff(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Speed = 20 })
	e := s.third()
	s.child("w")
	s.enable()
	s.until("protected", protected)
	s.goesAway("h1")
	s.do(protecteditem.StartUnplannedFailover{JobID: newID(), Choice: protecteditem.LatestProcessed, At: s.now()})
	s.until("failed over", is(protecteditem.FailoverCommitRequired))
	s.do(protecteditem.CommitFailover{JobID: newID(), At: s.now()})
	s.until("committed", is(protecteditem.FailedOver))
	e.start(newID(), protecteditem.FullDownload)
	s.until("failed back", is(protecteditem.FailbackCommitRequired))
	s.do(protecteditem.CommitFailback{JobID: newID(), At: s.now()})
	st := s.until("failback committed", is(protecteditem.FailedBack))
	s.leftBehind(st, "web", protecteditem.KeepOff)
	must(t, os.Rename(s.Hosts["h1"]+".away", s.Hosts["h1"]))
	s.power(site.Running)
	s.until("the source's host is told", func(st protecteditem.State) bool { return len(st.LeftBehind) == 0 })
	s.power(site.Off)
	s.cleanHost()
	if err := s.host.Start(t.Context(), "web"); errorcatalog.Of(err).Code != errorcatalog.VMNotActive {
		t.Errorf("the former source can be started: %v", err)
	}
	id := newID()
	s.do(protecteditem.ReProtect{JobID: id, At: s.now()})
	s.until("protected again", protected)
	s.endedWell(id)
}

// reached is how much of the first disk the lane's checkpoint says was brought.
func (s *scene) reached() int64 {
	s.t.Helper()
	var n *int64
	must(s.t, s.pool.QueryRow(s.t.Context(), `SELECT max((checkpoint->'brought'->>'os')::bigint) FROM lanes WHERE item = $1`, itemKey).Scan(&n))
	if n == nil {
		return 0
	}
	return *n
}

func TestAKilledWorkersFailbackGoesOnAtItsBlock(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Stretch = 64 << 10 })
	e := s.third()
	w := s.child("w")
	s.failOver()
	id := newID()
	e.start(id, protecteditem.MinimizeDowntime)
	eventually(t, waitForJob, "some of the disk is there", func() bool { return s.reached() > 1<<20 })
	end(w)
	s.disconnected("w")
	before := s.reached()
	if before >= diskBytes {
		t.Fatalf("the disk was brought before the worker was killed: %d", before)
	}
	rel, err := e.away.Replication(t.Context(), "web-dr")
	must(t, err)
	pending := rel.Tracking[0].PendingBytes
	s.child("next")
	eventually(t, waitForJob, "it goes on", func() bool {
		now := s.reached()
		if now < before && now > 0 {
			t.Fatalf("it went back from %d to %d", before, now)
		}
		return now > before || s.state().Protection == protecteditem.FailbackAwaitingCompletion
	})
	s.until("synchronized", is(protecteditem.FailbackAwaitingCompletion))
	if rel, err = e.away.Replication(t.Context(), "web-dr"); err != nil || rel.Tracking[0].PendingBytes < pending {
		t.Errorf("the recovery VM is tracked anew: %+v, %v", rel, err)
	}
	s.sentOnce(id)
	s.do(protecteditem.CompleteFailback{At: s.now()})
	s.until("failed back", is(protecteditem.FailbackCommitRequired))
	if last := s.completed(id); last.Compared != "" {
		t.Errorf("all was compared: %s", last.Compared)
	}
	must(t, e.there.Stop(t.Context(), "web-new"))
	e.same()
}

// sentOnce checks that each block was read once, and that no zeroes were
// sent.
func (s *scene) sentOnce(id string) {
	s.t.Helper()
	for rec, err := range s.store.Stream(s.t.Context(), s.items.StreamOf(itemKey), 0) {
		must(s.t, err)
		e, ok := rec.Event.(protecteditem.FailbackSynchronized)
		if !ok || e.JobID != id {
			continue
		}
		if e.BytesScanned != 2*diskBytes || e.BytesSent <= 0 || e.BytesSent > 2*seededBytes {
			s.t.Errorf("%+v", e)
		}
	}
}
