package cow_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"farshore/workers/disk"
	"farshore/workers/host/local/cow"
)

const size = 4<<20 + 4096 // not a multiple of the block

type base struct {
	*os.File
	size int64
}

func (b base) Zero(off, n int64) error {
	_, err := b.WriteAt(make([]byte, n), off)
	return err
}
func (b base) Flush() error { return b.Sync() }
func (b base) Size() int64  { return b.size }
func (b base) Extents(off, n int64) ([]disk.Extent, error) {
	return []disk.Extent{{Offset: off, Length: n}}, nil
}

type bench struct {
	t     *testing.T
	dir   string
	base  base
	layer *cow.Layer
	want  []byte // the disk now
}

func setup(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	b := &bench{t: t, dir: dir, base: base{f, size}, want: make([]byte, size)}
	for i := range size / 2 {
		b.want[i] = byte(rand.Int())
	}
	if _, err := f.WriteAt(b.want, 0); err != nil {
		t.Fatal(err)
	}
	b.layer = cow.New(b.base)
	return b
}

func (b *bench) files(name string) cow.Files {
	return cow.Files{Delta: filepath.Join(b.dir, name+".delta"), Map: filepath.Join(b.dir, name+".map")}
}

func (b *bench) snapshot(name string) (*cow.Snapshot, *cow.Reader) {
	b.t.Helper()
	s, err := cow.Create(b.files(name), size, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	release := cow.Hold([]*cow.Layer{b.layer})
	b.layer.Attach(s)
	release()
	return s, b.reader(name)
}

func (b *bench) reader(name string) *cow.Reader {
	b.t.Helper()
	r, err := cow.OpenReader(b.files(name), b.base)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = r.Close() })
	return r
}

func (b *bench) scribble(writes int) {
	for range writes {
		off := rand.Int64N(size - 1)
		n := min(1+rand.Int64N(200<<10), size-off)
		if rand.IntN(4) == 0 {
			if err := b.layer.Zero(off, n); err != nil {
				b.t.Error(err)
			}
			clear(b.want[off : off+n])
			continue
		}
		p := bytes.Repeat([]byte{byte(rand.Int())}, int(n))
		if _, err := b.layer.WriteAt(p, off); err != nil {
			b.t.Error(err)
		}
		copy(b.want[off:], p)
	}
}

func content(t *testing.T, r disk.Reader) []byte {
	t.Helper()
	p := make([]byte, r.Size())
	ext, err := r.Extents(0, r.Size())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ext {
		if _, err := r.ReadAt(p[e.Offset:e.End()], e.Offset); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestSnapshotsKeepTheirInstantWhateverIsWrittenAfter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wants, readers := [][]byte{}, []*cow.Reader{}
	for _, name := range []string{"a", "b", "c"} {
		wants = append(wants, bytes.Clone(b.want))
		_, r := b.snapshot(name)
		readers = append(readers, r)
		b.scribble(40)
	}
	for i, r := range readers {
		if !bytes.Equal(content(t, r), wants[i]) {
			t.Errorf("snapshot %d has changed", i)
		}
	}
	now := make([]byte, size)
	if _, err := b.layer.ReadAt(now, 0); err != nil || !bytes.Equal(now, b.want) {
		t.Errorf("the disk is not what was written: %v", err)
	}
}

func TestSnapshotIsReadWhileItsDiskIsWritten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := bytes.Clone(b.want)
	_, r := b.snapshot("s")
	var wg sync.WaitGroup
	wg.Go(func() { b.scribble(300) })
	for range 30 {
		if !bytes.Equal(content(t, r), want) {
			t.Fatal("snapshot has changed under its reader")
		}
	}
	wg.Wait()
}

func TestSnapshotIsTakenUpByTheNextProcess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := bytes.Clone(b.want)
	_, r := b.snapshot("s")
	b.scribble(20)
	b.layer = cow.New(b.base) // as after a kill: nothing was closed
	s, err := cow.Reopen(b.files("s"), size, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.layer.Attach(s)
	b.scribble(20)
	if !bytes.Equal(content(t, b.reader("s")), want) || !bytes.Equal(content(t, r), want) {
		t.Error("snapshot has changed across the restart")
	}
}

func TestSnapshotThatCannotBeKeptIsLostAndItsGuestGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, r := b.snapshot("s")
	b.scribble(3)
	if err := s.Close(); err != nil { // the delta cannot be written any more
		t.Fatal(err)
	}
	b.scribble(50)
	if s.Err() == nil {
		t.Fatal("snapshot still claims to be kept")
	}
	now := make([]byte, size)
	if _, err := b.layer.ReadAt(now, 0); err != nil || !bytes.Equal(now, b.want) {
		t.Errorf("the disk is not what was written: %v", err)
	}
	_ = r
}

func TestReaderOfAnInvalidatedSnapshotIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, r := b.snapshot("s")
	b.layer.Detach(s)
	s.Invalidate()
	if _, err := r.ReadAt(make([]byte, 512), 0); !errors.Is(err, cow.ErrLost) {
		t.Errorf("read answered %v", err)
	}
	if _, err := cow.Reopen(b.files("s"), size, nil); !errors.Is(err, cow.ErrLost) {
		t.Errorf("reopen answered %v", err)
	}
	if _, err := cow.Reopen(cow.Files{Delta: "none", Map: "none"}, size, nil); err == nil {
		t.Error("files that do not exist were opened")
	}
}
