package disk_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"farshore/workers/disk"
)

func TestMergedExtentsCoverTheSameBytesOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const size = 256
		extents := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) disk.Extent {
			off := rapid.Int64Range(0, size-1).Draw(t, "offset")
			return disk.Extent{Offset: off, Length: rapid.Int64Range(0, size-off).Draw(t, "length")}
		}), 0, 12).Draw(t, "extents")
		grain := rapid.SampledFrom([]int64{1, 4, 16}).Draw(t, "grain")
		want := [size]bool{}
		for _, e := range extents {
			if e.Length > 0 {
				for i := e.Offset / grain * grain; i < min((e.End()+grain-1)/grain*grain, size); i++ {
					want[i] = true
				}
			}
		}
		before := slices.Clone(extents)
		merged := disk.AlignExtents(extents, grain)
		if !slices.Equal(before, extents) {
			t.Fatal("the argument was changed")
		}
		got := [size]bool{}
		last := int64(-1)
		for _, e := range merged {
			if e.Length <= 0 || e.Offset <= last {
				t.Fatalf("not ascending and apart: %v", merged)
			}
			last = e.End()
			for i := e.Offset; i < min(e.End(), size); i++ {
				got[i] = true
			}
		}
		if got != want {
			t.Fatalf("merged to %v", merged)
		}
	})
}

func TestClippedExtentsKeepOnlyWhatLiesInside(t *testing.T) {
	t.Parallel()
	got := disk.ClipExtents([]disk.Extent{{Offset: 0, Length: 10}, {Offset: 20, Length: 10}, {Offset: 40, Length: 5}}, 5, 20)
	want := []disk.Extent{{Offset: 5, Length: 5}, {Offset: 20, Length: 5}}
	if !slices.Equal(got, want) || disk.TotalLength(got) != 10 {
		t.Fatalf("got %v", got)
	}
}
