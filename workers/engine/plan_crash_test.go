package engine_test

import (
	"os/exec"
	"testing"

	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
	"farshore/eventstore/pgtest"
)

// walk is a shop whose worker is killed whenever a step of a plan's run is done and
// not recorded.
type walk struct {
	shop
	tasks  hold
	owner  string
	worker *exec.Cmd
}

func newWalk(t *testing.T) *walk {
	t.Helper()
	db := pgtest.Database(t)
	w := &walk{shop: openShop(t, func(c *config) { c.Database = db.URL }), owner: "w"}
	w.writeScript("note.sh", noteScript)
	w.plan(recoveryplan.Stop)
	w.worker = w.child(w.owner)
	w.allProtected()
	w.tasks = w.holdTasks(pgtest.Open(t, db.OwnerURL))
	return w
}

// through runs the plan and kills at every step of the run.
func (w *walk) through(o recoveryplan.Operation, steps ...string) {
	t := w.t
	t.Helper()
	w.tasks.at(steps[0])
	id := w.start(o, "")
	for n, step := range steps {
		if step == "group_2_pre_1" {
			w.answer(id, "seen")
		}
		w.tasks.await(step)
		must(t, w.worker.Process.Kill())
		_ = w.worker.Wait()
		must(t, w.lanes.Abandon(t.Context(), w.owner))
		next := ""
		if n+1 < len(steps) {
			next = steps[n+1]
		}
		w.tasks.at(next)
		w.owner = string(o) + step
		w.worker = w.child(w.owner)
	}
	w.became(w.ends(id, job.Succeeded), "db=Succeeded app=Succeeded web=Succeeded")
	for _, vm := range shopVMs {
		if c := w.childOf(id, vm); c.Status != job.Succeeded {
			t.Errorf("the job of %s is %s", vm, c.Status)
		}
	}
	kinds := map[job.Kind]int{}
	for _, j := range w.jobsOf() {
		kinds[j.Kind]++
	}
	if run := job.PlanKind(string(o)); kinds[job.Kind(o)] != len(shopVMs) || kinds[run] != 1 {
		t.Errorf("the run has left jobs %v", kinds)
	}
}

func TestAWorkerKilledAtAnyStepOfAPlannedRunFinishesIt(t *testing.T) {
	t.Parallel()
	w := newWalk(t)
	w.through(recoveryplan.PlannedFailover, "group_2_shut_down", "group_1_shut_down", "group_1_items", "group_1_post_1", "group_2_pre_1", "group_2_items")
	for _, vm := range shopVMs {
		w.sameDisk(vm, vm+"-dr")
	}
	w.is(protecteditem.FailoverCommitRequired, shopVMs...)
	w.gapless()
}

func TestAWorkerKilledAtAnyStepOfATestRunAndAnUnplannedOneFinishesThem(t *testing.T) {
	t.Parallel()
	w := newWalk(t)
	w.through(recoveryplan.TestFailover, "group_1_items", "group_1_post_1", "group_2_pre_1", "group_2_items")
	for _, vm := range shopVMs {
		w.sameDisk(vm, vm+"-dr-test")
	}
	w.through(recoveryplan.TestFailoverCleanup, "group_2_items", "group_1_items")
	for _, vm := range shopVMs {
		w.nothingOf(vm + "-dr-test")
	}
	w.is(protecteditem.Protected, shopVMs...)
	w.through(recoveryplan.UnplannedFailover, "group_1_items", "group_1_post_1", "group_2_pre_1", "group_2_items")
	for _, vm := range shopVMs {
		w.sameDisk(vm, vm+"-dr")
	}
	w.is(protecteditem.FailoverCommitRequired, shopVMs...)
	w.gapless()
}
