package protecteditem_test

import (
	"maps"
	"testing"
	"time"

	"farshore/domain/domaintest"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	all := map[string]scenario{}
	for _, rows := range []map[string]scenario{
		enablingRows(), replicationRows(), pointsRows(), failuresRows(), resynchronizationsRows(), failoversRows(), commitsRows(), disablesRows(),
		unplannedRows(), unplannedStepRows(), uncommittedRows(), fencingRows(), drillRows(), cleanupRows(), pauseRows(), interruptedRows(), failbackRows(), failbackEndRows(), elsewhereRows(), leftBehindRows(), reverseRows(), disksRows(), disksEndRows(),
		consistencyRows(), alertRows(),
	} {
		for name := range rows {
			if _, twice := all[name]; twice {
				t.Fatalf("two rows are called %q", name)
			}
		}
		maps.Copy(all, rows)
	}
	domaintest.Decide(t, protecteditem.Decider, all)
}

func with(change func(*protecteditem.EnableProtection)) protecteditem.EnableProtection {
	c := enable()
	change(&c)
	return c
}

func enablingRows() map[string]scenario {
	again := enabling
	again.Cycle = 2
	return map[string]scenario{
		"enabling begins the first cycle":                {When: enable(), Then: history(enabling)},
		"enabling after disabling begins the next cycle": {Given: ended, When: enable(), Then: history(again)},
		"enabling after a failed attempt begins the next cycle": {
			Given: history(enabling, protecteditem.EnableFailed{JobID: "job-enable", Failure: *unreachable, At: noon}), When: enable(), Then: history(again),
		},
		"enabling again by the same job changes nothing": {Given: history(enabling), When: enable()},
		"enabling what is being enabled is refused": {
			Given: history(enabling), When: with(func(c *protecteditem.EnableProtection) { c.JobID = "other" }), Refused: errorcatalog.AlreadyProtected,
		},
		"enabling what is protected is refused":       {Given: protected, When: enable(), Refused: errorcatalog.AlreadyProtected},
		"enabling what has failed over is refused":    {Given: done, When: enable(), Refused: errorcatalog.AlreadyProtected},
		"enabling what is being disabled is refused":  {Given: ending, When: enable(), Refused: errorcatalog.AlreadyProtected},
		"enabling needs a job":                        {When: with(func(c *protecteditem.EnableProtection) { c.JobID = "" }), Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"enabling needs a vault":                      {When: with(func(c *protecteditem.EnableProtection) { c.Vault = "A B" }), Refused: errorcatalog.ValidationFailed, Field: "/vault"},
		"enabling needs an item":                      {When: with(func(c *protecteditem.EnableProtection) { c.Item = "" }), Refused: errorcatalog.ValidationFailed, Field: "/item"},
		"enabling needs a site":                       {When: with(func(c *protecteditem.EnableProtection) { c.Site = "-x" }), Refused: errorcatalog.ValidationFailed, Field: "/site"},
		"enabling needs a host":                       {When: with(func(c *protecteditem.EnableProtection) { c.Host = "" }), Refused: errorcatalog.ValidationFailed, Field: "/host"},
		"enabling needs a recovery site":              {When: with(func(c *protecteditem.EnableProtection) { c.RecoverySite = "" }), Refused: errorcatalog.ValidationFailed, Field: "/recoverySite"},
		"enabling needs a recovery host":              {When: with(func(c *protecteditem.EnableProtection) { c.RecoveryHost = "" }), Refused: errorcatalog.ValidationFailed, Field: "/recoveryHost"},
		"enabling needs a storage account":            {When: with(func(c *protecteditem.EnableProtection) { c.Store.ID = "" }), Refused: errorcatalog.ValidationFailed, Field: "/storageAccount"},
		"enabling needs a known kind of store":        {When: with(func(c *protecteditem.EnableProtection) { c.Store.Kind = "Tape" }), Refused: errorcatalog.ValidationFailed, Field: "/storageAccount"},
		"enabling needs a sound policy":               {When: with(func(c *protecteditem.EnableProtection) { c.Policy.CopyFrequencySeconds = 60 }), Refused: errorcatalog.ValidationFailed, Field: "/policy/copyFrequencySeconds"},
		"enabling needs a name that can be used":      {When: with(func(c *protecteditem.EnableProtection) { c.RecoveryVMName = "sql_1" }), Refused: errorcatalog.ValidationFailed, Field: "/recoveryVmName"},
		"enabling twice the same disk is refused":     {When: with(func(c *protecteditem.EnableProtection) { c.Disks = []string{"os", "os"} }), Refused: errorcatalog.ValidationFailed, Field: "/disks"},
		"enabling an unknown disk is refused":         {When: with(func(c *protecteditem.EnableProtection) { c.Disks = []string{"os", "tmp"} }), Refused: errorcatalog.VirtualMachineNotProtectable, Field: "/virtualMachine"},
		"enabling a VM with a shared disk is refused": {When: with(func(c *protecteditem.EnableProtection) { c.VM.Disks[1].Shared = true }), Refused: errorcatalog.VirtualMachineNotProtectable, Field: "/virtualMachine"},
		"a VM is not brought up on itself": {
			When: with(func(c *protecteditem.EnableProtection) {
				c.RecoverySite, c.RecoveryHost, c.RecoveryVMName = c.Site, c.Host, ""
			}),
			Refused: errorcatalog.ValidationFailed, Field: "/recoveryHost",
		},

		"a relationship leaves initial replication pending": {Given: history(enabling), When: protecteditem.RecordRelationship{JobID: "job-enable", StartAt: noon, At: noon}, Then: history(related)},
		"a relationship recorded again changes nothing":     {Given: pending, When: protecteditem.RecordRelationship{JobID: "job-enable", StartAt: noon, At: noon}},
		"a relationship of another job is refused":          {Given: history(enabling), When: protecteditem.RecordRelationship{JobID: "old", At: noon}, Refused: errorcatalog.StaleJob},
		"a relationship of an overtaken job is refused":     {Given: history(enabling, disabling), When: protecteditem.RecordRelationship{JobID: "job-enable", At: noon}, Refused: errorcatalog.StaleJob},
		"a relationship of an unknown item is refused":      {When: protecteditem.RecordRelationship{JobID: "job-enable", At: noon}, Refused: errorcatalog.ProtectedItemNotFound},
		"a failure ends enabling": {
			Given: history(enabling), When: protecteditem.FailEnable{JobID: "job-enable", Failure: unreachable, At: noon},
			Then: history(protecteditem.EnableFailed{JobID: "job-enable", Failure: *unreachable, At: noon}),
		},
		"a failure without a reason is an internal error": {
			Given: history(enabling), When: protecteditem.FailEnable{JobID: "job-enable", At: noon},
			Then: history(protecteditem.EnableFailed{JobID: "job-enable", Failure: errorcatalog.Failure{Code: errorcatalog.InternalError, Detail: "no failure was given"}, At: noon}),
		},
		"a failure to enable recorded again changes nothing": {
			Given: history(enabling, protecteditem.EnableFailed{JobID: "job-enable", Failure: *unreachable, At: noon}),
			When:  protecteditem.FailEnable{JobID: "job-enable", Failure: unreachable, At: noon},
		},
		"a failure to enable after success is refused":      {Given: pending, When: protecteditem.FailEnable{JobID: "job-enable", At: noon}, Refused: errorcatalog.StaleJob},
		"a failure to enable of an unknown item is refused": {When: protecteditem.FailEnable{JobID: "job-enable", At: noon}, Refused: errorcatalog.ProtectedItemNotFound},
	}
}

func replicationRows() map[string]scenario {
	start := protecteditem.StartInitialReplication{JobID: "job-ir", Snapshot: "snap-1", TotalBytes: 140 * gib, At: noon}
	complete := protecteditem.CompleteInitialReplication{JobID: "job-ir", Bytes: 12 * gib, Point: point("cut-1", 1), FinalizeJobID: "job-final", At: noon}
	partial := complete
	partial.Point.Disks = partial.Point.Disks[:1]
	timeless := complete
	timeless.Point.Instant = time.Time{}
	nameless := complete
	nameless.Point.ID = ""
	odd := complete
	odd.Point.Consistency = "Perfect"
	fresh := start
	fresh.Snapshot = "snap-2"
	return map[string]scenario{
		"initial replication starts once it is pending":         {Given: pending, When: start, Then: history(copying)},
		"initial replication started again changes nothing":     {Given: replicating, When: start},
		"initial replication goes on from a new snapshot":       {Given: replicating, When: fresh, Then: history(protecteditem.InitialReplicationStarted(fresh))},
		"initial replication by two jobs is refused":            {Given: replicating, When: protecteditem.StartInitialReplication{JobID: "other", Snapshot: "snap-2", At: noon}, Refused: errorcatalog.StaleJob},
		"initial replication needs a relationship":              {Given: history(enabling), When: start, Refused: errorcatalog.NotProtected},
		"initial replication of an unknown item is refused":     {When: start, Refused: errorcatalog.ProtectedItemNotFound},
		"initial replication needs a job":                       {Given: pending, When: protecteditem.StartInitialReplication{Snapshot: "s"}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"initial replication needs a snapshot":                  {Given: pending, When: protecteditem.StartInitialReplication{JobID: "j"}, Refused: errorcatalog.ValidationFailed, Field: "/snapshot"},
		"initial replication started after its end is harmless": {Given: finalizing, When: start},
		"a complete copy is the first point":                    {Given: replicating, When: complete, Then: history(copied, firstPoint)},
		"a complete copy recorded again changes nothing":        {Given: finalizing, When: complete},
		"a copy by another job is refused":                      {Given: replicating, When: protecteditem.CompleteInitialReplication{JobID: "old", Point: point("cut-1", 1)}, Refused: errorcatalog.StaleJob},
		"a copy whose logs are lost is refused":                 {Given: history(replicating, required), When: complete, Refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a first point without a disk is refused":               {Given: replicating, When: partial, Refused: errorcatalog.ValidationFailed, Field: "/point/disks"},
		"a first point without an instant is refused":           {Given: replicating, When: timeless, Refused: errorcatalog.ValidationFailed, Field: "/point/instant"},
		"a first point without an id is refused":                {Given: replicating, When: nameless, Refused: errorcatalog.ValidationFailed, Field: "/point/id"},
		"a first point of an unknown kind is refused":           {Given: replicating, When: odd, Refused: errorcatalog.ValidationFailed, Field: "/point/consistency"},

		"finalizing makes the item protected":   {Given: finalizing, When: protecteditem.FinalizeProtection{JobID: "job-final", At: noon}, Then: history(finalized)},
		"finalizing again changes nothing":      {Given: protected, When: protecteditem.FinalizeProtection{JobID: "job-final", At: noon}},
		"finalizing by another job is refused":  {Given: finalizing, When: protecteditem.FinalizeProtection{JobID: "old"}, Refused: errorcatalog.StaleJob},
		"finalizing needs a job":                {Given: finalizing, When: protecteditem.FinalizeProtection{}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"finalizing during the copy is refused": {Given: replicating, When: protecteditem.FinalizeProtection{JobID: "job-final"}, Refused: errorcatalog.NotProtected},
		"finalizing an unknown item is refused": {When: protecteditem.FinalizeProtection{JobID: "job-final"}, Refused: errorcatalog.ProtectedItemNotFound},
		"finalizing names its job if none did": {
			Given: history(replicating, protecteditem.InitialReplicationCompleted{JobID: "job-ir", At: noon}, firstPoint),
			When:  protecteditem.FinalizeProtection{JobID: "any", At: noon}, Then: history(protecteditem.ProtectionFinalized{JobID: "any", At: noon}),
		},
	}
}

func pointsRows() map[string]scenario {
	ship := protecteditem.RecordDelta{Cut: "cut-2", PreviousCut: "cut-1", Instant: shipped2.Instant, Logs: shipped2.Logs, Bytes: 4096, At: noon}
	ship3 := protecteditem.RecordDelta{Cut: "cut-3", PreviousCut: "cut-2", Instant: shipped3.Instant, At: noon}
	create := protecteditem.CreateRecoveryPoint{Point: point("cut-2", 6), At: noon}
	return map[string]scenario{
		"a delta follows the last cut":                     {Given: protected, When: ship, Then: history(shipped2)},
		"a delta can be shipped while disks are copied":    {Given: replicating, When: ship, Then: history(shipped2)},
		"a delta can be shipped while a resync runs":       {Given: resyncRuns, When: ship3, Then: history(shipped3)},
		"a delta can be shipped during a planned failover": {Given: history(failing, stopped), When: ship3, Then: history(shipped3)},
		"a delta shipped already changes nothing":          {Given: history(protected, shipped2), When: ship},
		"a delta that is a point already changes nothing":  {Given: following, When: ship},
		"a delta that skips a cut is refused":              {Given: protected, When: ship3, Refused: errorcatalog.CutOutOfOrder},
		"a delta that begins a chain is refused once protected": {
			Given: protected, When: protecteditem.RecordDelta{Cut: "cut-7", At: noon}, Refused: errorcatalog.CutOutOfOrder,
		},
		"a delta may begin a chain afresh while disks are copied": {
			Given: history(replicating, shipped2), When: protecteditem.RecordDelta{Cut: "cut-7", Instant: noon, At: noon},
			Then: history(protecteditem.DeltaShipped{Cut: "cut-7", Instant: noon, At: noon}),
		},
		"a delta needs a replica that follows":      {Given: diverged, When: ship3, Refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a delta of an item failed over is refused": {Given: uncommitted, When: protecteditem.RecordDelta{Cut: "cut-4", PreviousCut: "cut-3"}, Refused: errorcatalog.NotProtected},
		"a delta of an item that ends is refused":   {Given: ending, When: ship3, Refused: errorcatalog.NotProtected},
		"a delta of an unknown item is refused":     {When: ship, Refused: errorcatalog.ProtectedItemNotFound},
		"a delta needs a cut":                       {Given: protected, When: protecteditem.RecordDelta{}, Refused: errorcatalog.ValidationFailed, Field: "/cut"},

		"a point is made of a shipped cut":                 {Given: history(protected, shipped2), When: create, Then: history(secondPoint)},
		"a point is made during a planned failover":        {Given: history(failing, stopped, shipped3), When: protecteditem.CreateRecoveryPoint{Point: point("cut-3", 8), At: noon}, Then: history(thirdPoint)},
		"a point made already changes nothing":             {Given: following, When: create},
		"a point of a cut that was not shipped is refused": {Given: protected, When: create, Refused: errorcatalog.CutNotShipped},
		"a point of a cut passed over is refused": {
			Given: history(protected, shipped2, shipped3, thirdPoint), When: create, Refused: errorcatalog.CutNotShipped,
		},
		"no point is made while a resync is required": {Given: history(protected, shipped2, required), When: create, Refused: errorcatalog.ResynchronizationRequiredRefusal},
		"no point is made while a resync runs":        {Given: history(resyncRuns, shipped3), When: protecteditem.CreateRecoveryPoint{Point: point("cut-3", 8)}, Refused: errorcatalog.ResynchronizationRequiredRefusal},
		"no point is made while disks are copied":     {Given: history(replicating, shipped2), When: create, Refused: errorcatalog.NotProtected},
		"a point without a disk is refused":           {Given: history(protected, shipped2), When: protecteditem.CreateRecoveryPoint{Point: protecteditem.Point{ID: "cut-2", Instant: noon, Consistency: protecteditem.Planned}}, Refused: errorcatalog.ValidationFailed, Field: "/point/disks"},

		"old points can be removed": {
			Given: following, When: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1", "gone"}, Reason: "retention", At: noon},
			Then: history(protecteditem.RecoveryPointsRemoved{IDs: []string{"cut-1"}, Reason: "retention", At: noon}),
		},
		"removing points that are gone changes nothing":  {Given: following, When: protecteditem.RemoveRecoveryPoints{IDs: []string{"gone"}, At: noon}},
		"the newest point is never removed":              {Given: following, When: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1", "cut-2"}}, Refused: errorcatalog.NewestPointKept},
		"the only point is never removed":                {Given: protected, When: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1"}}, Refused: errorcatalog.NewestPointKept},
		"no point is removed while a resync is required": {Given: diverged, When: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1"}}, Refused: errorcatalog.OperationInProgress},
		"no point is removed while a resync runs":        {Given: resyncRuns, When: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1"}}, Refused: errorcatalog.OperationInProgress},
		"no point is removed during a failover":          {Given: failing, When: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1"}}, Refused: errorcatalog.OperationInProgress},
		"no point is removed until a failover's commit":  {Given: uncommitted, When: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1"}}, Refused: errorcatalog.OperationInProgress},
		"removing points of an unknown item is refused":  {When: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1"}}, Refused: errorcatalog.ProtectedItemNotFound},
	}
}
