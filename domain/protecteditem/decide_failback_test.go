package protecteditem_test

import (
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

// The states of the way back.
var (
	pullingBack = history(done, goingBack)
	awaiting    = history(pullingBack, pulled)
	completing  = history(awaiting, switching)
	back        = history(completing, switched)
	backAgain   = history(back, accepting, accepted)
	reverses    = history(backAgain, reversing)
	roundTrip   = history(reverses, reversedOver, ninthPoint)
	takingBack  = protecteditem.FailbackCancelStarted{JobID: "job-cancel", OvertakenJobID: "job-back", At: noon}
	takenBack   = protecteditem.FailbackCanceled{JobID: "job-cancel", At: noon}
)

func failbackRows() map[string]scenario {
	start := protecteditem.StartFailback{JobID: "job-back", Mode: protecteditem.MinimizeDowntime, At: noon}
	other := start
	other.JobID = "other"
	elsewhere := start
	elsewhere.Target = protecteditem.FailbackTarget{Site: "vienna", Host: "hv-2", VMName: "sql-2"}
	to := func(change func(*protecteditem.FailbackTarget)) protecteditem.StartFailback {
		c := elsewhere
		change(&c.Target)
		return c
	}
	goingElsewhere := goingBack
	goingElsewhere.Target = elsewhere.Target
	runs := protecteditem.SourceFoundRunning{Detail: "hv-1", At: noon}
	record := protecteditem.RecordFailbackSynchronized{JobID: "job-back", BytesScanned: 9, BytesDiffering: 5, BytesSent: 3, At: noon}
	complete := protecteditem.CompleteFailback{At: noon}
	completed := protecteditem.RecordFailbackCompleted{JobID: "job-back", VM: "sql-1", At: noon}
	restart := protecteditem.RestartFailback{JobID: "job-back", Reason: "os", At: noon}
	restarted := protecteditem.FailbackRestarted{JobID: "job-back", Reason: "os", At: noon}
	fail := protecteditem.FailFailback{JobID: "job-back", Failure: unreachable, At: noon}
	failedBack := protecteditem.FailbackFailed{JobID: "job-back", Failure: *unreachable, At: noon}
	return map[string]scenario{
		"a VM that failed over can be brought back":          {given: done, when: start, then: history(goingBack)},
		"a VM can be brought back to another host":           {given: done, when: elsewhere, then: history(goingElsewhere)},
		"a failback started again changes nothing":           {given: pullingBack, when: start},
		"a second failback is refused":                       {given: pullingBack, when: other, refused: errorcatalog.FailbackOpen},
		"a failback before the commit is refused":            {given: uncommitted, when: start, refused: errorcatalog.NotFailedOver},
		"a failback without a failover is refused":           {given: following, when: start, refused: errorcatalog.NotFailedOver},
		"a failback of what is being disabled is refused":    {given: history(done, disabling), when: start, refused: errorcatalog.NotFailedOver},
		"a failback of an unknown item is refused":           {when: start, refused: errorcatalog.ProtectedItemNotFound},
		"a failback needs a job":                             {given: done, when: protecteditem.StartFailback{}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"a failback needs a mode":                            {given: done, when: protecteditem.StartFailback{JobID: "j", Mode: "fast"}, refused: errorcatalog.ValidationFailed, field: "/mode"},
		"a failback to no site is refused":                   {given: done, when: to(func(t *protecteditem.FailbackTarget) { t.Site = "" }), refused: errorcatalog.ValidationFailed, field: "/target/site"},
		"a failback to no host is refused":                   {given: done, when: to(func(t *protecteditem.FailbackTarget) { t.Host = "" }), refused: errorcatalog.ValidationFailed, field: "/target/host"},
		"a failback to an odd name is refused":               {given: done, when: to(func(t *protecteditem.FailbackTarget) { t.VMName = "sql_2" }), refused: errorcatalog.ValidationFailed, field: "/target/vmName"},
		"a failback onto a VM that runs is refused":          {given: history(done, runs), when: start, refused: errorcatalog.SourceStillRunningRefusal},
		"a failback beside a VM that runs is possible":       {given: history(done, runs), when: elsewhere, then: history(goingElsewhere)},
		"a failback that is synchronized waits":              {given: pullingBack, when: record, then: history(pulled)},
		"a failback synchronized again changes nothing":      {given: awaiting, when: record},
		"a failback synchronized after its end is harmless":  {given: back, when: record},
		"a failback synchronized by another job is refused":  {given: pullingBack, when: protecteditem.RecordFailbackSynchronized{JobID: "old"}, refused: errorcatalog.StaleJob},
		"a failback that is taken back is not synchronized":  {given: history(pullingBack, takingBack), when: protecteditem.RecordFailbackSynchronized{JobID: "job-cancel"}, refused: errorcatalog.StaleJob},
		"an operator completes a failback":                   {given: awaiting, when: complete, then: history(switching)},
		"an operator completes a failback by its job":        {given: awaiting, when: protecteditem.CompleteFailback{JobID: "job-back", At: noon}, then: history(switching)},
		"a failback completed twice changes nothing":         {given: completing, when: complete},
		"a failback cannot be completed too soon":            {given: pullingBack, when: complete, refused: errorcatalog.NoFailbackPending},
		"a failback cannot be completed by another job":      {given: awaiting, when: protecteditem.CompleteFailback{JobID: "old"}, refused: errorcatalog.StaleJob},
		"a failback onto a VM that runs is not completed":    {given: history(awaiting, runs), when: complete, refused: errorcatalog.SourceStillRunningRefusal},
		"a failback of an unknown item cannot be completed":  {when: complete, refused: errorcatalog.ProtectedItemNotFound},
		"a VM that runs at home asks for its commit":         {given: completing, when: completed, then: history(switched)},
		"a VM that runs at home, recorded again":             {given: back, when: completed},
		"a VM does not run at home before the word is given": {given: awaiting, when: completed, refused: errorcatalog.NotProtected},
		"a VM that runs at home has an id":                   {given: completing, when: protecteditem.RecordFailbackCompleted{JobID: "job-back"}, refused: errorcatalog.ValidationFailed, field: "/vm"},
		"disks that changed are compared anew":               {given: awaiting, when: restart, then: history(restarted)},
		"disks that changed at the last moment, too":         {given: completing, when: restart, then: history(restarted)},
		"disks that are compared anew, once":                 {given: history(awaiting, restarted), when: restart},
		"disks are not compared after the switch":            {given: back, when: restart, refused: errorcatalog.StaleJob},
		"a failback that fails leaves the VM failed over":    {given: pullingBack, when: fail, then: history(failedBack)},
		"a failback may fail while it waits":                 {given: awaiting, when: fail, then: history(failedBack)},
		"a failback may fail while it switches":              {given: completing, when: fail, then: history(failedBack)},
		"a failback that failed again changes nothing":       {given: history(pullingBack, failedBack), when: fail},
		"a failback cannot fail after it has succeeded":      {given: back, when: fail, refused: errorcatalog.StaleJob},
		"a failback can be started after one that failed":    {given: history(pullingBack, failedBack), when: other, then: history(protecteditem.FailbackStarted(other))},
	}
}

func failbackEndRows() map[string]scenario {
	cancel := protecteditem.CancelFailback{JobID: "job-cancel", At: noon}
	alone := takingBack
	alone.OvertakenJobID = ""
	canceled := protecteditem.CompleteFailbackCancel{JobID: "job-cancel", At: noon}
	commit := protecteditem.CommitFailback{JobID: "job-accept", At: noon}
	committed := protecteditem.CompleteFailbackCommit{JobID: "job-accept", At: noon}
	disable := protecteditem.DisableProtection{JobID: "job-disable", KeepReplica: 7 * 24 * 3600 * 1e9, At: noon}
	forced, wrong := disable, disable
	forced.Force, forced.Survivor = true, "vm-9"
	wrong.Force, wrong.Survivor = true, "sql-1"
	survived := disabling
	survived.OvertakenJobID, survived.Survivor = "job-back", "vm-9"
	rows := map[string]scenario{
		"a failback can be taken back until its commit":      {given: back, when: cancel, then: history(alone)},
		"a failback taken back again changes nothing":        {given: history(awaiting, takingBack), when: cancel},
		"a failback that was taken back changes nothing":     {given: history(awaiting, takingBack, takenBack), when: cancel},
		"a failback taken back twice is refused":             {given: history(awaiting, takingBack), when: protecteditem.CancelFailback{JobID: "other"}, refused: errorcatalog.OperationInProgress},
		"a failback is not taken back during its commit":     {given: history(back, accepting), when: cancel, refused: errorcatalog.OperationInProgress},
		"a failback is not taken back after its commit":      {given: backAgain, when: cancel, refused: errorcatalog.NoFailbackPending},
		"a failback that was not started is not taken back":  {given: done, when: cancel, refused: errorcatalog.NoFailbackPending},
		"taking a failback back needs a job":                 {given: back, when: protecteditem.CancelFailback{}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"a failback of an unknown item is not taken back":    {when: cancel, refused: errorcatalog.ProtectedItemNotFound},
		"a failback taken back leaves the VM failed over":    {given: history(awaiting, takingBack), when: canceled, then: history(takenBack)},
		"a failback taken back, recorded again":              {given: history(awaiting, takingBack, takenBack), when: canceled},
		"a failback is not taken back by its own job":        {given: awaiting, when: protecteditem.CompleteFailbackCancel{JobID: "job-back"}, refused: errorcatalog.StaleJob},
		"a failback can be committed":                        {given: back, when: commit, then: history(accepting)},
		"a failback's commit asked for again":                {given: history(back, accepting), when: commit},
		"a failback's commit that has ended":                 {given: backAgain, when: commit},
		"a failback's second commit is refused":              {given: history(back, accepting), when: protecteditem.CommitFailback{JobID: "other"}, refused: errorcatalog.OperationInProgress},
		"a failback is not committed too soon":               {given: awaiting, when: commit, refused: errorcatalog.NoFailbackPending},
		"a failback is not committed without one":            {given: done, when: commit, refused: errorcatalog.NoFailbackPending},
		"a failback's commit needs a job":                    {given: back, when: protecteditem.CommitFailback{}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"a failback of an unknown item is not committed":     {when: commit, refused: errorcatalog.ProtectedItemNotFound},
		"a committed failback names the VM":                  {given: history(back, accepting), when: committed, then: history(accepted)},
		"a committed failback recorded again":                {given: backAgain, when: committed},
		"a failback is not committed by another job":         {given: back, when: committed, refused: errorcatalog.StaleJob},
		"disabling during a failback names the survivor":     {given: awaiting, when: forced, then: history(survived)},
		"disabling during a failback for another VM":         {given: awaiting, when: wrong, refused: errorcatalog.ValidationFailed, field: "/survivor"},
		"disabling after a failback was taken back":          {given: history(awaiting, takingBack, takenBack), when: disable, then: history(disabling)},
		"disabling what has failed back":                     {given: backAgain, when: disable, then: history(disabling)},
		"disabling beside the cancel of a failback, refused": {given: history(awaiting, takingBack), when: disable, refused: errorcatalog.FailbackOpen},
	}
	for name, given := range map[string][]protecteditem.Event{"synchronizes": pullingBack, "waits": awaiting, "switches": completing} {
		rows["a failback that "+name+" can be taken back"] = scenario{given: given, when: cancel, then: history(takingBack)}
		rows["disabling while a failback "+name+" is refused"] = scenario{given: given, when: disable, refused: errorcatalog.FailbackOpen}
	}
	rows["disabling before a failback's commit is refused"] = scenario{given: back, when: disable, refused: errorcatalog.FailbackOpen}
	return rows
}

func reverseRows() map[string]scenario {
	start := protecteditem.ReProtect{JobID: "job-reverse", At: noon}
	other, bare := vm(), vm()
	other.ID, bare.Disks = "sql-2", bare.Disks[:1]
	anew, less := start, start
	anew.VM, less.VM = &other, &bare
	complete := protecteditem.CompleteReverseReplication{JobID: "job-reverse", BytesScanned: 9, BytesDiffering: 5, BytesSent: 3, Point: point("cut-9", 30), At: noon}
	known := complete
	known.Point = point("cut-3", 8)
	fail := protecteditem.FailReverseReplication{JobID: "job-reverse", Failure: unreachable, At: noon}
	failed := protecteditem.ReverseReplicationFailed{JobID: "job-reverse", Failure: *unreachable, At: noon}
	first := protecteditem.RecordDelta{Cut: "cut-8", Instant: noon, At: noon}
	return map[string]scenario{
		"a VM that failed back is protected again":            {given: backAgain, when: start, then: history(reversing)},
		"a VM that failed back elsewhere is protected again":  {given: backAgain, when: anew, then: history(protecteditem.ReverseReplicationStarted{JobID: "job-reverse", VM: &other, At: noon})},
		"a VM without a protected disk is not":                {given: backAgain, when: less, refused: errorcatalog.VirtualMachineNotProtectable, field: "/virtualMachine"},
		"reverse replication asked for again changes nothing": {given: reverses, when: start},
		"reverse replication that has ended changes nothing":  {given: roundTrip, when: start},
		"reverse replication twice is refused":                {given: reverses, when: protecteditem.ReProtect{JobID: "other"}, refused: errorcatalog.OperationInProgress},
		"reverse replication before the commit is refused":    {given: back, when: start, refused: errorcatalog.NotFailedBack},
		"reverse replication of what follows is refused":      {given: following, when: start, refused: errorcatalog.NotFailedBack},
		"reverse replication needs a job":                     {given: backAgain, when: protecteditem.ReProtect{}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"reverse replication of an unknown item is refused":   {when: start, refused: errorcatalog.ProtectedItemNotFound},
		"reverse replication begins a chain":                  {given: reverses, when: first, then: history(protecteditem.DeltaShipped{Cut: "cut-8", Instant: noon, At: noon})},
		"reverse replication ends in a point":                 {given: reverses, when: complete, then: history(reversedOver, ninthPoint)},
		"reverse replication completed again changes nothing": {given: roundTrip, when: complete},
		"reverse replication ends in a new point":             {given: reverses, when: known, refused: errorcatalog.CutOutOfOrder},
		"reverse replication overtaken is refused":            {given: history(reverses, disabling), when: complete, refused: errorcatalog.StaleJob},
		"reverse replication of no item cannot end":           {when: complete, refused: errorcatalog.ProtectedItemNotFound},
		"reverse replication that fails can be asked for":     {given: history(reverses, failed), when: protecteditem.ReProtect{JobID: "job-again", At: noon}, then: history(protecteditem.ReverseReplicationStarted{JobID: "job-again", At: noon})},
		"reverse replication may fail":                        {given: reverses, when: fail, then: history(failed)},
		"reverse replication that failed again":               {given: history(reverses, failed), when: fail},
		"reverse replication cannot fail after success":       {given: roundTrip, when: fail, refused: errorcatalog.StaleJob},
	}
}

func TestTheWayBackEndsWhereItBegan(t *testing.T) {
	t.Parallel()
	s := after(done)
	if s.Base == nil || *s.Base != (protecteditem.Base{Point: "cut-3", Cut: "cut-3"}) {
		t.Errorf("base = %+v", s.Base)
	}
	s = after(roundTrip)
	if s.Protection != protecteditem.Protected || s.ActiveLocation != protecteditem.Primary || s.Base != nil || len(s.Pinned()) > 0 || s.Recovery.VM != "" {
		t.Errorf("protected again: %+v", s)
	}
	if len(s.Points) != 2 || s.LastShipped.Cut != "cut-9" || s.Job != nil {
		t.Errorf("points %+v after %+v", s.Points, s.LastShipped)
	}
	decide(t, s, protecteditem.StartPlannedFailover{JobID: "job-next", At: noon})
}

func TestAFailbackElsewhereMovesTheItem(t *testing.T) {
	t.Parallel()
	s := after(history(back, accepting, protecteditem.FailbackCommitted{
		JobID: "job-accept", Target: protecteditem.FailbackTarget{Site: "linz", Host: "hv-2", VMName: "sql-2"}, VM: "sql-2", At: noon,
	}))
	if s.Site != "linz" || s.Host != "hv-2" || s.VM.Name != "sql-2" || s.VM.ID != "sql-2" {
		t.Errorf("the item is at %s %s %s", s.Site, s.Host, s.VM.Name)
	}
}

func TestWhatTheSourceHoldsIsKeptUntilTheFailbacksCommit(t *testing.T) {
	t.Parallel()
	held := protecteditem.SourceFenced{Held: []protecteditem.ShippedLog{{Disk: "os", Log: "log-9"}}, At: noon}
	if s := after(history(done, held, goingBack, pulled, switching, switched)); len(s.Fencing.Held) != 1 || s.Fencing.Fenced {
		t.Errorf("fencing = %+v", s.Fencing)
	}
	if s := after(history(done, held, goingBack, pulled, switching, switched, accepting, accepted)); len(s.Fencing.Held) != 0 {
		t.Errorf("fencing = %+v", s.Fencing)
	}
}
