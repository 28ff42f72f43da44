package engine_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/policy"
	"farshore/domain/protecteditem"
)

// resting is an item that was protected three days ago and is paused: nothing but
// time changes it. Its newest point is of the given instant.
func (s *scene) resting(newest time.Time, drills int) {
	s.t.Helper()
	s.enable()
	job, at := s.state().Job.ID, s.now().AddDate(0, 0, -3)
	settings := policy.Defaults()
	settings.DrillReminderDays = drills
	p := protecteditem.Point{ID: newID(), Instant: newest, Consistency: protecteditem.CrashConsistent}
	for _, d := range disks {
		p.Disks = append(p.Disks, protecteditem.PointDisk{Disk: d, SizeBytes: diskBytes})
	}
	for _, cmd := range []protecteditem.Command{
		protecteditem.RecordRelationship{JobID: job, StartAt: at, At: at},
		protecteditem.StartInitialReplication{JobID: "copy", Snapshot: "snap", At: at},
		protecteditem.CompleteInitialReplication{JobID: "copy", Point: p, FinalizeJobID: "final", At: at},
		protecteditem.FinalizeProtection{JobID: "final", At: at},
		protecteditem.PauseReplication{At: at},
		protecteditem.ChangePolicy{PolicyID: "drilled", Settings: settings, At: at},
	} {
		s.do(cmd)
	}
}

// alerts are the health changes and reminders on record.
func (s *scene) alerts() (health [][]errorcatalog.Code, reminders []protecteditem.TestFailoverFellDue) {
	s.t.Helper()
	for rec, err := range s.store.Stream(s.t.Context(), s.items.StreamOf(itemKey), 0) {
		must(s.t, err)
		switch e := rec.Event.(type) {
		case protecteditem.HealthChanged:
			var codes []errorcatalog.Code
			for _, r := range e.Reasons {
				codes = append(codes, r.Code)
			}
			health = append(health, codes)
			if rec.Metadata.Job != "" {
				s.t.Errorf("an alert belongs to job %s", rec.Metadata.Job)
			}
		case protecteditem.TestFailoverFellDue:
			reminders = append(reminders, e)
		}
	}
	return health, reminders
}

func TestWhatTimeAloneChangesIsToldOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	began := s.now()
	s.resting(began.Add(3*time.Second-time.Hour), 1)
	w := s.child("w")
	want := [][]errorcatalog.Code{
		{errorcatalog.ReplicationPaused, errorcatalog.TestFailoverDue},
		{errorcatalog.ReplicationPaused, errorcatalog.TestFailoverDue, errorcatalog.ReplicationBehind},
	}
	for n := range want { // and by a worker that takes the place of one that was killed
		eventually(t, waitForJob, "an alert", func() bool { health, reminders := s.alerts(); return len(health) > n && len(reminders) > 0 })
		must(t, w.Process.Kill())
		_ = w.Wait()
		w = s.child("next")
	}
	// What the last worker does next is known: it has looked, and sleeps until the next thing is due.
	eventually(t, waitForJob, "the lane sleeps", func() bool {
		var due *time.Time
		var owner *string
		must(t, s.pool.QueryRow(t.Context(), `SELECT due_at, owner FROM lanes WHERE item = $1 AND kind = 'upkeep'`, itemKey).Scan(&due, &owner))
		return owner == nil && due != nil && due.After(s.now().Add(time.Hour))
	})
	health, reminders := s.alerts()
	if !slices.EqualFunc(health, want, slices.Equal) {
		t.Errorf("told of %v, want %v", health, want)
	}
	if len(reminders) != 1 || reminders[0].ReminderDays != 1 || !reminders[0].LastTestFailover.IsZero() {
		t.Errorf("reminded by %+v", reminders)
	}
	if behind := s.state().Reported.At.Sub(began); behind < 3*time.Second || behind > 15*time.Second {
		t.Errorf("the item fell behind after 3 s, which was told after %s", behind)
	}
	s.gapless()
}

func TestWhatAWorkerMeetsIsToldAtOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, seldom)
	s.work()
	s.enable()
	s.until("protected", protected)
	told := func(code errorcatalog.Code) {
		t.Helper()
		eventually(t, waitForJob, string(code)+" is told", func() bool {
			health, _ := s.alerts()
			return len(health) > 0 && slices.Contains(health[len(health)-1], code)
		})
	}
	data := filepath.Join(s.source, "data.raw")
	must(t, os.Rename(data, data+".away"))
	s.do(protecteditem.ReplicateNow{At: s.now()})
	told(errorcatalog.DiskNotFound)
	must(t, os.Rename(data+".away", data))
	s.judge(s.replicate())
	// That it is mended is told once it has stood for a while.
	if st := s.state(); st.Retry.Failure != nil || st.Reported.Health != protecteditem.Critical || st.Reported.Alerts != 2 {
		t.Errorf("reported: %+v", st.Reported)
	}
}
