package host

import (
	"context"
	"io"

	"farshore/workers/disk"
)

// Backer lets a VM run before its disks are there: a disk reads as what a recovery
// point holds wherever it has not been written yet, and is filled in behind the
// guest's back until it needs the point no more. The host reads the point by
// itself, so that neither the control plane nor a worker is needed while the VM
// runs, and keeps what is written and filled in over the end of its process and
// over a loss of power.
type Backer interface {
	// BackVM gives all disks of a VM under construction their backings, durably, or
	// fails with backing_unavailable if the host cannot read one: then the disks are
	// to be filled before the VM is completed. Repeating it changes nothing.
	BackVM(ctx context.Context, vm string, disks []Backing) error
	// BackedDisks lists the disks that still need their backing. A VM that does not
	// exist fails with vm_not_found.
	BackedDisks(ctx context.Context, vm string) ([]BackedDisk, error)
	// OpenBacked opens such a disk to be filled in from its recovery point. A disk
	// whose backing is of another point, or that has none, fails with disk_not_found:
	// whoever wakes late does not fill in a VM that was made anew.
	OpenBacked(ctx context.Context, vm, disk, point string) (Filler, error)
	// SettleDisk makes a disk do without its backing, durably, once it holds all of
	// it; a running guest does not notice. Without a backing, it succeeds.
	SettleDisk(ctx context.Context, vm, disk string) error
}

// StoreAddress says where a replica store is, for a host to open it by itself. It
// is not secret: Credential names a file that holds the secret.
type StoreAddress struct {
	Kind       string `json:"kind"`
	Directory  string `json:"directory,omitempty"`
	Endpoint   string `json:"endpoint,omitempty"`
	Container  string `json:"container,omitempty"`
	Credential string `json:"credential,omitempty"`
}

// Backing is a disk of a recovery point in a replica store.
type Backing struct {
	Disk      string       `json:"disk"`
	Store     StoreAddress `json:"store"`
	Item      string       `json:"item"`
	Point     string       `json:"point"`
	SizeBytes int64        `json:"sizeBytes"` // the disk may be larger: then its end is zeroes
	Root      string       `json:"root"`      // of its manifest, hex
}

// BackedDisk is a disk that still needs its backing.
type BackedDisk struct {
	Backing
	Total  int64 `json:"total"`  // bytes of the disk
	Absent int64 `json:"absent"` // bytes that it does not hold yet
}

// Filler fills in what a disk does not hold yet. Ranges are whole blocks of
// 64 KiB, but for the disk's end.
type Filler interface {
	// Absent lists the ranges within n bytes from off that the disk does not hold.
	Absent(off, n int64) ([]disk.Extent, error)
	// WriteAt gives the disk what its backing holds, but for blocks that it has been
	// given or that were written meanwhile.
	io.WriterAt
	// Zero is WriteAt of zeroes.
	Zero(off, n int64) error
	// Flush makes everything filled in durable.
	Flush() error
	io.Closer
}
