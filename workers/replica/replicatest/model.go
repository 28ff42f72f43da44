package replicatest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"farshore/workers/disk"
	"farshore/workers/replica"
)

// step is a change to one disk.
type step struct {
	disk string
	off  int64
	data []byte // nil: zeroes
	n    int64
}

func (s step) do(tb testing.TB, d replica.Disk) {
	tb.Helper()
	if s.data != nil {
		write(tb, d, s.data, s.off)
	} else if err := d.Zero(s.off, s.n); err != nil {
		tb.Fatalf("zero %d bytes at %d: %v", s.n, s.off, err)
	}
}

// model is an item as it should be.
type model struct {
	sizes  map[string]int64
	now    map[string][]byte
	points []string
	then   map[string]map[string][]byte
}

func newModel(tb testing.TB, s replica.Store, fence int64, sizes map[string]int64) *model {
	tb.Helper()
	m := &model{sizes: sizes, now: map[string][]byte{}, then: map[string]map[string][]byte{}}
	for name, size := range sizes {
		newDisk(tb, s, name, size, fence)
		m.now[name] = make([]byte, size)
	}
	return m
}

// steps are random changes; later ones may overlap earlier ones.
func (m *model) steps(r *rand.Rand) []step {
	var steps []step
	for name, size := range m.sizes {
		for range r.IntN(6) {
			sectors := size / 512
			off := r.Int64N(sectors)
			n := 1 + r.Int64N(min(sectors-off, []int64{3, 40, 600}[r.IntN(3)]))
			st := step{disk: name, off: off * 512, n: n * 512}
			if r.IntN(4) > 0 {
				st.data = randomBytes(r.Uint64(), int(st.n))
			}
			steps = append(steps, st)
		}
	}
	return steps
}

func changes(steps []step) []replica.Change {
	byDisk := map[string][]disk.Extent{}
	for _, s := range steps {
		byDisk[s.disk] = append(byDisk[s.disk], disk.Extent{Offset: s.off, Length: s.n})
	}
	var all []replica.Change
	for name, extents := range byDisk {
		all = append(all, replica.Change{Disk: name, Extents: disk.MergeExtents(extents)})
	}
	return all
}

func (m *model) spec(id string) replica.PointSpec {
	spec := replica.PointSpec{ID: id}
	for name, size := range m.sizes {
		spec.Disks = append(spec.Disks, replica.PointDisk{Disk: name, SizeBytes: size, Root: fmt.Sprintf("%064x", len(id))})
	}
	return spec
}

func (m *model) record(id string, steps []step) {
	for _, s := range steps {
		part := m.now[s.disk][s.off : s.off+s.n]
		clear(part)
		copy(part, s.data)
	}
	m.points = append(m.points, id)
	m.then[id] = map[string][]byte{}
	for name, content := range m.now {
		m.then[id][name] = slices.Clone(content)
	}
}

// grow makes a disk larger by zeroes and returns what it is.
func (m *model) grow(name string, size int64) []byte {
	grown := make([]byte, size)
	copy(grown, m.now[name])
	m.sizes[name], m.now[name] = size, grown
	return grown
}

func (m *model) forget(id string) {
	m.points = slices.DeleteFunc(m.points, func(p string) bool { return p == id })
	delete(m.then, id)
}

// begin, apply and commit are an apply's three parts.
func begin(tb testing.TB, s replica.Store, cut string, fence int64, steps []step) {
	tb.Helper()
	if err := s.BeginApply(tb.Context(), item, cut, fence, changes(steps)); err != nil {
		tb.Fatalf("begin apply of %s: %v", cut, err)
	}
}

func (m *model) apply(tb testing.TB, s replica.Store, fence int64, steps []step) {
	tb.Helper()
	for name := range m.sizes {
		d := openDisk(tb, s, name, fence)
		for _, st := range steps {
			if st.disk == name {
				st.do(tb, d)
			}
		}
		flush(tb, d)
	}
}

func (m *model) commit(tb testing.TB, s replica.Store, cut string, fence int64) {
	tb.Helper()
	if err := s.CommitPoint(tb.Context(), item, m.spec(cut), fence); err != nil {
		tb.Fatalf("commit point %s: %v", cut, err)
	}
}

func (m *model) cut(tb testing.TB, s replica.Store, cut string, fence int64, steps []step) {
	tb.Helper()
	begin(tb, s, cut, fence, steps)
	m.apply(tb, s, fence, steps)
	m.commit(tb, s, cut, fence)
	m.record(cut, steps)
}

// check compares all points of a store with the model.
func (m *model) check(tb testing.TB, s replica.Store) {
	tb.Helper()
	points, err := s.ListPoints(tb.Context(), item)
	if err != nil {
		tb.Fatalf("list points: %v", err)
	}
	ids := make([]string, 0, len(points))
	for _, p := range points {
		ids = append(ids, p.ID)
		if p.CommittedAt.IsZero() || len(p.Disks) != len(m.then[p.ID]) || len(p.Disks[0].Root) != 64 {
			tb.Errorf("point %s lost what was said about it: %+v", p.ID, p)
		}
	}
	if !slices.Equal(ids, m.points) {
		tb.Fatalf("points %v, want %v", ids, m.points)
	}
	for _, id := range ids {
		for name := range m.then[id] {
			m.checkDisk(tb, s, id, name)
		}
	}
}

func (m *model) checkDisk(tb testing.TB, s replica.Store, id, name string) {
	tb.Helper()
	r, err := s.OpenPoint(tb.Context(), item, id, name)
	if err != nil {
		tb.Fatalf("open point %s: %v", id, err)
	}
	defer func() { _ = r.Close() }()
	m.compare(tb, r, id, name)
}

func (m *model) compare(tb testing.TB, r disk.Reader, id, name string) {
	tb.Helper()
	want := m.then[id][name]
	if r.Size() != int64(len(want)) {
		tb.Fatalf("disk %s at point %s has %d bytes, want %d", name, id, r.Size(), len(want))
	}
	got := readDisk(tb, r, r.Size())
	if at := firstDifference(got, want); at >= 0 {
		tb.Fatalf("disk %s at point %s differs at %d", name, id, at)
	}
	extents, err := r.Extents(0, r.Size())
	if err != nil {
		tb.Fatalf("extents of disk %s at point %s: %v", name, id, err)
	}
	last := int64(-1)
	for _, e := range extents {
		if e.Offset < last || e.Length <= 0 || e.End() > r.Size() {
			tb.Fatalf("extents %v are not ascending within the disk", extents)
		}
		last = e.End()
		clear(want[e.Offset:e.End()])
	}
	if at := firstDifference(want, make([]byte, len(want))); at >= 0 {
		tb.Fatalf("disk %s at point %s holds data at %d, outside its extents", name, id, at)
	}
	copy(want, got)
}

func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

func twoDisks() map[string]int64 { return map[string]int64{"os": osSize, "data1": mib} }

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 77)) }
