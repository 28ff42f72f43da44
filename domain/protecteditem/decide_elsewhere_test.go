package protecteditem_test

import (
	"slices"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

// The states of a failback to a new VM.
var (
	newVM            = protecteditem.FailbackTarget{Site: "vienna", Host: "hv-9", VMName: "SQL-2"}
	goingElsewhere   = protecteditem.FailbackStarted{JobID: "job-back", Mode: protecteditem.MinimizeDowntime, Target: newVM, At: noon}
	pullingElsewhere = history(done, goingElsewhere)
	switchedOver     = protecteditem.FailbackCompleted{
		JobID: "job-back", VM: "sql-2", BytesScanned: 4, BytesDiffering: 2, BytesSent: 1, Compared: "log_unclean", At: noon,
	}
	elsewhere       = history(pullingElsewhere, pulled, switching, switchedOver)
	acceptedThere   = protecteditem.FailbackCommitted{JobID: "job-accept", Target: newVM, VM: "sql-2", At: noon}
	committedThere  = history(elsewhere, accepting, acceptedThere)
	acceptedAlone   = protecteditem.FailbackCommitted{JobID: "job-accept", VM: "sql-1", Left: true, At: noon}
	leftThere       = protecteditem.FailbackCanceled{JobID: "job-cancel", Left: true, At: noon}
	canceledWithout = history(pullingElsewhere, takingBack, leftThere)
)

func elsewhereRows() map[string]scenario {
	start := protecteditem.StartFailback{JobID: "job-back", Mode: protecteditem.MinimizeDowntime, Target: newVM, At: noon}
	onto := start
	recovery := after(done).Recovery
	onto.Target = protecteditem.FailbackTarget{Site: recovery.Site, Host: recovery.Host, VMName: "VM-9"}
	beside := start
	beside.Target = protecteditem.FailbackTarget{Site: recovery.Site, Host: recovery.Host, VMName: "vm-10"}
	goingBeside := goingElsewhere
	goingBeside.Target = beside.Target
	completed := protecteditem.RecordFailbackCompleted{
		JobID: "job-back", VM: "sql-2", BytesScanned: 4, BytesDiffering: 2, BytesSent: 1, Compared: "log_unclean", At: noon,
	}
	fail := protecteditem.FailFailback{JobID: "job-back", Failure: unreachable, Left: true, At: noon}
	failed := protecteditem.FailbackFailed{JobID: "job-back", Failure: *unreachable, Left: true, At: noon}
	canceled := protecteditem.CompleteFailbackCancel{JobID: "job-cancel", Left: true, At: noon}
	fenced := protecteditem.RecordSourceFenced{At: noon}
	return map[string]scenario{
		"a failback to a new VM is started":                    {Given: done, When: start, Then: history(goingElsewhere)},
		"a failback onto the recovery VM is refused":           {Given: done, When: onto, Refused: errorcatalog.VMNameTaken, Field: "/target/vmName"},
		"a failback beside the recovery VM is possible":        {Given: done, When: beside, Then: history(goingBeside)},
		"a failback tells what its last changes were":          {Given: history(pullingElsewhere, pulled, switching), When: completed, Then: history(switchedOver)},
		"a new VM that is left is remembered":                  {Given: pullingElsewhere, When: fail, Then: history(failed)},
		"a canceled failback remembers a new VM":               {Given: history(pullingElsewhere, takingBack), When: canceled, Then: history(leftThere)},
		"a source left behind is fenced before the commit":     {Given: elsewhere, When: fenced, Then: history(protecteditem.SourceFenced{At: noon})},
		"the original VM is not fenced once it runs":           {Given: back, When: fenced, Refused: errorcatalog.NotFailedOver},
		"a source left behind that runs is seen":               {Given: elsewhere, When: protecteditem.RecordSourceRunning{Detail: "hv-1", At: noon}, Then: history(protecteditem.SourceFoundRunning{Detail: "hv-1", At: noon})},
		"a failback to a new VM can be taken back to its end":  {Given: elsewhere, When: protecteditem.CancelFailback{JobID: "job-cancel", At: noon}, Then: history(protecteditem.FailbackCancelStarted{JobID: "job-cancel", At: noon})},
		"what failed back elsewhere can fail over and be left": {Given: history(committedThere, reversing, reversedOver, ninthPoint), When: protecteditem.StartPlannedFailover{JobID: "job-next", At: noon}, Then: history(protecteditem.PlannedFailoverStarted{JobID: "job-next", At: noon})},
	}
}

func leftBehindRows() map[string]scenario {
	source := after(done)
	left := protecteditem.SettleLeftBehind{Site: source.Site, Host: source.Host, VM: source.VM.ID, At: noon}
	begun := protecteditem.SettleLeftBehind{Site: "vienna", Host: "hv-9", VM: "sql-2", At: noon}
	released := history(done, protecteditem.RecoveryPointsRemoved{IDs: []string{"cut-1"}, At: noon})
	settle := protecteditem.SettleReleasedPoints{IDs: []string{"cut-0", "cut-1"}, At: noon}
	gone := protecteditem.ReleasedPointsSettled{IDs: []string{"cut-1"}, At: noon}
	return map[string]scenario{
		"a former source is settled":               {Given: committedThere, When: left, Then: history(protecteditem.LeftBehindSettled(left))},
		"a former source is settled once":          {Given: history(committedThere, protecteditem.LeftBehindSettled(left)), When: left},
		"a VM that was begun is settled":           {Given: canceledWithout, When: begun, Then: history(protecteditem.LeftBehindSettled(begun))},
		"what was not left is not settled":         {Given: done, When: left},
		"nothing of an unknown item is settled":    {When: left, Refused: errorcatalog.ProtectedItemNotFound},
		"the store follows what was released":      {Given: released, When: settle, Then: history(gone)},
		"the store follows once":                   {Given: history(released, gone), When: settle},
		"what was not released is not settled":     {Given: done, When: settle},
		"no points of an unknown item are settled": {When: settle, Refused: errorcatalog.ProtectedItemNotFound},
	}
}

func TestAFailbackElsewhereLeavesTheSourceBehind(t *testing.T) {
	t.Parallel()
	before := after(done)
	s := after(committedThere)
	want := protecteditem.LeftBehind{Site: before.Site, Host: before.Host, VM: before.VM.ID, Fate: protecteditem.KeepOff, Since: noon}
	if !slices.Equal(s.LeftBehind, []protecteditem.LeftBehind{want}) {
		t.Errorf("left behind: %+v", s.LeftBehind)
	}
	if _, errs := protecteditem.HealthOf(s, noon); !slices.ContainsFunc(errs, func(e protecteditem.HealthError) bool { return e.Code == errorcatalog.VMLeftBehind }) {
		t.Errorf("health says nothing of it: %+v", errs)
	}
	for _, d := range s.VM.Disks {
		if !slices.Contains(s.Disks, d.ID) {
			t.Errorf("the new VM has the disk %s", d.ID)
		}
	}
	if s := after(backAgain); len(s.LeftBehind) > 0 {
		t.Errorf("the original VM is left behind: %+v", s.LeftBehind)
	}
	same := acceptedThere
	same.Target = protecteditem.FailbackTarget{Site: before.Site, Host: before.Host, VMName: before.VM.Name}
	same.VM = before.VM.ID
	if same.Target.VM() == before.VM.ID {
		if s := after(history(elsewhere, accepting, same)); len(s.LeftBehind) > 0 {
			t.Errorf("a VM that was lost and made anew is left behind: %+v", s.LeftBehind)
		}
	}
}

func TestTheEndOfProtectionForgetsNoVMThatIsLeftBehind(t *testing.T) {
	t.Parallel()
	ended := history(committedThere, disabling, disabled)
	source := after(done)
	want := protecteditem.LeftBehind{Site: source.Site, Host: source.Host, VM: source.VM.ID, Fate: protecteditem.KeepOff, Since: noon}
	if s := after(ended); !slices.Equal(s.LeftBehind, []protecteditem.LeftBehind{want}) {
		t.Errorf("left behind: %+v", s.LeftBehind)
	}
	again := enabling
	again.Cycle = 2
	if s := after(history(ended, again)); len(s.LeftBehind) > 0 {
		t.Errorf("the VM that is protected again is left behind: %+v", s.LeftBehind)
	}
	again.VM.ID = "another"
	if s := after(history(ended, again)); !slices.Equal(s.LeftBehind, []protecteditem.LeftBehind{want}) {
		t.Errorf("left behind once another VM is protected: %+v", s.LeftBehind)
	}
}

func TestAVMThatIsFailedBackToIsNotLeftBehind(t *testing.T) {
	t.Parallel()
	if s := after(history(canceledWithout, goingElsewhere, pulled, switching, switchedOver)); len(s.LeftBehind) > 0 {
		t.Errorf("the VM that runs is left behind: %+v", s.LeftBehind)
	}
}

func TestTheOriginalDisksOfALostHostAreRestoredLater(t *testing.T) {
	t.Parallel()
	given := history(pullingBack, takingBack, leftThere)
	source := after(done)
	want := protecteditem.LeftBehind{Site: source.Site, Host: source.Host, VM: source.VM.ID, Fate: protecteditem.Restore, Since: noon}
	if s := after(given); !slices.Equal(s.LeftBehind, []protecteditem.LeftBehind{want}) || s.Protection != protecteditem.FailedOver {
		t.Errorf("%s with %+v", s.Protection, s.LeftBehind)
	}
	if s := after(history(given, goingBack)); len(s.LeftBehind) > 0 {
		t.Errorf("the next failback would lose what it brings: %+v", s.LeftBehind)
	}
}

func TestARecoveryVMOfALostHostIsRemovedLater(t *testing.T) {
	t.Parallel()
	r := after(done).Recovery
	want := protecteditem.LeftBehind{Site: r.Site, Host: r.Host, VM: r.VM, Fate: protecteditem.Remove, Owner: "acme.sql.1", Since: noon}
	if s := after(history(back, accepting, acceptedAlone)); !slices.Equal(s.LeftBehind, []protecteditem.LeftBehind{want}) || s.Recovery.VM != "" {
		t.Errorf("left behind: %+v, with the recovery VM %q", s.LeftBehind, s.Recovery.VM)
	}
}

func TestAVMBegunAtALostHostIsRememberedOnce(t *testing.T) {
	t.Parallel()
	s := after(history(canceledWithout, goingElsewhere, takingBack, leftThere))
	want := protecteditem.LeftBehind{Site: "vienna", Host: "hv-9", VM: "sql-2", Fate: protecteditem.Remove, Owner: "acme.sql.1", Since: noon}
	if !slices.Equal(s.LeftBehind, []protecteditem.LeftBehind{want}) || s.Protection != protecteditem.FailedOver {
		t.Errorf("%s with %+v", s.Protection, s.LeftBehind)
	}
}

func TestANewVMIsProtectedWithTheDisksThatHadFailedOver(t *testing.T) {
	t.Parallel()
	older, withLogs := crashing, point("cut-3", 9)
	withLogs.Disks = append(withLogs.Disks, protecteditem.PointDisk{Disk: "logs", SizeBytes: 10 * gib, Root: "cc"})
	older.Choice, older.Point, older.OvertakenJobID = "cut-2", "cut-2", ""
	removed := protecteditem.DisksRemoved{Disks: []string{"data"}, At: noon}
	gave := protecteditem.FailoverCommitted{JobID: "job-commit", Point: "cut-2", RemovedPoints: []string{"cut-1", "cut-3"}, At: noon}
	given := history(following, adding, diskDone, protecteditem.RecoveryPointCreated{Point: withLogs, At: noon}, removed, older, crashed, committing, gave)
	if s := after(given); !slices.Equal(s.Disks, []string{"os", "logs"}) || !slices.Equal(s.FormerDisks, []string{"data"}) {
		t.Fatalf("%v are protected, %v were", s.Disks, s.FormerDisks)
	}
	there := after(history(given, goingElsewhere, pulled, switching, switchedOver, accepting, acceptedThere))
	if !slices.Equal(there.Disks, []string{"os", "data"}) || !slices.Equal(there.FormerDisks, []string{"logs"}) || len(there.VM.Disks) != 2 {
		t.Errorf("the new VM: %v are protected, %v were, %+v", there.Disks, there.FormerDisks, there.VM.Disks)
	}
	back := after(history(given, goingBack, pulled, switching, switched, accepting, accepted))
	if !slices.Equal(back.Disks, []string{"os", "logs"}) || !slices.Equal(back.FormerDisks, []string{"data"}) {
		t.Errorf("the original VM: %v are protected, %v were", back.Disks, back.FormerDisks)
	}
}

func TestDisablingOverACommitEndsWithTheVMThatFailedBack(t *testing.T) {
	t.Parallel()
	over := disabling
	over.OvertakenJobID, over.Force, over.Survivor = "job-accept", true, "sql-2"
	s := after(history(elsewhere, accepting, over))
	if s.Site != "vienna" || s.Host != "hv-9" || s.VM.ID != "sql-2" || s.Failback.Mode != "" || s.ActiveLocation != protecteditem.Primary || !s.Forced {
		t.Errorf("the source is %s/%s %s: %+v", s.Site, s.Host, s.VM.ID, s)
	}
	var fates []protecteditem.Fate
	for _, l := range s.LeftBehind {
		fates = append(fates, l.Fate)
	}
	if !slices.Equal(fates, []protecteditem.Fate{protecteditem.KeepOff, protecteditem.Remove}) {
		t.Errorf("left behind: %+v", s.LeftBehind)
	}
}
