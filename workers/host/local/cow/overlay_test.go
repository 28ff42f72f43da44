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

func overlayBase(t *testing.T, size int) (*disk.File, []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "base")
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(rand.IntN(256))
	}
	ok(t, os.WriteFile(path, p, 0o600))
	base, err := disk.OpenRaw(path, true)
	ok(t, err)
	t.Cleanup(func() { _ = base.Close() })
	return base, p
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func overlayFiles(t *testing.T) cow.Files {
	t.Helper()
	dir := t.TempDir()
	return cow.Files{Delta: filepath.Join(dir, "delta"), Map: filepath.Join(dir, "map")}
}

func TestOverlayReadsAsWhatWasWrittenOverItsBase(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 100, 65536, 3*65536 + 777, 5 << 20} {
		base, want := overlayBase(t, size)
		files := overlayFiles(t)
		o, err := cow.CreateOverlay(files, base)
		ok(t, err)
		for i := range 200 {
			off := rand.IntN(size)
			n := rand.IntN(min(size-off, 300<<10) + 1)
			if i%3 == 0 {
				ok(t, o.Zero(int64(off), int64(n)))
				clear(want[off : off+n])
			} else {
				p := bytes.Repeat([]byte{byte(i)}, n)
				_, err := o.WriteAt(p, int64(off))
				ok(t, err)
				copy(want[off:], p)
			}
			if i%50 == 0 {
				ok(t, o.Close())
				if o, err = cow.OpenOverlay(files, base, false); err != nil {
					t.Fatal(err)
				}
			}
		}
		got := make([]byte, size)
		_, err = o.ReadAt(got, 0)
		ok(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("an overlay of %d bytes reads as something else", size)
		}
		r, err := cow.OpenReader(files, base) // the same files, the same content
		ok(t, err)
		_, err = r.ReadAt(got, 0)
		ok(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("the files of an overlay of %d bytes read as something else", size)
		}
		ok(t, r.Close())
		ok(t, o.Close())
		if _, err := o.WriteAt([]byte{1}, 0); !errors.Is(err, os.ErrClosed) {
			t.Errorf("a closed overlay answered %v", err)
		}
	}
}

func TestWritesToOneBlockOfAnOverlayLoseNothing(t *testing.T) {
	t.Parallel()
	const size, piece = 4 << 20, 3000
	base, want := overlayBase(t, size)
	o, err := cow.CreateOverlay(overlayFiles(t), base)
	ok(t, err)
	var g errgroup.Group
	for w := range 8 {
		g.Go(func() error {
			for i := w; (i+1)*piece <= size; i += 8 {
				p := want[i*piece : (i+1)*piece]
				for j := range p {
					p[j] = byte(i + j)
				}
				if _, err := o.WriteAt(p, int64(i*piece)); err != nil {
					return err
				}
				if w == 0 && i%64 == 0 {
					if err := o.Flush(); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	ok(t, g.Wait())
	got := make([]byte, size)
	_, err = o.ReadAt(got, 0)
	ok(t, err)
	if !bytes.Equal(got, want) {
		t.Error("writes side by side have overwritten each other")
	}
	ok(t, o.Close())
}
