package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"farshore/domain/protecteditem"
	"farshore/workers/host"
	"farshore/workers/host/local"
	"farshore/workers/host/local/nbd"
	"farshore/workers/replica"
	"farshore/workers/replica/pageblob/azurite"
	"farshore/workers/replica/pageblob/azuritetest"
	"farshore/workers/replica/pageblob/faultproxy"
)

// inBlobs keeps a scene's replica in page blobs, which are reached through a proxy
// and opened with a secret in a file.
func inBlobs(t *testing.T) (*faultproxy.Proxy, func(*config)) {
	t.Helper()
	proxy, err := faultproxy.Start(t.Context(), azuritetest.Shared(t).ServiceURL())
	must(t, err)
	t.Cleanup(func() { _ = proxy.Close() })
	secret := filepath.Join(t.TempDir(), "azurite.key")
	must(t, os.WriteFile(secret, []byte(azurite.Key+"\n"), 0o600))
	at := host.StoreAddress{Kind: string(replica.PageBlob), Endpoint: proxy.ServiceURL(), Container: newID(), Credential: "file:" + secret}
	store, err := openStore(at, time.Now)
	must(t, err)
	must(t, store.Check(t.Context()))
	return proxy, func(c *config) { c.Blobs = at }
}

func TestAVMRunsFromAPageBlobWhileWorkersAndHostsDie(t *testing.T) {
	t.Parallel()
	_, use := inBlobs(t)
	runsFromItsPoint(t, use)
}

// resident is who knows all that the disks of the recovery VM should hold.
type resident struct {
	*scene
	want   map[string][]byte
	random *rand.Rand
}

// moveInAt brings the VM up from its newest point, and leaves the copy of its disks
// to whoever works next.
func (s *scene) moveInAt() *resident {
	s.t.Helper()
	s.work()
	s.until("protected", protected)
	st := s.bringUp()
	s.stopWorker()
	return &resident{scene: s, want: s.contents(st.FailoverPoint), random: rand.New(rand.NewPCG(9, 9))}
}

func (g *resident) dial(disk string) *nbd.Client {
	g.t.Helper()
	c, err := nbd.Dial(g.t.Context(), local.SocketPath(g.Hosts["h2"], "web-dr", disk), disk)
	must(g.t, err)
	g.t.Cleanup(func() { _ = c.Close() })
	return c
}

// lives writes here and there, parts of blocks and whole ones, and reads everything.
func (g *resident) lives() {
	g.t.Helper()
	for _, d := range disks {
		c := g.dial(d)
		for range 12 {
			p := make([]byte, 512*(1+g.random.IntN(300)))
			off := 512 * g.random.IntN((diskBytes-len(p))/512)
			for n := range p {
				p[n] = byte(g.random.Uint32())
			}
			copy(g.want[d][off:], p)
			_, err := c.WriteAt(p, int64(off))
			must(g.t, err)
		}
		must(g.t, c.Flush())
		got := make([]byte, diskBytes)
		_, err := c.ReadAt(got, 0)
		must(g.t, err)
		if !bytes.Equal(got, g.want[d]) {
			g.t.Errorf("disk %s is not what the point and the guest have made of it", d)
		}
	}
}

func TestAGuestReadsAndWritesBeforeWhileAndAfterItsPageBlobsAreCopied(t *testing.T) {
	t.Parallel()
	proxy, use := inBlobs(t)
	s := newScene(t, func(c *config) { use(c); slowCopy(60 * time.Millisecond)(c) })
	s.enable()
	guest := s.moveInAt()
	if s.absent() != int64(len(disks)*diskBytes) {
		t.Errorf("the disks lack %d bytes before they are copied", s.absent())
	}
	guest.lives()
	before := s.absent()
	for range 2 {
		s.work()
		eventually(t, waitForJob, "the copy goes on", func() bool { return s.absent() < before })
		guest.lives()
		s.stopWorker()
		if before = s.absent(); before == 0 {
			t.Error("the copy was over before it was looked at")
		}
		guest.lives()
	}
	s.work()
	st := s.until("copied", copiedOver)
	s.endedWell(st.EndedCopy.ID)
	s.stopWorker()
	proxy.Add(faultproxy.Rule{When: faultproxy.Always, Raw: true, Do: faultproxy.Cut})
	guest.lives()
	must(t, s.away.Stop(t.Context(), "web-dr"))
	for _, d := range disks {
		got, err := os.ReadFile(filepath.Join(s.dir, "away", "web-dr", d+".raw"))
		must(t, err)
		if !bytes.Equal(got, guest.want[d]) {
			t.Errorf("the file of disk %s is not what its guest has left", d)
		}
	}
}

// reads reads 4 KiB at each of some offsets of disk data at the same time.
func (g *resident) reads(c *nbd.Client, offsets []int64) error {
	var wg sync.WaitGroup
	failed := make([]error, len(offsets))
	for n, off := range offsets {
		wg.Go(func() {
			got := make([]byte, 4096)
			if _, failed[n] = c.ReadAt(got, off); failed[n] == nil && !bytes.Equal(got, g.want["data"][off:off+4096]) {
				failed[n] = fmt.Errorf("what is at %d is not what it should be", off)
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

func TestAGuestsReadsWaitForPageBlobsThatAreAwayAndFailInTime(t *testing.T) {
	t.Parallel()
	proxy, use := inBlobs(t)
	s := newScene(t, func(c *config) { use(c); seldom(c) })
	s.enable()
	guest := s.moveInAt()
	c := guest.dial("data")
	blocks := func(from int64) (offsets []int64) {
		for n := range int64(8) {
			offsets = append(offsets, from+n*(256<<10))
		}
		return offsets
	}
	must(t, guest.reads(c, blocks(0)))

	asked := make(chan struct{}, 1)
	when := func(*http.Request) bool {
		select {
		case asked <- struct{}{}:
		default:
		}
		return true
	}
	for n, fault := range []faultproxy.Rule{{When: when, Do: faultproxy.Busy}, {When: when, Raw: true, Do: faultproxy.Cut}} {
		back := proxy.Add(fault)
		waited := make(chan error, 1)
		go func() { waited <- guest.reads(c, blocks(int64(3+2*n)<<20)) }()
		for range 3 {
			<-asked // in vain
		}
		back()
		must(t, <-waited)
	}

	back := proxy.Add(faultproxy.Rule{When: faultproxy.Always, Do: faultproxy.Busy})
	since := time.Now()
	err := guest.reads(c, blocks(8<<20))
	if took := time.Since(since); err == nil || took > 45*time.Second {
		t.Errorf("blocks that nobody has were answered with %v after %s", err, took)
	}
	whole := bytes.Repeat([]byte("a whole block is the guest's own"), 64<<10/32)
	_, err = c.WriteAt(whole, 12<<20)
	must(t, errors.Join(err, c.Flush()))
	copy(guest.want["data"][12<<20:], whole)
	must(t, guest.reads(c, []int64{12 << 20}))
	back()
	must(t, guest.reads(c, blocks(8<<20)))
	guest.lives()
}

func TestADiskInPageBlobsGrowsAndIsRecoveredAtBothSizes(t *testing.T) {
	t.Parallel()
	_, use := inBlobs(t)
	s := growsByItsHost(t, use)
	st := s.state()
	first, newest := st.Points[0], st.Points[len(st.Points)-1]
	if first.Disks[0].SizeBytes == newest.Disks[0].SizeBytes {
		t.Fatal("no point is of the smaller disks")
	}
	s.do(protecteditem.StartUnplannedFailover{JobID: newID(), Choice: protecteditem.PointChoice(first.ID), At: s.now()})
	s.until("failed over", uncommitted)
	s.recoveredFrom(first.ID)
	s.do(protecteditem.ChangeRecoveryPoint{JobID: newID(), Choice: protecteditem.PointChoice(newest.ID), Confirm: true, At: s.now()})
	s.until("changed", func(st protecteditem.State) bool { return uncommitted(st) && st.FailoverPoint == newest.ID })
	s.recoveredFrom(newest.ID)
}
