package directory_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"farshore/workers/disk"
	"farshore/workers/replica"
	"farshore/workers/replica/directory"
)

const (
	item     = "vault.web.1"
	killSize = 4 << 20
	killCuts = 1000 // more than a child comes to
)

// TestMain runs the test binary as a writer that is to be killed when it is told
// to be one.
func TestMain(m *testing.M) {
	switch os.Getenv("FARSHORE_TEST_CHILD") {
	case "":
		os.Exit(m.Run())
	case "writer":
		fence, _ := strconv.ParseInt(os.Getenv("FARSHORE_TEST_FENCE"), 10, 64)
		if err := writeCuts(context.Background(), os.Getenv("FARSHORE_TEST_ROOT"), fence); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "full":
		if err := fillVolume(context.Background(), os.Getenv("FARSHORE_TEST_ROOT")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

type write struct {
	off  int64
	data []byte
}

// writesOf are the changes of a cut; they depend on its number alone.
func writesOf(cut int) []write {
	r := rand.New(rand.NewPCG(uint64(cut), 4))
	var writes []write
	for range 12 {
		n := 512 * (1 + r.Int64N(400))
		off := 512 * r.Int64N((killSize-n)/512)
		data := make([]byte, n)
		if r.IntN(4) > 0 {
			_, _ = rand.NewChaCha8([32]byte{byte(cut), byte(cut >> 8), byte(off >> 9)}).Read(data)
		}
		writes = append(writes, write{off, data})
	}
	return writes
}

func cutID(cut int) string { return fmt.Sprintf("cut-%06d", cut) }

// writeCuts goes on after the newest point, cut by cut, and thins as it goes.
func writeCuts(ctx context.Context, root string, fence int64) error {
	s := directory.Open(root, time.Now)
	if err := s.CreateDisk(ctx, replica.DiskSpec{Item: item, Disk: "os", SizeBytes: killSize}, fence); err != nil {
		return fmt.Errorf("create disk: %w", err)
	}
	d, err := s.OpenDisk(ctx, item, "os", fence)
	if err != nil {
		return fmt.Errorf("open disk: %w", err)
	}
	points, err := s.ListPoints(ctx, item)
	if err != nil {
		return fmt.Errorf("list points: %w", err)
	}
	next := 0
	if len(points) > 0 {
		if _, err := fmt.Sscanf(points[len(points)-1].ID, "cut-%d", &next); err != nil {
			return fmt.Errorf("read point: %w", err)
		}
		next++
	}
	for cut := next; cut < killCuts; cut++ {
		if err := writeCut(ctx, s, d, cut, fence); err != nil {
			return err
		}
		if points, err = s.ListPoints(ctx, item); err != nil {
			return fmt.Errorf("list points: %w", err)
		}
		if len(points) > 6 {
			if err := s.RemovePoint(ctx, item, points[cut%5].ID, fence); err != nil {
				return fmt.Errorf("remove point: %w", err)
			}
		}
		fmt.Println(cut)
	}
	return nil
}

func writeCut(ctx context.Context, s *directory.Store, d replica.Disk, cut int, fence int64) error {
	var extents []disk.Extent
	for _, w := range writesOf(cut) {
		extents = append(extents, disk.Extent{Offset: w.off, Length: int64(len(w.data))})
	}
	if err := s.BeginApply(ctx, item, cutID(cut), fence, []replica.Change{{Disk: "os", Extents: disk.MergeExtents(extents)}}); err != nil {
		return fmt.Errorf("begin apply: %w", err)
	}
	for _, w := range writesOf(cut) {
		if _, err := d.WriteAt(w.data, w.off); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	if err := d.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	spec := replica.PointSpec{ID: cutID(cut), Disks: []replica.PointDisk{{Disk: "os", SizeBytes: killSize, Root: "00"}}}
	if err := s.CommitPoint(ctx, item, spec, fence); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func TestAWriterKilledAtAnyInstantLosesNoPoint(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	r := rand.New(rand.NewPCG(1, 1))
	contents := map[int][]byte{}
	replayed := make([]byte, killSize)
	replayedTo := -1
	total := 0
	for fence := int64(1); fence <= 15; fence++ {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), "FARSHORE_TEST_CHILD=writer", "FARSHORE_TEST_ROOT="+root, "FARSHORE_TEST_FENCE="+strconv.FormatInt(fence, 10))
		var stderr bytes.Buffer
		child.Stderr = &stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		// Killed some time after its first sign of life.
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatalf("the writer ended by itself: %v\n%s", err, stderr.String())
		}
		timer := time.NewTimer(time.Duration(r.IntN(60_000)) * time.Microsecond)
		<-timer.C
		_ = child.Process.Kill()
		_ = child.Wait()

		s := open(t, root)
		points, err := s.ListPoints(t.Context(), item)
		if err != nil || len(points) == 0 {
			t.Fatalf("points after a kill: %v, %v", points, err)
		}
		for _, p := range points {
			var cut int
			if _, err := fmt.Sscanf(p.ID, "cut-%d", &cut); err != nil {
				t.Fatal(err)
			}
			for ; replayedTo < cut; replayedTo++ {
				for _, w := range writesOf(replayedTo + 1) {
					copy(replayed[w.off:], w.data)
				}
				contents[replayedTo+1] = bytes.Clone(replayed)
			}
			wantPoint(t, s, p.ID, contents[cut])
			total = max(total, cut)
		}
	}
	if total < 15 {
		t.Errorf("only %d cuts were made", total)
	}
}

func wantPoint(t *testing.T, s *directory.Store, id string, want []byte) {
	t.Helper()
	p, err := s.OpenPoint(t.Context(), item, id, "os")
	if err != nil {
		t.Fatalf("open point %s: %v", id, err)
	}
	defer func() { _ = p.Close() }()
	got := make([]byte, len(want))
	if _, err := p.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("point %s differs from what was written, %v", id, err)
	}
}
