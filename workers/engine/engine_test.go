package engine_test

import (
	"os"
	"path/filepath"
	"testing"

	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
)

func TestAVMIsProtectedFollowedFailedOverAndLetGo(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.work()
	s.enable()
	enabling := s.state().Job.ID
	st := s.until("protected", protected)
	records := s.judge(st.Points[0])
	for range 3 {
		p := s.replicate()
		if n := s.judge(p); n < records {
			t.Errorf("a later point holds %d records, the one before %d", n, records)
		} else {
			records = n
		}
	}
	for _, p := range s.state().Points {
		s.judge(p)
	}
	s.endedWell(enabling)

	failover := newID()
	s.do(protecteditem.StartPlannedFailover{JobID: failover, At: s.now()})
	st = s.until("failed over", func(st protecteditem.State) bool { return st.Protection == protecteditem.FailoverCommitRequired })
	last, _ := st.NewestPoint()
	if last.Consistency != protecteditem.Planned || st.FailoverPoint != last.ID {
		t.Errorf("the VM runs from %s, the newest point is %+v", st.FailoverPoint, last)
	}
	s.judge(last)
	s.sameAsSource(last)
	s.sameOnRecovery()
	if p, err := s.away.PowerState(t.Context(), "web-dr"); err != nil || p != site.Running {
		t.Errorf("the recovery VM is %s, %v", p, err)
	}
	if p, err := s.host.PowerState(t.Context(), "web"); err != nil || p != site.Off {
		t.Errorf("the source is %s, %v", p, err)
	}

	commit := newID()
	s.do(protecteditem.CommitFailover{JobID: commit, At: s.now()})
	s.until("committed", func(st protecteditem.State) bool { return st.Protection == protecteditem.FailedOver })
	s.endedWell(failover)
	s.endedWell(commit)
	if points, err := s.replica.ListPoints(t.Context(), s.state().ReplicaID()); err != nil || len(points) != 1 || points[0].ID != last.ID {
		t.Errorf("the store keeps %v, %v", points, err)
	}

	disable := newID()
	s.do(protecteditem.DisableProtection{JobID: disable, At: s.now()})
	s.until("unprotected", func(st protecteditem.State) bool { return st.Protection == protecteditem.Unprotected })
	s.endedWell(disable)
	s.cleanHost()
	s.sameOnRecovery()
	if points, err := s.replica.ListPoints(t.Context(), itemKey+".1"); err == nil && len(points) > 0 {
		t.Errorf("the replica is still there: %v", points)
	}
}

// endedWell waits for a job to succeed: its last entry follows the item's event.
func (s *scene) endedWell(id string) {
	s.t.Helper()
	var state job.State
	eventually(s.t, waitForJob, "job "+id+" succeeded", func() bool {
		var err error
		state, _, err = s.jobs.Load(s.t.Context(), id)
		return err == nil && state.Status == job.Succeeded
	})
	for _, task := range state.Tasks {
		if task.Status != job.Succeeded {
			s.t.Errorf("task %s of %s is %s", task.Name, state.Kind, task.Status)
		}
	}
}

// sameOnRecovery compares the stopped source's disks with the recovery VM's.
func (s *scene) sameOnRecovery() {
	s.t.Helper()
	s.until("the disks are there", copiedOver)
	for _, d := range disks {
		want, err := os.ReadFile(filepath.Join(s.source, d+".raw"))
		must(s.t, err)
		got, err := os.ReadFile(filepath.Join(s.dir, "away", "web-dr", d+".raw"))
		must(s.t, err)
		if string(got) != string(want) {
			s.t.Errorf("disk %s of the recovery VM differs from the source", d)
		}
	}
}

// cleanHost checks that nothing of Farshore is left beside the source's disks.
func (s *scene) cleanHost() {
	s.t.Helper()
	entries, err := os.ReadDir(s.source)
	must(s.t, err)
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".raw", ".json", "":
		default:
			s.t.Errorf("%s is left on the host", e.Name())
		}
	}
}
