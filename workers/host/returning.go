package host

import (
	"context"
	"io"
)

// Returning takes a VM back that ran elsewhere. What it is to hold is written
// beside its disks; the disks themselves change only by Merge, which can be undone
// until Settle.
//
// A return has an id, is bound to its disks as they were when it began, and
// survives the end of the host process. It is begun, merged and undone only while
// the VM is off.
type Returning interface { //nolint:interfacebloat // one return, from its beginning to its end
	// BeginReturn prepares a sparse overlay beside each of the given disks. A return
	// of the same id is taken up again if its disks are what they were, and begun
	// anew, empty, if not; fresh tells which.
	BeginReturn(ctx context.Context, vm, id string, disks []string) (fresh bool, err error)
	// OpenBeside opens a disk of a return: reads see the overlay over the disk,
	// writes go to the overlay alone.
	OpenBeside(ctx context.Context, vm, id, disk string) (BesideDisk, error)
	// MergeReturn writes the overlays onto the disks. What it overwrites is saved to a
	// closed undo log first, for which there must be space. It repeats safely from
	// any instant of a crash.
	MergeReturn(ctx context.Context, vm, id string) error
	// UndoReturn gives the disks back exactly what they held before the merge, and
	// drops the overlays. Without such a return, it succeeds.
	UndoReturn(ctx context.Context, vm, id string) error
	// CheckUndo fails with return_not_undoable if UndoReturn would do so for good. It
	// may be asked while the VM runs, too.
	CheckUndo(ctx context.Context, vm, id string) error
	// SettleReturn gives up the undo logs: the merge is final. Without such a return,
	// it succeeds.
	SettleReturn(ctx context.Context, vm, id string) error
}

// BesideDisk is a disk with what is written beside it.
type BesideDisk interface {
	io.ReaderAt
	io.WriterAt
	// Zero makes a range read as zeroes.
	Zero(off, n int64) error
	// Flush makes everything written durable.
	Flush() error
	io.Closer
}
