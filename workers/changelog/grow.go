package changelog

import (
	"errors"
	"io/fs"
)

// Grown tells the tracking beside a disk, which is closed, that the disk has come to
// be larger by zeroes and is otherwise what it was when tracking was closed. Whoever
// says so has made sure of it with Closed.
func Grown(disk TrackedDisk, size int64) error {
	s, err := loadState(disk.Base)
	if err != nil {
		return err
	}
	stamp := ""
	if disk.Stamp != nil {
		if stamp, err = disk.Stamp(); err != nil {
			return err
		}
	}
	s.SizeBytes, s.Clean = size, &stamp
	return s.save(disk.Base)
}

// Closed says whether a disk is what it was when its tracking was closed, with logs
// that can be trusted.
func Closed(disk TrackedDisk) (bool, error) {
	s, err := loadState(disk.Base)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || s.Failure != nil || s.Clean == nil {
		return false, err
	}
	if disk.Stamp == nil {
		return true, nil
	}
	now, err := disk.Stamp()
	return err == nil && now == *s.Clean, err
}
