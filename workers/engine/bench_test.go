package engine_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/checksum"
	"farshore/workers/replica"
)

const (
	bareDisk  = "os"
	benchSize = 4 << 30
)

// noise fills p with what compresses into nothing.
func noise(p []byte, seed uint64) {
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	_, _ = random.Read(p)
}

// makeBareVM writes a VM with one disk that is full of data, and without a guest.
func (s *scene) makeBareVM(size int64) {
	must(s.t, os.MkdirAll(s.source, 0o700))
	f, err := os.Create(filepath.Join(s.source, "os.raw"))
	must(s.t, err)
	piece := make([]byte, 4<<20)
	for at := int64(0); at < size; at += int64(len(piece)) {
		noise(piece, uint64(at>>20))
		_, err := f.Write(piece)
		must(s.t, err)
	}
	must(s.t, f.Close())
	vm := site.VirtualMachine{
		ID: "web", Name: "web", Generation: 2, CPUs: 1, MemoryMiB: 64,
		Disks: []site.Disk{{ID: bareDisk, File: "os.raw", Format: site.Raw, OS: true}},
	}
	b, err := json.Marshal(vm)
	must(s.t, err)
	must(s.t, os.WriteFile(filepath.Join(s.source, "vm.json"), b, 0o600))
}

// countingStore counts what is written to replica disks.
type countingStore struct {
	replica.Store
	written *atomic.Int64
}

func (s countingStore) OpenDisk(ctx context.Context, item, disk string, fence int64) (replica.Disk, error) {
	d, err := s.Store.OpenDisk(ctx, item, disk, fence)
	return countingDisk{Disk: d, written: s.written}, err
}

type countingDisk struct {
	replica.Disk
	written *atomic.Int64
}

func (d countingDisk) WriteAt(p []byte, off int64) (int, error) {
	d.written.Add(int64(len(p)))
	return d.Disk.WriteAt(p, off)
}

// BenchmarkResynchronizationSendsWhatDiffers changes 1 % of the blocks of a full
// 4 GiB disk and resynchronizes it: what is written to the replica, against what
// was changed, and the time of it against that of the first copy.
func BenchmarkResynchronizationSendsWhatDiffers(b *testing.B) {
	s := newScene(b, func(c *config) { seldom(c); c.Bare = benchSize })
	var written atomic.Int64
	s.sent = &written
	s.work()
	began := time.Now()
	s.enable()
	s.within(10*time.Minute, "protected", protected)
	copied, first := time.Since(began), written.Load()

	changed := int64(0)
	c := s.dial(bareDisk)
	block := make([]byte, checksum.BlockSize)
	for n, at := range rand.New(rand.NewPCG(1, 2)).Perm(benchSize / checksum.BlockSize)[:benchSize/checksum.BlockSize/100] {
		noise(block, uint64(n))
		_, err := c.WriteAt(block, int64(at)*checksum.BlockSize)
		must(b, err)
		changed += checksum.BlockSize
	}
	must(b, c.Close())
	written.Store(0)
	began = time.Now()
	s.do(protecteditem.RepairReplication{JobID: newID(), At: s.now()})
	s.within(10*time.Minute, "a resynchronization", func(st protecteditem.State) bool {
		return st.Resync.State == protecteditem.ResyncNone && count(s.events(), "resynchronization_completed") == 1
	})
	took := time.Since(began)
	b.Logf("%d MiB changed, %d MiB sent, in %s; the first copy sent %d MiB in %s", changed>>20, written.Load()>>20, took, first>>20, copied)
	b.ReportMetric(float64(written.Load())/float64(changed), "sent/changed")
	b.ReportMetric(took.Seconds()/copied.Seconds(), "time/copy")
	b.ReportMetric(0, "ns/op")
}
