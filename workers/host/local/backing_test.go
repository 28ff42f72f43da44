package local_test

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/host/local"
	"farshore/workers/host/local/nbd"
)

// plainPoint opens a recovery point that is a folder of raw disks.
func plainPoint(_ context.Context, b host.Backing) (disk.Reader, error) {
	r, err := disk.OpenRaw(filepath.Join(b.Store.Directory, b.Point, b.Disk), true)
	if err != nil {
		return nil, errorcatalog.Fail(errorcatalog.ReplicaStoreUnreachable, "point %s", b.Point).Because(err)
	}
	return r, nil
}

// backIn offers content as a disk of a point in a folder.
func backIn(t *testing.T, dir, diskID string, content []byte) host.Backing {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dir, "p1"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "p1", diskID), content, 0o600))
	return host.Backing{Disk: diskID, Store: host.StoreAddress{Directory: dir}, Point: "p1", SizeBytes: int64(len(content))}
}

// newBackedLab is a lab whose VM runs from a recovery point of random content.
func newBackedLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{T: t, dir: t.TempDir(), socket: filepath.Join(socketDir(t), "h.sock"), journal: filepath.Join(t.TempDir(), "journal"), seeds: map[string][]byte{}}
	l.vm = site.VirtualMachine{ID: "vm1", Name: "VM 1", Generation: 2, CPUs: 1, MemoryMiB: 512, Disks: []site.Disk{
		{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: diskSize, OS: true},
		{ID: "data1", File: "data1.raw", Format: site.Raw, SizeBytes: diskSize},
	}, Guest: &site.Guest{Command: []string{os.Args[0], "guest", l.journal}, GraceSeconds: 2}}
	l.subject = subject(t, l.dir, l.socket, l.vm)
	l.spawn()
	t.Cleanup(l.end)
	store := t.TempDir()
	var points []host.Backing
	for _, d := range l.vm.Disks {
		p := make([]byte, diskSize)
		_, _ = crand.Read(p[:diskSize/2])
		l.seeds[d.ID] = p
		points = append(points, backIn(t, store, d.ID, p))
	}
	must(t, l.client.CreateVM(within(t), l.vm, owner))
	must(t, l.client.BackVM(within(t), l.vm.ID, points))
	must(t, l.client.CompleteVM(within(t), l.vm.ID, owner))
	must(t, l.client.Start(within(t), l.vm.ID))
	return l
}

// fillNext fills in up to n bytes of a disk and says whether that was all.
func (l *lab) fillNext(diskID string, n int64) bool {
	l.Helper()
	f, err := l.client.OpenBacked(within(l), l.vm.ID, diskID, "p1")
	must(l, err)
	absent, err := f.Absent(0, diskSize)
	must(l, err)
	for _, e := range absent {
		e.Length = min(e.Length, n)
		_, err := f.WriteAt(l.seeds[diskID][e.Offset:e.End()], e.Offset)
		must(l, err)
		if n -= e.Length; n == 0 {
			return false
		}
	}
	return true
}

func TestAKilledHostKeepsWhatABackedVMWroteAndWasGiven(t *testing.T) {
	t.Parallel()
	l := newBackedLab(t)
	left := map[string]bool{"os": true, "data1": true}
	for round := 0; len(left) > 0; round++ {
		l.more()
		for d := range left {
			if !l.fillNext(d, 1<<20) {
				continue
			}
			l.repeatUnderKill(func() error { return l.client.SettleDisk(within(l), l.vm.ID, d) })
			delete(left, d)
		}
		if round == 1 {
			l.kill()
			l.spawn()
		}
	}
	l.kill()
	l.spawn()
	l.more()
	must(t, l.client.Stop(within(t), l.vm.ID))
	l.judge()
	if beside := l.subject.Left(t); len(beside) > 0 {
		t.Errorf("beside the disks there is %v", beside)
	}
}

func TestAVMWhoseDisksAreNotThereYetOutlivesItsPowerState(t *testing.T) {
	t.Parallel()
	l := newBackedLab(t)
	l.more()
	must(t, l.client.Stop(within(t), l.vm.ID))
	l.signal(syscall.SIGTERM)
	l.spawn()
	l.fillNext("os", 2<<20) // while it is off
	must(t, l.client.Start(within(t), l.vm.ID))
	l.more()
	for _, d := range []string{"os", "data1"} {
		l.fillNext(d, diskSize)
		must(t, l.client.SettleDisk(within(t), l.vm.ID, d))
	}
	must(t, l.client.Stop(within(t), l.vm.ID))
	l.judge()
	must(t, l.client.DeleteVM(within(t), l.vm.ID, owner))
}

func TestAGuestsReadsWaitForAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	o := options(dir, filepath.Join(socketDir(t), "h.sock"))
	var away, damaged atomic.Bool
	o.BackingPatience = 600 * time.Millisecond
	asked := make(chan struct{}, 100)
	o.OpenBacking = func(ctx context.Context, b host.Backing) (disk.Reader, error) {
		r, err := plainPoint(ctx, b)
		return &moody{Reader: r, away: &away, damaged: &damaged, asked: asked}, err
	}
	c := served(t, o)
	want := make([]byte, 1<<20)
	_, _ = crand.Read(want)
	vm.ID, vm.Name, vm.Disks = "away", "away", []site.Disk{{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: 1 << 20, OS: true}}
	must(t, c.CreateVM(within(t), vm, owner))
	must(t, c.BackVM(within(t), vm.ID, []host.Backing{backIn(t, t.TempDir(), "os", want)}))
	must(t, c.CompleteVM(within(t), vm.ID, owner))
	must(t, c.Start(within(t), vm.ID))
	guest, err := nbd.Dial(within(t), local.SocketPath(o.Socket, vm.ID, "os"), "os")
	must(t, err)
	defer guest.Close() //nolint:errcheck // read only
	got := make([]byte, 4096)
	read := func(off int64) error {
		_, err := guest.ReadAt(got, off)
		return err
	}
	must(t, read(4096))

	away.Store(true)
	if err := read(128 << 10); err == nil {
		t.Error("a block that nobody has was read")
	}
	_, err = guest.WriteAt(got, 256<<10) // a part of a block
	if err == nil {
		t.Error("a block that cannot be completed was written")
	}
	_, err = guest.WriteAt(want[:64<<10], 512<<10) // a whole block needs nothing
	must(t, errors.Join(err, guest.Flush(), read(512<<10)))
	for len(asked) > 0 {
		<-asked
	}
	waited := make(chan error, 1)
	go func() { waited <- read(128 << 10) }()
	<-asked // in vain
	away.Store(false)
	must(t, <-waited)
	if !bytes.Equal(got, want[128<<10:132<<10]) {
		t.Error("what was waited for is not what the point holds")
	}

	damaged.Store(true)
	since := time.Now()
	if err := read(192 << 10); err == nil || time.Since(since) > o.BackingPatience {
		t.Errorf("a damaged block was answered with %v after %s", err, time.Since(since))
	}
}

// The patience of a store that is away must not add up over the reads that wait for
// it.
func TestManyReadsTogetherWaitNoLongerForAStoreThanOne(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	o := options(dir, filepath.Join(socketDir(t), "h.sock"))
	var away atomic.Bool
	var tries atomic.Int64
	o.BackingPatience = time.Second
	o.OpenBacking = func(ctx context.Context, b host.Backing) (disk.Reader, error) {
		tries.Add(1)
		r, err := plainPoint(ctx, b)
		if err == nil && away.Load() {
			return nil, errors.Join(stubborn(), r.Close())
		}
		return &slow{Reader: r, away: &away}, err
	}
	c := served(t, o)
	vm.ID, vm.Name, vm.Disks = "away", "away", []site.Disk{{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: 2 << 20, OS: true}}
	must(t, c.CreateVM(within(t), vm, owner))
	must(t, c.BackVM(within(t), vm.ID, []host.Backing{backIn(t, t.TempDir(), "os", make([]byte, 2<<20))}))
	must(t, c.CompleteVM(within(t), vm.ID, owner))
	must(t, c.Start(within(t), vm.ID))
	guest, err := nbd.Dial(within(t), local.SocketPath(o.Socket, vm.ID, "os"), "os")
	must(t, err)
	defer guest.Close() //nolint:errcheck // read only
	_, err = guest.ReadAt(make([]byte, 4096), 0)
	must(t, err)
	away.Store(true)
	before := tries.Load()
	var reads sync.WaitGroup
	for n := range int64(24) {
		reads.Go(func() {
			if _, err := guest.ReadAt(make([]byte, 4096), n<<16); err == nil {
				t.Error("a block that nobody has was read")
			}
		})
	}
	reads.Wait()
	if n := tries.Load() - before; n > 6 {
		t.Errorf("the store was opened %d times, one after the other, for reads that came together", n)
	}
	away.Store(false)
	_, err = guest.ReadAt(make([]byte, 4096), 1<<20)
	must(t, err)
}

// stubborn is a store that waits by itself before it says that it is away.
func stubborn() error {
	<-time.After(250 * time.Millisecond)
	return errorcatalog.Fail(errorcatalog.ReplicaStoreUnreachable, "it is away")
}

type slow struct {
	disk.Reader

	away *atomic.Bool
}

func (s *slow) ReadAt(p []byte, off int64) (int, error) {
	if s.away.Load() {
		return 0, stubborn()
	}
	return s.Reader.ReadAt(p, off)
}

// moody is a point whose store is away at times.
type moody struct {
	disk.Reader

	away, damaged *atomic.Bool
	asked         chan<- struct{}
}

func (m *moody) ReadAt(p []byte, off int64) (int, error) {
	m.asked <- struct{}{}
	switch {
	case m.away.Load():
		return 0, errorcatalog.Fail(errorcatalog.ReplicaStoreUnreachable, "it is away")
	case m.damaged.Load():
		return 0, errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "it is damaged")
	default:
		return m.Reader.ReadAt(p, off)
	}
}
