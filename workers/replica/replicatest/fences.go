package replicatest

import (
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/replica"
)

func lowerFenceChangesNothing(t *testing.T, medium Medium) {
	t.Helper()
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
	t.Helper()
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
