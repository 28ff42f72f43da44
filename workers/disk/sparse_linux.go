package disk

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// dataRanges asks the file system which of n bytes from off hold data. File
// systems that cannot tell report one range, which is allowed.
func dataRanges(f *os.File, off, n int64) ([]Extent, error) {
	var found []Extent
	for at, end := off, off+n; at < end; {
		data, err := seek(f, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("seek data: %w", err)
		}
		if data >= end {
			break
		}
		hole, err := seek(f, data, unix.SEEK_HOLE)
		if err != nil {
			return nil, fmt.Errorf("seek hole: %w", err)
		}
		hole = min(hole, end)
		found = append(found, Extent{Offset: data, Length: hole - data})
		at = hole
	}
	return found, nil
}

// seek leaves out os.File.Seek because that wraps ENXIO, which is an answer.
func seek(f *os.File, off int64, whence int) (int64, error) {
	for {
		at, err := unix.Seek(int(f.Fd()), off, whence)
		if !errors.Is(err, unix.EINTR) {
			return at, err //nolint:wrapcheck // the caller says what was sought
		}
	}
}

// punch gives up the space of a range, which then reads as zeroes. It reports
// whether the file system could.
func punch(f *os.File, off, n int64) (bool, error) {
	return fallocate(f, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

// zeroRange makes a range read as zeroes without giving up its space.
func zeroRange(f *os.File, off, n int64) (bool, error) {
	return fallocate(f, unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

func fallocate(f *os.File, mode uint32, off, n int64) (bool, error) {
	for {
		err := unix.Fallocate(int(f.Fd()), mode, off, n)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return false, nil
		default:
			return false, fmt.Errorf("fallocate: %w", err)
		}
	}
}

// syncData makes a file's content durable, with the metadata needed to read it.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err //nolint:wrapcheck // the caller names the file
		}
	}
}

// openDirect opens a file for writes past the page cache, or returns nil where
// its file system has none.
func openDirect(path string) *os.File {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		return nil
	}
	return f
}
