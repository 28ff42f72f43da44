package directory_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"farshore/workers/replica"
	"farshore/workers/replica/directory"
	"farshore/workers/replica/replicatest"
)

func open(t testing.TB, root string) *directory.Store {
	t.Helper()
	s := directory.Open(root, time.Now)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestADirectoryIsAReplicaStore(t *testing.T) {
	t.Parallel()
	replicatest.Run(t, func(t *testing.T) replicatest.Medium {
		t.Helper()
		root := t.TempDir()
		file := func(item, disk string) string { return filepath.Join(root, item, "disks", disk+".raw") }
		return replicatest.Medium{
			Open: func(t testing.TB) replica.Store { t.Helper(); return open(t, root) },
			Faults: replicatest.Faults{
				FlipBit: func(t testing.TB, item, disk string, off int64) {
					t.Helper()
					flipBit(t, file(item, disk), off)
				},
				Truncate: func(t testing.TB, item, disk string, size int64) {
					t.Helper()
					if err := os.Truncate(file(item, disk), size); err != nil {
						t.Fatal(err)
					}
				},
			},
		}
	})
}

func flipBit(t testing.TB, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 8
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
