package engine_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
	"farshore/domain/site"
	"farshore/eventstore"
)

func TestAPlanIsTestedGroupByGroupAndCleanedUp(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.writeScript("note.sh", noteScript)
	s.plan(recoveryplan.Stop)
	id := s.start(recoveryplan.TestFailover, "")
	s.waitsFor(id)
	if !s.runsAway("db-dr-test") || s.runsAway("web-dr-test") {
		t.Error("the groups were not brought up one after the other")
	}
	ran, err := os.ReadFile(filepath.Join(s.Scripts, "ran"))
	must(t, err)
	if got := strings.TrimSpace(string(ran)); got != "it is shop TestFailover PrimaryToRecovery 1 note none" {
		t.Errorf("the script was told %q", got)
	}
	if out := s.job(id).Output("group_1_post_1")["output"]; !strings.Contains(out, `"testVm":"db-dr-test"`) {
		t.Errorf("the script printed %q", out)
	}
	s.answer(id, "db is well")
	items := s.ends(id, job.Succeeded)
	s.became(items, "db=Succeeded app=Succeeded web=Succeeded")
	for _, vm := range shopVMs {
		if c := s.childOf(id, vm); c.Kind != job.TestFailover || c.Status != job.Succeeded {
			t.Errorf("the job of %s is %s %s", vm, c.Kind, c.Status)
		}
		s.sameDisk(vm, vm+"-dr-test")
	}
	if j := s.job(id); len(j.Comments) != 1 || j.Comments[0].Text != "db is well" || j.Output("group_2_pre_1")["comments"] != "db is well" {
		t.Errorf("the job keeps %+v", j.Comments)
	}
	s.atSource(site.Running, shopVMs...)
	// Tested again, what is open is skipped, and said to be.
	again := s.start(recoveryplan.TestFailover, "")
	s.answer(again, "")
	s.became(s.ends(again, job.Succeeded), "db=Skipped app=Skipped web=Skipped")
	if notes := s.job(again).Output("group_2_items")["notes"]; strings.Count(notes, "skipped") != 2 {
		t.Errorf("what was skipped is told as %q", notes)
	}
	clean := s.start(recoveryplan.TestFailoverCleanup, "")
	s.became(s.ends(clean, job.Succeeded), "db=Succeeded app=Succeeded web=Succeeded")
	for _, vm := range shopVMs {
		s.nothingOf(vm + "-dr-test")
	}
	s.is(protecteditem.Protected, shopVMs...)
}

func TestAPlannedRunThatStopsTakesBackWhatHasNotStarted(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.writeScript("note.sh", noteScript)
	s.plan(recoveryplan.Stop)
	stubborn := filepath.Join(s.dir, "primary", "web", "stubborn")
	must(t, os.WriteFile(stubborn, nil, 0o600))
	id := s.start(recoveryplan.PlannedFailover, "")
	items := s.ends(id, job.Failed)
	// The last group is shut down first: db was never touched.
	s.became(items, "db=NotReached app=Canceled web=Failed")
	if c := s.childOf(id, "web"); c.Failure == nil || c.Failure.Code != errorcatalog.GuestShutdownTimeout || !strings.Contains(items["web"].Detail, "guest_shutdown_timeout") {
		t.Errorf("web failed with %+v, told as %q", c.Failure, items["web"].Detail)
	}
	if f := s.job(id).Failure; f == nil || f.Code != errorcatalog.PlanItemFailed || !strings.Contains(f.Detail, "web") {
		t.Errorf("the run failed with %+v", f)
	}
	s.is(protecteditem.Protected, shopVMs...)
	s.atSource(site.Running, shopVMs...)
	for _, vm := range shopVMs {
		s.nothingOf(vm + "-dr")
	}
	// The cause is mended, and the run goes on.
	must(t, os.Remove(stubborn))
	again := s.start(recoveryplan.PlannedFailover, id)
	s.waitsFor(again)
	s.is(protecteditem.FailoverCommitRequired, "db")
	s.is(protecteditem.PlannedFailoverInProgress, "app", "web")
	s.atSource(site.Off, shopVMs...)
	if !s.runsAway("db-dr") || s.runsAway("app-dr") || s.runsAway("web-dr") {
		t.Error("the VMs were not started in the order of the groups")
	}
	s.answer(again, "go on")
	s.became(s.ends(again, job.Succeeded), "db=Succeeded app=Succeeded web=Succeeded")
	stops, starts := s.positions("protected_item.source_stopped.v1"), s.positions("protected_item.planned_failover_completed.v1")
	for _, vm := range shopVMs[1:] {
		if stops[vm] > stops["db"] || starts[vm] < starts["db"] {
			t.Errorf("db was stopped at %d and up at %d, %s at %d and %d", stops["db"], starts["db"], vm, stops[vm], starts[vm])
		}
	}
	for _, vm := range shopVMs {
		s.sameDisk(vm, vm+"-dr")
	}
	if _, err := s.plans.Execute(t.Context(), planKey, recoveryplan.StartRun{JobID: newID(), Operation: recoveryplan.PlannedFailover, RestartOf: id, At: s.now()}, eventstore.Execution{}); err == nil {
		t.Error("a run that was gone on with is gone on with again")
	}
}

func TestAPlannedRunThatContinuesMovesTheOthersAndBack(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.writeScript("note.sh", noteScript+"\nexit 3")
	s.plan(recoveryplan.Continue)
	must(t, os.WriteFile(filepath.Join(s.dir, "primary", "web", "stubborn"), nil, 0o600))
	id := s.start(recoveryplan.PlannedFailover, "")
	s.answer(id, "")
	s.became(s.ends(id, job.Failed), "db=Succeeded app=Succeeded web=Failed")
	s.is(protecteditem.FailoverCommitRequired, "db", "app")
	s.is(protecteditem.Protected, "web")
	s.atSource(site.Running, "web")
	j := s.job(id)
	for name, code := range map[string]errorcatalog.Code{"group_2_shut_down": errorcatalog.PlanItemFailed, "group_1_post_1": errorcatalog.ScriptFailed} {
		if task, _ := j.Task(name); task.Status != job.Failed || task.Failure == nil || task.Failure.Code != code {
			t.Errorf("task %s is %s with %+v", name, task.Status, task.Failure)
		}
	}
	if task, _ := j.Task("group_2_items"); task.Status != job.Succeeded || !strings.Contains(task.Output["notes"], "web is left out") {
		t.Errorf("task group_2_items is %s: %q", task.Status, task.Output["notes"])
	}
	// Only what has moved is committed and comes back; the others are named.
	s.became(s.ends(s.start(recoveryplan.FailoverCommit, ""), job.Succeeded), "db=Succeeded app=Succeeded web=Skipped")
	s.is(protecteditem.FailedOver, "db", "app")
	s.writeScript("note.sh", noteScript)
	back := s.start(recoveryplan.Failback, "")
	s.answer(back, "now")
	s.became(s.ends(back, job.Succeeded), "db=Succeeded app=Succeeded web=Skipped")
	s.is(protecteditem.FailbackCommitRequired, "db", "app")
	s.atSource(site.Running, shopVMs...)
	s.became(s.ends(s.start(recoveryplan.FailoverCommit, ""), job.Succeeded), "db=Succeeded app=Succeeded web=Skipped")
	s.is(protecteditem.FailedBack, "db", "app")
}

func TestACanceledRunLeavesWhatHasMovedAndListsIt(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.writeScript("note.sh", noteScript)
	s.plan(recoveryplan.Stop)
	id := s.start(recoveryplan.PlannedFailover, "")
	s.waitsFor(id)
	s.cancelJob(id)
	s.became(s.ends(id, job.Canceled), "db=Succeeded app=Canceled web=Canceled")
	s.is(protecteditem.FailoverCommitRequired, "db")
	s.is(protecteditem.Protected, "app", "web")
	s.atSource(site.Running, "app", "web")
	s.nothingOf("web-dr")
	// Run as an unplanned failover, the plan moves what is left.
	rest := s.start(recoveryplan.UnplannedFailover, "")
	s.answer(rest, "")
	s.became(s.ends(rest, job.Succeeded), "db=Skipped app=Succeeded web=Succeeded")
	s.is(protecteditem.FailoverCommitRequired, shopVMs...)
}

func TestActionsThatDoNotComeToTheirEndAreExplained(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close() //nolint:errcheck // it accepts nothing more
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	must(t, closed.Close())
	s := newShop(t)
	s.writeScript("slow.sh", "echo begun; sleep 60")
	s.writeScript("loud.sh", "yes too much | head -c 100000")
	must(t, os.Symlink("/bin/true", filepath.Join(s.Scripts, "link.sh")))
	script := func(name string, seconds int) recoveryplan.Action {
		return recoveryplan.Action{Name: name, Kind: recoveryplan.Script, Script: name, TimeoutSeconds: seconds}
	}
	await := func(address string) recoveryplan.Action {
		return recoveryplan.Action{Name: address, Kind: recoveryplan.AwaitPort, Address: address, TimeoutSeconds: 1}
	}
	s.command(recoveryplan.Define{Limits: recoveryplan.DefaultLimits(), At: s.now(), Definition: recoveryplan.Definition{
		Name: "Shop", OnFailure: recoveryplan.Continue, Groups: []recoveryplan.Group{{
			Items:       shopVMs[:1],
			PreActions:  []recoveryplan.Action{script("slow.sh", 1), script("none.sh", 1), script("link.sh", 1)},
			PostActions: []recoveryplan.Action{script("loud.sh", 20), await(l.Addr().String()), await(closed.Addr().String())},
		}},
	}})
	id := s.start(recoveryplan.TestFailover, "")
	s.became(s.ends(id, job.Failed), "db=Succeeded")
	j := s.job(id)
	for name, code := range map[string]errorcatalog.Code{
		"group_1_pre_1": errorcatalog.ScriptTimeout, "group_1_pre_2": errorcatalog.ScriptNotFound, "group_1_pre_3": errorcatalog.ScriptNotFound,
		"group_1_post_3": errorcatalog.PortNotAnswering,
	} {
		if task, _ := j.Task(name); task.Failure == nil || task.Failure.Code != code {
			t.Errorf("task %s failed with %+v, want %s", name, task.Failure, code)
		}
	}
	if out := j.Output("group_1_post_1")["output"]; len(out) > 9000 || !strings.HasSuffix(out, "too mu") && !strings.Contains(out, "too much") {
		t.Errorf("%d bytes of output are kept", len(out))
	}
	if task, _ := j.Task("group_1_post_2"); task.Status != job.Succeeded {
		t.Errorf("a port that answers is %s: %+v", task.Status, task.Failure)
	}
}
