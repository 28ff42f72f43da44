package replicatest

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
)

func pointsFollowTheModel(t *testing.T, medium Medium) {
	t.Helper()
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
	t.Helper()
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
	t.Helper()
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
	t.Helper()
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
	t.Helper()
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
	t.Helper()
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
