package directory_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"farshore/workers/replica"
	"farshore/workers/replica/directory"
	"farshore/workers/replica/replicatest"
)

func open(tb testing.TB, root string) *directory.Store {
	tb.Helper()
	s := directory.Open(root, time.Now)
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func TestADirectoryIsAReplicaStore(t *testing.T) {
	t.Parallel()
	replicatest.Run(t, func(t *testing.T) replicatest.Medium {
		t.Helper()
		root := t.TempDir()
		file := func(item, disk string) string { return filepath.Join(root, item, "disks", disk+".raw") }
		return replicatest.Medium{
			Open: func(tb testing.TB) replica.Store { tb.Helper(); return open(tb, root) },
			Faults: replicatest.Faults{
				FlipBit: func(tb testing.TB, item, disk string, off int64) {
					tb.Helper()
					flipBit(tb, file(item, disk), off)
				},
				Truncate: func(tb testing.TB, item, disk string, size int64) {
					tb.Helper()
					if err := os.Truncate(file(item, disk), size); err != nil {
						tb.Fatal(err)
					}
				},
				CutAfter: func(tb testing.TB, n int) (context.Context, func()) {
					tb.Helper()
					c := &cutOff{Context: tb.Context()}
					c.left.Store(int64(n))
					return c, func() {}
				},
			},
		}
	})
}

// cutOff ends when the store has looked at it a number of times, which it does
// before each change.
type cutOff struct {
	context.Context //nolint:containedctx // it is one

	left atomic.Int64
}

// Err tells the end.
func (c *cutOff) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

func flipBit(tb testing.TB, path string, off int64) {
	tb.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		tb.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, off); err != nil {
		tb.Fatal(err)
	}
	b[0] ^= 8
	if _, err := f.WriteAt(b, off); err != nil {
		tb.Fatal(err)
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
}
