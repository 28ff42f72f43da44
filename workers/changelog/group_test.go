package changelog_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

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

func newMachine(tb testing.TB, disks int, size int64) *machine {
	tb.Helper()
	boot, err := changelog.BootID()
	if err != nil {
		tb.Fatal(err)
	}
	m := &machine{dir: tb.TempDir(), o: changelog.Options{
		LimitPercent: 10_000, BootID: boot, Space: ample, Now: time.Now,
		NewID: newID,
	}}
	for i := range disks {
		if err := disk.CreateRaw(m.base(i), size); err != nil {
			tb.Fatal(err)
		}
	}
	m.open(tb)
	tb.Cleanup(m.close)
	return m
}

func (m *machine) base(i int) string { return filepath.Join(m.dir, fmt.Sprintf("disk%d.raw", i)) }

// open opens the files as a process does that starts.
func (m *machine) open(tb testing.TB) {
	tb.Helper()
	m.close()
	for i := 0; ; i++ {
		f, err := disk.OpenRaw(m.base(i), false)
		if errors.Is(err, fs.ErrNotExist) || err != nil && i > 0 {
			break
		}
		if err != nil {
			tb.Fatal(err)
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
func (m *machine) images(tb testing.TB) [][]byte {
	tb.Helper()
	out := make([][]byte, 0, len(m.files))
	for i := range m.files {
		b, err := os.ReadFile(m.base(i))
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

func (m *machine) start(tb testing.TB) *changelog.Group {
	tb.Helper()
	g, err := changelog.StartGroup(tb.Context(), m.o, m.tracked(), func() error {
		m.seeds = m.images(tb)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = g.Close() })
	return g
}

func (m *machine) reopen(tb testing.TB, claimed ...string) *changelog.Group {
	tb.Helper()
	m.open(tb)
	g, err := changelog.OpenGroup(tb.Context(), m.o, m.tracked(claimed...))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = g.Close() })
	return g
}

// cut makes a cut and replays its logs onto images. inHold, if not nil, happens
// at the cut's instant.
func (m *machine) cut(tb testing.TB, g *changelog.Group, images [][]byte, inHold func() error) (logs []string) {
	tb.Helper()
	o := changelog.CutOptions{InHold: inHold, Record: func(_ time.Time, disks []changelog.DiskLogs) error {
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
	if err := g.Cut(tb.Context(), o); err != nil {
		tb.Fatal(err)
	}
	return logs
}

func same(tb testing.TB, what string, got, want [][]byte) {
	tb.Helper()
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			at := 0
			for got[i][at] == want[i][at] {
				at++
			}
			tb.Errorf("%s: disk %d differs at %d", what, i, at)
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
func (m *machine) guest(tb testing.TB, stop <-chan struct{}, seed uint64) {
	tb.Helper()
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
			tb.Error(err)
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
		var snapshot [][]byte
		var inHold func() error
		if k%3 != 2 {
			inHold = func() error { snapshot = m.images(t); return nil }
		}
		logs := m.cut(t, g, images, inHold)
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
	m.cut(t, g, images, nil)
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
		m.cut(t, g, images, nil)
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
		m.cut(t, g, images, nil)
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
	m.cut(t, g, images, nil)
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
	m.cut(t, g, images, nil)
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
	m.cut(t, g, images, nil)
	same(t, "after refusals", images, m.images(t))
}
