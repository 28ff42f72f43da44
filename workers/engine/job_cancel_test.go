package engine_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/eventstore/pgtest"
)

// ownedDatabase is a database whose schema a test may change.
type ownedDatabase struct {
	URL   string
	owner *pgxpool.Pool
}

func ownDatabase(t *testing.T) ownedDatabase {
	t.Helper()
	db := pgtest.Database(t)
	return ownedDatabase{db.URL, pgtest.Open(t, db.OwnerURL)}
}

// cancelJob asks for a job to be canceled, as the API does.
func (s *scene) cancelJob(id string) {
	s.t.Helper()
	how := eventstore.Execution{Metadata: eventstore.Metadata{Actor: "apikey:test", Vault: vault}}
	_, err := s.jobs.Execute(s.t.Context(), id, job.RequestCancel{By: "test", At: s.now()}, how)
	must(s.t, err)
}

func TestACanceledFailoverIsTakenBackUntilItsVMStarts(t *testing.T) {
	t.Parallel()
	db := ownDatabase(t)
	s := newScene(t, func(c *config) { seldom(c); c.Database = db.URL })
	w, owner := s.child("w"), "w"
	s.enable()
	s.until("protected", protected)
	h := s.holdTasks(db.owner)
	for _, tt := range []struct {
		name  string
		step  string
		start func(id string) protecteditem.Command
		taken bool
	}{
		{"planned", "copy_disks", func(id string) protecteditem.Command {
			return protecteditem.StartPlannedFailover{JobID: id, At: s.now()}
		}, true},
		{"unplanned", "fence_source", func(id string) protecteditem.Command {
			return protecteditem.StartUnplannedFailover{JobID: id, Choice: protecteditem.Latest, ShutDownSource: true, At: s.now()}
		}, true},
		{"too late", "start_recovery_vm", func(id string) protecteditem.Command {
			return protecteditem.StartPlannedFailover{JobID: id, At: s.now()}
		}, false},
	} {
		id := newID()
		h.at(tt.step)
		s.do(tt.start(id))
		h.await(tt.step)
		must(t, w.Process.Kill())
		_ = w.Wait()
		must(t, s.lanes.Abandon(t.Context(), owner))
		h.at("")
		s.cancelJob(id)
		w, owner = s.child(tt.name), tt.name
		if !tt.taken {
			s.until("failed over", uncommitted)
			s.jobIs(id, job.Succeeded)
			if note := s.job(id).Output("start_recovery_vm")["cancelRequest"]; note == "" {
				t.Error("the job does not say that it was not canceled")
			}
			return
		}
		s.until("protected again", protected)
		s.jobIs(id, job.Canceled)
		s.power(site.Running)
		s.nothingOf("web-dr")
		s.followed()
	}
}

func TestACanceledCopyLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, slow(20*time.Millisecond))
	s.work()
	s.enable()
	eventually(t, time.Minute, "a disk is being copied", func() bool { return s.copied()["os"] >= 4<<20 })
	id := s.state().Job.ID
	asked := time.Now()
	s.cancelJob(id)
	s.until("unprotected", func(st protecteditem.State) bool { return st.Protection == protecteditem.Unprotected })
	if took := time.Since(asked); took > 3*time.Second {
		t.Errorf("it took %s to let go of a copy", took)
	}
	s.jobIs(id, job.Canceled)
	s.cleanHost()
}

func TestACanceledResynchronizationWaitsForAnOperator(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { slow(20 * time.Millisecond)(c); seldom(c) })
	s.work()
	s.enable()
	old := s.until("protected", protected).Points[0]
	id := newID()
	s.do(protecteditem.RepairReplication{JobID: id, At: s.now()})
	eventually(t, 30*time.Second, "differences are being sent", func() bool {
		task, _ := s.job(id).Task("send_differences")
		return task.Attempts > 0
	})
	s.cancelJob(id)
	s.jobIs(id, job.Canceled)
	st := s.state()
	if st.Resync.State != protecteditem.ResyncRequired || !st.Resync.Unscheduled {
		t.Errorf("resynchronization is %+v", st.Resync)
	}
	s.judge(old)
	s.do(protecteditem.RepairReplication{JobID: newID(), At: s.now()})
	s.until("in step again", func(st protecteditem.State) bool { return st.Resync.State == protecteditem.ResyncNone })
	s.judge(old)
	s.followed()
}

func TestAJobThatIsOvertakenBeforeItBeganIsCanceled(t *testing.T) {
	t.Parallel()
	s := newScene(t, seldom)
	s.enable()
	enabling := s.state().Job.ID
	s.do(protecteditem.DisableProtection{JobID: newID(), At: s.now()})
	s.work()
	s.until("unprotected", func(st protecteditem.State) bool { return st.Protection == protecteditem.Unprotected })
	s.jobIs(enabling, job.Canceled)
	s.enable()
	s.until("protected", protected)
	// A resynchronization that was asked for while nobody worked.
	s.stopWorker()
	repair := newID()
	s.do(protecteditem.RepairReplication{JobID: repair, At: s.now()})
	s.do(protecteditem.StartUnplannedFailover{JobID: newID(), Choice: protecteditem.Latest, At: s.now()})
	s.work()
	s.until("failed over", uncommitted)
	s.jobIs(repair, job.Canceled)
}
