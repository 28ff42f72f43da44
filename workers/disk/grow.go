package disk

import (
	"errors"
	"fmt"
	"os"

	"farshore/domain/site"
)

// Grow makes a disk that nobody has open larger by zeroes, from a size to another,
// durably. After a crash within, it is called again with the same sizes.
func Grow(path string, format site.DiskFormat, from, to int64) error {
	if to < from || to%sectorSize != 0 || format == site.FixedVHD && to%MiB != 0 {
		return fmt.Errorf("grow %s from %d to %d bytes: %w", path, from, to, ErrOutOfRange)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open disk: %w", err)
	}
	if format == site.FixedVHD {
		err = growVHD(f, from, to)
	} else {
		err = f.Truncate(to)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("grow disk %s: %w", path, err)
	}
	return nil
}

// growVHD writes a footer at the new end before it clears the one that has come to
// lie within the disk, so that there is one at the end of the file all the while.
func growVHD(f *os.File, from, to int64) error {
	info, err := f.Stat()
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	b := make([]byte, FooterSize)
	if _, err := f.ReadAt(b, info.Size()-FooterSize); err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	footer, err := ParseFooter(b)
	if err != nil {
		return err
	}
	footer.CurrentSize, footer.Geometry = to, GeometryFor(to)
	if _, err := f.WriteAt(footer.Encode(), to); err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	if err := f.Sync(); err != nil || to == from {
		return err //nolint:wrapcheck // it names the file
	}
	_, err = f.WriteAt(make([]byte, FooterSize), from)
	return err //nolint:wrapcheck // it names the file
}
