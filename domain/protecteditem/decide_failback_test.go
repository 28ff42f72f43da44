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
		"a VM that failed over can be brought back":          {Given: done, When: start, Then: history(goingBack)},
		"a VM can be brought back to another host":           {Given: done, When: elsewhere, Then: history(goingElsewhere)},
		"a failback started again changes nothing":           {Given: pullingBack, When: start},
		"a second failback is refused":                       {Given: pullingBack, When: other, Refused: errorcatalog.FailbackOpen},
		"a failback before the commit is refused":            {Given: uncommitted, When: start, Refused: errorcatalog.NotFailedOver},
		"a failback without a failover is refused":           {Given: following, When: start, Refused: errorcatalog.NotFailedOver},
		"a failback of what is being disabled is refused":    {Given: history(done, disabling), When: start, Refused: errorcatalog.NotFailedOver},
		"a failback of an unknown item is refused":           {When: start, Refused: errorcatalog.ProtectedItemNotFound},
		"a failback needs a job":                             {Given: done, When: protecteditem.StartFailback{}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"a failback needs a mode":                            {Given: done, When: protecteditem.StartFailback{JobID: "j", Mode: "fast"}, Refused: errorcatalog.ValidationFailed, Field: "/mode"},
		"a failback to no site is refused":                   {Given: done, When: to(func(t *protecteditem.FailbackTarget) { t.Site = "" }), Refused: errorcatalog.ValidationFailed, Field: "/target/site"},
		"a failback to no host is refused":                   {Given: done, When: to(func(t *protecteditem.FailbackTarget) { t.Host = "" }), Refused: errorcatalog.ValidationFailed, Field: "/target/host"},
		"a failback to an odd name is refused":               {Given: done, When: to(func(t *protecteditem.FailbackTarget) { t.VMName = "sql_2" }), Refused: errorcatalog.ValidationFailed, Field: "/target/vmName"},
		"a failback onto a VM that runs is refused":          {Given: history(done, runs), When: start, Refused: errorcatalog.SourceStillRunningRefusal},
		"a failback beside a VM that runs is possible":       {Given: history(done, runs), When: elsewhere, Then: history(goingElsewhere)},
		"a failback that is synchronized waits":              {Given: pullingBack, When: record, Then: history(pulled)},
		"a failback synchronized again changes nothing":      {Given: awaiting, When: record},
		"a failback synchronized after its end is harmless":  {Given: back, When: record},
		"a failback synchronized by another job is refused":  {Given: pullingBack, When: protecteditem.RecordFailbackSynchronized{JobID: "old"}, Refused: errorcatalog.StaleJob},
		"a failback that is taken back is not synchronized":  {Given: history(pullingBack, takingBack), When: protecteditem.RecordFailbackSynchronized{JobID: "job-cancel"}, Refused: errorcatalog.StaleJob},
		"an operator completes a failback":                   {Given: awaiting, When: complete, Then: history(switching)},
		"an operator completes a failback by its job":        {Given: awaiting, When: protecteditem.CompleteFailback{JobID: "job-back", At: noon}, Then: history(switching)},
		"a failback completed twice changes nothing":         {Given: completing, When: complete},
		"a failback cannot be completed too soon":            {Given: pullingBack, When: complete, Refused: errorcatalog.NoFailbackPending},
		"a failback cannot be completed by another job":      {Given: awaiting, When: protecteditem.CompleteFailback{JobID: "old"}, Refused: errorcatalog.StaleJob},
		"a failback onto a VM that runs is not completed":    {Given: history(awaiting, runs), When: complete, Refused: errorcatalog.SourceStillRunningRefusal},
		"a failback of an unknown item cannot be completed":  {When: complete, Refused: errorcatalog.ProtectedItemNotFound},
		"a VM that runs at home asks for its commit":         {Given: completing, When: completed, Then: history(switched)},
		"a VM that runs at home, recorded again":             {Given: back, When: completed},
		"a VM does not run at home before the word is given": {Given: awaiting, When: completed, Refused: errorcatalog.NotProtected},
		"a VM that runs at home has an id":                   {Given: completing, When: protecteditem.RecordFailbackCompleted{JobID: "job-back"}, Refused: errorcatalog.ValidationFailed, Field: "/vm"},
		"disks that changed are compared anew":               {Given: awaiting, When: restart, Then: history(restarted)},
		"disks that changed at the last moment, too":         {Given: completing, When: restart, Then: history(restarted)},
		"disks that are compared anew, once":                 {Given: history(awaiting, restarted), When: restart},
		"disks are not compared after the switch":            {Given: back, When: restart, Refused: errorcatalog.StaleJob},
		"a failback that fails leaves the VM failed over":    {Given: pullingBack, When: fail, Then: history(failedBack)},
		"a failback may fail while it waits":                 {Given: awaiting, When: fail, Then: history(failedBack)},
		"a failback may fail while it switches":              {Given: completing, When: fail, Then: history(failedBack)},
		"a failback that failed again changes nothing":       {Given: history(pullingBack, failedBack), When: fail},
		"a failback cannot fail after it has succeeded":      {Given: back, When: fail, Refused: errorcatalog.StaleJob},
		"a failback can be started after one that failed":    {Given: history(pullingBack, failedBack), When: other, Then: history(protecteditem.FailbackStarted(other))},
	}
}

func failbackEndRows() map[string]scenario {
	cancel := protecteditem.CancelFailback{JobID: "job-cancel", At: noon}
	alone := takingBack
	alone.OvertakenJobID = ""
	forcing := protecteditem.CancelFailback{JobID: "job-force", Force: true, At: noon}
	forcedBack := protecteditem.FailbackCancelStarted{JobID: "job-force", Force: true, At: noon}
	insisted := protecteditem.JobForced{JobID: "job-cancel", At: noon}
	canceled := protecteditem.CompleteFailbackCancel{JobID: "job-cancel", At: noon}
	commit := protecteditem.CommitFailback{JobID: "job-accept", At: noon}
	committed := protecteditem.CompleteFailbackCommit{JobID: "job-accept", At: noon}
	without := committed
	without.Left = true
	disable := protecteditem.DisableProtection{JobID: "job-disable", KeepReplica: 7 * 24 * 3600 * 1e9, At: noon}
	forced, wrong := disable, disable
	forced.Force, forced.Survivor = true, "vm-9"
	wrong.Force, wrong.Survivor = true, "sql-1"
	survived := disabling
	survived.OvertakenJobID, survived.Survivor, survived.Force = "job-back", "vm-9", true
	overCommit := survived
	overCommit.OvertakenJobID, overCommit.Survivor = "job-accept", "sql-1"
	stays := protecteditem.FailFailbackCancel{JobID: "job-cancel", Failure: unreachable, At: noon}
	stayed := protecteditem.FailbackCancelFailed{JobID: "job-cancel", Failure: *unreachable, At: noon}
	rows := map[string]scenario{
		"a failback that cannot be taken back stays":             {Given: history(back, alone), When: stays, Then: history(stayed)},
		"a failback that could not be taken back, again":         {Given: history(back, alone, stayed), When: stays},
		"a failback that could not be taken back is accepted":    {Given: history(back, alone, stayed), When: commit, Then: history(accepting)},
		"a failback that has not completed is taken back":        {Given: history(awaiting, takingBack), When: stays, Refused: errorcatalog.NotProtected},
		"a failback can be taken back until its commit":          {Given: back, When: cancel, Then: history(alone)},
		"a failback taken back again changes nothing":            {Given: history(awaiting, takingBack), When: cancel},
		"a failback that was taken back changes nothing":         {Given: history(awaiting, takingBack, takenBack), When: cancel},
		"disabling over a commit leaves the VM that failed back": {Given: history(back, accepting), When: forced, Refused: errorcatalog.ValidationFailed, Field: "/survivor"},
		"disabling over a commit names it":                       {Given: history(back, accepting), When: wrong, Then: history(overCommit)},
		"taking a failback back is forced from the start":        {Given: back, When: forcing, Then: history(forcedBack)},
		"taking a failback back can be forced later":             {Given: history(back, alone), When: forcing, Then: history(insisted)},
		"taking a failback back is forced once":                  {Given: history(back, alone, insisted), When: protecteditem.CancelFailback{JobID: "other", Force: true}, Refused: errorcatalog.OperationInProgress},
		"a failback taken back twice is refused":                 {Given: history(awaiting, takingBack), When: protecteditem.CancelFailback{JobID: "other"}, Refused: errorcatalog.OperationInProgress},
		"a failback is not taken back during its commit":         {Given: history(back, accepting), When: cancel, Refused: errorcatalog.OperationInProgress},
		"a failback is not taken back after its commit":          {Given: backAgain, When: cancel, Refused: errorcatalog.NoFailbackPending},
		"a failback that was not started is not taken back":      {Given: done, When: cancel, Refused: errorcatalog.NoFailbackPending},
		"taking a failback back needs a job":                     {Given: back, When: protecteditem.CancelFailback{}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"a failback of an unknown item is not taken back":        {When: cancel, Refused: errorcatalog.ProtectedItemNotFound},
		"a failback taken back leaves the VM failed over":        {Given: history(awaiting, takingBack), When: canceled, Then: history(takenBack)},
		"a failback taken back, recorded again":                  {Given: history(awaiting, takingBack, takenBack), When: canceled},
		"a failback is not taken back by its own job":            {Given: awaiting, When: protecteditem.CompleteFailbackCancel{JobID: "job-back"}, Refused: errorcatalog.StaleJob},
		"a failback can be committed":                            {Given: back, When: commit, Then: history(accepting)},
		"a failback's commit asked for again":                    {Given: history(back, accepting), When: commit},
		"a failback's commit that has ended":                     {Given: backAgain, When: commit},
		"a failback's second commit is refused":                  {Given: history(back, accepting), When: protecteditem.CommitFailback{JobID: "other"}, Refused: errorcatalog.OperationInProgress},
		"a failback is not committed too soon":                   {Given: awaiting, When: commit, Refused: errorcatalog.NoFailbackPending},
		"a failback is not committed without one":                {Given: done, When: commit, Refused: errorcatalog.NoFailbackPending},
		"a failback's commit needs a job":                        {Given: back, When: protecteditem.CommitFailback{}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"a failback of an unknown item is not committed":         {When: commit, Refused: errorcatalog.ProtectedItemNotFound},
		"a committed failback names the VM":                      {Given: history(back, accepting), When: committed, Then: history(accepted)},
		"a failback's commit waits for no recovery host":         {Given: history(back, accepting), When: without, Then: history(acceptedAlone)},
		"a committed failback recorded again":                    {Given: backAgain, When: committed},
		"a failback is not committed by another job":             {Given: back, When: committed, Refused: errorcatalog.StaleJob},
		"disabling during a failback names the survivor":         {Given: awaiting, When: forced, Then: history(survived)},
		"disabling during a failback for another VM":             {Given: awaiting, When: wrong, Refused: errorcatalog.ValidationFailed, Field: "/survivor"},
		"disabling after a failback was taken back":              {Given: history(awaiting, takingBack, takenBack), When: disable, Then: history(disabling)},
		"disabling what has failed back":                         {Given: backAgain, When: disable, Then: history(disabling)},
		"disabling beside the cancel of a failback, refused":     {Given: history(awaiting, takingBack), When: disable, Refused: errorcatalog.FailbackOpen},
	}
	for name, given := range map[string][]protecteditem.Event{"synchronizes": pullingBack, "waits": awaiting, "switches": completing} {
		rows["a failback that "+name+" can be taken back"] = scenario{Given: given, When: cancel, Then: history(takingBack)}
		rows["disabling while a failback "+name+" is refused"] = scenario{Given: given, When: disable, Refused: errorcatalog.FailbackOpen}
	}
	rows["disabling before a failback's commit is refused"] = scenario{Given: back, When: disable, Refused: errorcatalog.FailbackOpen}
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
		"a VM that failed back is protected again":            {Given: backAgain, When: start, Then: history(reversing)},
		"a VM that failed back elsewhere is protected again":  {Given: backAgain, When: anew, Then: history(protecteditem.ReverseReplicationStarted{JobID: "job-reverse", VM: &other, At: noon})},
		"a VM without a protected disk is not":                {Given: backAgain, When: less, Refused: errorcatalog.VirtualMachineNotProtectable, Field: "/virtualMachine"},
		"reverse replication asked for again changes nothing": {Given: reverses, When: start},
		"reverse replication that has ended changes nothing":  {Given: roundTrip, When: start},
		"reverse replication twice is refused":                {Given: reverses, When: protecteditem.ReProtect{JobID: "other"}, Refused: errorcatalog.OperationInProgress},
		"reverse replication before the commit is refused":    {Given: back, When: start, Refused: errorcatalog.NotFailedBack},
		"reverse replication of what follows is refused":      {Given: following, When: start, Refused: errorcatalog.NotFailedBack},
		"reverse replication needs a job":                     {Given: backAgain, When: protecteditem.ReProtect{}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"reverse replication of an unknown item is refused":   {When: start, Refused: errorcatalog.ProtectedItemNotFound},
		"reverse replication begins a chain":                  {Given: reverses, When: first, Then: history(protecteditem.DeltaShipped{Cut: "cut-8", Instant: noon, At: noon})},
		"reverse replication ends in a point":                 {Given: reverses, When: complete, Then: history(reversedOver, ninthPoint)},
		"reverse replication completed again changes nothing": {Given: roundTrip, When: complete},
		"reverse replication ends in a new point":             {Given: reverses, When: known, Refused: errorcatalog.CutOutOfOrder},
		"reverse replication overtaken is refused":            {Given: history(reverses, disabling), When: complete, Refused: errorcatalog.StaleJob},
		"reverse replication of no item cannot end":           {When: complete, Refused: errorcatalog.ProtectedItemNotFound},
		"reverse replication that fails can be asked for":     {Given: history(reverses, failed), When: protecteditem.ReProtect{JobID: "job-again", At: noon}, Then: history(protecteditem.ReverseReplicationStarted{JobID: "job-again", At: noon})},
		"reverse replication may fail":                        {Given: reverses, When: fail, Then: history(failed)},
		"reverse replication that failed again":               {Given: history(reverses, failed), When: fail},
		"reverse replication cannot fail after success":       {Given: roundTrip, When: fail, Refused: errorcatalog.StaleJob},
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
