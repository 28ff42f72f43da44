package hosttest

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/host"
)

// writtenRanges checks that a cut names what was written since the one before it,
// and hardly more.
func writtenRanges(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h, id := t.Context(), s.Host, s.VM.Disks[1].ID
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	must(t, h.Start(ctx, s.VM.ID))
	s.Write(t, id, noise(512), 0)
	first, err := h.Cut(ctx, s.VM.ID, host.CutRequest{ID: uuid.NewString()})
	must(t, err)
	s.Write(t, id, noise(4096), 300<<10)
	s.Write(t, id, noise(512), 700<<10)
	must(t, h.Stop(ctx, s.VM.ID))
	second, err := h.Cut(ctx, s.VM.ID, host.CutRequest{ID: uuid.NewString()})
	must(t, err)
	for cut, want := range map[string][]disk.Extent{
		first.ID:  {{Offset: 0, Length: 512}},
		second.ID: {{Offset: 300 << 10, Length: 4096}, {Offset: 700 << 10, Length: 512}},
	} {
		got, err := h.Written(ctx, s.VM.ID, cut, id)
		must(t, err)
		for _, e := range want {
			if !slices.Equal(disk.ClipExtents(got, e.Offset, e.Length), []disk.Extent{e}) {
				t.Errorf("cut %s names %v, without %v", cut, got, e)
			}
		}
		if n := disk.TotalLength(got); n > int64(len(want))*128<<10 {
			t.Errorf("cut %s names %d bytes: %v", cut, n, got)
		}
	}
	if got, err := h.Written(ctx, s.VM.ID, second.ID, s.VM.Disks[0].ID); err != nil || len(got) > 0 {
		t.Errorf("a disk that was not written to has %v, %v", got, err)
	}
	_, err = h.Written(ctx, s.VM.ID, uuid.NewString(), id)
	code(t, err, errorcatalog.CutNotFound)
	_, err = h.Written(ctx, s.VM.ID, second.ID, "none")
	code(t, err, errorcatalog.DiskNotFound)
	_, err = h.Written(ctx, "none", second.ID, id)
	code(t, err, errorcatalog.VMNotFound)
}
