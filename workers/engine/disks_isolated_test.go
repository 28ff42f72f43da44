package engine_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/host"
)

func TestWhatIsWrongWithADiskThatIsAddedTouchesNoOther(t *testing.T) {
	t.Parallel()
	s := third(t)
	s.work()
	s.enable()
	s.until("protected", protected)
	letGo := s.hold()
	id := s.add()
	s.copying(id)
	// A log that is to be shipped is gone.
	s.flood(logs, seededBytes-guestArea)
	made, err := s.host.Cut(t.Context(), "web", host.CutRequest{ID: newID()})
	must(t, err)
	n := slices.IndexFunc(made.Disks, func(d host.DiskCut) bool { return d.Disk == logs })
	must(t, os.Remove(filepath.Join(s.source, logs+".raw."+made.Disks[n].Logs[0].ID+".hrl")))
	s.do(protecteditem.ReplicateNow{At: s.now()})
	letGo()
	st := s.until("its log is missed", func(st protecteditem.State) bool { return st.DiskRetry.Failure != nil })
	if !strings.Contains(st.DiskRetry.Failure.Detail, string(errorcatalog.LogMissing)) || st.Resync.State != protecteditem.ResyncNone {
		t.Errorf("the failure is %v, the resynchronization %s", st.DiskRetry.Failure, st.Resync.State)
	}
	s.judge(s.replicate())
	// Its logs outgrow their limit while a resynchronization of the others is asked for.
	letGo = s.hold()
	length := s.traced()
	s.do(protecteditem.RetryNow{At: s.now()})
	eventually(t, waitForJob, "the disk is copied anew", func() bool { return s.written(length) != "" })
	repair := newID()
	s.do(protecteditem.RepairReplication{JobID: repair, At: s.now()})
	s.interrupted()
	s.flood(logs, 2*diskBytes)
	letGo()
	s.until("the others are in step again", func(st protecteditem.State) bool {
		return st.Resync.State == protecteditem.ResyncNone && st.Ended == protecteditem.EndedJob{ID: repair}
	})
	s.judge(s.replicate())
	s.added(id)
	s.judge(s.replicate())
}
