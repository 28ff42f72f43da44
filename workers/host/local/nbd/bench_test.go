package nbd_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"farshore/workers/changelog"
	"farshore/workers/disk"
	"farshore/workers/host/local/nbd"
)

const (
	benchRounds = 7
	benchBytes  = 256 << 20
)

func benchTool(b *testing.B, name string, args ...string) {
	b.Helper()
	if out, err := exec.CommandContext(b.Context(), name, args...).CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// copyTime is how long nbdcopy takes to write source in 64 KiB requests.
func copyTime(b *testing.B, source, uri string) time.Duration {
	b.Helper()
	began := time.Now()
	benchTool(b, "nbdcopy", "--request-size=65536", "--requests=16", "--connections=1", "--sparse=0", "--flush", source, uri)
	return time.Since(began)
}

// attend prepares a gate for a benchmark; what it returns is called at the end.
type attend func(b *testing.B, gate *changelog.Gate, path string, size int64) (finish func())

func untracked(*testing.B, *changelog.Gate, string, int64) func() { return func() {} }

func tracked(b *testing.B, gate *changelog.Gate, path string, size int64) func() {
	b.Helper()
	boot, err := changelog.BootID()
	if err != nil {
		b.Fatal(err)
	}
	g, err := changelog.StartGroup(b.Context(), changelog.Options{
		LimitPercent: 10_000, BootID: boot, Space: changelog.Space, Now: time.Now, NewID: uuid.NewString,
	}, []changelog.TrackedDisk{{ID: "os", Gate: gate, Base: path}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		if s := g.Status()[0]; s.Failure != nil || s.PendingBytes < size/2 {
			b.Errorf("the writes were not tracked: %+v", s)
		}
		if err := g.Stop(); err != nil {
			b.Error(err)
		}
	}
}

// gated is an export of a fresh disk.
func gated(b *testing.B, prepare attend, size int64, use func(socket string)) {
	b.Helper()
	dir := b.TempDir()
	path := filepath.Join(dir, "disk.raw")
	if err := disk.CreateRaw(path, size); err != nil {
		b.Fatal(err)
	}
	f, err := disk.OpenRaw(path, false)
	if err != nil {
		b.Fatal(err)
	}
	gate := changelog.NewGate(f)
	defer prepare(b, gate, path, size)()
	server, socket, done := nbd.NewServer(nbd.Export{Device: gate}), filepath.Join(dir, "s"), make(chan error, 1)
	l := listen(b, socket)
	go func() { done <- server.Serve(l) }()
	use(socket)
	if err := server.Close(); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	_ = f.Close()
	_ = os.Remove(path)
}

func qemuTime(b *testing.B, source string) (took time.Duration) {
	b.Helper()
	dir := b.TempDir()
	path, socket, pid := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "s"), filepath.Join(dir, "pid")
	if err := disk.CreateRaw(path, benchBytes); err != nil {
		b.Fatal(err)
	}
	// --fork returns once the socket is there; the server ends with its client.
	benchTool(b, "qemu-nbd", "--fork", "--format=raw", "--cache=writeback", "--socket="+socket, "--pid-file="+pid, path)
	took = copyTime(b, source, "nbd+unix:///?socket="+socket)
	_ = os.Remove(path)
	return took
}

func spread(what string, ratios []float64) string {
	slices.Sort(ratios)
	return fmt.Sprintf("%s: median %.2f of %d rounds, from %.2f to %.2f", what, ratios[len(ratios)/2], len(ratios), ratios[0], ratios[len(ratios)-1])
}

// BenchmarkTrackedWritesAgainstQemuNBD compares the rate of 64 KiB sequential
// writes through a tracked export with the rate through qemu-nbd on the same file
// system in the same cache mode. It is a measurement of its own and ignores b.N.
func BenchmarkTrackedWritesAgainstQemuNBD(b *testing.B) {
	source := filepath.Join(b.TempDir(), "source.raw")
	if err := os.WriteFile(source, noise(benchBytes), 0o600); err != nil {
		b.Fatal(err)
	}
	var with, without []float64
	for range benchRounds {
		theirs := qemuTime(b, source)
		gated(b, tracked, benchBytes, func(socket string) {
			ours := copyTime(b, source, "nbd+unix:///?socket="+socket)
			with = append(with, float64(theirs)/float64(ours))
		})
		gated(b, untracked, benchBytes, func(socket string) {
			ours := copyTime(b, source, "nbd+unix:///?socket="+socket)
			without = append(without, float64(theirs)/float64(ours))
		})
	}
	b.Log(spread("tracked ÷ qemu-nbd (target 0.4)", with))
	b.Log(spread("untracked ÷ qemu-nbd", without))
	b.ReportMetric(with[len(with)/2], "tracked/qemu-nbd")
}

// BenchmarkTrackedWriteLatency compares the p99 of 4 KiB writes, one at a time,
// with tracking and without.
func BenchmarkTrackedWriteLatency(b *testing.B) {
	const size, writes = 64 << 20, 20_000
	p99 := func(prepare attend) time.Duration {
		var all []time.Duration
		gated(b, prepare, size, func(socket string) {
			c, err := nbd.Dial(b.Context(), socket, "")
			if err != nil {
				b.Fatal(err)
			}
			data := noise(4096)
			for range writes {
				off := rand.Int64N(size/4096) * 4096
				began := time.Now()
				if _, err := c.WriteAt(data, off); err != nil {
					b.Fatal(err)
				}
				all = append(all, time.Since(began))
			}
			if err := c.Close(); err != nil {
				b.Fatal(err)
			}
		})
		slices.Sort(all)
		return all[len(all)*99/100]
	}
	var ratios []float64
	for range benchRounds {
		without, with := p99(untracked), p99(tracked)
		ratios = append(ratios, float64(with)/float64(without))
	}
	b.Log(spread("p99 of a 4 KiB write, tracked ÷ untracked (target below 2)", ratios))
	b.ReportMetric(ratios[len(ratios)/2], "tracked/untracked")
}
