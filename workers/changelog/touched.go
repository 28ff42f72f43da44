package changelog

import (
	"math/bits"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
)

// Touched returns the ranges that a disk's logs, given in chain order, name:
// ascending, widened to multiples of grain but not beyond the disk's end. It reads
// no data, and needs a bit for each grain of the disk, however many entries the
// logs have.
func Touched(logs []*Reader, grain int64) ([]disk.Extent, error) {
	if len(logs) == 0 {
		return nil, nil
	}
	size := logs[0].Header().DiskSize
	grains := (size + grain - 1) / grain
	set := make([]uint64, (grains+63)/64)
	for i, r := range logs {
		h := r.Header()
		if h.DiskSize != size {
			return nil, errorcatalog.Fail(errorcatalog.LogChainBroken, "log %s is of a disk of %d bytes, the one before of %d", h.ID, h.DiskSize, size)
		}
		if i > 0 && h.PreviousID != logs[i-1].Header().ID {
			return nil, errorcatalog.Fail(errorcatalog.LogChainBroken, "log %s follows %q, not %s", h.ID, h.PreviousID, logs[i-1].Header().ID)
		}
		for e, err := range r.Entries() {
			if err != nil {
				return nil, err
			}
			for g := e.Offset / grain; g < min(grains, (e.Offset+e.Length+grain-1)/grain); g++ {
				set[g/64] |= 1 << (g % 64)
			}
		}
	}
	return ranges(set, grain, size), nil
}

// ranges turns the bits that are set into ranges.
func ranges(set []uint64, grain, size int64) []disk.Extent {
	var out []disk.Extent
	for n, word := range set {
		for ; word != 0; word &= word - 1 {
			at := (int64(n)*64 + int64(bits.TrailingZeros64(word))) * grain
			length := min(grain, size-at)
			if last := len(out) - 1; last >= 0 && out[last].End() == at {
				out[last].Length += length
				continue
			}
			out = append(out, disk.Extent{Offset: at, Length: length})
		}
	}
	return out
}
