package hosttest

import (
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/workers/host"
)

// growing makes a disk larger under its tracking: the chain goes on, and the cuts tell
// the size. It is for hosts that grow disks themselves.
func growing(t *testing.T, s *Subject) {
	t.Helper()
	g, ok := s.Host.(host.Grower)
	if !ok {
		return
	}
	ctx, h, r := t.Context(), s.Host, NewReplica(t, s)
	id := s.disks()[0]
	size := int64(len(r.Disks[id])) - s.Footer(id)
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 10)
	code(t, g.GrowDisk(ctx, s.VM.ID, id, size+1<<20), errorcatalog.SourceStillRunningRefusal)
	r.Follow("")
	s.scribble(t, 10)
	must(t, h.Stop(ctx, s.VM.ID))
	for range 2 {
		size += 3 << 20
		must(t, g.GrowDisk(ctx, s.VM.ID, id, size))
		must(t, g.GrowDisk(ctx, s.VM.ID, id, size))
		r.Disks[id] = append(r.Disks[id], make([]byte, 3<<20)...)
		must(t, h.Start(ctx, s.VM.ID))
		s.Write(t, id, noise(4096), size-8192)
		s.scribble(t, 10)
		if c := r.Follow(""); c.Disks[0].SizeBytes != size {
			t.Errorf("a cut tells %d bytes, want %d", c.Disks[0].SizeBytes, size)
		}
		must(t, h.Stop(ctx, s.VM.ID))
	}
	r.Follow("")
	for d, p := range r.Disks {
		now := s.Content(t, d)
		end := len(p) - int(s.Footer(d))
		if string(p[:end]) != string(now[:end]) {
			t.Errorf("disk %s is not what its logs lead to", d)
		}
	}
	code(t, g.GrowDisk(ctx, s.VM.ID, id, size-1<<20), errorcatalog.DiskShrunk)
	code(t, g.GrowDisk(ctx, s.VM.ID, "none", size), errorcatalog.DiskNotFound)
	code(t, g.GrowDisk(ctx, "none", id, size), errorcatalog.VMNotFound)
	code(t, g.GrowDisk(ctx, s.VM.ID, id, size+512), errorcatalog.ValidationFailed)
	state, err := h.Replication(ctx, s.VM.ID)
	must(t, err)
	for _, d := range state.Tracking {
		if d.ResyncReason != "" {
			t.Errorf("disk %s is not followed: %s %s", d.Disk, d.ResyncReason, d.Detail)
		}
	}
}
