package engine_test

import (
	"os"
	"path/filepath"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore/pgtest"
)

func TestDisablingOverAStuckCancelLeavesOneVM(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := newScene(t, func(c *config) { c.Database, c.Speed = db.URL, 20 })
	e := s.third()
	e.losesTargetAfter("start_primary_vm", s.holdTasks(pgtest.Open(t, db.OwnerURL)))
	s.do(protecteditem.CancelFailback{JobID: newID(), At: s.now()})
	s.until("the cancel is stuck", stuck(protecteditem.FailbackCancelJob))
	s.awayPower(site.Off) // the new VM runs
	s.do(protecteditem.DisableProtection{JobID: newID(), Force: true, Survivor: "web-dr", At: s.now()})
	st := s.until("unprotected", is(protecteditem.Unprotected))
	s.awayPower(site.Running)
	s.cleanRecovery()
	s.writesOn()
	s.leftBehind(st, "web-new", protecteditem.Remove)
	s.returns("h3")
	e.alone()
}

func TestAFailbackThatCannotBeTakenBackStays(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.child("w")
	s.failOver()
	s.do(protecteditem.StartFailback{JobID: newID(), Mode: protecteditem.FullDownload, At: s.now()})
	s.until("failed back", is(protecteditem.FailbackCommitRequired))
	must(t, os.Truncate(filepath.Join(s.source, "os.raw.failback.undo"), 1))
	id := newID()
	s.do(protecteditem.CancelFailback{JobID: id, At: s.now()})
	s.jobIs(id, job.Failed)
	st := s.until("failed back still", is(protecteditem.FailbackCommitRequired))
	if st.Failure == nil || st.Failure.Code != errorcatalog.ReturnNotUndoable {
		t.Errorf("the cancel has left %v", st.Failure)
	}
	s.power(site.Running)
	s.awayPower(site.Off)
	s.writesOn()
	s.do(protecteditem.DisableProtection{JobID: newID(), Force: true, Survivor: "web-dr", At: s.now()})
	s.until("unprotected", is(protecteditem.Unprotected))
	s.power(site.Off)
	s.awayPower(site.Running)
	s.cleanHost()
}
