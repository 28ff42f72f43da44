package protecteditem_test

import (
	"maps"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
)

// withLogs is a point that holds the disk added later, and data at a size.
func withLogs(id string, minutes int, data int64) protecteditem.Point {
	p := point(id, minutes)
	p.Disks[1].SizeBytes = data
	p.Disks = append(p.Disks, protecteditem.PointDisk{Disk: "logs", SizeBytes: 10 * gib, Root: "cc"})
	return p
}

func disksRows() map[string]scenario {
	add := protecteditem.AddDisks{JobID: "job-disk", Disks: []site.Disk{logs()}, At: noon}
	other := add
	other.JobID = "other"
	of := func(disks ...site.Disk) protecteditem.AddDisks {
		return protecteditem.AddDisks{JobID: "job-disk", Disks: disks, At: noon}
	}
	shared, system, known := logs(), logs(), logs()
	shared.Shared, system.OS, known.ID = true, true, "data"
	grow := protecteditem.RecordDiskGrown{JobID: "job-disk", Disk: "data", SizeBytes: 200 * gib, At: noon}
	unknown, smaller := grow, grow
	unknown.Disk, smaller.SizeBytes = "tmp", 100*gib
	growing := history(following, grown)
	return map[string]scenario{
		"a disk can be added":                         {given: following, when: add, then: history(adding)},
		"a disk can be added beside a test failover":  {given: testOpen, when: add, then: history(adding)},
		"a disk added again changes nothing":          {given: history(following, adding), when: add},
		"a disk added after its end is harmless":      {given: history(following, adding, diskDone), when: add},
		"a disk added beside another is refused":      {given: history(following, adding), when: other, refused: errorcatalog.OperationInProgress},
		"a disk added while a resync is required":     {given: diverged, when: add, refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a disk added during the copy is refused":     {given: replicating, when: add, refused: errorcatalog.NotProtected},
		"a disk added after failover is refused":      {given: done, when: add, refused: errorcatalog.NotProtected},
		"a disk added to an unknown item is refused":  {when: add, refused: errorcatalog.ProtectedItemNotFound},
		"a disk added needs a job":                    {given: following, when: protecteditem.AddDisks{}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"a disk added is named":                       {given: following, when: of(), refused: errorcatalog.ValidationFailed, field: "/disks"},
		"a disk added twice is refused":               {given: following, when: of(logs(), logs()), refused: errorcatalog.ValidationFailed, field: "/disks"},
		"a disk that is protected is not added":       {given: following, when: of(known), refused: errorcatalog.ValidationFailed, field: "/disks"},
		"a second OS disk is not added":               {given: following, when: of(system), refused: errorcatalog.ValidationFailed, field: "/disks"},
		"a shared disk is not added":                  {given: following, when: of(shared), refused: errorcatalog.VirtualMachineNotProtectable, field: "/disks"},
		"a disk can grow":                             {given: following, when: grow, then: history(grown)},
		"a disk that grew, recorded again":            {given: growing, when: grow},
		"a disk that is not protected does not grow":  {given: following, when: unknown, refused: errorcatalog.ValidationFailed, field: "/disk"},
		"a disk that shrank has not grown":            {given: following, when: smaller, refused: errorcatalog.ValidationFailed, field: "/sizeBytes"},
		"a disk that grows needs a job":               {given: following, when: protecteditem.RecordDiskGrown{Disk: "data"}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"a disk grows when no other one does":         {given: history(following, adding), when: protecteditem.RecordDiskGrown{JobID: "other", Disk: "data", SizeBytes: 200 * gib}, refused: errorcatalog.OperationInProgress},
		"a disk of an unknown item does not grow":     {when: grow, refused: errorcatalog.ProtectedItemNotFound},
		"points go on while a disk is added":          {given: history(following, adding, shipped3), when: protecteditem.CreateRecoveryPoint{Point: point("cut-3", 8), At: noon}, then: history(thirdPoint)},
		"a planned failover while a disk is added":    {given: history(following, adding), when: protecteditem.StartPlannedFailover{JobID: "job-fail"}, refused: errorcatalog.OperationInProgress},
		"a failed attempt with a new disk is its own": {given: history(following, adding), when: protecteditem.RecordFailure{Failure: unauthorized, JobID: "job-disk", At: noon}, then: history(protecteditem.ReplicationFailed{JobID: "job-disk", Attempt: 1, Failure: *unauthorized, At: noon})},
	}
}

func disksEndRows() map[string]scenario {
	end := protecteditem.CompleteDiskReplication{JobID: "job-disk", Bytes: 7, Point: withLogs("cut-3", 8, 100*gib), At: noon}
	without, unshipped := end, end
	without.Point, unshipped.Point = point("cut-3", 8), withLogs("cut-4", 9, 100*gib)
	first := protecteditem.RecoveryPointCreated{Point: end.Point, At: noon}
	larger := end
	larger.Point = withLogs("cut-3", 8, 200*gib)
	larger.Point.Disks = larger.Point.Disks[:2]
	grownDone := diskDone
	grownDone.Disks = []string{"data"}
	open := history(following, adding, shipped3)
	fail := protecteditem.FailDiskReplication{JobID: "job-disk", Failure: unreachable, At: noon}
	gone := protecteditem.DiskReplicationFailed{JobID: "job-disk", Failure: *unreachable, At: noon}
	remove := protecteditem.RemoveDisks{Disks: []string{"data"}, At: noon}
	removed := protecteditem.DisksRemoved{Disks: []string{"data"}, At: noon}
	overtaking := crashStarted
	overtaking.OvertakenDiskJobID = "job-disk"
	return map[string]scenario{
		"a point with the new disk protects it":           {given: open, when: end, then: history(diskDone, first)},
		"a point with the new disk, recorded again":       {given: history(open, diskDone, first), when: end},
		"a point without the new disk does not":           {given: open, when: without, refused: errorcatalog.ValidationFailed, field: "/point/disks"},
		"a point of a cut that was not shipped does not":  {given: open, when: unshipped, refused: errorcatalog.CutNotShipped},
		"a point with the new size protects it":           {given: history(following, grown, shipped3), when: larger, then: history(grownDone, protecteditem.RecoveryPointCreated{Point: larger.Point, At: noon})},
		"a point with the old size does not":              {given: history(following, grown, shipped3), when: without, refused: errorcatalog.ValidationFailed, field: "/point/disks"},
		"a new disk waits for a resync":                   {given: history(open, required), when: end, refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a new disk by another job is refused":            {given: open, when: protecteditem.CompleteDiskReplication{JobID: "old"}, refused: errorcatalog.StaleJob},
		"a new disk of an unknown item is refused":        {when: end, refused: errorcatalog.ProtectedItemNotFound},
		"an unplanned failover gives a new disk up":       {given: open, when: protecteditem.StartUnplannedFailover{JobID: "job-crash", Choice: protecteditem.LatestProcessed, At: noon}, then: history(overtaking)},
		"a new disk that was given up is refused":         {given: history(open, overtaking), when: end, refused: errorcatalog.StaleJob},
		"a new disk may fail":                             {given: open, when: fail, then: history(gone)},
		"a new disk that failed again":                    {given: history(open, gone), when: fail},
		"a new disk cannot fail after it is protected":    {given: history(open, diskDone, first), when: fail, refused: errorcatalog.StaleJob},
		"a point without a disk that was added":           {given: history(open, diskDone, first, protecteditem.DeltaShipped{Cut: "cut-4", PreviousCut: "cut-3", Instant: noon, At: noon}), when: protecteditem.CreateRecoveryPoint{Point: point("cut-4", 9)}, refused: errorcatalog.ValidationFailed, field: "/point/disks"},
		"a disk can be removed":                           {given: following, when: remove, then: history(removed)},
		"a disk removed again changes nothing":            {given: history(following, removed), when: remove},
		"the OS disk is not removed":                      {given: following, when: protecteditem.RemoveDisks{Disks: []string{"os"}}, refused: errorcatalog.ValidationFailed, field: "/disks"},
		"a disk that does not exist is not removed":       {given: following, when: protecteditem.RemoveDisks{Disks: []string{"tmp"}}, refused: errorcatalog.ValidationFailed, field: "/disks"},
		"a disk to be removed is named":                   {given: following, when: protecteditem.RemoveDisks{}, refused: errorcatalog.ValidationFailed, field: "/disks"},
		"a disk is not removed while one is added":        {given: open, when: remove, refused: errorcatalog.OperationInProgress},
		"a disk is not removed while a resync runs":       {given: resyncRuns, when: remove, refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a disk is not removed after failover":            {given: done, when: remove, refused: errorcatalog.NotProtected},
		"a disk of an unknown item is not removed":        {when: remove, refused: errorcatalog.ProtectedItemNotFound},
		"a point without a disk that was removed is made": {given: history(following, removed, shipped3), when: protecteditem.CreateRecoveryPoint{Point: point("cut-3", 8), At: noon}, then: history(thirdPoint)},
	}
}

func TestTheStatesOfDisks(t *testing.T) {
	t.Parallel()
	s := after(history(following, adding))
	want := map[string]protecteditem.DiskState{"os": protecteditem.DiskProtected, "data": protecteditem.DiskProtected, "logs": protecteditem.DiskReplicating}
	if got := protecteditem.DiskStates(s); !maps.Equal(got, want) {
		t.Errorf("states = %v", got)
	}
	s = after(history(following, adding, diskDone))
	want["logs"] = protecteditem.DiskProtected
	if got := protecteditem.DiskStates(s); !maps.Equal(got, want) || len(s.VM.Disks) != 3 {
		t.Errorf("states = %v of %+v", got, s.VM.Disks)
	}
	s = after(history(following, grown))
	if got := protecteditem.DiskStates(s)["data"]; got != protecteditem.DiskReplicating || s.VM.Disks[1].SizeBytes != 100*gib {
		t.Errorf("a disk that grew is %s with %d bytes", got, s.VM.Disks[1].SizeBytes)
	}
	s = after(history(following, grown, diskDone))
	if s.VM.Disks[1].SizeBytes != 200*gib || len(s.Disks) != 2 {
		t.Errorf("disks = %v of %+v", s.Disks, s.VM.Disks)
	}
}
