package engine_test

import (
	"testing"

	"farshore/domain/protecteditem"
)

func TestAVMThatWasFailedOverToAnOlderPointIsReplicatedAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.child("w")
	s.enable()
	older, _ := s.until("protected", protected).NewestPoint()
	s.replicate()
	s.do(protecteditem.StartUnplannedFailover{JobID: newID(), Choice: protecteditem.PointChoice(older.ID), At: s.now()})
	s.until("failed over", is(protecteditem.FailoverCommitRequired))
	s.do(protecteditem.CommitFailover{JobID: newID(), At: s.now()})
	s.until("committed and fenced", func(st protecteditem.State) bool {
		return st.Protection == protecteditem.FailedOver && st.Fencing.Fenced
	})
	s.do(protecteditem.StartFailback{JobID: newID(), Mode: protecteditem.FullDownload, At: s.now()})
	s.until("failed back", is(protecteditem.FailbackCommitRequired))
	s.do(protecteditem.CommitFailback{JobID: newID(), At: s.now()})
	s.until("failback committed", is(protecteditem.FailedBack))
	s.do(protecteditem.ReProtect{JobID: newID(), At: s.now()})
	s.until("protected again", protected)
	s.replicate()
	s.do(protecteditem.StartPlannedFailover{JobID: newID(), At: s.now()})
	st := s.until("failed over again", is(protecteditem.FailoverCommitRequired))
	newest, _ := st.NewestPoint()
	s.sameAsSource(newest)
	s.sameOnRecovery()
}
