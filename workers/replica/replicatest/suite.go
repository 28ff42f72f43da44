// Package replicatest is the conformance suite of replica stores: what
// replica.Store promises, as tests that every implementation passes.
package replicatest

import (
	"context"
	"testing"

	"farshore/workers/replica"
)

// Medium is one place where an implementation keeps replicas, empty at first. A
// test gets its own.
type Medium struct {
	// Open returns a new handle on the medium, as another process would get it.
	// Handles are used side by side; one that is no longer used has crashed.
	Open func(t testing.TB) replica.Store
	// Faults are the ways in which the medium can be made to fail.
	Faults Faults
}

// Faults damage what a store keeps, behind its back. The tests of those that an
// implementation cannot inject are not run.
type Faults struct {
	// FlipBit changes a bit of the stored byte at off of a replica disk.
	FlipBit func(t testing.TB, item, disk string, off int64)
	// LoseWrites makes the medium acknowledge writes to disks and throw them away,
	// until the function it returns is called.
	LoseWrites func(t testing.TB) (restore func())
	// FlipWrites makes the medium change a bit of each write to a disk, until the
	// function it returns is called.
	FlipWrites func(t testing.TB) (restore func())
	// Truncate cuts a replica disk short behind the store's back.
	Truncate func(t testing.TB, item, disk string, size int64)
	// CutAfter lets the medium be changed n times with the context that it returns and
	// no more, until restore is called.
	CutAfter func(t testing.TB, n int) (ctx context.Context, restore func())
	// FlushVerifies says that WriteAt or Flush reports lost and changed writes by
	// itself; elsewhere the manifest finds them.
	FlushVerifies bool
}

// Run runs the suite; each test asks for a medium of its own.
func Run(t *testing.T, newMedium func(t *testing.T) Medium) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Medium){
		"an unaligned range is refused":                                unalignedIsRefused,
		"what does not exist has a code of its own":                    missingHasACode,
		"a new disk is all zeroes and is not created twice":            newDiskIsZero,
		"writes are read back, also those made at the same time":       writesAreReadBack,
		"a lower fence changes nothing":                                lowerFenceChangesNothing,
		"a writer that wakes mid-apply after the next cut is too late": staleWriterIsTooLate,
		"points read the same whatever is applied and removed":         pointsFollowTheModel,
		"a point is readable while the next is applied":                pointIsReadableDuringApply,
		"a point is read at the same time as others are applied":       pointIsReadMeanwhile,
		"an apply that crashed anywhere is repeated to the same end":   crashedApplyIsRepeated,
		"a rolled back apply leaves no trace":                          rollbackLeavesNoTrace,
		"the newest point is kept and the last one may go":             newestPointIsKept,
		"objects are kept by name":                                     objectsAreKept,
		"what cannot be read is not stored, and says why":              unreadableIsNotStored,
		"a removed item is gone, and removed again":                    removedItemIsGone,
		"usage grows with what is written":                             usageGrows,
		"a flipped bit is found":                                       flippedBitIsFound,
		"lost and changed writes are found":                            badWritesAreFound,
		"a disk that was cut short is found":                           truncationIsFound,
		"a disk that no point holds is written freely":                 newDiskIsWrittenFreely,
		"a disk grows, and points keep its size":                       diskGrows,
		"a growth that was cut off anywhere is repeated":               growthIsRepeated,
		"a disk is removed once no point holds it":                     diskIsRemoved,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newMedium(t))
		})
	}
}
