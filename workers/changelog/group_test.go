package changelog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"farshore/domain/errorcatalog"
	"farshore/workers/changelog"
	"farshore/workers/disk"
)

// machine is a VM whose disks are raw files.
type machine struct {
	dir    string
	files  []*disk.File
	faults []*faulty
	gates  []*changelog.Gate
	seeds  [][]byte
	o      changelog.Options
}

// faulty is a disk that fails when it is told to.
type faulty struct {
	disk.Device
	failWrites atomic.Bool
	tear       atomic.Bool // a failing write has written its first half
	block      atomic.Pointer[blocker]
}

// blocker stops writes until it is let go.
type blocker struct{ entered, release chan struct{} }

func (f *faulty) WriteAt(p []byte, off int64) (int, error) {
	if b := f.block.Load(); b != nil {
		b.entered <- struct{}{}
		<-b.release
	}
	if f.failWrites.Load() {
		if f.tear.Load() {
			_, _ = f.Device.WriteAt(p[:len(p)/2], off)
		}
		return 0, syscall.EIO
	}
	return f.Device.WriteAt(p, off)
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

func ample(string) (free, total int64, err error) { return 1 << 40, 1 << 41, nil }

func newMachine(t testing.TB, disks int, size int64) *machine {
	t.Helper()
	boot, err := changelog.BootID()
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{dir: t.TempDir(), o: changelog.Options{
		LimitPercent: 10_000, BootID: boot, Space: ample, Now: time.Now,
		NewID: newID,
	}}
	for i := range disks {
		if err := disk.CreateRaw(m.base(i), size); err != nil {
			t.Fatal(err)
		}
	}
	m.open(t)
	t.Cleanup(m.close)
	return m
}

func (m *machine) base(i int) string { return filepath.Join(m.dir, fmt.Sprintf("disk%d.raw", i)) }

// open opens the files as a process does that starts.
func (m *machine) open(t testing.TB) {
	t.Helper()
	m.close()
	for i := 0; ; i++ {
		f, err := disk.OpenRaw(m.base(i), false)
		if errors.Is(err, fs.ErrNotExist) || err != nil && i > 0 {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		m.files = append(m.files, f)
		m.faults = append(m.faults, &faulty{Device: f})
		m.gates = append(m.gates, changelog.NewGate(m.faults[i]))
	}
}

func (m *machine) close() {
	for _, f := range m.files {
		_ = f.Close()
	}
	m.files, m.faults, m.gates = nil, nil, nil
}

func (m *machine) tracked(claimed ...string) []changelog.TrackedDisk {
	out := make([]changelog.TrackedDisk, 0, len(m.gates))
	for i, g := range m.gates {
		out = append(out, changelog.TrackedDisk{ID: fmt.Sprint("disk", i), Gate: g, Base: m.base(i), Claimed: claimed})
	}
	return out
}

// images reads all disks.
func (m *machine) images(t testing.TB) [][]byte {
	t.Helper()
	out := make([][]byte, 0, len(m.files))
	for i := range m.files {
		b, err := os.ReadFile(m.base(i))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

func (m *machine) start(t testing.TB) *changelog.Group {
	t.Helper()
	g, err := changelog.StartGroup(t.Context(), m.o, m.tracked(), func() error {
		m.seeds = m.images(t)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

func (m *machine) reopen(t testing.TB, claimed ...string) *changelog.Group {
	t.Helper()
	m.open(t)
	g, err := changelog.OpenGroup(t.Context(), m.o, m.tracked(claimed...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

// cut makes a cut and replays its logs onto images. With inHold it also reads
// the disks at the cut's instant.
func (m *machine) cut(t testing.TB, g *changelog.Group, images [][]byte, inHold bool) (snapshot [][]byte, logs []string) {
	t.Helper()
	o := changelog.CutOptions{Record: func(_ time.Time, disks []changelog.DiskLogs) error {
		for i, d := range disks {
			for _, l := range d.Logs {
				logs = append(logs, l.ID)
				b, err := os.ReadFile(l.File)
				if err != nil {
					return err
				}
				if err := replay(images[i], b); err != nil {
					return err
				}
			}
		}
		return nil
	}}
	if inHold {
		o.InHold = func() error {
			snapshot = m.images(t)
			return nil
		}
	}
	if err := g.Cut(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return snapshot, logs
}

func same(t testing.TB, what string, got, want [][]byte) {
	t.Helper()
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			at := 0
			for got[i][at] == want[i][at] {
				at++
			}
			t.Errorf("%s: disk %d differs at %d", what, i, at)
		}
	}
}

func clone(images [][]byte) [][]byte {
	out := make([][]byte, len(images))
	for i := range images {
		out[i] = bytes.Clone(images[i])
	}
	return out
}

// guest writes at random, overlapping ranges until stop is closed.
func (m *machine) guest(t testing.TB, stop <-chan struct{}, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	buf := make([]byte, 32<<10)
	for {
		select {
		case <-stop:
			return
		default:
		}
		g := m.gates[r.IntN(len(m.gates))]
		n := r.Int64N(int64(len(buf))) + 1
		off := r.Int64N(min(g.Size()-n, 1<<20))
		var err error
		switch r.IntN(20) {
		case 0:
			err = g.Flush()
		case 1, 2, 3:
			err = g.Zero(off, n)
		default:
			for i := range buf[:n] {
				buf[i] = byte(r.Uint32())
			}
			_, err = g.WriteAt(buf[:n], off)
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
}

func TestSeedAndLogsUpToACutAreTheDisksAtItsInstant(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 3, 2<<20)
	stop := make(chan struct{})
	var guests sync.WaitGroup
	for i := range 6 {
		guests.Go(func() { m.guest(t, stop, uint64(i)) })
	}
	g := m.start(t)
	images := clone(m.seeds)
	for k := range 12 {
		snapshot, logs := m.cut(t, g, images, k%3 != 2)
		if snapshot != nil {
			same(t, fmt.Sprint("cut ", k), images, snapshot)
		}
		for i := range m.gates {
			if err := g.Release(fmt.Sprint("disk", i), logs); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	guests.Wait()
	m.cut(t, g, images, false)
	same(t, "at the end", images, m.images(t))
}

// numbered writes are made one after the other on changing disks: a cut that
// holds one holds all before it.
func TestACutKeepsTheOrderOfWritesAcrossDisks(t *testing.T) {
	t.Parallel()
	const slots = 20_000 // on each disk; then the oldest record is overwritten
	m := newMachine(t, 4, slots*4)
	g := m.start(t)
	images := clone(m.seeds)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := uint32(1); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			record := []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
			if _, err := m.gates[n%4].WriteAt(record, int64(n/4%slots)*4); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range 15 {
		m.cut(t, g, images, false)
		highest, seen := uint32(0), map[uint32]bool{}
		for _, image := range images {
			for i := 0; i+4 <= len(image); i += 4 {
				n := uint32(image[i])<<24 | uint32(image[i+1])<<16 | uint32(image[i+2])<<8 | uint32(image[i+3])
				seen[n] = true
				highest = max(highest, n)
			}
		}
		for n := highest; n > 0 && n+4*slots > highest+4; n-- {
			if !seen[n] {
				t.Errorf("write %d is in the cut and %d is not", highest, n)
				break
			}
		}
	}
	close(stop)
	<-done
}

func TestAWriteInFlightBelongsToTheLogThatWasCurrent(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1, 1<<20)
	g := m.start(t)
	images := clone(m.seeds)
	b := &blocker{entered: make(chan struct{}), release: make(chan struct{})}
	m.faults[0].block.Store(b)
	first := make(chan error, 1)
	go func() {
		_, err := m.gates[0].WriteAt(bytes.Repeat([]byte{1}, 4096), 0)
		first <- err
	}()
	<-b.entered
	m.faults[0].block.Store(nil)
	held := make(chan struct{})
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		m.cut(t, g, images, false)
	}()
	go func() {
		defer close(held)
		// It overlaps the one in flight, so it waits, also across the cut.
		if _, err := m.gates[0].WriteAt(bytes.Repeat([]byte{2}, 4096), 2048); err != nil {
			t.Error(err)
		}
	}()
	if _, err := m.gates[0].WriteAt([]byte{3}, 8192); err != nil { // does not overlap
		t.Error(err)
	}
	select {
	case <-cut:
		t.Fatal("a log was sealed with a write in flight")
	case <-held:
		t.Fatal("overlapping writes were in flight together")
	case <-time.After(20 * time.Millisecond):
	}
	close(b.release)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	<-cut
	<-held
	if images[0][0] != 1 {
		t.Error("the write admitted before the cut is not in it")
	}
	m.cut(t, g, images, false)
	same(t, "the next cut", images, m.images(t))
}

func TestADiskWriteThatFailsAfterItWasLoggedIsReadAgain(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1, 1<<20)
	g := m.start(t)
	if _, err := m.gates[0].WriteAt(bytes.Repeat([]byte{1}, 8192), 0); err != nil {
		t.Fatal(err)
	}
	m.faults[0].tear.Store(true)
	m.faults[0].failWrites.Store(true)
	if _, err := m.gates[0].WriteAt(bytes.Repeat([]byte{2}, 8192), 0); !errors.Is(err, syscall.EIO) {
		t.Fatalf("the guest got %v", err)
	}
	m.faults[0].failWrites.Store(false)
	images := clone(m.seeds)
	m.cut(t, g, images, false)
	same(t, "after a torn write", images, m.images(t))
}

func TestWhatADiskRefusesIsNotLogged(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1, 1<<20)
	g := m.start(t)
	if _, err := m.gates[0].WriteAt(make([]byte, 4096), 1<<20-1); err == nil {
		t.Error("a write beyond the end succeeded")
	}
	if err := m.gates[0].Zero(-1, 10); err == nil {
		t.Error("zeroes before the beginning succeeded")
	}
	images := clone(m.seeds)
	m.cut(t, g, images, false)
	same(t, "after refusals", images, m.images(t))
}

func hrls(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
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
	m.cut(t, again, images, false)
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
			m.cut(t, g, clone(m.seeds), false)
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
	_, logs := m.cut(t, g, images, false)
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
	_, next := m.cut(t, g, images, false)
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
		snapshot, _ := m.cut(t, g, images, true)
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
