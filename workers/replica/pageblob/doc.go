// Package pageblob keeps replicas in a storage account of Azure.
//
// In the container, an item has
//
//	<item>/disks/<disk>.vhd   a page blob: a fixed VHD, so that it can become a managed disk
//	<item>/objects/<name>     its objects, block blobs
//	<item>/index.json         the fence, the points with their snapshots, the apply that is under way
//	<item>/apply/<cut>-<n>    the ranges that the apply under way may have changed
//
// A recovery point is a snapshot of each page blob; the index naming all of them
// is what makes it exist. The index is only ever replaced by whoever has read the
// version before, and names the highest fence seen, so a writer with a lower one
// can neither make a point nor remove one.
//
// Page blobs are fenced by their sequence number: the fence in the upper bits, a
// counter in the lower ones. Every change of pages carries the number that its
// writer knows. A new owner raises the fence; a writer that does not know what
// became of one of its own requests raises the counter, so that a request which
// was given up and arrives late changes nothing either.
//
// Nothing counts as written before the service has confirmed a checksum of it
// (where it can), or the store has read it back and compared.
package pageblob
