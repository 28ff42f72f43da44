package engine_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"farshore/domain/policy"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/disk"
)

const gib = int64(1) << 30

// dataBytes is how much of each large disk is data.
const dataBytes = 200 << 20

func largeDisks(size int64) []site.Disk {
	var all []site.Disk
	for n := range 4 {
		id := fmt.Sprintf("disk%d", n)
		all = append(all, site.Disk{ID: id, File: id + ".raw", Format: site.Raw, SizeBytes: size, OS: n == 0})
	}
	return all
}

// makeLargeVM writes a VM with four sparse disks whose data lies all over them.
func (s *scene) makeLargeVM(size int64) {
	must(s.t, os.MkdirAll(s.source, 0o700))
	vm := site.VirtualMachine{ID: "web", Name: "web", Generation: 2, CPUs: 1, MemoryMiB: 64, Disks: largeDisks(size)}
	const piece = 4 << 20
	p := make([]byte, piece)
	random := rand.NewChaCha8([32]byte{1})
	for _, d := range vm.Disks {
		path := filepath.Join(s.source, d.File)
		must(s.t, disk.CreateRaw(path, size))
		f, err := disk.OpenRaw(path, false)
		must(s.t, err)
		for n := range int64(dataBytes / piece) {
			_, _ = random.Read(p)
			_, err := f.WriteAt(p, n*(size/(dataBytes/piece))/4096*4096)
			must(s.t, err)
		}
		must(s.t, f.Close())
	}
	b, err := json.Marshal(vm)
	must(s.t, err)
	must(s.t, os.WriteFile(filepath.Join(s.source, "vm.json"), b, 0o600))
}

// failOverTimed measures a failover to the newest point, from the command to the
// running VM.
func (s *scene) failOverTimed() time.Duration {
	s.t.Helper()
	began := time.Now()
	s.do(protecteditem.StartUnplannedFailover{JobID: newID(), Choice: protecteditem.LatestProcessed, At: s.now()})
	eventually(s.t, 10*time.Minute, "the VM runs", func() bool {
		p, err := s.away.PowerState(s.t.Context(), "web-dr")
		return err == nil && p == site.Running
	})
	took := time.Since(began)
	s.until("failed over", uncommitted)
	return took
}

// BenchmarkUnplannedFailoverAgainstCopying brings a VM up from the newest point of
// a directory store, at once and by copying its disks first, for two sizes of disk
// that hold the same data.
func BenchmarkUnplannedFailoverAgainstCopying(b *testing.B) {
	took := map[int64]time.Duration{}
	for _, size := range []int64{gib, 10 * gib} {
		b.Run(fmt.Sprintf("4x%dGiB", size/gib), func(b *testing.B) {
			s := newScene(b, func(c *config) { seldom(c); c.Large = size })
			s.work()
			vm, err := s.host.VirtualMachine(b.Context(), "web")
			must(b, err)
			settings := policy.Defaults()
			settings.CopyFrequencySeconds = 900
			s.do(protecteditem.EnableProtection{
				JobID: newID(), Vault: vault, Item: "web", Site: "s1", Host: "h1", VM: vm, Policy: settings,
				Store:        protecteditem.StoreRef{ID: "acc", Kind: protecteditem.DirectoryStore},
				RecoverySite: "s2", RecoveryHost: "h2", RecoveryVMName: "web-dr", At: s.now(),
			})
			eventually(b, 10*time.Minute, "protected", func() bool { return protected(s.state()) })
			instant := s.failOverTimed()
			began := time.Now()
			eventually(b, 10*time.Minute, "the disks are there", func() bool { return copiedOver(s.state()) })
			behind := time.Since(began)
			s.do(protecteditem.CancelFailover{JobID: newID(), At: s.now()})
			s.until("protected again", protected)
			s.stopWorker()
			s.Copied = true
			s.work()
			copied := s.failOverTimed()
			took[size] = instant
			b.Logf("4 disks of %d GiB with %d MiB of data each: the VM runs after %.2f s, after %.2f s when the disks are copied first (%.1f x); they are there %.2f s later",
				size/gib, dataBytes>>20, instant.Seconds(), copied.Seconds(), copied.Seconds()/instant.Seconds(), behind.Seconds())
			b.ReportMetric(instant.Seconds(), "s-to-run")
			b.ReportMetric(copied.Seconds()/instant.Seconds(), "ratio")
			b.ReportMetric(0, "ns/op")
			if instant > 10*time.Second {
				b.Errorf("the VM runs after %s", instant)
			}
		})
	}
	b.Logf("ten times the size takes %.2f x the time", took[10*gib].Seconds()/took[gib].Seconds())
}
