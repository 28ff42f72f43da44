package changelog

import (
	"cmp"
	"container/heap"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"sort"
	"sync"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
)

// Index is what the logs of one disk lead to when they are replayed in order: for
// every byte, the last write wins. It holds no data and at most 48 bytes for each
// entry and 16 for each that a later one has split. Its methods may be called
// from several goroutines.
type Index struct {
	readers  []*Reader
	writes   []write
	segments []segment // ascending, without overlaps
	size     int64
	buffers  sync.Pool
}

// write is an entry, packed.
type write struct {
	offset, at  int64
	length, sum uint32
	reader      uint32
	zero        bool
}

func (w write) end() int64 { return w.offset + int64(w.length) }

// segment is a range whose content a single write decides.
type segment struct {
	offset        int64
	length, write uint32
}

func (s segment) end() int64 { return s.offset + int64(s.length) }

// Open makes an Index of a disk's logs, given in chain order. Each log must name
// the one before it; the first may name any. The disk may have grown between them.
func Open(readers []*Reader) (*Index, error) {
	x := &Index{readers: readers}
	x.buffers.New = func() any { return new(scratch) }
	for i, r := range readers {
		h := r.Header()
		if i == 0 {
			x.size = h.DiskSize
		} else if before := readers[i-1].Header().ID; h.PreviousID != before {
			return nil, errorcatalog.Fail(errorcatalog.LogChainBroken, "log %s follows %q, not %s", h.ID, h.PreviousID, before)
		}
		if h.DiskSize < x.size {
			return nil, errorcatalog.Fail(errorcatalog.LogChainBroken, "log %s is of a disk of %d bytes, the one before of %d", h.ID, h.DiskSize, x.size)
		}
		x.size = h.DiskSize
		for e, err := range r.Entries() {
			if err != nil {
				return nil, err
			}
			if len(x.writes) == math.MaxUint32 {
				return nil, errorcatalog.Fail(errorcatalog.LogChainBroken, "the logs have more than %d entries", len(x.writes))
			}
			if err := r.verifyLarge(e); err != nil {
				return nil, err
			}
			x.writes = append(x.writes, write{offset: e.Offset, at: e.at, length: uint32(e.Length), sum: e.sum, reader: uint32(i), zero: e.Zero}) //nolint:gosec // decoded from 32 bits
		}
	}
	x.writes = slices.Clip(x.writes)
	x.segments = slices.Clip(lastWins(x.writes))
	return x, nil
}

// verifyLarge checks the data of an entry that is too long to be read whole
// whenever a part of it is wanted. Our own writer makes none.
func (r *Reader) verifyLarge(e Entry) error {
	if e.Zero || e.Length <= maxEntry {
		return nil
	}
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	if _, err := io.Copy(h, io.NewSectionReader(r.src, e.at, e.Length)); err != nil {
		return r.read(make([]byte, 1), e.at+e.Length-1)
	}
	if h.Sum32() != e.sum {
		return r.damaged(e)
	}
	return nil
}

// newest is a heap of writes, the latest on top.
type newest []uint32

func (h *newest) Len() int           { return len(*h) }
func (h *newest) Less(i, j int) bool { return (*h)[i] > (*h)[j] }
func (h *newest) Swap(i, j int)      { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }

// Push adds a write.
func (h *newest) Push(v any) {
	if i, ok := v.(uint32); ok {
		*h = append(*h, i)
	}
}

// Pop removes the last.
func (h *newest) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// lastWins sweeps over the disk from left to right: of the writes that cover a
// place, the latest decides until it ends or a later one begins.
func lastWins(writes []write) []segment {
	order := make([]uint32, len(writes))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(writes[a].offset, writes[b].offset) })
	segments := make([]segment, 0, len(writes))
	var open newest
	var at int64
	next := 0
	for next < len(order) || len(open) > 0 {
		if len(open) == 0 {
			at = writes[order[next]].offset
		}
		for next < len(order) && writes[order[next]].offset <= at {
			heap.Push(&open, order[next])
			next++
		}
		top := open[0]
		if writes[top].end() <= at {
			heap.Pop(&open)
			continue
		}
		end := writes[top].end()
		for next < len(order) && writes[order[next]].offset < end {
			if order[next] > top {
				end = writes[order[next]].offset
				break
			}
			heap.Push(&open, order[next])
			next++
		}
		segments = append(segments, segment{offset: at, length: uint32(end - at), write: top}) //nolint:gosec // within one write
		at = end
	}
	return segments
}

// Size is the size of the disk in bytes.
func (x *Index) Size() int64 { return x.size }

// Extents returns the ranges that the logs write, to the byte.
func (x *Index) Extents() []disk.Extent { return x.extents(1) }

// AlignedExtents returns the ranges that the logs write, widened to multiples of
// 512 bytes, but not beyond the disk's end rounded up.
func (x *Index) AlignedExtents() []disk.Extent { return x.extents(512) }

func (x *Index) extents(align int64) []disk.Extent {
	var out []disk.Extent
	for _, s := range x.segments {
		from, to := s.offset/align*align, (s.end()+align-1)/align*align
		if n := len(out); n > 0 && out[n-1].End() >= from {
			out[n-1].Length = to - out[n-1].Offset
			continue
		}
		out = append(out, disk.Extent{Offset: from, Length: to - from})
	}
	return out
}

// within returns the segments that touch n bytes at off.
func (x *Index) within(off, n int64) []segment {
	first := sort.Search(len(x.segments), func(i int) bool { return x.segments[i].end() > off })
	last := first + sort.Search(len(x.segments)-first, func(i int) bool { return x.segments[first+i].offset >= off+n })
	return x.segments[first:last]
}

// Zero says whether the logs make all of n bytes at off zeroes, as far as that is
// known without reading data.
func (x *Index) Zero(off, n int64) bool {
	for _, s := range x.within(off, n) {
		if s.offset > off || !x.writes[s.write].zero {
			return false
		}
		n -= s.end() - off
		off = s.end()
	}
	return n <= 0
}

// Covers says whether the logs write every one of n bytes at off.
func (x *Index) Covers(off, n int64) bool {
	for _, s := range x.within(off, n) {
		if s.offset > off {
			return false
		}
		n -= s.end() - off
		off = s.end()
	}
	return n <= 0
}

// scratch holds a part of a log. Neighbouring segments often come from one entry
// or from entries that follow each other in the log; where they do, it reads
// ahead, because each read of a log in a replica store is a request.
type scratch struct {
	from     *Reader
	at       int64 // where data lie in the log
	data     []byte
	next     int64 // the end of what was read last
	ahead    int64 // how much is read at once
	verified int64 // where the entry lies that was checked last
}

// entry returns the data of e, checked. They are valid until the next call.
func (b *scratch) entry(r *Reader, e Entry) ([]byte, error) {
	if b.from != r || e.at < b.at || e.at+e.Length > b.at+int64(len(b.data)) {
		if err := b.fill(r, e); err != nil {
			b.from = nil
			return nil, err
		}
	}
	p := b.data[e.at-b.at:][:e.Length]
	if b.verified != e.at {
		if dataSum(p) != e.sum {
			return nil, r.damaged(e)
		}
		b.verified = e.at
	}
	return p, nil
}

// fill reads e and, the longer the reads have followed each other, what comes
// after it.
func (b *scratch) fill(r *Reader, e Entry) error {
	if gap := e.at - b.next; b.from == r && gap >= 0 && gap <= r.header.metadataSize {
		b.ahead = min(2*max(b.ahead, e.Length), maxEntry)
	} else {
		b.ahead = 0
	}
	n := max(e.Length, min(b.ahead, r.header.End-e.at))
	b.data = slices.Grow(b.data[:0], int(n))[:n]
	b.from, b.at, b.next, b.verified = r, e.at, e.at+n, 0
	return r.read(b.data, e.at)
}

// Overlay copies what the logs wrote at off over p and leaves the rest of p as it
// is. It says whether they cover all of p. Every byte has been verified.
func (x *Index) Overlay(p []byte, off int64) (covered bool, err error) {
	buf, ok := x.buffers.Get().(*scratch)
	if !ok {
		buf = new(scratch)
	}
	defer x.buffers.Put(buf)
	at, end := off, off+int64(len(p))
	covered = true
	for _, s := range x.within(off, int64(len(p))) {
		from, to := max(s.offset, off), min(s.end(), end)
		covered = covered && from == at
		if err := x.copySegment(p[from-off:to-off], from, x.writes[s.write], buf); err != nil {
			return false, err
		}
		at = to
	}
	return covered && at == end, nil
}

// copySegment fills p with what write w put at off.
func (x *Index) copySegment(p []byte, off int64, w write, buf *scratch) error {
	r := x.readers[w.reader]
	e := Entry{Offset: w.offset, Length: int64(w.length), Zero: w.zero, at: w.at, sum: w.sum}
	switch {
	case w.zero:
		clear(p)
		return nil
	case e.Length > maxEntry: // checked when the index was made
		return r.read(p, e.at+off-e.Offset)
	}
	data, err := buf.entry(r, e)
	if err != nil {
		return err
	}
	copy(p, data[off-e.Offset:])
	return nil
}

// Over returns the content of base after the logs.
func (x *Index) Over(base io.ReaderAt) io.ReaderAt { return overlaid{index: x, base: base} }

type overlaid struct {
	index *Index
	base  io.ReaderAt
}

// ReadAt reads base and lays the logs over it; what they cover is not read.
func (o overlaid) ReadAt(p []byte, off int64) (int, error) {
	if covered, err := o.index.Overlay(p, off); err != nil {
		return 0, err
	} else if covered {
		return len(p), nil
	}
	if n, err := o.base.ReadAt(p, off); n < len(p) {
		return n, err //nolint:wrapcheck // io.ReaderAt hands on io.EOF as it is
	}
	if _, err := o.index.Overlay(p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}
