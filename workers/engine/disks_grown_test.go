package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
)

func TestADiskGrownByItsHostGoesOnWithAPointEachCycle(t *testing.T) {
	t.Parallel()
	growsByItsHost(t, nil)
}

func growsByItsHost(t *testing.T, in func(*config)) *scene {
	t.Helper()
	s := newScene(t, in)
	s.work()
	s.enable()
	s.until("protected", protected)
	old := s.replicate()
	must(t, s.host.Stop(t.Context(), "web"))
	before := s.replicate()
	const larger = diskBytes + 5<<20
	must(t, s.host.GrowDisk(t.Context(), "web", "data", larger))
	must(t, s.host.GrowDisk(t.Context(), "web", "os", larger+1<<20)) // both at once
	must(t, s.host.Start(t.Context(), "web"))
	c := s.dial("data")
	_, err := c.WriteAt([]byte(strings.Repeat("beyond the old end", 512/16)[:512]), larger-1024)
	must(t, errors.Join(err, c.Close()))
	grown := s.replicate()
	for n, want := range []int64{larger + 1<<20, larger} {
		if got := grown.Disks[n].SizeBytes; got != want {
			t.Errorf("disk %s has %d bytes in the point, want %d", grown.Disks[n].Disk, got, want)
		}
	}
	st := s.until("no job is left", func(st protecteditem.State) bool { return st.DiskJob == nil })
	if st.VM.Disks[0].SizeBytes != larger+1<<20 || st.VM.Disks[1].SizeBytes != larger {
		t.Errorf("the item's disks are %+v", st.VM.Disks)
	}
	kinds := map[job.Kind]job.Status{}
	eventually(t, waitForJob, "the job of the disk has ended", func() bool {
		for _, j := range s.jobsOf() {
			kinds[j.Kind] = j.Status
		}
		return kinds[job.DiskReplication].Ended()
	})
	if kinds[job.DiskReplication] != job.Succeeded || kinds[job.Resynchronization] != "" {
		t.Errorf("jobs ended as %v", kinds)
	}
	for _, p := range []protecteditem.Point{old, before} { // at the size that they were
		s.judge(p)
	}
	must(t, s.host.Stop(t.Context(), "web"))
	s.sameAsSource(s.replicate())
	return s
}

func TestADiskGrownBehindTheHostsBackIsComparedAndFollowed(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.work()
	s.enable()
	s.until("protected", protected)
	must(t, s.host.Stop(t.Context(), "web"))
	old := s.replicate()
	must(t, os.Truncate(filepath.Join(s.source, "data.raw"), diskBytes+(1<<20)+512))
	s.do(protecteditem.ReplicateNow{At: s.now()})
	st := s.until("resynchronization required", func(st protecteditem.State) bool { return st.Resync.State == protecteditem.ResyncRequired })
	if st.Resync.Reason != errorcatalog.DiskChangedOffline {
		t.Errorf("the reason is %s", st.Resync.Reason)
	}
	s.do(protecteditem.RepairReplication{JobID: newID(), At: s.now()})
	st = s.until("in step again", func(st protecteditem.State) bool { return st.Resync.State == protecteditem.ResyncNone })
	p, _ := st.NewestPoint()
	s.sameAsSource(p)
	s.judge(old)
	s.sameAsSource(s.replicate())
}
