package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"farshore/domain/site"
)

// ErrOutOfRange means that a range does not lie within the disk.
var ErrOutOfRange = errors.New("range outside the disk")

// zeroChunk is how much is written at once where a file system cannot make holes.
const zeroChunk = 1 << 20

// File is a virtual disk in a file whose content lies at offset 0: a raw image or
// a fixed VHD, whose footer stands behind the content and out of reach.
type File struct {
	f      *os.File
	direct *os.File // past the page cache; nil: not asked for, or not to be had
	size   int64
	footer *Footer
}

var (
	_ Device = (*File)(nil)
	_ Reader = (*File)(nil)
)

// Open opens a disk of the given format.
func Open(path string, format site.DiskFormat, readonly bool) (*File, error) {
	switch format {
	case site.Raw:
		return OpenRaw(path, readonly)
	case site.FixedVHD:
		return OpenVHD(path, readonly)
	default:
		return nil, fmt.Errorf("open %s: disk format %q is not served", path, format)
	}
}

// Create makes an all-zero disk of the given format; it fails if the file exists.
func Create(path string, format site.DiskFormat, size int64, footer Footer) error {
	switch format {
	case site.Raw:
		return CreateRaw(path, size)
	case site.FixedVHD:
		return CreateVHD(path, footer)
	default:
		return fmt.Errorf("create %s: disk format %q is not served", path, format)
	}
}

// OpenRaw opens a raw image.
func OpenRaw(path string, readonly bool) (*File, error) {
	f, length, err := openFile(path, readonly)
	if err != nil {
		return nil, err
	}
	return &File{f: f, size: length}, nil
}

// CreateRaw makes a sparse raw image of all zeroes; it fails if the file exists.
func CreateRaw(path string, size int64) error {
	return create(path, size, nil)
}

func openFile(path string, readonly bool) (*os.File, int64, error) { //nolint:revive // it is the mode to open with
	mode := os.O_RDWR
	if readonly {
		mode = os.O_RDONLY
	}
	f, err := os.OpenFile(path, mode, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("open disk: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return nil, 0, fmt.Errorf("open disk %s: %w", path, errors.Join(err, f.Close()))
	}
	return f, info.Size(), nil
}

// create leaves no file behind when it fails, so that it can be repeated.
func create(path string, size int64, tail []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create disk: %w", err)
	}
	err = f.Truncate(size)
	if err == nil && len(tail) > 0 {
		_, err = f.WriteAt(tail, size)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("create disk %s: %w", path, errors.Join(err, os.Remove(path)))
	}
	return nil
}

// Cap makes the disk end at size if it is longer.
func (d *File) Cap(size int64) { d.size = min(d.size, size) }

// Size is what a guest sees, in bytes.
func (d *File) Size() int64 { return d.size }

// Footer returns a VHD's footer and whether the disk has one.
func (d *File) Footer() (Footer, bool) {
	if d.footer == nil {
		return Footer{}, false
	}
	return *d.footer, true
}

// ReadAt reads within the disk; a read over its end stops there with io.EOF. A
// file that has become shorter than the disk fails with io.ErrUnexpectedEOF.
func (d *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > d.size {
		return 0, fmt.Errorf("read at %d: %w", off, ErrOutOfRange)
	}
	over := off+int64(len(p)) > d.size
	if over {
		p = p[:d.size-off]
	}
	n, err := d.f.ReadAt(p, off)
	switch {
	case n == len(p) && over:
		return n, io.EOF
	case n == len(p):
		return n, nil
	case errors.Is(err, io.EOF):
		return n, fmt.Errorf("read %d bytes at %d, the file ends before: %w", len(p), off, io.ErrUnexpectedEOF)
	default:
		return n, fmt.Errorf("read %d bytes at %d: %w", len(p), off, err)
	}
}

// WriteAt writes within the disk and nothing outside it.
func (d *File) WriteAt(p []byte, off int64) (int, error) {
	if err := d.within(off, int64(len(p))); err != nil {
		return 0, fmt.Errorf("write %d bytes at %d: %w", len(p), off, err)
	}
	f := d.f
	if d.Bypasses(p, off) {
		f = d.direct
	}
	n, err := f.WriteAt(p, off)
	if err != nil {
		return n, fmt.Errorf("write %d bytes at %d: %w", len(p), off, err)
	}
	return n, nil
}

// The writes that gain by passing the page cache.
const (
	directBytes = 256 << 10
	directAlign = 4096
)

// Bypass makes long aligned writes go to the medium past the page cache: much
// less work for the processor, several at once into one file, and nothing left to
// do for Flush but to say so. Where the file system cannot, nothing changes.
func (d *File) Bypass() {
	if d.direct == nil {
		d.direct = openDirect(d.f.Name())
	}
}

// Bypasses says whether a write would go past the page cache.
func (d *File) Bypasses(p []byte, off int64) bool {
	return d.direct != nil && len(p) >= directBytes && len(p)%directAlign == 0 && off%directAlign == 0 &&
		uintptr(unsafe.Pointer(unsafe.SliceData(p)))%directAlign == 0 //nolint:gosec // the kernel asks for it
}

// Zero makes n bytes from off read as zeroes: a hole where the file system can,
// written zeroes where not.
func (d *File) Zero(off, n int64) error {
	if err := d.within(off, n); err != nil {
		return fmt.Errorf("zero %d bytes at %d: %w", n, off, err)
	}
	if n == 0 {
		return nil
	}
	for _, try := range []func(*os.File, int64, int64) (bool, error){punch, zeroRange, writeZeroes} {
		done, err := try(d.f, off, n)
		if err != nil {
			return fmt.Errorf("zero %d bytes at %d: %w", n, off, err)
		}
		if done {
			return nil
		}
	}
	return nil
}

func writeZeroes(f *os.File, off, n int64) (bool, error) {
	zeroes := make([]byte, min(n, zeroChunk))
	for n > 0 {
		k := min(n, int64(len(zeroes)))
		if _, err := f.WriteAt(zeroes[:k], off); err != nil {
			return false, fmt.Errorf("write zeroes: %w", err)
		}
		off, n = off+k, n-k
	}
	return true, nil
}

// Flush makes everything written so far durable.
func (d *File) Flush() error {
	if err := syncData(d.f); err != nil {
		return fmt.Errorf("flush disk: %w", err)
	}
	return nil
}

// Extents returns the ranges within n bytes from off that are not holes.
func (d *File) Extents(off, n int64) ([]Extent, error) {
	if err := d.within(off, n); err != nil {
		return nil, fmt.Errorf("extents of %d bytes at %d: %w", n, off, err)
	}
	found, err := dataRanges(d.f, off, n)
	if err != nil {
		return nil, fmt.Errorf("extents of %d bytes at %d: %w", n, off, err)
	}
	return found, nil
}

// Close closes the file; it does not flush.
func (d *File) Close() error {
	err := d.f.Close()
	if d.direct != nil {
		err = errors.Join(err, d.direct.Close())
	}
	if err != nil {
		return fmt.Errorf("close disk: %w", err)
	}
	return nil
}

func (d *File) within(off, n int64) error {
	if off < 0 || n < 0 || off > d.size || n > d.size-off {
		return ErrOutOfRange
	}
	return nil
}
