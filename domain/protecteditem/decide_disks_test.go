package protecteditem_test

import (
	"maps"
	"slices"
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
		"a disk can be added":                         {Given: following, When: add, Then: history(adding)},
		"a disk can be added beside a test failover":  {Given: testOpen, When: add, Then: history(adding)},
		"a disk added again changes nothing":          {Given: history(following, adding), When: add},
		"a disk added after its end is harmless":      {Given: history(following, adding, diskDone), When: add},
		"a disk added beside another is refused":      {Given: history(following, adding), When: other, Refused: errorcatalog.OperationInProgress},
		"a disk added while a resync is required":     {Given: diverged, When: add, Refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a disk added during the copy is refused":     {Given: replicating, When: add, Refused: errorcatalog.NotProtected},
		"a disk added after failover is refused":      {Given: done, When: add, Refused: errorcatalog.NotProtected},
		"a disk added to an unknown item is refused":  {When: add, Refused: errorcatalog.ProtectedItemNotFound},
		"a disk added needs a job":                    {Given: following, When: protecteditem.AddDisks{}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"a disk added is named":                       {Given: following, When: of(), Refused: errorcatalog.ValidationFailed, Field: "/disks"},
		"a disk added twice is refused":               {Given: following, When: of(logs(), logs()), Refused: errorcatalog.ValidationFailed, Field: "/disks"},
		"a disk that is protected is not added":       {Given: following, When: of(known), Refused: errorcatalog.ValidationFailed, Field: "/disks"},
		"a second OS disk is not added":               {Given: following, When: of(system), Refused: errorcatalog.ValidationFailed, Field: "/disks"},
		"a shared disk is not added":                  {Given: following, When: of(shared), Refused: errorcatalog.VirtualMachineNotProtectable, Field: "/disks"},
		"a disk that points still hold is not added":  {Given: history(following, protecteditem.DisksRemoved{Disks: []string{"data"}, At: noon}), When: of(known), Refused: errorcatalog.DiskInRecoveryPoints, Field: "/disks"},
		"a disk can grow":                             {Given: following, When: grow, Then: history(grown)},
		"a disk that grew, recorded again":            {Given: growing, When: grow},
		"a disk that is not protected does not grow":  {Given: following, When: unknown, Refused: errorcatalog.ValidationFailed, Field: "/disk"},
		"a disk that shrank has not grown":            {Given: following, When: smaller, Refused: errorcatalog.ValidationFailed, Field: "/sizeBytes"},
		"a disk that grows needs a job":               {Given: following, When: protecteditem.RecordDiskGrown{Disk: "data"}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"a disk grows when no other one does":         {Given: history(following, adding), When: protecteditem.RecordDiskGrown{JobID: "other", Disk: "data", SizeBytes: 200 * gib}, Refused: errorcatalog.OperationInProgress},
		"a disk of an unknown item does not grow":     {When: grow, Refused: errorcatalog.ProtectedItemNotFound},
		"points go on while a disk is added":          {Given: history(following, adding, shipped3), When: protecteditem.CreateRecoveryPoint{Point: point("cut-3", 8), At: noon}, Then: history(thirdPoint)},
		"a planned failover while a disk is added":    {Given: history(following, adding), When: protecteditem.StartPlannedFailover{JobID: "job-fail"}, Refused: errorcatalog.OperationInProgress},
		"a failed attempt with a new disk is its own": {Given: history(following, adding), When: protecteditem.RecordFailure{Failure: unauthorized, JobID: "job-disk", At: noon}, Then: history(protecteditem.ReplicationFailed{JobID: "job-disk", Attempt: 1, Failure: *unauthorized, At: noon})},
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
	forget := protecteditem.RecordReplicaDisksRemoved{Disks: []string{"logs", "os"}, At: noon}
	forgotten := protecteditem.ReplicaDisksRemoved{Disks: []string{"logs"}, At: noon}
	canceledDisk := protecteditem.DiskReplicationFailed{JobID: "job-disk", Failure: errorcatalog.Failure{Code: errorcatalog.Canceled}, At: noon}
	overtaking := crashStarted
	overtaking.OvertakenDiskJobID = "job-disk"
	return map[string]scenario{
		"a point with the new disk protects it":              {Given: open, When: end, Then: history(diskDone, first)},
		"a point with the new disk, recorded again":          {Given: history(open, diskDone, first), When: end},
		"a point without the new disk does not":              {Given: open, When: without, Refused: errorcatalog.ValidationFailed, Field: "/point/disks"},
		"a point of a cut that was not shipped does not":     {Given: open, When: unshipped, Refused: errorcatalog.CutNotShipped},
		"a point with the new size protects it":              {Given: history(following, grown, shipped3), When: larger, Then: history(grownDone, protecteditem.RecoveryPointCreated{Point: larger.Point, At: noon})},
		"a point with the old size does not":                 {Given: history(following, grown, shipped3), When: without, Refused: errorcatalog.ValidationFailed, Field: "/point/disks"},
		"a new disk waits for a resync":                      {Given: history(open, required), When: end, Refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a new disk by another job is refused":               {Given: open, When: protecteditem.CompleteDiskReplication{JobID: "old"}, Refused: errorcatalog.StaleJob},
		"a new disk of an unknown item is refused":           {When: end, Refused: errorcatalog.ProtectedItemNotFound},
		"an unplanned failover gives a new disk up":          {Given: open, When: protecteditem.StartUnplannedFailover{JobID: "job-crash", Choice: protecteditem.LatestProcessed, At: noon}, Then: history(overtaking)},
		"a new disk that was given up is refused":            {Given: history(open, overtaking), When: end, Refused: errorcatalog.StaleJob},
		"a new disk may fail":                                {Given: open, When: fail, Then: history(gone)},
		"a new disk that failed again":                       {Given: history(open, gone), When: fail},
		"a new disk cannot fail after it is protected":       {Given: history(open, diskDone, first), When: fail, Refused: errorcatalog.StaleJob},
		"a point without a disk that was added":              {Given: history(open, diskDone, first, protecteditem.DeltaShipped{Cut: "cut-4", PreviousCut: "cut-3", Instant: noon, At: noon}), When: protecteditem.CreateRecoveryPoint{Point: point("cut-4", 9)}, Refused: errorcatalog.ValidationFailed, Field: "/point/disks"},
		"a new disk that was canceled is no failure to show": {Given: history(open, canceledDisk), When: protecteditem.FailDiskReplication{JobID: "job-disk", Failure: unreachable, At: noon}},
		"what a disk given up has left is removed":           {Given: history(open, gone), When: forget, Then: history(forgotten)},
		"what a disk has left, removed again":                {Given: history(open, gone, forgotten), When: forget},
		"what a disk in use has is not removed":              {Given: open, When: forget},
		"what points still hold is not removed":              {Given: history(following, removed), When: protecteditem.RecordReplicaDisksRemoved{Disks: []string{"data"}, At: noon}},
		"what an unknown item has is not removed":            {When: forget, Refused: errorcatalog.ProtectedItemNotFound},
		"a disk can be removed":                              {Given: following, When: remove, Then: history(removed)},
		"a disk removed again changes nothing":               {Given: history(following, removed), When: remove},
		"the OS disk is not removed":                         {Given: following, When: protecteditem.RemoveDisks{Disks: []string{"os"}}, Refused: errorcatalog.ValidationFailed, Field: "/disks"},
		"a disk that does not exist is not removed":          {Given: following, When: protecteditem.RemoveDisks{Disks: []string{"tmp"}}, Refused: errorcatalog.ValidationFailed, Field: "/disks"},
		"a disk to be removed is named":                      {Given: following, When: protecteditem.RemoveDisks{}, Refused: errorcatalog.ValidationFailed, Field: "/disks"},
		"a disk is not removed while one is added":           {Given: open, When: remove, Refused: errorcatalog.OperationInProgress},
		"a disk is not removed while a resync runs":          {Given: resyncRuns, When: remove, Refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a disk is not removed after failover":               {Given: done, When: remove, Refused: errorcatalog.NotProtected},
		"a disk of an unknown item is not removed":           {When: remove, Refused: errorcatalog.ProtectedItemNotFound},
		"a point without a disk that was removed is made":    {Given: history(following, removed, shipped3), When: protecteditem.CreateRecoveryPoint{Point: point("cut-3", 8), At: noon}, Then: history(thirdPoint)},
	}
}

func TestFormerDisksAreKnownUntilNothingHoldsThem(t *testing.T) {
	t.Parallel()
	s := after(history(following, adding, protecteditem.DiskReplicationFailed{JobID: "job-disk", Failure: errorcatalog.Failure{Code: errorcatalog.Canceled}, At: noon}))
	if got := protecteditem.Unheld(s); !slices.Equal(got, []string{"logs"}) || s.Failure != nil {
		t.Errorf("a canceled disk leaves %v, failure %v", got, s.Failure)
	}
	s = after(history(following, protecteditem.DisksRemoved{Disks: []string{"data"}, At: noon}))
	if got := protecteditem.Unheld(s); len(got) > 0 || !slices.Equal(s.FormerDisks, []string{"data"}) {
		t.Errorf("unheld are %v of %v", got, s.FormerDisks)
	}
	s = after(history(following, adding, protecteditem.DiskReplicationFailed{JobID: "job-disk", Failure: *unreachable, At: noon}, adding))
	if len(s.FormerDisks) > 0 || s.Failure != nil || len(protecteditem.Added(s)) != 1 {
		t.Errorf("a disk added again is former: %v, failure %v", s.FormerDisks, s.Failure)
	}
	if got := protecteditem.Added(after(history(following, grown))); len(got) > 0 {
		t.Errorf("a disk that grew is added: %v", got)
	}
}

func TestDisksThatAPointLacksAreNamedBeforeAFailover(t *testing.T) {
	t.Parallel()
	open := history(following, adding, shipped3)
	for name, tt := range map[string]struct {
		given  []protecteditem.Event
		choice protecteditem.PointChoice
		want   int
	}{
		"all disks are there":                 {following, protecteditem.LatestProcessed, 0},
		"a disk is being added":               {open, protecteditem.LatestProcessed, 1},
		"a disk is being added, logs waiting": {open, protecteditem.Latest, 1},
		"a disk was added after the point":    {history(open, diskDone, protecteditem.RecoveryPointCreated{Point: withLogs("cut-3", 8, 100*gib), At: noon}), "cut-1", 1},
		"a disk is in the newest point":       {history(open, diskDone, protecteditem.RecoveryPointCreated{Point: withLogs("cut-3", 8, 100*gib), At: noon}), protecteditem.LatestProcessed, 0},
		"there is no such point":              {open, "cut-9", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := protecteditem.DisksWithout(after(tt.given), tt.choice); len(got) != tt.want {
				t.Errorf("disks without: %v, want %d", got, tt.want)
			}
		})
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

// A failover to a point needs the descriptions of the disks that it holds.
func TestDisksThatAPointMayHoldStayDescribed(t *testing.T) {
	t.Parallel()
	open := history(following, adding, shipped3)
	removed := history(following, protecteditem.DisksRemoved{Disks: []string{"data"}, At: noon},
		failingOver, stopped, shipped3, thirdPoint, failedOver, committing, committed)
	there := history(removed, goingElsewhere, pulled, switching, switchedOver, accepting, acceptedThere)
	smaller := vm()
	smaller.Disks = smaller.Disks[:1]
	gone := protecteditem.DiskReplicationFailed{JobID: "job-disk", Failure: *unreachable, At: noon}
	for name, tt := range map[string]struct {
		given []protecteditem.Event
		want  []string
	}{
		"a disk given up for a failover":  {history(open, crashing), []string{"os", "data", "logs"}},
		"a disk given up":                 {history(open, gone), []string{"os", "data", "logs"}},
		"a disk given up twice":           {history(open, gone, adding, gone), []string{"os", "data", "logs"}},
		"a disk that grew, given up":      {history(following, grown, gone), []string{"os", "data"}},
		"a failback to a new VM":          {there, []string{"os", "data"}},
		"a VM without it, followed again": {history(there, protecteditem.ReverseReplicationStarted{JobID: "job-reverse", VM: &smaller, At: noon}), []string{"os", "data"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, d := range after(tt.given).VM.Disks {
				got = append(got, d.ID)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("described are %v, want %v", got, tt.want)
			}
		})
	}
}
