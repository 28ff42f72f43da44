package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/replica"
	"farshore/workers/replica/directory"
	"farshore/workers/transfer"
)

const (
	item = "vault.web.1"
	mib  = 1 << 20
	size = 90*mib + 512*5
)

func randomBytes(seed byte, n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(p)
	return p
}

// source is a disk with data, written zeroes and holes.
func source(tb testing.TB) *disk.File {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "source")
	if err := disk.CreateRaw(path, size); err != nil {
		tb.Fatal(err)
	}
	d, err := disk.OpenRaw(path, false)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = d.Close() })
	for off, p := range map[int64][]byte{
		0: randomBytes(1, 20*mib), 30 * mib: make([]byte, 10*mib), 50*mib + 512: randomBytes(2, 9*mib), size - 512: randomBytes(3, 512),
	} {
		if _, err := d.WriteAt(p, off); err != nil {
			tb.Fatal(err)
		}
	}
	return d
}

// target is a disk of a directory store that can be told to fail, and counts.
type target struct {
	replica.Disk
	mu      sync.Mutex
	written int64
	zeroed  int64
	flushed int64 // what was written when the last flush began
	failAt  int64
	fail    error
	wait    <-chan struct{} // before failing
	hook    func()
}

func (d *target) WriteAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	d.written += int64(len(p))
	fail := d.fail
	d.mu.Unlock()
	if d.hook != nil {
		d.hook()
	}
	if fail != nil && off >= d.failAt {
		if d.wait != nil {
			<-d.wait
		}
		return 0, fail
	}
	return d.Disk.WriteAt(p, off)
}

func (d *target) Zero(off, n int64) error {
	d.mu.Lock()
	d.zeroed += n
	d.mu.Unlock()
	return d.Disk.Zero(off, n)
}

func (d *target) Flush(ctx context.Context) error {
	d.mu.Lock()
	d.flushed = d.written
	d.mu.Unlock()
	return d.Disk.Flush(ctx)
}

func newTarget(tb testing.TB) (*directory.Store, *target) {
	tb.Helper()
	s := directory.Open(tb.TempDir(), time.Now)
	if err := s.CreateDisk(tb.Context(), replica.DiskSpec{Item: item, Disk: "os", SizeBytes: size}, 1); err != nil {
		tb.Fatal(err)
	}
	d, err := s.OpenDisk(tb.Context(), item, "os", 1)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = d.Close(); _ = s.Close() })
	return s, &target{Disk: d}
}

func content(tb testing.TB, d interface {
	ReadAt(p []byte, off int64) (int, error)
},
) []byte {
	tb.Helper()
	p := make([]byte, size)
	if _, err := d.ReadAt(p, 0); err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestACanceledCopyIsAFailedCopy(t *testing.T) {
	t.Parallel()
	_, d := newTarget(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	outranked := errors.New("an unplanned failover outranks it")
	d.hook = func() { cancel(outranked) }
	if _, err := transfer.Copy(ctx, source(t), d, transfer.Options{}); !errors.Is(err, outranked) {
		t.Fatalf("got %v", err)
	}
	if d.written > 32*mib {
		t.Errorf("%d bytes were written after it was canceled", d.written)
	}
}

func TestTheFirstFailureIsTheOneReported(t *testing.T) {
	t.Parallel()
	_, d := newTarget(t)
	d.fail, d.failAt = errors.New("no space"), 3*mib
	if _, err := transfer.Copy(t.Context(), source(t), d, transfer.Options{}); !errors.Is(err, d.fail) {
		t.Errorf("writing: %v", err)
	}
	stop := errors.New("lease lost")
	_, d = newTarget(t)
	_, err := transfer.Copy(t.Context(), source(t), d, transfer.Options{
		CheckpointBytes: mib, Checkpoint: func(context.Context, transfer.Checkpoint) error { return stop },
	})
	if !errors.Is(err, stop) {
		t.Errorf("checkpoint: %v", err)
	}
	_, err = transfer.Copy(t.Context(), source(t), d, transfer.Options{Throttle: func(context.Context, int) error { return stop }})
	if !errors.Is(err, stop) {
		t.Errorf("throttle: %v", err)
	}
}

func TestAFreshTargetGetsDataOnlyAndItsManifestProvesIt(t *testing.T) {
	t.Parallel()
	s, d := newTarget(t)
	src := source(t)
	var throttled int64
	var last transfer.Progress
	var told int
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	result, err := transfer.Copy(t.Context(), src, d, transfer.Options{
		TargetIsZero: true, Manifest: checksum.New(s, item, "os", size),
		Throttle: func(_ context.Context, n int) error { throttled += int64(n); return nil },
		Progress: func(p transfer.Progress) { last = p; told++ },
		Now:      func() time.Time { return clock },
	})
	if err != nil {
		t.Fatal(err)
	}
	if told != 1 || last.BytesDone != size || last.BytesTotal != size {
		t.Errorf("told %d times in no time, last %+v", told, last)
	}
	if d.zeroed != 0 || result.BytesWritten != d.written || d.written > 30*mib || throttled < d.written {
		t.Errorf("%d bytes written, %d zeroed, %d throttled, result %+v", d.written, d.zeroed, throttled, result)
	}
	if !bytes.Equal(content(t, d), content(t, src)) {
		t.Fatal("the target differs from the source")
	}
	m, err := checksum.Load(t.Context(), s, item, "os", result.Root)
	if err != nil {
		t.Fatal(err)
	}
	if block, err := m.Verify(t.Context(), src); err != nil || block != -1 {
		t.Fatalf("block %d differs from the manifest, %v", block, err)
	}
}

func TestACopyGoesOnAtItsCheckpointEvenFromAnotherSnapshot(t *testing.T) {
	t.Parallel()
	s, d := newTarget(t)
	var point transfer.Checkpoint
	stop := errors.New("killed")
	checkpointed := make(chan struct{})
	d.fail, d.failAt, d.wait = stop, 55*mib, checkpointed
	_, err := transfer.Copy(t.Context(), source(t), d, transfer.Options{
		TargetIsZero: true, Manifest: checksum.New(s, item, "os", size), CheckpointBytes: 2 * mib, InFlight: 2,
		Checkpoint: func(_ context.Context, c transfer.Checkpoint) error {
			if c.Offset <= point.Offset || c.Root == "" {
				t.Errorf("checkpoint %+v after %+v", c, point)
			}
			if point.Offset == 0 {
				close(checkpointed)
			}
			point = c
			return nil
		},
	})
	if !errors.Is(err, stop) || point.Offset == 0 || point.Offset > 56*mib {
		t.Fatalf("stopped at %+v: %v", point, err)
	}
	// Meanwhile the guest has changed everything above, and cleared most of it.
	now := source(t)
	if err := now.Zero(point.Offset, size-point.Offset); err != nil {
		t.Fatal(err)
	}
	m, err := checksum.Load(t.Context(), s, item, "os", point.Root)
	if err != nil {
		t.Fatal(err)
	}
	d.fail, d.written = nil, 0
	result, err := transfer.Copy(t.Context(), now, d, transfer.Options{From: point.Offset, TargetIsZero: true, Manifest: m})
	if err != nil {
		t.Fatal(err)
	}
	if d.written != 0 {
		t.Errorf("%d bytes were sent again", d.written)
	}
	if !bytes.Equal(content(t, d), content(t, now)) {
		t.Fatal("the target differs from the source")
	}
	full := checksum.New(s, item, "os", size)
	if err := checksum.Scan(t.Context(), now, checksum.ScanOptions{}, full.Record); err != nil {
		t.Fatal(err)
	}
	if root, err := full.Save(t.Context()); err != nil || root != result.Root {
		t.Fatalf("root %s, want %s, %v", result.Root, root, err)
	}
}

func TestACheckpointSaysOnlyWhatWasFlushed(t *testing.T) {
	t.Parallel()
	_, d := newTarget(t)
	count := 0
	_, err := transfer.Copy(t.Context(), source(t), d, transfer.Options{
		CheckpointBytes: mib,
		Checkpoint: func(_ context.Context, c transfer.Checkpoint) error {
			count++
			d.mu.Lock()
			defer d.mu.Unlock()
			if sent := min(c.Offset, 20*mib); d.flushed < sent {
				t.Errorf("checkpoint at %d after a flush of %d bytes", c.Offset, d.flushed)
			}
			return nil
		},
	})
	if err != nil || count < 2 {
		t.Fatalf("%d checkpoints, %v", count, err)
	}
}

func TestProgressIsToldOnceASecond(t *testing.T) {
	t.Parallel()
	_, d := newTarget(t)
	var mu sync.Mutex
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var at []time.Time
	_, err := transfer.Copy(t.Context(), source(t), d, transfer.Options{
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			clock = clock.Add(100 * time.Millisecond)
			return clock
		},
		Progress: func(p transfer.Progress) {
			at = append(at, clock)
			if p.BytesDone > p.BytesTotal || p.BytesTotal != size || p.BytesPerSecond < 0 {
				t.Errorf("progress %+v", p)
			}
		},
	})
	if err != nil || len(at) < 2 {
		t.Fatalf("told %d times, %v", len(at), err)
	}
	for i := 1; i < len(at)-1; i++ {
		if at[i].Sub(at[i-1]) < time.Second {
			t.Errorf("told again after %v", at[i].Sub(at[i-1]))
		}
	}
}
