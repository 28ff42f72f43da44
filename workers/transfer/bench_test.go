package transfer_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/replica"
	"farshore/workers/replica/directory"
	"farshore/workers/transfer"
)

const (
	benchSize = 2 << 30
	rounds    = 7
)

// benchImage is a raw image of which 35 % is incompressible data, in pieces of
// 7 MiB with holes of 13 MiB between them.
func benchImage(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "source.raw")
	if err := disk.CreateRaw(path, benchSize); err != nil {
		b.Fatal(err)
	}
	d, err := disk.OpenRaw(path, false)
	if err != nil {
		b.Fatal(err)
	}
	for off := int64(0); off+7*mib <= benchSize; off += 20 * mib {
		p := randomBytes(byte(off>>20), 7*mib)
		copy(p, strconv.FormatInt(off, 10))
		if _, err := d.WriteAt(p, off); err != nil {
			b.Fatal(err)
		}
	}
	if err := d.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkInitialCopyAgainstQemuImg compares a copy into a directory store, with
// hashing, manifest and flush, to qemu-img and fsync, round by round.
func BenchmarkInitialCopyAgainstQemuImg(b *testing.B) {
	source := benchImage(b)
	warm(b, source)
	var ratios []float64
	var ours, theirs []time.Duration
	var memory atomic.Int64
	for round := range rounds {
		first, second := copyOurs, copyTheirs
		if round%2 == 1 {
			first, second = second, first
		}
		one, other := first(b, source, &memory), second(b, source, &memory)
		if round%2 == 1 {
			one, other = other, one
		}
		ours, theirs = append(ours, one), append(theirs, other)
		b.Logf("round %d: ours %v, qemu-img %v", round+1, one, other)
		ratios = append(ratios, other.Seconds()/one.Seconds())
	}
	slices.Sort(ratios)
	slices.Sort(ours)
	slices.Sort(theirs)
	median := ratios[len(ratios)/2]
	b.Logf("initial copy of %d MiB, 35 %% data: %.2f x qemu-img (range %.2f to %.2f); median %v against %v; peak RssAnon %d MB",
		benchSize/mib, median, ratios[0], ratios[len(ratios)-1], ours[len(ours)/2], theirs[len(theirs)/2], memory.Load()/1000)
	b.ReportMetric(median, "ratio")
	b.ReportMetric(float64(memory.Load())/1000, "MB-RssAnon")
	b.ReportMetric(0, "ns/op")
	if median < 0.6 || memory.Load() > 300_000 {
		b.Errorf("ratio %.2f of at least 0.6, %d kB of at most 300 MB", median, memory.Load())
	}
}

func warm(b *testing.B, path string) {
	b.Helper()
	d, err := disk.OpenRaw(path, true)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	m := checksum.New(nil, item, "os", benchSize)
	if _, err := m.Verify(b.Context(), d); err != nil {
		b.Fatal(err)
	}
}

func copyOurs(b *testing.B, source string, memory *atomic.Int64) time.Duration {
	b.Helper()
	root := b.TempDir()
	s := directory.Open(root, time.Now)
	if err := s.CreateDisk(b.Context(), replica.DiskSpec{Item: item, Disk: "os", SizeBytes: benchSize}, 1); err != nil {
		b.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				memory.Store(max(memory.Load(), rssAnon()))
			}
		}
	}()
	unix.Sync() // so that nobody pays for the round before
	begun := time.Now()
	src, err := disk.OpenRaw(source, true)
	if err != nil {
		b.Fatal(err)
	}
	d, err := s.OpenDisk(b.Context(), item, "os", 1)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := transfer.Copy(b.Context(), src, d, transfer.Options{TargetIsZero: true, Manifest: checksum.New(s, item, "os", benchSize)}); err != nil {
		b.Fatal(err)
	}
	took := time.Since(begun)
	close(stop)
	<-stopped
	for _, c := range []interface{ Close() error }{src, d, s} {
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.RemoveAll(root); err != nil {
		b.Fatal(err)
	}
	return took
}

func copyTheirs(b *testing.B, source string, _ *atomic.Int64) time.Duration {
	b.Helper()
	target := filepath.Join(b.TempDir(), "target.raw")
	if err := disk.CreateRaw(target, benchSize); err != nil {
		b.Fatal(err)
	}
	unix.Sync()
	begun := time.Now()
	out, err := exec.CommandContext(b.Context(), "qemu-img", "convert", "-n", "-W", "-m", "16", "-f", "raw", "-O", "raw", source, target).CombinedOutput()
	if err != nil {
		b.Fatalf("qemu-img: %v\n%s", err, out)
	}
	d, err := disk.OpenRaw(target, false)
	if err != nil {
		b.Fatal(err)
	}
	if err := d.Flush(); err != nil {
		b.Fatal(err)
	}
	took := time.Since(begun)
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	if err := os.Remove(target); err != nil {
		b.Fatal(err)
	}
	return took
}

// rssAnon is this process's anonymous resident memory in kB.
func rssAnon() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	var kb int64
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &kb); err == nil {
			return kb
		}
	}
	return 0
}
