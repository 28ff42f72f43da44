package replica

import (
	"errors"
	"fmt"
)

// SectorSize is the unit of everything that is read from or written to a replica
// disk.
const SectorSize = 512

// What a caller can ask of a disk that no store grants.
var (
	ErrUnaligned   = errors.New("range is not a multiple of 512 bytes")
	ErrOutOfRange  = errors.New("range outside the replica disk")
	ErrUndeclared  = errors.New("range was not declared when the apply began")
	ErrApplyOpen   = errors.New("the apply of another cut has begun and is not committed")
	ErrNoApply     = errors.New("no apply of this cut has begun")
	ErrNewestPoint = errors.New("the newest recovery point is not removed while others exist")
	ErrDiskSize    = errors.New("a replica disk of another size exists")
)

// CheckRange verifies that n bytes from off are whole sectors of a disk of the
// given size.
func CheckRange(off, n, size int64) error {
	switch {
	case off%SectorSize != 0 || n%SectorSize != 0:
		return fmt.Errorf("%d bytes at %d: %w", n, off, ErrUnaligned)
	case off < 0 || n < 0 || off > size || n > size-off:
		return fmt.Errorf("%d bytes at %d of %d: %w", n, off, size, ErrOutOfRange)
	default:
		return nil
	}
}
