// Package replica is the seam to where replicas live. A replica is the disks of
// one protected item, the shipped change logs that have not been applied to them
// yet, and recovery points.
//
// The writer of a replica presents a fence: a number that grows each time the
// right to write changes hands. Once a store has seen a fence, a writer with a
// lower one changes nothing and gets a fenced failure, however late it wakes.
//
// Applying a cut is: BeginApply → Write and Zero the changed ranges → Flush every
// disk → CommitPoint. After a crash anywhere in it the same calls with the same
// cut are made again and end in the same bytes. Points are immutable and stay
// readable throughout.
//
// Errors carry codes of the error catalogue (errorcatalog.Of).
package replica

import (
	"context"
	"io"
	"time"

	"farshore/workers/disk"
)

// Store is everything a replica store can do.
type Store interface {
	Volumes
	Shaper
	Objects
	Applier
	Points
}

// Kind names an implementation of Store.
type Kind string

// The kinds of replica store.
const (
	Directory Kind = "Directory"
	PageBlob  Kind = "AzurePageBlob"
)

// Volumes holds the disks.
type Volumes interface {
	// Check verifies that the store can be reached, written and is of a kind that
	// can hold replicas.
	Check(ctx context.Context) error
	// CreateDisk makes an all-zero disk. One of the same size is left as it is.
	CreateDisk(ctx context.Context, spec DiskSpec, fence int64) error
	// OpenDisk opens a disk for applying changes and shuts out older fences.
	OpenDisk(ctx context.Context, item, disk string, fence int64) (Disk, error)
	// RemoveItem deletes everything of an item. Without it, it succeeds.
	RemoveItem(ctx context.Context, item string, fence int64) error
	// Usage returns what an item occupies and what the store has left.
	Usage(ctx context.Context, item string) (Usage, error)
}

// Shaper changes which disks a replica has, and how large they are.
type Shaper interface {
	// GrowDisk makes a disk larger; what is added reads as zeroes. Points keep the
	// size at which they hold the disk. One of that size is left as it is, and a
	// smaller size is refused with disk_shrunk.
	GrowDisk(ctx context.Context, spec DiskSpec, fence int64) error
	// RemoveDisk deletes a disk. One that a point holds is refused with
	// disk_in_recovery_points. Without it, it succeeds.
	RemoveDisk(ctx context.Context, item, disk string, fence int64) error
}

// DiskSpec describes a replica disk.
type DiskSpec struct {
	Item      string
	Disk      string
	SizeBytes int64 // what the guest sees
}

// Usage is in bytes.
type Usage struct {
	Item int64
	Free int64 // -1 where the store knows no limit
}

// Disk is the newest state of a replica disk, being written. What an apply has
// declared may be written, and all of a disk that no point holds. Reads and writes are
// whole and multiples of 512 bytes; calls may run at the same time if their
// ranges do not overlap.
type Disk interface {
	// ReadAt reads what was written last.
	io.ReaderAt
	// WriteAt writes p at off, or fails with fenced.
	io.WriterAt
	// Zero makes a range read as zeroes.
	Zero(off, n int64) error
	// Flush makes everything written durable and verified.
	Flush(ctx context.Context) error
	io.Closer
}

// Objects holds an item's small files and its shipped logs, by name. Names are
// slash-separated: "logs/os/<id>.hrl".
type Objects interface {
	// PutObject stores size bytes of r under name, durably and verified. A name
	// that exists is replaced. A failure of r is returned as it is, and nothing is
	// stored.
	PutObject(ctx context.Context, item, name string, r io.ReadSeeker, size int64) error
	// OpenObject reads an object, or fails with object_not_found.
	OpenObject(ctx context.Context, item, name string) (Object, error)
	// ListObjects returns the names that begin with prefix, ascending.
	ListObjects(ctx context.Context, item, prefix string) ([]string, error)
	// DeleteObject removes an object. Without it, it succeeds.
	DeleteObject(ctx context.Context, item, name string) error
}

// Object is a stored object, opened for reading anywhere in it. Each read may
// cost a request: whoever reads in small pieces copies it first, unless it is
// Near.
type Object interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Near marks objects whose small reads are as cheap as those of a local file.
type Near interface{ Near() }

// Applier moves a replica from one recovery point to the next.
type Applier interface {
	// BeginApply makes it safe to change the given ranges of the item's disks:
	// when it returns, the newest point stays readable whatever is written there.
	// Repeating it for the same cut, after a crash, takes up what was begun.
	BeginApply(ctx context.Context, item, cut string, fence int64, changes []Change) error
	// CommitPoint makes the disks' content a recovery point of the given id and
	// becomes durable before it returns. Repeating it returns the same.
	CommitPoint(ctx context.Context, item string, point PointSpec, fence int64) error
	// Rollback undoes an apply that was begun and not committed.
	Rollback(ctx context.Context, item string, fence int64) error
}

// Change lists the ranges of a disk that an apply will write, aligned to 512
// bytes, ascending and without overlaps.
type Change struct {
	Disk    string
	Extents []disk.Extent
}

// PointSpec is a recovery point to be made.
type PointSpec struct {
	ID    string // the id of its cut
	Disks []PointDisk
}

// PointDisk is a disk as a recovery point holds it.
type PointDisk struct {
	Disk      string
	SizeBytes int64
	Root      string // of its manifest, hex; see package checksum
}

// PointInfo is a recovery point that exists.
type PointInfo struct {
	PointSpec
	CommittedAt time.Time
}

// Points gives access to recovery points.
type Points interface {
	// ListPoints returns the item's points, oldest first.
	ListPoints(ctx context.Context, item string) ([]PointInfo, error)
	// OpenPoint reads a disk as it was at a point, or fails with
	// recovery_point_not_found. It stays readable while newer points are made and
	// other points removed; removing this one waits for no reader.
	OpenPoint(ctx context.Context, item, point, disk string) (disk.Reader, error)
	// RemovePoint deletes a point; the others keep their content. The newest one
	// is refused unless it is the last. An unknown one has been removed before.
	RemovePoint(ctx context.Context, item, point string, fence int64) error
}
