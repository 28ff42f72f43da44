package replicatest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/replica"
)

const (
	item   = "vault-1.web.1"
	mib    = 1 << 20
	osSize = 3*mib + 3*512 // no whole MiB: a store that pads keeps the true size
)

func unalignedIsRefused(t *testing.T, m Medium) {
	t.Helper()
	s := m.Open(t)
	d := newDisk(t, s, "os", mib, 1)
	for _, c := range []struct{ off, n int64 }{{1, 512}, {512, 511}, {0, 1}} {
		if _, err := d.WriteAt(make([]byte, c.n), c.off); !errors.Is(err, replica.ErrUnaligned) {
			t.Errorf("write %d at %d: %v", c.n, c.off, err)
		}
		if err := d.Zero(c.off, c.n); !errors.Is(err, replica.ErrUnaligned) {
			t.Errorf("zero %d at %d: %v", c.n, c.off, err)
		}
		commit(t, s, "first", mib)
		err := s.BeginApply(t.Context(), item, "cut", 1, []replica.Change{{Disk: "os", Extents: []disk.Extent{{Offset: c.off, Length: c.n}}}})
		if !errors.Is(err, replica.ErrUnaligned) {
			t.Errorf("begin %d at %d: %v", c.n, c.off, err)
		}
	}
	for _, c := range []struct{ off, n int64 }{{-512, 512}, {mib, 512}, {mib - 512, 1024}} {
		if _, err := d.WriteAt(make([]byte, c.n), c.off); !errors.Is(err, replica.ErrOutOfRange) {
			t.Errorf("write %d at %d: %v", c.n, c.off, err)
		}
	}
	if err := s.CreateDisk(t.Context(), replica.DiskSpec{Item: item, Disk: "odd", SizeBytes: 1000}, 1); !errors.Is(err, replica.ErrUnaligned) {
		t.Errorf("create a disk of 1000 bytes: %v", err)
	}
}

func missingHasACode(t *testing.T, m Medium) {
	t.Helper()
	s := m.Open(t)
	if err := s.Check(t.Context()); err != nil {
		t.Fatalf("check: %v", err)
	}
	_, err := s.OpenDisk(t.Context(), item, "os", 1)
	wantCode(t, "a disk of no item", err, errorcatalog.ReplicaDiskNotFound)
	_, err = s.OpenPoint(t.Context(), item, "p1", "os")
	wantCode(t, "a point of no item", err, errorcatalog.RecoveryPointNotFound)
	newDisk(t, s, "os", mib, 1)
	_, err = s.OpenDisk(t.Context(), item, "data", 1)
	wantCode(t, "an unknown disk", err, errorcatalog.ReplicaDiskNotFound)
	_, err = s.OpenPoint(t.Context(), item, "p1", "os")
	wantCode(t, "an unknown point", err, errorcatalog.RecoveryPointNotFound)
	_, err = s.OpenObject(t.Context(), item, "logs/os/1.hrl")
	wantCode(t, "an unknown object", err, errorcatalog.ObjectNotFound)
	if points, err := s.ListPoints(t.Context(), "vault-1.other.1"); err != nil || len(points) != 0 {
		t.Errorf("points of no item: %v, %v", points, err)
	}
	if err := s.RemovePoint(t.Context(), item, "p1", 1); err != nil {
		t.Errorf("remove an unknown point: %v", err)
	}
	if err := s.DeleteObject(t.Context(), item, "logs/os/1.hrl"); err != nil {
		t.Errorf("delete an unknown object: %v", err)
	}
	if err := s.Rollback(t.Context(), item, 1); err != nil {
		t.Errorf("roll back nothing: %v", err)
	}
}

func newDiskIsZero(t *testing.T, m Medium) {
	t.Helper()
	s := m.Open(t)
	d := newDisk(t, s, "os", osSize, 1)
	if !bytes.Equal(readDisk(t, d, osSize), make([]byte, osSize)) {
		t.Error("a new disk is not all zeroes")
	}
	data := randomBytes(1, 4096)
	write(t, d, data, 8192)
	flush(t, d)
	again := newDisk(t, m.Open(t), "os", osSize, 2)
	if got := readDisk(t, again, osSize); !bytes.Equal(got[8192:8192+4096], data) {
		t.Error("creating a disk again has changed it")
	}
	err := s.CreateDisk(t.Context(), replica.DiskSpec{Item: item, Disk: "os", SizeBytes: 2 * osSize}, 2)
	wantCode(t, "create with another size", err, errorcatalog.ReplicaDiskSizeMismatch)
}

func writesAreReadBack(t *testing.T, m Medium) {
	t.Helper()
	s := m.Open(t)
	d := newDisk(t, s, "os", osSize, 1)
	want := randomBytes(7, osSize)
	const part = 128 << 10
	var wg sync.WaitGroup
	for off := 0; off < osSize; off += part {
		wg.Go(func() {
			p := want[off:min(off+part, osSize)]
			if _, err := d.WriteAt(p, int64(off)); err != nil {
				t.Errorf("write at %d: %v", off, err)
			}
			if err := d.Flush(t.Context()); err != nil {
				t.Errorf("flush while others write: %v", err)
			}
		})
	}
	wg.Wait()
	if err := d.Zero(part, 3*512); err != nil {
		t.Fatal(err)
	}
	clear(want[part : part+3*512])
	flush(t, d)
	if !bytes.Equal(readDisk(t, d, osSize), want) {
		t.Error("the disk does not hold what was written")
	}
	if !bytes.Equal(readDisk(t, openDisk(t, m.Open(t), "os", 1), osSize), want) {
		t.Error("another handle does not read what was written")
	}
}

func objectsAreKept(t *testing.T, m Medium) {
	t.Helper()
	s := m.Open(t)
	newDisk(t, s, "os", mib, 1)
	contents := map[string][]byte{
		"logs/os/00000000000000000001-a.hrl": randomBytes(1, 70000),
		"logs/os/00000000000000000002-b.hrl": {},
		"logs/data/00000000000000000001.hrl": randomBytes(2, 9),
		"manifest/os/ab.index":               randomBytes(3, 5*mib),
	}
	for name, content := range contents {
		put(t, s, name, randomBytes(9, 100))
		put(t, s, name, content)
	}
	for name, content := range contents {
		o, err := m.Open(t).OpenObject(t.Context(), item, name)
		if err != nil {
			t.Fatalf("open %s: %v", name, err)
		}
		got := make([]byte, o.Size())
		if _, err := io.ReadFull(io.NewSectionReader(o, 0, o.Size()), got); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if len(content) > 5000 {
			if _, err := o.ReadAt(got[:1000], 3333); err != nil || !bytes.Equal(got[:1000], content[3333:4333]) {
				t.Errorf("%s: a part differs, %v", name, err)
			}
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}
	wantNames(t, s, "logs/os/", "logs/os/00000000000000000001-a.hrl", "logs/os/00000000000000000002-b.hrl")
	wantNames(t, s, "logs/os/00000000000000000002", "logs/os/00000000000000000002-b.hrl")
	wantNames(t, s, "lo", "logs/data/00000000000000000001.hrl", "logs/os/00000000000000000001-a.hrl", "logs/os/00000000000000000002-b.hrl")
	wantNames(t, s, "nothing/here/")
	for range 2 {
		if err := s.DeleteObject(t.Context(), item, "logs/os/00000000000000000001-a.hrl"); err != nil {
			t.Fatal(err)
		}
	}
	wantNames(t, s, "logs/os/", "logs/os/00000000000000000002-b.hrl")
}

// unreadable fails where its content ends.
type unreadable struct {
	*bytes.Reader

	err error
}

func (u unreadable) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = u.err
	}
	return n, err
}

func unreadableIsNotStored(t *testing.T, m Medium) {
	t.Helper()
	s := m.Open(t)
	newDisk(t, s, "os", mib, 1)
	for _, size := range []int64{1000, 9 * mib} {
		for _, readable := range []int64{0, size / 2} {
			for _, failure := range []error{errorcatalog.Fail(errorcatalog.LogMissing, "it is gone"), io.ErrUnexpectedEOF, io.EOF} {
				r := unreadable{bytes.NewReader(randomBytes(5, int(readable))), failure}
				err := s.PutObject(t.Context(), item, "logs/os/1.hrl", r, size)
				if want := errorcatalog.Of(failure).Code; err == nil || errorcatalog.Of(err).Code != want {
					t.Errorf("%d of %d bytes, then %v: %v, want %s", readable, size, failure, err, want)
				}
			}
		}
	}
	wantNames(t, s, "logs/")
}

func wantNames(t *testing.T, s replica.Store, prefix string, want ...string) {
	t.Helper()
	got, err := s.ListObjects(t.Context(), item, prefix)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("objects %q: %v, %v; want %v", prefix, got, err, want)
	}
}

func removedItemIsGone(t *testing.T, m Medium) {
	t.Helper()
	s := m.Open(t)
	other := replica.DiskSpec{Item: "vault-1.web.10", Disk: "os", SizeBytes: mib}
	if err := s.CreateDisk(t.Context(), other, 1); err != nil {
		t.Fatal(err)
	}
	d := newDisk(t, s, "os", mib, 1)
	write(t, d, randomBytes(1, mib), 0)
	flush(t, d)
	commit(t, s, "p1", mib)
	put(t, s, "logs/os/1.hrl", []byte("log"))
	for range 2 {
		if err := m.Open(t).RemoveItem(t.Context(), item, 2); err != nil {
			t.Fatalf("remove item: %v", err)
		}
	}
	_, err := s.OpenDisk(t.Context(), item, "os", 2)
	wantCode(t, "open a disk of a removed item", err, errorcatalog.ReplicaDiskNotFound)
	_, err = s.OpenPoint(t.Context(), item, "p1", "os")
	wantCode(t, "open a point of a removed item", err, errorcatalog.RecoveryPointNotFound)
	wantNames(t, s, "")
	if u, err := s.Usage(t.Context(), item); err != nil || u.Item != 0 {
		t.Errorf("usage of a removed item: %+v, %v", u, err)
	}
	if _, err := s.OpenDisk(t.Context(), other.Item, "os", 1); err != nil {
		t.Errorf("an item of a like name was removed, too: %v", err)
	}
}

func usageGrows(t *testing.T, m Medium) {
	t.Helper()
	s := m.Open(t)
	d := newDisk(t, s, "os", 4*mib, 1)
	before, err := s.Usage(t.Context(), item)
	if err != nil {
		t.Fatal(err)
	}
	if before.Item >= mib {
		t.Errorf("an empty disk occupies %d bytes", before.Item)
	}
	write(t, d, randomBytes(1, 2*mib), 0)
	flush(t, d)
	after, err := s.Usage(t.Context(), item)
	if err != nil || after.Item < before.Item+2*mib || after.Item > before.Item+3*mib {
		t.Errorf("usage went from %d to %d, %v", before.Item, after.Item, err)
	}
}

func newDisk(tb testing.TB, s replica.Store, name string, size, fence int64) replica.Disk {
	tb.Helper()
	if err := s.CreateDisk(tb.Context(), replica.DiskSpec{Item: item, Disk: name, SizeBytes: size}, fence); err != nil {
		tb.Fatalf("create disk: %v", err)
	}
	return openDisk(tb, s, name, fence)
}

func openDisk(tb testing.TB, s replica.Store, name string, fence int64) replica.Disk {
	tb.Helper()
	d, err := s.OpenDisk(tb.Context(), item, name, fence)
	if err != nil {
		tb.Fatalf("open disk: %v", err)
	}
	tb.Cleanup(func() { _ = d.Close() })
	return d
}

func write(tb testing.TB, d replica.Disk, p []byte, off int64) {
	tb.Helper()
	if n, err := d.WriteAt(p, off); err != nil || n != len(p) {
		tb.Fatalf("write %d bytes at %d: %d, %v", len(p), off, n, err)
	}
}

func flush(tb testing.TB, d replica.Disk) {
	tb.Helper()
	if err := d.Flush(tb.Context()); err != nil {
		tb.Fatalf("flush: %v", err)
	}
}

func put(tb testing.TB, s replica.Store, name string, content []byte) {
	tb.Helper()
	if err := s.PutObject(tb.Context(), item, name, bytes.NewReader(content), int64(len(content))); err != nil {
		tb.Fatalf("put %s: %v", name, err)
	}
}

func commit(tb testing.TB, s replica.Store, id string, size int64) {
	tb.Helper()
	if err := s.CommitPoint(tb.Context(), item, pointSpec(id, size), 1); err != nil {
		tb.Fatalf("commit point %s: %v", id, err)
	}
}

func pointSpec(id string, size int64) replica.PointSpec {
	return replica.PointSpec{ID: id, Disks: []replica.PointDisk{{Disk: "os", SizeBytes: size, Root: strings.Repeat("ab", 32)}}}
}

func readDisk(tb testing.TB, r io.ReaderAt, size int64) []byte {
	tb.Helper()
	p := make([]byte, size)
	if n, err := r.ReadAt(p, 0); n != len(p) || err != nil && !errors.Is(err, io.EOF) {
		tb.Fatalf("read %d of %d bytes: %v", n, size, err)
	}
	return p
}

func wantCode(tb testing.TB, what string, err error, code errorcatalog.Code) {
	tb.Helper()
	if err == nil || errorcatalog.Of(err).Code != code {
		tb.Errorf("%s: got %v, want %s", what, err, code)
	}
}

func randomBytes(seed uint64, n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(p)
	return p
}
