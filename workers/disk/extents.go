package disk

import (
	"cmp"
	"slices"
)

// MergeExtents returns the same ranges ascending, with overlapping and touching
// ones joined and empty ones left out. It does not change its argument.
func MergeExtents(extents []Extent) []Extent {
	sorted := slices.Clone(extents)
	slices.SortFunc(sorted, func(a, b Extent) int { return cmp.Compare(a.Offset, b.Offset) })
	merged := sorted[:0]
	for _, e := range sorted {
		if e.Length <= 0 {
			continue
		}
		if n := len(merged); n > 0 && e.Offset <= merged[n-1].End() {
			merged[n-1].Length = max(merged[n-1].End(), e.End()) - merged[n-1].Offset
			continue
		}
		merged = append(merged, e)
	}
	return merged
}

// AlignExtents widens ranges to multiples of grain and merges what then meets.
// The last range may reach past the disk's end; ClipExtents cuts it.
func AlignExtents(extents []Extent, grain int64) []Extent {
	aligned := make([]Extent, 0, len(extents))
	for _, e := range extents {
		if e.Length <= 0 {
			continue
		}
		start := e.Offset / grain * grain
		end := (e.End() + grain - 1) / grain * grain
		aligned = append(aligned, Extent{Offset: start, Length: end - start})
	}
	return MergeExtents(aligned)
}

// ClipExtents returns the parts of ascending ranges that lie within n bytes from
// off.
func ClipExtents(extents []Extent, off, n int64) []Extent {
	var clipped []Extent
	for _, e := range extents {
		start, end := max(e.Offset, off), min(e.End(), off+n)
		if start < end {
			clipped = append(clipped, Extent{Offset: start, Length: end - start})
		}
	}
	return clipped
}

// TotalLength is the sum of the ranges' lengths.
func TotalLength(extents []Extent) int64 {
	var total int64
	for _, e := range extents {
		total += e.Length
	}
	return total
}
