package disk_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"farshore/domain/site"
	"farshore/workers/disk"
)

const mib = disk.MiB

func newRaw(t *testing.T, size int64) (*disk.File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := disk.CreateRaw(path, size); err != nil {
		t.Fatal(err)
	}
	d, err := disk.OpenRaw(path, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d, path
}

func TestNothingOutsideTheDiskIsTouched(t *testing.T) {
	t.Parallel()
	d, path := newRaw(t, mib)
	for _, c := range []struct{ off, n int64 }{{-1, 1}, {mib, 1}, {mib - 1, 2}, {1 << 62, 1}} {
		if _, err := d.WriteAt(make([]byte, c.n), c.off); !errors.Is(err, disk.ErrOutOfRange) {
			t.Errorf("write %d at %d: %v", c.n, c.off, err)
		}
		if err := d.Zero(c.off, c.n); !errors.Is(err, disk.ErrOutOfRange) {
			t.Errorf("zero %d at %d: %v", c.n, c.off, err)
		}
		if _, err := d.Extents(c.off, c.n); !errors.Is(err, disk.ErrOutOfRange) {
			t.Errorf("extents of %d at %d: %v", c.n, c.off, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() != mib {
		t.Fatalf("the file has changed: %v %v", info.Size(), err)
	}
	if n, err := d.ReadAt(make([]byte, 10), mib-4); n != 4 || !errors.Is(err, io.EOF) {
		t.Fatalf("a read over the end returned %d, %v", n, err)
	}
}

func TestADiskThatHasShrunkIsAnErrorNotZeroes(t *testing.T) {
	t.Parallel()
	d, path := newRaw(t, mib)
	if err := os.Truncate(path, mib/2); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadAt(make([]byte, 4096), mib/2-512); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("read of lost bytes: %v", err)
	}
}

func TestADiskThatExistsIsNotCreatedAnew(t *testing.T) {
	t.Parallel()
	_, path := newRaw(t, mib)
	if err := disk.CreateRaw(path, 2*mib); !errors.Is(err, os.ErrExist) {
		t.Fatalf("got %v", err)
	}
}

func TestAFolderOrAnUnknownFormatIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := disk.OpenRaw(t.TempDir(), true); err == nil {
		t.Error("opened a folder")
	}
	_, path := newRaw(t, mib)
	if _, err := disk.Open(path, site.DiskFormat("vhdx"), true); err == nil {
		t.Error("opened an unknown format")
	}
}

func TestExtentsFindDataAndZeroGivesItUp(t *testing.T) {
	t.Parallel()
	d, _ := newRaw(t, 8*mib)
	data := bytes.Repeat([]byte{7}, mib)
	for _, off := range []int64{mib, 5 * mib} {
		if _, err := d.WriteAt(data, off); err != nil {
			t.Fatal(err)
		}
	}
	wantExtents(t, d, []disk.Extent{{Offset: mib, Length: mib}, {Offset: 5 * mib, Length: mib}})
	if err := d.Zero(mib, mib); err != nil {
		t.Fatal(err)
	}
	if err := d.Zero(5*mib+100, 1000); err != nil {
		t.Fatal(err)
	}
	wantExtents(t, d, []disk.Extent{{Offset: 5 * mib, Length: mib}})
	got := make([]byte, mib)
	if _, err := d.ReadAt(got, 5*mib); err != nil {
		t.Fatal(err)
	}
	clear(data[100:1100])
	if !bytes.Equal(got, data) {
		t.Fatal("zeroing changed more or less than its range")
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
}

func wantExtents(t *testing.T, d *disk.File, want []disk.Extent) {
	t.Helper()
	got, err := d.Extents(0, d.Size())
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("extents %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("extents %v, want %v", got, want)
		}
	}
}

func TestWritesPastThePageCacheAreReadLikeAnyOther(t *testing.T) {
	t.Parallel()
	// A file system in memory has no page cache to pass, and must do as well.
	for name, medium := range map[string]func(t *testing.T) string{
		"on disk": func(t *testing.T) string { t.Helper(); return t.TempDir() },
		"in memory": func(t *testing.T) string {
			t.Helper()
			folder, err := os.MkdirTemp("/dev/shm", "bypass-") //nolint:usetesting // a file system of another kind
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(folder) })
			return folder
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(medium(t), "disk.raw")
			if err := disk.CreateRaw(path, 8*mib+512); err != nil {
				t.Fatal(err)
			}
			d, err := disk.OpenRaw(path, false)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = d.Close() }()
			d.Bypass()
			want := make([]byte, d.Size())
			write := func(off, n int64, fill byte) {
				p := bytes.Repeat([]byte{fill}, int(n))
				copy(want[off:], p)
				if _, err := d.WriteAt(p, off); err != nil {
					t.Fatalf("write %d bytes at %d: %v", n, off, err)
				}
			}
			write(0, mib, 1)          // past the cache
			write(mib/2, 4096, 2)     // through it, over what went past
			write(mib/2+4096, mib, 3) // past it, next to what is dirty
			write(2*mib+512, mib, 4)  // not aligned
			write(8*mib, 512, 5)      // the short end
			write(7*mib, mib, 6)
			if err := d.Flush(); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, d.Size())
			if _, err := d.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("what is read is not what was written (%v)", err)
			}
		})
	}
}
