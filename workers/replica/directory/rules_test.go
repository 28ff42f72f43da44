package directory_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/replica"
	"farshore/workers/replica/directory"
)

const size = 2 << 20

// withPoint is a store with one disk and one point of it.
func withPoint(t *testing.T) (*directory.Store, replica.Disk, string) {
	t.Helper()
	root := t.TempDir()
	s := open(t, root)
	if err := s.CreateDisk(t.Context(), replica.DiskSpec{Item: item, Disk: "os", SizeBytes: size}, 1); err != nil {
		t.Fatal(err)
	}
	d, err := s.OpenDisk(t.Context(), item, "os", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if _, err := d.WriteAt(bytes.Repeat([]byte{1}, size), 0); err != nil {
		t.Fatal(err)
	}
	commitPoint(t, s, "p1")
	return s, d, root
}

func commitPoint(t *testing.T, s *directory.Store, id string) {
	t.Helper()
	spec := replica.PointSpec{ID: id, Disks: []replica.PointDisk{{Disk: "os", SizeBytes: size}}}
	if err := s.CommitPoint(t.Context(), item, spec, 1); err != nil {
		t.Fatal(err)
	}
}

func change(off, n int64) []replica.Change {
	return []replica.Change{{Disk: "os", Extents: []disk.Extent{{Offset: off, Length: n}}}}
}

func TestOnlyDeclaredRangesAreWrittenWhileThereIsAPoint(t *testing.T) {
	t.Parallel()
	s, d, _ := withPoint(t)
	if _, err := d.WriteAt(make([]byte, 512), 0); !errors.Is(err, replica.ErrUndeclared) {
		t.Errorf("before an apply: %v", err)
	}
	both := append(change(4096, 4096), change(8192, 512)...)
	if err := s.BeginApply(t.Context(), item, "p2", 1, both); err != nil {
		t.Fatal(err)
	}
	for _, off := range []int64{0, 4096 - 512, 8192 + 512} {
		if _, err := d.WriteAt(make([]byte, 1024), off); !errors.Is(err, replica.ErrUndeclared) {
			t.Errorf("at %d: %v", off, err)
		}
		if err := d.Zero(off, 1024); !errors.Is(err, replica.ErrUndeclared) {
			t.Errorf("zero at %d: %v", off, err)
		}
	}
	if _, err := d.WriteAt(make([]byte, 4608), 4096); err != nil {
		t.Errorf("both declared ranges: %v", err)
	}
	if err := s.BeginApply(t.Context(), item, "p2", 1, change(0, 8192)); !errors.Is(err, replica.ErrUndeclared) {
		t.Errorf("the same cut with more changes: %v", err)
	}
	if err := s.BeginApply(t.Context(), item, "p3", 1, change(0, 512)); !errors.Is(err, replica.ErrApplyOpen) {
		t.Errorf("another cut: %v", err)
	}
	spec := replica.PointSpec{ID: "p3", Disks: []replica.PointDisk{{Disk: "os", SizeBytes: size}}}
	if err := s.CommitPoint(t.Context(), item, spec, 1); !errors.Is(err, replica.ErrNoApply) {
		t.Errorf("commit of a cut that was not applied: %v", err)
	}
}

func TestADamagedUndoLogIsNeverReadAsContent(t *testing.T) {
	t.Parallel()
	for _, spoil := range []func(path string){
		func(path string) { flipBit(t, path, 5000) },
		func(path string) { _ = os.Truncate(path, 4096) },
		func(path string) { _ = os.Remove(path) },
		func(path string) { _ = os.WriteFile(path, nil, 0o600) },
	} {
		s, d, root := withPoint(t)
		if err := s.BeginApply(t.Context(), item, "p2", 1, change(0, 65536)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.WriteAt(make([]byte, 65536), 0); err != nil {
			t.Fatal(err)
		}
		commitPoint(t, s, "p2")
		logs, err := filepath.Glob(filepath.Join(root, item, "undo", "*.hrl"))
		if err != nil || len(logs) != 1 {
			t.Fatalf("undo logs: %v, %v", logs, err)
		}
		spoil(logs[0])
		p, err := open(t, root).OpenPoint(t.Context(), item, "p1", "os")
		if err == nil {
			_, err = p.ReadAt(make([]byte, 512), 0)
			_ = p.Close()
		}
		if err == nil || errorcatalog.Of(err).Code != errorcatalog.ReplicaCorrupt {
			t.Errorf("got %v", err)
		}
		wantPoint(t, open(t, root), "p2", append(make([]byte, 65536), bytes.Repeat([]byte{1}, size-65536)...))
	}
}

func TestADamagedStateOrFenceStopsEverything(t *testing.T) {
	t.Parallel()
	for _, file := range []string{item + "/state.json", ".fences/" + item + ".fence"} {
		_, _, root := withPoint(t)
		path := filepath.Join(root, file)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		content[3] ^= 64
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		err = open(t, root).BeginApply(t.Context(), item, "p2", 1, change(0, 512))
		if err == nil || errorcatalog.Of(err).Code != errorcatalog.ReplicaCorrupt {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestLeftoversOfACrashAreSweptByTheNextOwner(t *testing.T) {
	t.Parallel()
	s, _, root := withPoint(t)
	if err := s.BeginApply(t.Context(), item, "p2", 1, change(0, 512)); err != nil {
		t.Fatal(err)
	}
	stray := filepath.Join(root, item, "undo", "stray.hrl")
	if err := os.WriteFile(stray, []byte("unclosed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(t, root).Rollback(t.Context(), item, 2); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(root, item, "undo", "*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestNamesThatClimbAreRefused(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	for _, name := range []string{"", "..", "../x", "a/b", ".fences", "a\x00b"} {
		if err := s.CreateDisk(t.Context(), replica.DiskSpec{Item: name, Disk: "os", SizeBytes: size}, 1); err == nil {
			t.Errorf("item %q", name)
		}
		if err := s.CreateDisk(t.Context(), replica.DiskSpec{Item: item, Disk: name, SizeBytes: size}, 1); err == nil {
			t.Errorf("disk %q", name)
		}
		if err := s.PutObject(t.Context(), item, "logs/../"+name, bytes.NewReader(nil), 0); err == nil {
			t.Errorf("object %q", name)
		}
	}
}

func TestADirectoryThatCannotHoldReplicasIsRefused(t *testing.T) {
	t.Parallel()
	missing := open(t, filepath.Join(t.TempDir(), "missing")).Check(t.Context())
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"missing": missing, "a file": open(t, file).Check(t.Context())} {
		if err == nil || errorcatalog.Of(err).Code != errorcatalog.ReplicaStoreUnusable {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAStoreThatIsAwayHasLostNothing(t *testing.T) {
	t.Parallel()
	s, _, root := withPoint(t)
	r, err := s.OpenPoint(t.Context(), item, "p1", "os")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // read only
	asked := map[string]func() error{
		"a reader":  func() error { _, err := r.ReadAt(make([]byte, 512), 0); return err },
		"a point":   func() error { _, err := s.OpenPoint(t.Context(), item, "p1", "os"); return err },
		"an object": func() error { _, err := s.OpenObject(t.Context(), item, "nothing"); return err },
	}
	if err := os.Rename(root, root+".away"); err != nil {
		t.Fatal(err)
	}
	for what, ask := range asked {
		if err := ask(); errorcatalog.Of(err).Code != errorcatalog.ReplicaStoreUnreachable {
			t.Errorf("%s answered %v", what, err)
		}
	}
	if err := os.Rename(root+".away", root); err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]errorcatalog.Code{"a reader": "", "a point": "", "an object": errorcatalog.ObjectNotFound} {
		if err := asked[what](); want == "" && err != nil || want != "" && errorcatalog.Of(err).Code != want {
			t.Errorf("%s answered %v", what, err)
		}
	}
}

func TestAStoppedHolderOfTheLockKeepsTheNewOwnerWaiting(t *testing.T) {
	t.Parallel()
	_, _, root := withPoint(t)
	f, err := os.Open(filepath.Join(root, ".fences", item+".lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	taken := make(chan error, 1)
	go func() {
		_, err := directory.Open(root, time.Now).OpenDisk(t.Context(), item, "os", 2)
		taken <- err
	}()
	fence := filepath.Join(root, ".fences", item+".fence")
	for {
		content, err := os.ReadFile(fence)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(content, []byte("00000000000000000002")) {
			break
		}
	}
	select {
	case err := <-taken:
		t.Fatalf("took over past a write under way: %v", err)
	default:
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
}

func TestAnOwnerOvertakenWithinACallChangesNothing(t *testing.T) {
	t.Parallel()
	for what, call := range map[string]func(*directory.Store) error{
		"begin apply": func(s *directory.Store) error {
			return s.BeginApply(t.Context(), item, "p2", 1, change(0, 65536))
		},
		"commit": func(s *directory.Store) error {
			spec := replica.PointSpec{ID: "p2", Disks: []replica.PointDisk{{Disk: "os", SizeBytes: size}}}
			return s.CommitPoint(t.Context(), item, spec, 1)
		},
	} {
		first, _, root := withPoint(t)
		if what == "commit" {
			if err := first.BeginApply(t.Context(), item, "p2", 1, change(0, 512)); err != nil {
				t.Fatal(err)
			}
		}
		state := filepath.Join(root, item, "state.json")
		before, err := os.ReadFile(state)
		if err != nil {
			t.Fatal(err)
		}
		next := open(t, root)
		slow := directory.Open(root, func() time.Time { // asked for in the middle of each call
			if _, err := next.OpenDisk(t.Context(), item, "os", 2); err != nil {
				t.Error(err)
			}
			return time.Now()
		})
		err = call(slow)
		if err == nil || errorcatalog.Of(err).Code != errorcatalog.Fenced {
			t.Errorf("%s: %v", what, err)
		}
		if after, err := os.ReadFile(state); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s changed the state: %v", what, err)
		}
		if err := slow.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestALongReadOfAPointSeesNoApplyThatBeganMeanwhile(t *testing.T) {
	t.Parallel()
	const large, cuts, tail = 48 << 20, 40, 40 * 512
	s := open(t, t.TempDir())
	if err := s.CreateDisk(t.Context(), replica.DiskSpec{Item: item, Disk: "os", SizeBytes: large}, 1); err != nil {
		t.Fatal(err)
	}
	d, err := s.OpenDisk(t.Context(), item, "os", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	spec := func(id string) replica.PointSpec {
		return replica.PointSpec{ID: id, Disks: []replica.PointDisk{{Disk: "os", SizeBytes: large}}}
	}
	if err := s.CommitPoint(t.Context(), item, spec("p0"), 1); err != nil {
		t.Fatal(err)
	}
	p, err := s.OpenPoint(t.Context(), item, "p0", "os")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	done, read := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, large)
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := p.ReadAt(buf, 0); err != nil || !bytes.Equal(buf[large-tail:], make([]byte, tail)) {
				t.Errorf("the point has changed, %v", err)
				return
			}
		}
	}()
	for cut := range cuts {
		id, off := cutID(cut), int64(large-(cut+1)*512) // a range that no undo log holds yet
		if err := s.BeginApply(t.Context(), item, id, 1, change(off, 512)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.WriteAt(bytes.Repeat([]byte{byte(cut + 1)}, 512), off); err != nil {
			t.Fatal(err)
		}
		if err := s.CommitPoint(t.Context(), item, spec(id), 1); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	<-read
}

// A crash while a disk grew has left its file longer; it is to grow to another size
// now, and there is a crash again before the file has that.
func TestADiskThatIsToGrowToASecondSizeAfterACrashIsReadAndGrows(t *testing.T) {
	t.Parallel()
	const first = size + 1<<20
	for name, second := range map[string]int64{"larger": first + 1<<20, "smaller": size + 1<<19} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, d, root := withPoint(t)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(filepath.Join(root, item, "disks", "os.raw"), first); err != nil {
				t.Fatal(err)
			}
			intend(t, root, max(first, second))
			s := open(t, root)
			wantPoint(t, s, "p1", bytes.Repeat([]byte{1}, size))
			if err := s.GrowDisk(t.Context(), replica.DiskSpec{Item: item, Disk: "os", SizeBytes: second}, 1); err != nil {
				t.Fatal(err)
			}
			wantPoint(t, s, "p1", bytes.Repeat([]byte{1}, size))
			grown, err := s.OpenDisk(t.Context(), item, "os", 1)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = grown.Close() }()
			got := make([]byte, second)
			if _, err := grown.ReadAt(got, 0); err != nil || !bytes.Equal(got, append(bytes.Repeat([]byte{1}, size), make([]byte, second-size)...)) {
				t.Errorf("the disk holds something else, %v", err)
			}
		})
	}
}

// intend writes what the store says before it grows the disk.
func intend(t *testing.T, root string, to int64) {
	t.Helper()
	path := filepath.Join(root, item, "state.json")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]any
	if err := json.Unmarshal(content, &state); err != nil {
		t.Fatal(err)
	}
	state["growing"] = map[string]int64{"os": to}
	if content, err = json.Marshal(state); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
