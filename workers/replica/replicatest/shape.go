package replicatest

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/workers/replica"
)

// newDiskIsWrittenFreely adds a disk to a replica that has points: until one holds
// it, it is written without an apply, and the points do not notice.
func newDiskIsWrittenFreely(t *testing.T, medium Medium) {
	t.Helper()
	r, s := seeded(21), medium.Open(t)
	m := newModel(t, s, 1, twoDisks())
	m.cut(t, s, "cut-0", 1, m.steps(r))
	logs := newDisk(t, s, "logs", osSize, 1)
	copied := randomBytes(22, osSize)
	write(t, logs, copied[:mib], 0)
	steps := m.steps(r)
	begin(t, s, "cut-1", 1, steps)
	write(t, logs, copied[mib:], mib) // also while another cut is applied
	flush(t, logs)
	m.apply(t, s, 1, steps)
	m.commit(t, s, "cut-1", 1)
	m.record("cut-1", steps)
	m.check(t, s)

	m.sizes["logs"], m.now["logs"] = osSize, slices.Clone(copied)
	steps = append(m.steps(r), step{disk: "logs", off: 512, n: 512, data: randomBytes(23, 512)})
	begin(t, s, "cut-2", 1, steps)
	m.apply(t, s, 1, steps)
	s = medium.Open(t)
	if err := s.Rollback(t.Context(), item, 2); err != nil {
		t.Fatalf("roll back: %v", err)
	}
	if !bytes.Equal(readDisk(t, openDisk(t, s, "logs", 2), osSize), copied) {
		t.Error("a rollback has not given the new disk back")
	}
	m.cut(t, s, "cut-2", 2, steps)
	m.check(t, s)
	for _, id := range []string{"cut-0", "cut-1"} {
		if _, err := s.OpenPoint(t.Context(), item, id, "logs"); err == nil {
			t.Errorf("point %s holds a disk that was added later", id)
		}
	}
	if _, err := openDisk(t, s, "logs", 2).WriteAt(copied[:512], 0); !errors.Is(err, replica.ErrUndeclared) {
		t.Errorf("a disk that a point holds was written: %v", err)
	}
}

// diskGrows makes a disk larger while points hold it.
func diskGrows(t *testing.T, medium Medium) {
	t.Helper()
	r, s := seeded(31), medium.Open(t)
	m := newModel(t, s, 1, twoDisks())
	m.cut(t, s, "cut-0", 1, m.steps(r))
	m.cut(t, s, "cut-1", 1, m.steps(r))
	fence := int64(1)
	for n, size := range []int64{osSize + 512, 4*mib + 512, 4*mib + 1024, 6 * mib} {
		spec := replica.DiskSpec{Item: item, Disk: "os", SizeBytes: size}
		for range 2 {
			if err := s.GrowDisk(t.Context(), spec, fence); err != nil {
				t.Fatalf("grow to %d: %v", size, err)
			}
		}
		m.check(t, s)
		grown := m.grow("os", size)
		if !bytes.Equal(readDisk(t, openDisk(t, medium.Open(t), "os", fence), size), grown) {
			t.Errorf("a disk that grew to %d holds something else", size)
		}
		id := "grown-" + string(rune('a'+n))
		end := step{disk: "os", off: size - 512, n: 512, data: randomBytes(uint64(40+n), 512)}
		steps := append(m.steps(r), end)
		begin(t, s, id, fence, steps)
		m.apply(t, s, fence, steps)
		m.check(t, s)
		fence++
		s = medium.Open(t)
		if err := s.Rollback(t.Context(), item, fence); err != nil {
			t.Fatalf("roll back: %v", err)
		}
		if !bytes.Equal(readDisk(t, openDisk(t, s, "os", fence), size), grown) {
			t.Errorf("a rollback of what was added to %d leaves a trace", size)
		}
		m.cut(t, s, id, fence, steps)
		m.check(t, s)
	}
	err := s.GrowDisk(t.Context(), replica.DiskSpec{Item: item, Disk: "os", SizeBytes: osSize}, fence)
	wantCode(t, "shrink a disk", err, errorcatalog.DiskShrunk)
	err = s.GrowDisk(t.Context(), replica.DiskSpec{Item: item, Disk: "os", SizeBytes: 8 * mib}, fence-1)
	wantCode(t, "grow a disk with an old fence", err, errorcatalog.Fenced)
	err = s.GrowDisk(t.Context(), replica.DiskSpec{Item: item, Disk: "none", SizeBytes: mib}, fence)
	wantCode(t, "grow an unknown disk", err, errorcatalog.ReplicaDiskNotFound)
	for len(m.points) > 1 {
		victim := m.points[r.IntN(len(m.points)-1)]
		if err := s.RemovePoint(t.Context(), item, victim, fence); err != nil {
			t.Fatalf("remove point %s: %v", victim, err)
		}
		m.forget(victim)
		m.check(t, s)
	}
}

// growthIsRepeated cuts a growth off after each change that it makes. By the time it
// is repeated the disk may be to grow otherwise, and that may be cut off as well.
func growthIsRepeated(t *testing.T, medium Medium) {
	t.Helper()
	if medium.Faults.CutAfter == nil {
		return
	}
	const first, larger, smaller, largest = 3*mib + 512, 4 * mib, 2*mib + 512, 6*mib + 1024
	fence := int64(0)
	for _, sizes := range [][]int64{{first, first}, {first, larger, largest}, {first, smaller}, {smallSize + 512, smallSize + 1024}} {
		for n, cut := 0, true; cut; n++ {
			fence++
			cut = growthsAreCutOff(t, medium, fence, n, sizes)
		}
	}
}

const smallSize = mib + 3*512

// growthsAreCutOff makes a disk grow to each of the sizes in turn; all growths but
// the last are cut off after n changes. It says whether the first was.
func growthsAreCutOff(t *testing.T, medium Medium, fence int64, n int, sizes []int64) bool {
	t.Helper()
	r, s := seeded(uint64(n)), medium.Open(t)
	if err := s.RemoveItem(t.Context(), item, fence); err != nil {
		t.Fatal(err)
	}
	m := newModel(t, s, fence, map[string]int64{"os": smallSize})
	m.cut(t, s, "cut-0", fence, append(m.steps(r), step{disk: "os", off: smallSize - 512, n: 512, data: randomBytes(50, 512)}))
	for at, size := range sizes {
		ctx, restore := medium.Faults.CutAfter(t, n)
		if at == len(sizes)-1 {
			restore()
			ctx = t.Context()
		}
		err := s.GrowDisk(ctx, replica.DiskSpec{Item: item, Disk: "os", SizeBytes: size}, fence)
		restore()
		if err != nil && at == len(sizes)-1 {
			t.Fatalf("grow to %d, %v after %d changes: %v", size, sizes, n, err)
		}
		if err == nil && at == 0 {
			return false
		}
		s = medium.Open(t)
		d := openDisk(t, s, "os", fence)
		if _, short := d.ReadAt(make([]byte, 512), size-512); err == nil || short == nil { // else only the answer was lost
			m.grow("os", size)
		}
		if at := firstDifference(readDisk(t, d, m.sizes["os"]), m.now["os"]); at >= 0 {
			t.Fatalf("to %d, %v after %d changes: the disk differs at %d", size, sizes, n, at)
		}
		m.cut(t, s, "of-"+strconv.Itoa(at), fence, m.steps(r))
		m.check(t, s)
	}
	return true
}

// diskIsRemoved takes a disk away once no point holds it.
func diskIsRemoved(t *testing.T, medium Medium) {
	t.Helper()
	r, s := seeded(41), medium.Open(t)
	m := newModel(t, s, 1, twoDisks())
	gone := "data1"
	m.cut(t, s, "cut-0", 1, m.steps(r))
	m.cut(t, s, "cut-1", 1, m.steps(r))
	delete(m.sizes, gone)
	delete(m.now, gone)
	m.cut(t, s, "cut-2", 1, m.steps(r))
	m.check(t, s)
	for _, id := range []string{"cut-0", "cut-1"} {
		wantCode(t, "remove a disk in points", s.RemoveDisk(t.Context(), item, gone, 1), errorcatalog.DiskInRecoveryPoints)
		if err := s.RemovePoint(t.Context(), item, id, 1); err != nil {
			t.Fatalf("remove point %s: %v", id, err)
		}
		m.forget(id)
		m.check(t, s)
	}
	for range 2 {
		if err := s.RemoveDisk(t.Context(), item, gone, 2); err != nil {
			t.Fatalf("remove a disk: %v", err)
		}
	}
	wantCode(t, "remove a disk with an old fence", s.RemoveDisk(t.Context(), item, "os", 1), errorcatalog.Fenced)
	_, err := s.OpenDisk(t.Context(), item, gone, 2)
	wantCode(t, "open a removed disk", err, errorcatalog.ReplicaDiskNotFound)
	m.cut(t, s, "cut-3", 2, m.steps(r))
	again := newDisk(t, s, gone, mib, 2)
	if !bytes.Equal(readDisk(t, again, mib), make([]byte, mib)) {
		t.Error("a disk that was added again is not all zeroes")
	}
	m.check(t, medium.Open(t))
}
