package hosttest

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"farshore/domain/errorcatalog"
	"farshore/workers/host"
)

// joining begins to track a further disk under a running VM, and ends it again: the
// chain of the others does not notice.
func joining(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	first, second := s.disks()[0], s.disks()[1]
	one, both := Relationship(s), Relationship(s)
	one.Disks, both.Disks = []string{first}, []string{first, second}
	r := NewReplica(t, s)
	must(t, h.StartReplication(ctx, s.VM.ID, one))
	must(t, h.Start(ctx, s.VM.ID))
	s.Write(t, first, noise(8192), 0)
	cutOf(t, r, first)

	must(t, h.UpdateRelationship(ctx, s.VM.ID, both))
	must(t, h.UpdateRelationship(ctx, s.VM.ID, both))
	s.scribble(t, 20)
	cutOf(t, r, first, second)
	must(t, h.Stop(ctx, s.VM.ID))
	cutOf(t, r, first, second)
	r.equals("joined", func(d string) []byte { return s.Content(t, d) })

	leaving(t, s, r, one)
	// Off, it joins as well, and begins a chain of its own.
	delete(r.last, second)
	must(t, h.UpdateRelationship(ctx, s.VM.ID, both))
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 10)
	must(t, h.Stop(ctx, s.VM.ID))
	cutOf(t, r, first, second)
	r.equals("joined again", func(d string) []byte { return s.Content(t, d) })

	both.Disks = []string{first, "none"}
	code(t, h.UpdateRelationship(ctx, s.VM.ID, both), errorcatalog.DiskNotFound)
	must(t, h.StopReplication(ctx, s.VM.ID))
	if left := s.Left(t); len(left) > 0 {
		t.Errorf("stopped replication has left %v", left)
	}
}

// leaving ends the tracking of the second disk under a running VM.
func leaving(t *testing.T, s *Subject, r *Replica, one host.Relationship) {
	t.Helper()
	ctx, h, first, second := t.Context(), s.Host, s.disks()[0], s.disks()[1]
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 10)
	kept, err := h.Cut(ctx, s.VM.ID, host.CutRequest{ID: uuid.NewString()})
	must(t, err)
	must(t, h.UpdateRelationship(ctx, s.VM.ID, one))
	must(t, h.UpdateRelationship(ctx, s.VM.ID, one))
	for _, d := range kept.Disks {
		if d.Disk == second && len(d.Logs) > 0 {
			_, err = h.OpenLog(ctx, s.VM.ID, second, d.Logs[0].ID)
			code(t, err, errorcatalog.LogMissing)
		}
	}
	state, err := h.Replication(ctx, s.VM.ID)
	must(t, err)
	if len(state.Tracking) != 1 || len(state.Cuts) != 1 || len(state.Cuts[0].Disks) != 1 {
		t.Errorf("after a disk has left, replication is %+v", state)
	}
	r.Apply(state.Cuts[0])
	must(t, h.ReleaseCut(ctx, s.VM.ID, kept.ID))
	s.scribble(t, 10)
	cutOf(t, r, first)
	must(t, h.Stop(ctx, s.VM.ID))
	cutOf(t, r, first)
	r.Disks[second] = s.Content(t, second)
	r.equals("left", func(d string) []byte { return s.Content(t, d) })
}

// cutOf makes and applies a cut, which is to be of the given disks.
func cutOf(t *testing.T, r *Replica, disks ...string) {
	t.Helper()
	var got []string
	for _, d := range r.Follow("").Disks {
		got = append(got, d.Disk)
	}
	if !slices.Equal(got, disks) {
		t.Errorf("a cut is of %v, want %v", got, disks)
	}
}
