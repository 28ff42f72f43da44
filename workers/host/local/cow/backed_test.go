package cow_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"farshore/workers/disk"
	"farshore/workers/host/local/cow"
)

// backedDisk is a backed disk under test, with what it is to hold.
type backedDisk struct {
	*testing.T
	*cow.Backed

	path  string
	file  *disk.File
	files cow.Files
	base  *disk.File
	want  []byte
}

func newBacked(t *testing.T, size int) *backedDisk {
	t.Helper()
	b := &backedDisk{T: t}
	b.base, b.want = overlayBase(t, size)
	dir := t.TempDir()
	b.path, b.files = filepath.Join(dir, "disk"), cow.Files{Map: filepath.Join(dir, "map")}
	ok(t, disk.CreateRaw(b.path, int64(size)))
	ok(t, cow.CreateBacked(b.files, int64(size)))
	b.open(false)
	return b
}

func (b *backedDisk) open(torn bool) {
	b.Helper()
	var err error
	b.file, err = disk.OpenRaw(b.path, false)
	ok(b.T, err)
	b.Backed, err = cow.OpenBacked(b.files, b.file, b.base, torn)
	ok(b.T, err)
}

func (b *backedDisk) shut() {
	b.Helper()
	ok(b.T, errors.Join(b.Close(), b.file.Close()))
}

func (b *backedDisk) judge(what string) {
	b.Helper()
	got := make([]byte, len(b.want))
	_, err := b.ReadAt(got, 0)
	ok(b.T, err)
	if !bytes.Equal(got, b.want) {
		b.Errorf("%s, a disk of %d bytes reads as something else", what, len(b.want))
	}
}

// fill fills in what is absent, from the base.
func (b *backedDisk) fill(off, n int64) {
	b.Helper()
	absent, err := b.Absent(off, n)
	ok(b.T, err)
	for _, e := range absent {
		p := make([]byte, e.Length)
		_, err := b.base.ReadAt(p, e.Offset)
		ok(b.T, err)
		ok(b.T, b.Fill(p, e.Offset))
	}
}

func TestABackedDiskReadsAsWhatWasWrittenOverItsBase(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 100, 65536, 3*65536 + 777, 5 << 20} {
		b := newBacked(t, size)
		for i := range 200 {
			off := rand.IntN(size)
			n := rand.IntN(min(size-off, 300<<10) + 1)
			switch i % 5 {
			case 0:
				ok(t, b.Zero(int64(off), int64(n)))
				clear(b.want[off : off+n])
			case 1:
				start := off / cow.BlockSize * cow.BlockSize
				b.fill(int64(start), int64(min(cow.BlockSize, size-start)))
			default:
				p := bytes.Repeat([]byte{byte(i)}, n)
				_, err := b.WriteAt(p, int64(off))
				ok(t, err)
				copy(b.want[off:], p)
			}
			if i%50 == 0 {
				b.shut()
				b.open(i%100 == 0 && b.flushed())
			}
		}
		b.judge("after writes")
		b.fill(0, int64(size))
		dropped := false
		ok(t, b.Settle(func() error { dropped = true; return b.base.Close() }))
		b.judge("without its base")
		ok(t, b.Flush())
		b.shut()
		got, err := os.ReadFile(b.path)
		ok(t, err)
		if !dropped || !bytes.Equal(got, b.want) {
			t.Errorf("the file of %d bytes is not the disk; dropped: %t", size, dropped)
		}
	}
}

// flushed flushes, so that a loss of power loses nothing.
func (b *backedDisk) flushed() bool {
	b.Helper()
	file, err := disk.OpenRaw(b.path, false)
	ok(b.T, err)
	again, err := cow.OpenBacked(b.files, file, b.base, false)
	ok(b.T, err)
	ok(b.T, errors.Join(again.Flush(), again.Close(), file.Close()))
	return true
}

func TestALossOfPowerLeavesABackedDiskWhatWasFlushed(t *testing.T) {
	t.Parallel()
	const size = 40*cow.BlockSize + 512
	b := newBacked(t, size)
	write := func(off int, c byte) {
		t.Helper()
		_, err := b.WriteAt(bytes.Repeat([]byte{c}, 1000), int64(off))
		ok(t, err)
	}
	for i := 0; i < 40; i += 3 {
		write(i*cow.BlockSize+100, byte(i))
		copy(b.want[i*cow.BlockSize+100:], bytes.Repeat([]byte{byte(i)}, 1000))
	}
	ok(t, b.Zero(39*cow.BlockSize, cow.BlockSize+512))
	clear(b.want[39*cow.BlockSize:])
	ok(t, b.Flush())
	for i := 1; i < 39; i += 3 { // nobody has asked for these to be durable
		write(i*cow.BlockSize, 0xff)
	}
	b.shut()
	ok(t, os.WriteFile(b.files.Map, nil, 0o600)) // what such a loss may leave of it
	b.open(true)
	b.judge("after a loss of power")
	if err := b.Settle(func() error { return nil }); !errors.Is(err, cow.ErrNotWhole) {
		t.Errorf("a disk that needs its base was settled: %v", err)
	}
	b.fill(0, size)
	b.judge("filled in")
	b.shut()
}

func TestFillingInNeverOverwritesAGuest(t *testing.T) {
	t.Parallel()
	const size, piece = 8 << 20, 3000
	b := newBacked(t, size)
	var g errgroup.Group
	seed := bytes.Clone(b.want)
	for w := range 4 {
		g.Go(func() error {
			for i := w; (i+1)*piece <= size; i += 4 {
				if i%3 == 0 {
					continue // the base's
				}
				p := b.want[i*piece : (i+1)*piece]
				for j := range p {
					p[j] = byte(i + j)
				}
				if i%7 == 0 {
					clear(p)
					if err := b.Zero(int64(i*piece), piece); err != nil {
						return err
					}
				} else if _, err := b.WriteAt(p, int64(i*piece)); err != nil {
					return err
				}
				if i%500 == 1 {
					if err := b.Flush(); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		for block := range int64(size / cow.BlockSize) {
			off := (size/cow.BlockSize - 1 - block) * cow.BlockSize
			if err := b.Fill(seed[off:off+cow.BlockSize], off); err != nil {
				return err
			}
		}
		return b.Settle(func() error { return nil })
	})
	ok(t, g.Wait())
	b.judge("filled in while it was written")
	b.shut()
}

func TestBlocksOfZeroesAreFilledInWithoutSpace(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	dir := t.TempDir()
	path, files := filepath.Join(dir, "disk"), cow.Files{Map: filepath.Join(dir, "map")}
	ok(t, disk.CreateRaw(filepath.Join(dir, "base"), size))
	base, err := disk.OpenRaw(filepath.Join(dir, "base"), true)
	ok(t, err)
	defer base.Close() //nolint:errcheck // read only
	ok(t, disk.CreateRaw(path, size))
	file, err := disk.OpenRaw(path, false)
	ok(t, err)
	_, err = file.WriteAt([]byte("left by a crash"), 1<<20) // in a block that the map does not name
	ok(t, err)
	ok(t, cow.CreateBacked(files, size))
	b, err := cow.OpenBacked(files, file, base, false)
	ok(t, err)
	_, err = b.WriteAt([]byte("written"), 5<<20)
	ok(t, err)
	if err := b.FillZero(100, 200); !errors.Is(err, disk.ErrOutOfRange) {
		t.Errorf("a part of a block was filled in: %v", err)
	}
	ok(t, b.FillZero(0, size))
	ok(t, b.Settle(func() error { return nil }))
	data, err := b.Extents(0, size)
	ok(t, err)
	var held int64
	for _, e := range data {
		held += e.Length
	}
	if held > cow.BlockSize {
		t.Errorf("%d bytes are held for one block", held)
	}
	got := make([]byte, 7)
	_, err = b.ReadAt(got, 5<<20)
	ok(t, err)
	if string(got) != "written" {
		t.Errorf("a guest's write reads %q", got)
	}
	ok(t, errors.Join(b.Close(), file.Close()))
}
