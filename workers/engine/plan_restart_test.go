package engine_test

import (
	"os"
	"path/filepath"
	"testing"

	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
	"farshore/domain/site"
)

func TestARestartedRunStartsWhatTheFailedOneHasLeftOut(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.writeScript("note.sh", noteScript)
	s.plan(recoveryplan.Continue)
	stubborn := filepath.Join(s.dir, "primary", "web", "stubborn")
	must(t, os.WriteFile(stubborn, nil, 0o600))
	id := s.start(recoveryplan.PlannedFailover, "")
	s.answer(id, "")
	s.became(s.ends(id, job.Failed), "db=Succeeded app=Succeeded web=Failed")
	must(t, os.Remove(stubborn))
	// What was asked of an operator is not asked again.
	again := s.start(recoveryplan.PlannedFailover, id)
	s.became(s.ends(again, job.Succeeded), "db=Skipped app=Skipped web=Succeeded")
	s.is(protecteditem.FailoverCommitRequired, shopVMs...)
	s.atSource(site.Off, "web")
	if !s.runsAway("web-dr") {
		t.Error("the VM whose cause of failure was mended runs nowhere")
	}
	s.sameDisk("web", "web-dr")
}
