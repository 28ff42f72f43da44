package checksum_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"farshore/workers/checksum"
	"farshore/workers/disk"
)

func randomBytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	c := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = c.Read(b)
	return b
}

// patched is a disk with data, holes and written zeroes, and its content.
func patched(tb testing.TB, size int64) (*disk.File, []byte) {
	tb.Helper()
	d, content := newDisk(tb, size), make([]byte, size)
	write := func(p []byte, off int64) {
		copy(content[off:], p)
		if _, err := d.WriteAt(p, off); err != nil {
			tb.Fatal(err)
		}
	}
	write(randomBytes(1, 3*mib+700), 100*kib)
	write(make([]byte, mib), 6*mib)
	write([]byte{1}, 9*mib)
	write(randomBytes(2, 5), size-5)
	return d, content
}

type counting struct {
	disk.Reader
	read    atomic.Int64
	largest atomic.Int64
	flight  atomic.Int64
	fail    error
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	if c.fail != nil && off >= 2*mib {
		return 0, c.fail
	}
	c.read.Add(int64(len(p)))
	n := c.flight.Add(1)
	for old := c.largest.Load(); n > old; old = c.largest.Load() {
		if c.largest.CompareAndSwap(old, n) {
			break
		}
	}
	defer c.flight.Add(-1)
	return c.Reader.ReadAt(p, off)
}

func TestTheFirstFailureIsTheOneReported(t *testing.T) {
	t.Parallel()
	d, _ := patched(t, 20*mib)
	broken := errors.New("bad sector")
	err := checksum.Scan(t.Context(), &counting{Reader: d, fail: broken}, checksum.ScanOptions{}, func(context.Context, checksum.Run) error { return nil })
	if !errors.Is(err, broken) {
		t.Errorf("reading: %v", err)
	}
	full := errors.New("no space")
	err = checksum.Scan(t.Context(), d, checksum.ScanOptions{}, func(context.Context, checksum.Run) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("handling: %v", err)
	}
	if err := checksum.Scan(t.Context(), d, checksum.ScanOptions{From: 512}, nil); err == nil {
		t.Error("a scan began inside a block")
	}
}

func TestACanceledScanIsAFailedScan(t *testing.T) {
	t.Parallel()
	d, _ := patched(t, 20*mib)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("outranked")
	err := checksum.Scan(ctx, d, checksum.ScanOptions{}, func(context.Context, checksum.Run) error { cancel(why); return nil })
	if !errors.Is(err, why) {
		t.Fatalf("got %v", err)
	}
}

func TestEveryBlockIsSeenOnceAndZeroesAreNeitherReadNorHashed(t *testing.T) {
	t.Parallel()
	const size = 20*mib + 777
	d, content := patched(t, size)
	src := &counting{Reader: d}
	var mu sync.Mutex
	seen := map[int64]int{}
	var last, most int64
	err := checksum.Scan(t.Context(), src, checksum.ScanOptions{
		InFlight: 3,
		Progress: func(done, below int64) {
			mu.Lock()
			defer mu.Unlock()
			most, last = max(most, below), max(last, done)
		},
	}, func(_ context.Context, r checksum.Run) error {
		mu.Lock()
		defer mu.Unlock()
		for i := range r.Count {
			block := r.First + i
			seen[block]++
			end := min((block+1)*checksum.BlockSize, size)
			want := content[block*checksum.BlockSize : end]
			if r.Zero != checksum.IsZero(want) {
				t.Errorf("block %d: zero is %v", block, r.Zero)
			}
			if !r.Zero && r.Digests[i] != checksum.Sum(want) {
				t.Errorf("block %d: wrong digest", block)
			}
		}
		if end := min(r.Offset()+r.Count*checksum.BlockSize, size); !r.Zero && !bytes.Equal(r.Data, content[r.Offset():end]) {
			t.Errorf("run at %d: wrong data", r.Offset())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for block := range checksum.Blocks(size) {
		if seen[block] != 1 {
			t.Errorf("block %d seen %d times", block, seen[block])
		}
	}
	if last != size || most != size {
		t.Errorf("progress ended at %d, %d of %d", last, most, size)
	}
	if src.read.Load() > 6*mib || src.largest.Load() > 3 {
		t.Errorf("%d bytes read, %d at once", src.read.Load(), src.largest.Load())
	}
}

func TestRehashedBlocksGiveTheRootOfAFullScan(t *testing.T) {
	t.Parallel()
	d, _ := patched(t, 80*mib+100)
	o := newObjects()
	m := checksum.New(o, item, "os", d.Size())
	if err := checksum.Scan(t.Context(), d, checksum.ScanOptions{}, m.Record); err != nil {
		t.Fatal(err)
	}
	changes := []disk.Extent{{Offset: 70*mib + 5, Length: 3}, {Offset: 0, Length: 200 * kib}, {Offset: d.Size() - 1, Length: 1}}
	for i, e := range changes {
		if i == 1 {
			if err := d.Zero(e.Offset, e.Length); err != nil {
				t.Fatal(err)
			}
		} else if _, err := d.WriteAt(randomBytes(9, int(e.Length)), e.Offset); err != nil {
			t.Fatal(err)
		}
	}
	if block, err := m.Verify(t.Context(), d); err != nil || block != 1 {
		t.Fatalf("verify found block %d, %v", block, err)
	}
	if err := m.Rehash(t.Context(), d, changes); err != nil {
		t.Fatal(err)
	}
	if block, err := m.Verify(t.Context(), d); err != nil || block != -1 {
		t.Fatalf("verify found block %d, %v", block, err)
	}
	fresh := checksum.New(o, item, "os", d.Size())
	if err := checksum.Scan(t.Context(), d, checksum.ScanOptions{}, fresh.Record); err != nil {
		t.Fatal(err)
	}
	if save(t, fresh) != save(t, m) {
		t.Fatal("roots differ")
	}
}

func BenchmarkScanWarm(b *testing.B) {
	const size = 256 * mib
	d := newDisk(b, size)
	data := randomBytes(3, mib)
	for off := int64(0); off < size; off += mib {
		data[0] = byte(off >> 20)
		if _, err := d.WriteAt(data, off); err != nil {
			b.Fatal(err)
		}
	}
	o := newObjects()
	b.SetBytes(size)
	for b.Loop() {
		if err := checksum.Scan(b.Context(), d, checksum.ScanOptions{}, checksum.New(o, item, "os", size).Record); err != nil {
			b.Fatal(err)
		}
	}
}

func TestTheManifestOfAGrownDiskIsThatOfAFullScan(t *testing.T) {
	t.Parallel()
	for _, from := range []int64{mib, 80*mib + 512, checksum.ChunkBytes, checksum.ChunkBytes + 512} {
		for _, by := range []int64{512, checksum.BlockSize, 3*mib + 512, 2 * checksum.ChunkBytes} {
			d := newDisk(t, from)
			if _, err := d.WriteAt(randomBytes(5, 512), from-512); err != nil {
				t.Fatal(err)
			}
			o := newObjects()
			m := checksum.New(o, item, "os", from)
			if err := checksum.Scan(t.Context(), d, checksum.ScanOptions{}, m.Record); err != nil {
				t.Fatal(err)
			}
			grown, err := load(t, o, save(t, m)).Grown(t.Context(), from+by, d)
			if err != nil {
				t.Fatal(err)
			}
			larger := newDisk(t, from+by)
			if _, err := larger.WriteAt(randomBytes(5, 512), from-512); err != nil {
				t.Fatal(err)
			}
			fresh := checksum.New(o, item, "os", from+by)
			if err := checksum.Scan(t.Context(), larger, checksum.ScanOptions{}, fresh.Record); err != nil {
				t.Fatal(err)
			}
			if save(t, grown) != save(t, fresh) {
				t.Errorf("from %d by %d: roots differ", from, by)
			}
			if _, err := grown.Grown(t.Context(), from, larger); !errors.Is(err, checksum.ErrSizeDiffer) {
				t.Errorf("a manifest has shrunk: %v", err)
			}
		}
	}
}
