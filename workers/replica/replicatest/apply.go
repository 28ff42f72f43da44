package replicatest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"farshore/domain/errorcatalog"
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

func (s step) do(t testing.TB, d replica.Disk) {
	t.Helper()
	if s.data != nil {
		write(t, d, s.data, s.off)
	} else if err := d.Zero(s.off, s.n); err != nil {
		t.Fatalf("zero %d bytes at %d: %v", s.n, s.off, err)
	}
}

// model is an item as it should be.
type model struct {
	sizes  map[string]int64
	now    map[string][]byte
	points []string
	then   map[string]map[string][]byte
}

func newModel(t testing.TB, s replica.Store, fence int64, sizes map[string]int64) *model {
	t.Helper()
	m := &model{sizes: sizes, now: map[string][]byte{}, then: map[string]map[string][]byte{}}
	for name, size := range sizes {
		newDisk(t, s, name, size, fence)
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

func (m *model) forget(id string) {
	m.points = slices.DeleteFunc(m.points, func(p string) bool { return p == id })
	delete(m.then, id)
}

// begin, apply and commit are an apply's three parts.
func begin(t testing.TB, s replica.Store, cut string, fence int64, steps []step) {
	t.Helper()
	if err := s.BeginApply(t.Context(), item, cut, fence, changes(steps)); err != nil {
		t.Fatalf("begin apply of %s: %v", cut, err)
	}
}

func (m *model) apply(t testing.TB, s replica.Store, fence int64, steps []step) {
	t.Helper()
	for name := range m.sizes {
		d := openDisk(t, s, name, fence)
		for _, st := range steps {
			if st.disk == name {
				st.do(t, d)
			}
		}
		flush(t, d)
	}
}

func (m *model) commit(t testing.TB, s replica.Store, cut string, fence int64) {
	t.Helper()
	if err := s.CommitPoint(t.Context(), item, m.spec(cut), fence); err != nil {
		t.Fatalf("commit point %s: %v", cut, err)
	}
}

func (m *model) cut(t testing.TB, s replica.Store, cut string, fence int64, steps []step) {
	t.Helper()
	begin(t, s, cut, fence, steps)
	m.apply(t, s, fence, steps)
	m.commit(t, s, cut, fence)
	m.record(cut, steps)
}

// check compares all points of a store with the model.
func (m *model) check(t testing.TB, s replica.Store) {
	t.Helper()
	points, err := s.ListPoints(t.Context(), item)
	if err != nil {
		t.Fatalf("list points: %v", err)
	}
	ids := make([]string, 0, len(points))
	for _, p := range points {
		ids = append(ids, p.ID)
		if p.CommittedAt.IsZero() || len(p.Disks) != len(m.sizes) || len(p.Disks[0].Root) != 64 {
			t.Errorf("point %s lost what was said about it: %+v", p.ID, p)
		}
	}
	if !slices.Equal(ids, m.points) {
		t.Fatalf("points %v, want %v", ids, m.points)
	}
	for _, id := range ids {
		for name := range m.sizes {
			m.checkDisk(t, s, id, name)
		}
	}
}

func (m *model) checkDisk(t testing.TB, s replica.Store, id, name string) {
	t.Helper()
	r, err := s.OpenPoint(t.Context(), item, id, name)
	if err != nil {
		t.Fatalf("open point %s: %v", id, err)
	}
	defer func() { _ = r.Close() }()
	m.compare(t, r, id, name)
}

func (m *model) compare(t testing.TB, r disk.Reader, id, name string) {
	t.Helper()
	want := m.then[id][name]
	if r.Size() != m.sizes[name] {
		t.Fatalf("disk %s at point %s has %d bytes, want %d", name, id, r.Size(), m.sizes[name])
	}
	got := readDisk(t, r, r.Size())
	if at := firstDifference(got, want); at >= 0 {
		t.Fatalf("disk %s at point %s differs at %d", name, id, at)
	}
	extents, err := r.Extents(0, r.Size())
	if err != nil {
		t.Fatalf("extents of disk %s at point %s: %v", name, id, err)
	}
	last := int64(-1)
	for _, e := range extents {
		if e.Offset < last || e.Length <= 0 || e.End() > r.Size() {
			t.Fatalf("extents %v are not ascending within the disk", extents)
		}
		last = e.End()
		clear(want[e.Offset:e.End()])
	}
	if at := firstDifference(want, make([]byte, len(want))); at >= 0 {
		t.Fatalf("disk %s at point %s holds data at %d, outside its extents", name, id, at)
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

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 77)) } //nolint:gosec // repeatable on purpose

func pointsFollowTheModel(t *testing.T, medium Medium) {
	for seed := range uint64(2) {
		r := seeded(seed)
		s := medium.Open(t)
		fence := int64(10 * (seed + 1))
		if err := s.RemoveItem(t.Context(), item, fence); err != nil {
			t.Fatal(err)
		}
		m := newModel(t, s, fence, twoDisks())
		for cut := range 14 {
			id := fmt.Sprintf("cut-%02d", cut)
			m.cut(t, s, id, fence, m.steps(r))
			if cut%4 == 3 {
				victim := m.points[r.IntN(len(m.points)-1)]
				if err := s.RemovePoint(t.Context(), item, victim, fence); err != nil {
					t.Fatalf("remove point %s: %v", victim, err)
				}
				m.forget(victim)
				fence++
				s = medium.Open(t) // another worker goes on
			}
			if cut%5 == 4 {
				m.check(t, s)
			}
		}
		for len(m.points) > 1 {
			victim := m.points[r.IntN(len(m.points)-1)]
			if err := s.RemovePoint(t.Context(), item, victim, fence); err != nil {
				t.Fatalf("remove point %s: %v", victim, err)
			}
			m.forget(victim)
			m.check(t, s)
		}
	}
}

func pointIsReadableDuringApply(t *testing.T, medium Medium) {
	s, r := medium.Open(t), seeded(3)
	m := newModel(t, s, 1, twoDisks())
	for i := range 3 {
		m.cut(t, s, fmt.Sprintf("cut-%d", i), 1, m.steps(r))
	}
	readers := map[string]disk.Reader{}
	for _, id := range m.points {
		var err error
		if readers[id], err = medium.Open(t).OpenPoint(t.Context(), item, id, "os"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = readers[id].Close() })
		m.compare(t, readers[id], id, "os")
	}
	steps := m.steps(r)
	for len(steps) < 4 {
		steps = m.steps(r)
	}
	begin(t, s, "next", 1, steps)
	m.check(t, s)
	for _, st := range steps {
		d := openDisk(t, s, st.disk, 1)
		st.do(t, d)
		flush(t, d)
		for id, reader := range readers {
			m.compare(t, reader, id, "os")
		}
	}
	m.check(t, medium.Open(t))
	m.commit(t, s, "next", 1)
	m.record("next", steps)
	if err := s.RemovePoint(t.Context(), item, "cut-1", 1); err != nil {
		t.Fatal(err)
	}
	m.compare(t, readers["cut-0"], "cut-0", "os")
	m.compare(t, readers["cut-2"], "cut-2", "os")
	m.forget("cut-1")
	m.check(t, s)
}

func pointIsReadMeanwhile(t *testing.T, medium Medium) {
	const size, cuts = 64 << 10, 12
	s := medium.Open(t)
	m := newModel(t, s, 1, map[string]int64{"os": size})
	whole := func(seed uint64) []step {
		return []step{{disk: "os", data: randomBytes(seed, size), n: size}}
	}
	m.cut(t, s, "first", 1, whole(100))
	want := slices.Clone(m.then["first"]["os"])
	done := make(chan struct{})
	var readers sync.WaitGroup
	for i := range 2 {
		readers.Go(func() {
			r, err := medium.Open(t).OpenPoint(t.Context(), item, "first", "os")
			if err != nil {
				t.Errorf("open point: %v", err)
				return
			}
			defer func() { _ = r.Close() }()
			p := make([]byte, size/2)
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				off := int64((n + i) % 2 * len(p))
				if _, err := r.ReadAt(p, off); err != nil || !bytes.Equal(p, want[off:off+int64(len(p))]) {
					t.Errorf("read %d at %d of the point differs, %v", n, off, err)
					return
				}
			}
		})
	}
	for cut := range cuts {
		m.cut(t, s, fmt.Sprintf("cut-%d", cut), 1, whole(uint64(cut)))
		if cut%3 == 2 {
			if err := s.RemovePoint(t.Context(), item, m.points[1], 1); err != nil {
				t.Errorf("remove point: %v", err)
			}
			m.forget(m.points[1])
		}
	}
	close(done)
	readers.Wait()
	m.check(t, s)
}

func crashedApplyIsRepeated(t *testing.T, medium Medium) {
	r, fence := seeded(5), int64(1)
	s := medium.Open(t)
	m := newModel(t, s, fence, twoDisks())
	m.cut(t, s, "cut-first", fence, m.steps(r))
	for crash := range 5 {
		id := fmt.Sprintf("cut-%d", crash)
		steps := m.steps(r)
		calls := []func(){
			func() { begin(t, s, id, fence, steps) },
			func() { m.apply(t, s, fence, steps[:len(steps)/2]) },
			func() { m.apply(t, s, fence, steps) },
			func() { m.commit(t, s, id, fence) },
		}
		for _, call := range calls[:crash] {
			call()
		}
		if crash < len(calls) { // else only the answer was lost
			m.check(t, medium.Open(t))
		}
		s = medium.Open(t)
		fence++
		for _, call := range calls {
			call()
		}
		m.commit(t, s, id, fence)
		m.record(id, steps)
		m.check(t, s)
	}
}

func rollbackLeavesNoTrace(t *testing.T, medium Medium) {
	r := seeded(6)
	s := medium.Open(t)
	m := newModel(t, s, 1, twoDisks())
	m.cut(t, s, "cut-0", 1, m.steps(r))
	m.cut(t, s, "cut-1", 1, m.steps(r))
	steps := m.steps(r)
	begin(t, s, "cut-2", 1, steps)
	m.apply(t, s, 1, steps)
	s = medium.Open(t)
	for range 2 {
		if err := s.Rollback(t.Context(), item, 2); err != nil {
			t.Fatalf("roll back: %v", err)
		}
	}
	for name := range m.sizes {
		if at := firstDifference(readDisk(t, openDisk(t, s, name, 2), m.sizes[name]), m.now[name]); at >= 0 {
			t.Fatalf("disk %s differs at %d after the rollback", name, at)
		}
	}
	m.check(t, s)
	m.cut(t, s, "cut-3", 2, m.steps(r))
	m.check(t, s)
}

func newestPointIsKept(t *testing.T, medium Medium) {
	r := seeded(8)
	s := medium.Open(t)
	m := newModel(t, s, 1, twoDisks())
	for i := range 3 {
		m.cut(t, s, fmt.Sprintf("cut-%d", i), 1, m.steps(r))
	}
	if err := s.RemovePoint(t.Context(), item, "cut-2", 1); err == nil {
		t.Error("the newest point was removed")
	} else {
		wantCode(t, "remove the newest point", err, errorcatalog.NewestPointKept)
	}
	for _, id := range []string{"cut-0", "cut-1", "cut-2", "cut-2"} {
		if err := s.RemovePoint(t.Context(), item, id, 1); err != nil {
			t.Fatalf("remove point %s: %v", id, err)
		}
		m.forget(id)
		m.check(t, s)
	}
	m.cut(t, s, "cut-4", 1, m.steps(r))
	m.check(t, s)
}

func lowerFenceChangesNothing(t *testing.T, medium Medium) {
	r := seeded(9)
	old := medium.Open(t)
	m := newModel(t, old, 5, twoDisks())
	m.cut(t, old, "cut-0", 5, m.steps(r))
	m.cut(t, old, "cut-1", 5, m.steps(r))
	stale := openDisk(t, old, "os", 5)
	s := medium.Open(t)
	openDisk(t, s, "os", 6)
	openDisk(t, s, "data1", 6)
	spec := replica.DiskSpec{Item: item, Disk: "more", SizeBytes: mib}
	whole := []replica.Change{{Disk: "os", Extents: []disk.Extent{{Offset: 0, Length: osSize}}}}
	for _, store := range []replica.Store{old, s} {
		_, openErr := store.OpenDisk(t.Context(), item, "os", 5)
		for what, err := range map[string]error{
			"create disk":  store.CreateDisk(t.Context(), spec, 5),
			"open disk":    openErr,
			"begin apply":  store.BeginApply(t.Context(), item, "cut-x", 5, whole),
			"commit":       store.CommitPoint(t.Context(), item, m.spec("cut-x"), 5),
			"roll back":    store.Rollback(t.Context(), item, 5),
			"remove point": store.RemovePoint(t.Context(), item, "cut-0", 5),
			"remove item":  store.RemoveItem(t.Context(), item, 5),
		} {
			wantCode(t, what+" with a lower fence", err, errorcatalog.Fenced)
		}
	}
	_, err := stale.WriteAt(make([]byte, 512), 0)
	wantCode(t, "write through a disk opened before", err, errorcatalog.Fenced)
	wantCode(t, "zero through a disk opened before", stale.Zero(0, 512), errorcatalog.Fenced)
	m.check(t, s)
	m.cut(t, s, "cut-2", 6, m.steps(r))
	m.check(t, s)
}

func staleWriterIsTooLate(t *testing.T, medium Medium) {
	r := seeded(10)
	old := medium.Open(t)
	m := newModel(t, old, 1, map[string]int64{"os": osSize})
	m.cut(t, old, "cut-0", 1, m.steps(r))
	data := func(seed uint64) []step {
		return []step{{disk: "os", off: 0, data: randomBytes(seed, mib), n: mib}, {disk: "os", off: 2 * mib, n: mib}}
	}
	first := data(1)
	begin(t, old, "cut-1", 1, first)
	stale := openDisk(t, old, "os", 1)
	write(t, stale, first[0].data[:mib/2], 0) // and here it is stopped

	s := medium.Open(t)
	m.sizes = map[string]int64{"os": osSize}
	openDisk(t, s, "os", 2)
	m.cut(t, s, "cut-1", 2, first)
	next := data(2)
	m.cut(t, s, "cut-2", 2, next)

	_, err := stale.WriteAt(first[0].data[mib/2:], mib/2)
	wantCode(t, "the rest of the write", err, errorcatalog.Fenced)
	wantCode(t, "its zeroes", stale.Zero(2*mib, mib), errorcatalog.Fenced)
	wantCode(t, "its commit", old.CommitPoint(t.Context(), item, m.spec("cut-1"), 1), errorcatalog.Fenced)
	_ = stale.Flush(t.Context()) // may or may not report it, and changes nothing
	m.check(t, s)

	begin(t, s, "cut-3", 2, data(3))
	_, err = stale.WriteAt(first[0].data[mib/2:], mib/2)
	wantCode(t, "a write into the next apply", err, errorcatalog.Fenced)
	if got := readDisk(t, openDisk(t, s, "os", 2), osSize); firstDifference(got, m.now["os"]) >= 0 {
		t.Error("the stale writer has changed the disk")
	}
}
