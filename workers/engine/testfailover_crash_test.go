package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore/pgtest"
	"farshore/workers/host"
	"farshore/workers/lane"
	"farshore/workers/runbook"
	"farshore/workers/testfailover"
	"farshore/workers/workflow"
)

func TestAWorkerKilledAtAnyStepOfATestFailoverFinishesIt(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := newScene(t, func(c *config) { c.Database = db.URL })
	w := s.child("w")
	st := s.enableShort()
	before := s.contents(st.Points[0].ID)
	h := s.holdTasks(pgtest.Open(t, db.OwnerURL))
	for n, run := range []struct {
		steps []string
		start func(id string)
		ended protecteditem.TestFailoverState
	}{
		{
			[]string{"inspect_recovery_host", "choose_recovery_point", "create_test_vm", "copy_disks", "start_test_vm", "verify_recovery_point", "complete_test_failover"},
			func(id string) {
				s.do(protecteditem.StartTestFailover{JobID: id, Choice: protecteditem.PointChoice(st.Points[0].ID), At: s.now()})
			},
			protecteditem.TestFailoverAwaitingCleanup,
		},
		{
			[]string{"delete_test_vm", "complete_test_failover_cleanup"},
			func(id string) { s.do(protecteditem.CleanUpTestFailover{JobID: id, At: s.now()}) },
			protecteditem.TestFailoverNone,
		},
	} {
		id := newID()
		h.at(run.steps[0])
		run.start(id)
		for i, step := range run.steps {
			h.await(step)
			must(t, w.Process.Kill())
			_ = w.Wait()
			next := ""
			if i+1 < len(run.steps) {
				next = run.steps[i+1]
			}
			h.at(next)
			w = s.child("w" + string(rune('a'+n)) + step)
		}
		s.until("ended", func(st protecteditem.State) bool { return st.TestFailover == run.ended && st.TestJob == nil })
		s.endedWell(id)
		if n == 0 {
			s.brought(before)
			s.scribble()
			s.same(st.Points[0].ID, before)
		}
	}
	s.nothingOf(testVM)
	s.judge(s.replicate())
	s.gapless()
}

// hold keeps the completion of a task from being journaled: the step's work is
// done, and whoever has done it is about to be killed.
type hold struct {
	*scene
	owner *pgxpool.Pool // of the schema
}

func (s *scene) holdTasks(owner *pgxpool.Pool) hold {
	s.t.Helper()
	for _, stmt := range []string{
		`CREATE TABLE held (task text)`,
		`INSERT INTO held VALUES ('')`,
		`CREATE FUNCTION hold_task() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF EXISTS (SELECT FROM public.held WHERE task = NEW.data->>'task') THEN PERFORM pg_catalog.pg_sleep(3600); END IF;
			RETURN NEW;
		END $$`,
		`CREATE TRIGGER hold_task BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.type = 'job.task_completed.v1') EXECUTE FUNCTION hold_task()`,
	} {
		_, err := owner.Exec(s.t.Context(), stmt)
		must(s.t, err)
	}
	return hold{s, owner}
}

// at chooses the task, and frees what waits: it is refused, as its process is dead.
func (h hold) at(task string) {
	h.t.Helper()
	_, err := h.owner.Exec(h.t.Context(), `UPDATE held SET task = $1`, task)
	must(h.t, err)
	_, err = h.pool.Exec(h.t.Context(),
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`)
	must(h.t, err)
	eventually(h.t, waitForJob, "what waited has gone", func() bool { return h.waiting() == 0 })
}

func (h hold) await(task string) {
	h.t.Helper()
	eventually(h.t, waitForJob, task+" is done", func() bool { return h.waiting() > 0 })
}

func (h hold) waiting() int {
	h.t.Helper()
	var n int
	must(h.t, h.pool.QueryRow(h.t.Context(),
		`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`).Scan(&n))
	return n
}

func TestEndingAProtectionTakesARunningTestFailoverAlong(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := newScene(t, func(c *config) { c.Database = db.URL })
	w := s.child("w")
	s.enableShort()
	h := s.holdTasks(pgtest.Open(t, db.OwnerURL))
	h.at("create_test_vm")
	id := newID()
	s.do(protecteditem.StartTestFailover{JobID: id, Choice: protecteditem.LatestProcessed, At: s.now()})
	h.await("create_test_vm")
	must(t, w.Process.Kill())
	_ = w.Wait()
	h.at("")
	if _, err := os.Stat(filepath.Join(s.dir, "away", testVM)); err != nil {
		t.Fatalf("the test VM has not been begun: %v", err)
	}
	s.refused(protecteditem.DisableProtection{JobID: newID(), At: s.now()}, errorcatalog.TestFailoverOpen)
	s.do(protecteditem.DisableProtection{JobID: newID(), CleanUp: true, At: s.now()})
	i, err := workflow.Open(t.Context(), workflow.Parts{Items: s.items, Jobs: s.jobs, Hosts: s.config, Stores: s, Now: s.now, NewID: newID, Logger: s.log}, holder{kind: lane.Upkeep})
	must(t, err)
	// The end of the protection does not get past the store for a while.
	must(t, os.Rename(s.config.Store, s.config.Store+".away"))
	s.child("next")
	must(t, testfailover.End(t.Context(), i))
	s.nothingOf(testVM)
	if j, _, err := s.jobs.Load(t.Context(), id); err != nil || j.Status != job.Canceled {
		t.Errorf("the overtaken test failover is %s, %v", j.Status, err)
	}
	must(t, testfailover.End(t.Context(), i))
	_ = os.RemoveAll(s.config.Store)
	must(t, os.Rename(s.config.Store+".away", s.config.Store))
	s.until("unprotected", func(st protecteditem.State) bool { return st.Protection == protecteditem.Unprotected })
}

func TestATestFailoverWhoseHostGoesAwayWaitsForItsCleanup(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := newScene(t, func(c *config) { c.Database = db.URL })
	w := s.child("w")
	p := s.enableShort().Points[0]
	h := s.holdTasks(pgtest.Open(t, db.OwnerURL))
	h.at("create_test_vm")
	s.do(protecteditem.StartTestFailover{JobID: newID(), Choice: protecteditem.LatestProcessed, At: s.now()})
	h.await("create_test_vm")
	must(t, w.Process.Kill())
	_ = w.Wait()
	h.at("")
	socket := s.Hosts["h2"]
	must(t, os.Rename(socket, socket+".away"))
	s.child("next")
	last := p
	st := s.state()
	for st.TestFailover == protecteditem.TestFailoverInProgress { // replication does not wait for it
		last = s.replicate()
		<-time.After(time.Second)
		st = s.state()
	}
	if st.TestFailover != protecteditem.TestFailoverAwaitingCleanup {
		t.Fatalf("the test failover is %s", st.TestFailover)
	}
	if st.TestFailure == nil || st.TestFailure.Code != errorcatalog.HostUnreachable || st.Test.VM != testVM || st.Retry.Failure != nil {
		t.Errorf("the test failover has left %+v: %v", st.Test, st.TestFailure)
	}
	s.judge(last)
	if _, kept := s.state().Point(p.ID); !kept {
		t.Error("its point is gone")
	}
	must(t, os.Rename(socket+".away", socket))
	s.cleanUp()
	s.gapless()
}

// lateHost is a recovery host on which something else happens before a VM is made
// and after.
type lateHost struct {
	host.Host
	first, then func()
}

func (h lateHost) CreateVM(ctx context.Context, vm site.VirtualMachine, owner string) error {
	h.first()
	defer h.then()
	return h.Host.CreateVM(ctx, vm, owner)
}

type lateHosts struct {
	workflow.Hosts
	first, then func()
}

func (h lateHosts) Host(ctx context.Context, vault, site, name string) (host.Host, error) {
	found, err := h.Hosts.Host(ctx, vault, site, name)
	return lateHost{found, h.first, h.then}, err
}

func TestATestVMThatIsMadeTooLateIsRemovedAtOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.work()
	s.enableShort()
	s.stopWorker()
	s.do(protecteditem.StartTestFailover{JobID: newID(), Choice: protecteditem.LatestProcessed, At: s.now()})
	ctx, interrupt := context.WithCancel(t.Context())
	i, err := workflow.Open(ctx, workflow.Parts{
		Items: s.items, Jobs: s.jobs, Stores: s, Now: s.now, NewID: newID, Logger: s.log,
		Hosts: lateHosts{s.config, func() {
			s.do(protecteditem.DisableProtection{JobID: newID(), CleanUp: true, At: s.now()})
		}, interrupt},
	}, holder{})
	must(t, err)
	steps := testfailover.Run{Item: i}.Steps()
	create := steps[slices.IndexFunc(steps, func(s runbook.Step) bool { return s.Name == "create_test_vm" })]
	if err := create.Run(ctx, nil); workflow.OutcomeOf(ctx, err) != workflow.Interrupted {
		t.Errorf("the step ended with %v", err)
	}
	s.nothingOf(testVM)
}
