package replicatest

import (
	"errors"
	"testing"

	"farshore/workers/replica"
)

const (
	item = "vault-1.web.1"
	mib  = 1 << 20
)

func unalignedIsRefused(t *testing.T, m Medium) {
	s := m.Open(t)
	d := newDisk(t, s, "os", mib, 1)
	for _, c := range []struct{ off, n int64 }{{1, 512}, {512, 511}, {0, 1}} {
		if _, err := d.WriteAt(make([]byte, c.n), c.off); !errors.Is(err, replica.ErrUnaligned) {
			t.Errorf("write %d at %d: %v", c.n, c.off, err)
		}
		if err := d.Zero(c.off, c.n); !errors.Is(err, replica.ErrUnaligned) {
			t.Errorf("zero %d at %d: %v", c.n, c.off, err)
		}
	}
	for _, c := range []struct{ off, n int64 }{{-512, 512}, {mib, 512}, {mib - 512, 1024}} {
		if _, err := d.WriteAt(make([]byte, c.n), c.off); !errors.Is(err, replica.ErrOutOfRange) {
			t.Errorf("write %d at %d: %v", c.n, c.off, err)
		}
	}
}

func newDisk(t testing.TB, s replica.Store, name string, size, fence int64) replica.Disk {
	t.Helper()
	if err := s.CreateDisk(t.Context(), replica.DiskSpec{Item: item, Disk: name, SizeBytes: size}, fence); err != nil {
		t.Fatalf("create disk: %v", err)
	}
	return openDisk(t, s, name, fence)
}

func openDisk(t testing.TB, s replica.Store, name string, fence int64) replica.Disk {
	t.Helper()
	d, err := s.OpenDisk(t.Context(), item, name, fence)
	if err != nil {
		t.Fatalf("open disk: %v", err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}
