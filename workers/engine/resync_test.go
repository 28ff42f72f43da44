package engine_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
)

func TestLogsThatOutgrowACopyMakeItAResynchronization(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) {
		slow(300 * time.Millisecond)(c)
		c.Frequency = 900 // logs are not shipped while they grow
	})
	w := s.child("w")
	s.enable()
	eventually(t, time.Minute, "a disk is being copied", func() bool { return s.copied()["os"] >= 2<<20 })
	must(t, w.Process.Kill())
	_ = w.Wait()
	s.flood("data", 2*diskBytes)
	s.child("next")
	st := s.until("protected", protected)
	p, _ := st.NewestPoint()
	s.judge(p)
	s.judge(s.replicate())
	kinds := map[job.Kind]job.Status{}
	for _, j := range s.jobsOf() {
		kinds[j.Kind] = j.Status
	}
	if kinds[job.InitialReplication] != job.Failed || kinds[job.Resynchronization] != job.Succeeded {
		t.Errorf("jobs ended as %v", kinds)
	}
}

// flood writes to a disk as much as is asked, where the guest does not write, and
// always what the disk holds already.
func (s *scene) flood(disk string, n int) {
	s.t.Helper()
	c := s.dial(disk)
	defer c.Close() //nolint:errcheck // nothing is lost with it
	same := make([]byte, seededBytes-guestArea)
	_, err := c.ReadAt(same, guestArea)
	must(s.t, err)
	for range n / len(same) {
		for at := 0; at < len(same); at += 1 << 20 {
			_, err := c.WriteAt(same[at:at+1<<20], int64(guestArea+at))
			must(s.t, err)
		}
	}
}

func TestAResynchronizationGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	s := newScene(t, slow(20*time.Millisecond))
	w := s.child("w")
	s.enable()
	s.until("protected", protected)
	old := []protecteditem.Point{s.replicate(), s.replicate()}
	repair := newID()
	s.do(protecteditem.RepairReplication{JobID: repair, At: s.now()})
	for n, step := range []string{"restart_tracking", "compare_disks", "send_differences"} {
		eventually(t, 30*time.Second, step+" begins", func() bool {
			j, _, err := s.jobs.Load(t.Context(), repair)
			task, _ := j.Task(step)
			return err == nil && task.Attempts > 0
		})
		must(t, w.Process.Kill())
		_ = w.Wait()
		w = s.child("w" + strconv.Itoa(n))
	}
	s.until("in step again", func(st protecteditem.State) bool { return st.Resync.State == protecteditem.ResyncNone })
	for _, p := range append(old, s.replicate(), s.replicate()) {
		s.judge(p)
	}
	s.endedWell(repair)
	s.gapless()
}

func TestADiskChangedBehindTheHostsBackIsMended(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.work()
	s.enable()
	s.until("protected", protected)
	must(t, s.host.Stop(t.Context(), "web"))
	path := filepath.Join(s.source, "data.raw")
	b, err := os.ReadFile(path)
	must(t, err)
	copy(b[seededBytes:], "edited while it was off")
	must(t, os.WriteFile(path, b, 0o600))
	s.do(protecteditem.ReplicateNow{At: s.now()})
	st := s.until("resynchronization required", func(st protecteditem.State) bool { return st.Resync.State == protecteditem.ResyncRequired })
	if st.Resync.Reason != errorcatalog.DiskChangedOffline {
		t.Errorf("the reason is %s", st.Resync.Reason)
	}
	s.do(protecteditem.RepairReplication{JobID: newID(), At: s.now()})
	st = s.until("in step again", func(st protecteditem.State) bool { return st.Resync.State == protecteditem.ResyncNone })
	p, _ := st.NewestPoint()
	s.sameAsSource(p)
}

func TestRetentionLeavesWhatThePolicyKeeps(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Short = true })
	s.work()
	s.enable()
	s.until("protected", protected)
	var last protecteditem.Point
	for range 4 {
		last = s.replicate()
	}
	st := s.until("one point", func(st protecteditem.State) bool { return len(st.Points) == 1 })
	if st.Points[0].ID != last.ID {
		t.Errorf("the item lists %v, the newest point is %s", st.Points, last.ID)
	}
	eventually(t, waitForJob, "the store keeps one", func() bool {
		points, err := s.replica.ListPoints(t.Context(), st.ReplicaID())
		return err == nil && len(points) == 1
	})
	s.judge(last)
	eventually(t, waitForJob, "nothing applied is left", func() bool {
		names, err := s.replica.ListObjects(t.Context(), st.ReplicaID(), "")
		must(t, err)
		for _, name := range names {
			if strings.HasPrefix(name, "logs/") || strings.HasPrefix(name, "cuts/") {
				return false
			}
		}
		return true
	})
	// What was collected is not missed.
	s.judge(s.replicate())
}
