package hosttest

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"farshore/domain/errorcatalog"
	"farshore/workers/host"
)

func relationship(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	r := Relationship(s)
	r.ID = "another"
	if h.StartReplication(ctx, s.VM.ID, r) == nil {
		t.Error("a second relationship was created")
	}
	r = Relationship(s)
	r.LogLimitPercent = 50
	must(t, h.UpdateRelationship(ctx, s.VM.ID, r))
	got, err := h.Replication(ctx, s.VM.ID)
	must(t, err)
	if got.LogLimitPercent != 50 || !slices.Equal(got.Disks, r.Disks) || len(got.Tracking) != len(r.Disks) || len(got.Cuts) != 0 {
		t.Errorf("replication is %+v", got)
	}
	must(t, h.Start(ctx, s.VM.ID))
	s.Write(t, s.VM.Disks[0].ID, noise(4096), 0)
	_, err = h.Cut(ctx, s.VM.ID, host.CutRequest{ID: uuid.NewString(), Snapshot: "s1"})
	must(t, err)
	must(t, h.StopReplication(ctx, s.VM.ID))
	must(t, h.StopReplication(ctx, s.VM.ID))
	s.Write(t, s.VM.Disks[0].ID, noise(4096), 0) // the guest goes on
	if left := s.Left(t); len(left) > 0 {
		t.Errorf("stopped replication has left %v", left)
	}
	must(t, h.Stop(ctx, s.VM.ID))
}

func cuts(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	r := NewReplica(t, s)
	must(t, h.Start(ctx, s.VM.ID))
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	for range 4 {
		s.scribble(t, 10)
		r.Follow("")
	}
	s.scribble(t, 10)
	must(t, h.Stop(ctx, s.VM.ID))
	r.Follow("")
	r.equals("after stop", func(d string) []byte { return s.Content(t, d) })
	state, err := h.Replication(ctx, s.VM.ID)
	must(t, err)
	if len(state.Cuts) != 0 {
		t.Errorf("released cuts are listed: %+v", state.Cuts)
	}
}

func cutTwice(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 3)
	req := host.CutRequest{ID: uuid.NewString()}
	a, err := h.Cut(ctx, s.VM.ID, req)
	must(t, err)
	s.scribble(t, 3)
	b, err := h.Cut(ctx, s.VM.ID, req)
	must(t, err)
	if a.Instant != b.Instant || len(a.Disks) != len(b.Disks) || a.Disks[0].Logs[0] != b.Disks[0].Logs[0] {
		t.Errorf("cut %+v became %+v", a, b)
	}
	c, err := h.Cut(ctx, s.VM.ID, host.CutRequest{ID: uuid.NewString()})
	must(t, err)
	if c.PreviousID != a.ID {
		t.Errorf("the next cut follows %q", c.PreviousID)
	}
	state, err := h.Replication(ctx, s.VM.ID)
	must(t, err)
	if len(state.Cuts) != 2 || state.Cuts[0].ID != a.ID || state.Cuts[1].ID != c.ID {
		t.Errorf("cuts are %+v", state.Cuts)
	}
	must(t, h.Stop(ctx, s.VM.ID))
}

// cutWithoutRest asks for what the VM, which describes no way to it, cannot give.
func cutWithoutRest(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	r := NewReplica(t, s)
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 10)
	req := host.CutRequest{ID: uuid.NewString(), AppConsistent: true}
	c, err := h.Cut(ctx, s.VM.ID, req)
	must(t, err)
	if c.AppConsistent || c.Freeze == nil || c.Freeze.Failure == nil || c.Freeze.Failure.Code != errorcatalog.FreezeHookMissing {
		t.Errorf("the cut is %+v with %+v", c, c.Freeze)
	}
	again, err := h.Cut(ctx, s.VM.ID, req)
	must(t, err)
	if again.Freeze == nil || *again.Freeze.Failure != *c.Freeze.Failure {
		t.Errorf("asked again, it is %+v with %+v", again, again.Freeze)
	}
	r.Apply(c)
	must(t, h.Stop(ctx, s.VM.ID))
	r.Follow("")
	r.equals("after a cut without rest", func(d string) []byte { return s.Content(t, d) })
}

func cutOff(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	r := NewReplica(t, s)
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 20)
	must(t, h.Stop(ctx, s.VM.ID))
	must(t, h.Stop(ctx, s.VM.ID))
	r.Follow("")
	r.Follow("")
	r.equals("off", func(d string) []byte { return s.Content(t, d) })
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 5)
	must(t, h.Stop(ctx, s.VM.ID))
	r.Follow("")
	r.equals("off again", func(d string) []byte { return s.Content(t, d) })
}

func restart(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 10)
	_, err := h.Cut(ctx, s.VM.ID, host.CutRequest{ID: uuid.NewString()})
	must(t, err)
	s.scribble(t, 10)
	must(t, h.Stop(ctx, s.VM.ID))
	r := NewReplica(t, s)
	must(t, h.RestartTracking(ctx, s.VM.ID, s.disks()))
	state, err := h.Replication(ctx, s.VM.ID)
	must(t, err)
	if len(state.Cuts) != 0 {
		t.Errorf("cuts of the old chain are left: %+v", state.Cuts)
	}
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 10)
	must(t, h.Stop(ctx, s.VM.ID))
	c, err := h.Cut(ctx, s.VM.ID, host.CutRequest{ID: uuid.NewString()})
	must(t, err)
	r.cut = c.PreviousID
	r.Apply(c)
	r.equals("restarted", func(d string) []byte { return s.Content(t, d) })
}
