package changelog_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/workers/changelog"
)

func hrls(tb testing.TB, dir string) []string {
	tb.Helper()
	var out []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".hrl") || strings.HasSuffix(e.Name(), ".dirty") {
			out = append(out, e.Name())
		}
	}
	return out
}

// expectFailure checks that tracking of disk 0 has stopped for the given reason,
// now and after a restart, while the guest goes on.
func (m *machine) expectFailure(t *testing.T, g *changelog.Group, want errorcatalog.Code) {
	t.Helper()
	if f := g.Status()[0].Failure; f == nil || f.Code != want {
		t.Fatalf("status %+v, want %s", f, want)
	}
	if _, err := m.gates[0].WriteAt([]byte("the guest goes on"), 77); err != nil {
		t.Errorf("write after tracking stopped: %v", err)
	}
	if err := m.gates[0].Flush(); err != nil {
		t.Errorf("flush after tracking stopped: %v", err)
	}
	if left := hrls(t, m.dir); len(left) != 0 {
		t.Errorf("logs are left: %v", left)
	}
	if err := g.Cut(t.Context(), changelog.CutOptions{}); code(err) != want {
		t.Errorf("cut: %v, want %s", err, want)
	}
	again := m.reopen(t)
	if f := again.Status()[0].Failure; f == nil || f.Code != want {
		t.Fatalf("after a restart: %+v, want %s", f, want)
	}
	if err := again.Restart(t.Context(), []string{"disk0"}, func() error { m.seeds = m.images(t); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := m.gates[0].WriteAt([]byte("tracked again"), 4096); err != nil {
		t.Fatal(err)
	}
	images := clone(m.seeds)
	m.cut(t, again, images, nil)
	same(t, "after tracking was begun again", images, m.images(t))
}

func TestLogsOverTheirLimitEndTrackingAndNotTheGuest(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1, 1<<20)
	m.o.LimitPercent = 50
	g := m.start(t)
	chunk := bytes.Repeat([]byte{5}, 64<<10)
	for i := range 16 {
		if i == 3 { // sealed logs count, too
			m.cut(t, g, clone(m.seeds), nil)
		}
		if _, err := m.gates[0].WriteAt(chunk, int64(i)<<16); err != nil {
			t.Fatal(err)
		}
	}
	m.expectFailure(t, g, errorcatalog.LogThresholdExceeded)
}

func TestHolesDoNotCountTowardsTheLimit(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1, 1<<20)
	m.o.LimitPercent = 50
	g := m.start(t)
	for range 10 {
		if err := m.gates[0].Zero(0, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if s := g.Status()[0]; s.Failure != nil || s.PendingBytes > 1<<16 {
		t.Errorf("%+v", s)
	}
}

func TestTheReserveOfFreeSpaceEndsTracking(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1, 16<<20)
	var free atomic.Int64
	free.Store(1 << 40)
	m.o.Space = func(string) (int64, int64, error) { return free.Load(), 1 << 40, nil }
	g := m.start(t)
	free.Store(1<<40/20 - 1)
	chunk := bytes.Repeat([]byte{5}, 1<<20)
	for i := range 9 {
		if _, err := m.gates[0].WriteAt(chunk, int64(i)<<20); err != nil {
			t.Fatal(err)
		}
	}
	free.Store(1 << 40)
	m.expectFailure(t, g, errorcatalog.FreeSpaceReserveReached)
}

func TestACutThatCouldNotBeRecordedIsFoldedIntoTheNext(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 2, 1<<20)
	g := m.start(t)
	fill := func(b byte) {
		for _, gate := range m.gates {
			if _, err := gate.WriteAt(bytes.Repeat([]byte{b}, 5000), int64(b)*1000); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(1)
	lost := errors.New("the record was not written")
	if err := g.Cut(t.Context(), changelog.CutOptions{Record: func(time.Time, []changelog.DiskLogs) error { return lost }}); !errors.Is(err, lost) {
		t.Fatalf("cut: %v", err)
	}
	fill(2)
	if err := g.Cut(t.Context(), changelog.CutOptions{InHold: func() error { return lost }}); !errors.Is(err, lost) {
		t.Fatalf("cut: %v", err)
	}
	fill(3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = g.Cut(ctx, changelog.CutOptions{Record: func(time.Time, []changelog.DiskLogs) error { return lost }})
	fill(4)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g = m.reopen(t)
	fill(5)
	images := clone(m.seeds)
	logs := m.cut(t, g, images, nil)
	same(t, "the folded cut", images, m.images(t))
	if len(logs) < 6 {
		t.Errorf("logs %v", logs)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	// A recorded cut's logs are in no other.
	g = m.reopen(t, logs...)
	fill(6)
	next := m.cut(t, g, images, nil)
	same(t, "the cut after it", images, m.images(t))
	for _, id := range next {
		for _, old := range logs {
			if id == old {
				t.Errorf("log %s is in two cuts", id)
			}
		}
	}
}

func TestTrackingBeginsAndEndsUnderARunningGuest(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 2, 1<<20)
	stop := make(chan struct{})
	var guests sync.WaitGroup
	for i := range 4 {
		guests.Go(func() { m.guest(t, stop, uint64(i)) })
	}
	for range 4 {
		g := m.start(t)
		images := clone(m.seeds)
		var snapshot [][]byte
		m.cut(t, g, images, func() error { snapshot = m.images(t); return nil })
		same(t, "tracked", images, snapshot)
		if err := g.Stop(); err != nil {
			t.Fatal(err)
		}
		if left := hrls(t, m.dir); len(left) != 0 {
			t.Fatalf("logs are left: %v", left)
		}
	}
	close(stop)
	guests.Wait()
	if _, err := changelog.OpenGroup(t.Context(), m.o, m.tracked()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open of a stopped group: %v", err)
	}
}
