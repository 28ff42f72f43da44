package hosttest

import (
	"bytes"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
)

func (s *Subject) snapshot(t *testing.T, id, diskID string) []byte {
	t.Helper()
	r, err := s.Host.OpenSnapshot(t.Context(), s.VM.ID, id, diskID)
	must(t, err)
	return Content(t, r)
}

// Content reads and closes a disk.
func Content(t *testing.T, r disk.Reader) []byte {
	t.Helper()
	p := make([]byte, r.Size())
	ext, err := r.Extents(0, r.Size())
	must(t, err)
	for _, e := range ext {
		_, err := r.ReadAt(p[e.Offset:e.End()], e.Offset)
		must(t, err)
	}
	must(t, r.Close())
	return p
}

func cutSnapshot(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	r := NewReplica(t, s)
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 10)
	r.Follow("at-cut")
	s.scribble(t, 10)
	r.equals("at the cut", func(d string) []byte { return s.snapshot(t, "at-cut", d) })
	must(t, h.DeleteSnapshot(ctx, s.VM.ID, "at-cut"))
	must(t, h.Stop(ctx, s.VM.ID))
}

func snapshots(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	want := map[string][]byte{}
	for _, d := range s.disks() {
		want[d] = s.Content(t, d)
	}
	check := func(when string) {
		t.Helper()
		for d, w := range want {
			if !bytes.Equal(s.snapshot(t, "s1", d), w) {
				t.Errorf("%s: snapshot of disk %s has changed", when, d)
			}
		}
	}
	must(t, h.CreateSnapshot(ctx, s.VM.ID, "s1"))
	check("off")
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 20)
	check("running")
	must(t, h.CreateSnapshot(ctx, s.VM.ID, "s1")) // exists: left as it is
	must(t, h.CreateSnapshot(ctx, s.VM.ID, "s2"))
	must(t, h.Stop(ctx, s.VM.ID))
	now := s.Content(t, s.VM.Disks[0].ID)
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 20)
	check("running again")
	if !bytes.Equal(s.snapshot(t, "s2", s.VM.Disks[0].ID), now) {
		t.Error("the second snapshot has changed")
	}
	must(t, h.DeleteSnapshot(ctx, s.VM.ID, "s1"))
	must(t, h.DeleteSnapshot(ctx, s.VM.ID, "s1"))
	_, err := h.OpenSnapshot(ctx, s.VM.ID, "s1", s.VM.Disks[0].ID)
	code(t, err, errorcatalog.SnapshotNotFound)
	must(t, h.DeleteSnapshot(ctx, s.VM.ID, "s2"))
	must(t, h.Stop(ctx, s.VM.ID))
	if left := s.Left(t); len(left) > 0 {
		t.Errorf("deleted snapshots have left %v", left)
	}
}
