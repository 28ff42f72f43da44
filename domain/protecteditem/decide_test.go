package protecteditem_test

import (
	"maps"
	"reflect"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	all := map[string]scenario{}
	for _, rows := range []map[string]scenario{
		enablingRows(), replicationRows(), pointsRows(), failuresRows(), resynchronizationsRows(), failoversRows(), commitsRows(), disablesRows(),
		unplannedRows(), unplannedStepRows(), uncommittedRows(), fencingRows(), drillRows(), cleanupRows(), pauseRows(), interruptedRows(), failbackRows(), failbackEndRows(), reverseRows(), disksRows(), disksEndRows(),
	} {
		for name := range rows {
			if _, twice := all[name]; twice {
				t.Fatalf("two rows are called %q", name)
			}
		}
		maps.Copy(all, rows)
	}
	for name, tt := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := protecteditem.Decider.Decide(after(tt.given), tt.when)
			if code, field := rejection(t, err); code != tt.refused || field != tt.field {
				t.Fatalf("refusal = %q at %q (%v), want %q at %q", code, field, err, tt.refused, tt.field)
			}
			if !reflect.DeepEqual(got, tt.then) {
				t.Errorf("events = %+v\nwant %+v", got, tt.then)
			}
		})
	}
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
		"enabling begins the first cycle":                {when: enable(), then: history(enabling)},
		"enabling after disabling begins the next cycle": {given: ended, when: enable(), then: history(again)},
		"enabling after a failed attempt begins the next cycle": {
			given: history(enabling, protecteditem.EnableFailed{JobID: "job-enable", Failure: *unreachable, At: noon}), when: enable(), then: history(again),
		},
		"enabling again by the same job changes nothing": {given: history(enabling), when: enable()},
		"enabling what is being enabled is refused": {
			given: history(enabling), when: with(func(c *protecteditem.EnableProtection) { c.JobID = "other" }), refused: errorcatalog.AlreadyProtected,
		},
		"enabling what is protected is refused":       {given: protected, when: enable(), refused: errorcatalog.AlreadyProtected},
		"enabling what has failed over is refused":    {given: done, when: enable(), refused: errorcatalog.AlreadyProtected},
		"enabling what is being disabled is refused":  {given: ending, when: enable(), refused: errorcatalog.AlreadyProtected},
		"enabling needs a job":                        {when: with(func(c *protecteditem.EnableProtection) { c.JobID = "" }), refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"enabling needs a vault":                      {when: with(func(c *protecteditem.EnableProtection) { c.Vault = "A B" }), refused: errorcatalog.ValidationFailed, field: "/vault"},
		"enabling needs an item":                      {when: with(func(c *protecteditem.EnableProtection) { c.Item = "" }), refused: errorcatalog.ValidationFailed, field: "/item"},
		"enabling needs a site":                       {when: with(func(c *protecteditem.EnableProtection) { c.Site = "-x" }), refused: errorcatalog.ValidationFailed, field: "/site"},
		"enabling needs a host":                       {when: with(func(c *protecteditem.EnableProtection) { c.Host = "" }), refused: errorcatalog.ValidationFailed, field: "/host"},
		"enabling needs a recovery site":              {when: with(func(c *protecteditem.EnableProtection) { c.RecoverySite = "" }), refused: errorcatalog.ValidationFailed, field: "/recoverySite"},
		"enabling needs a recovery host":              {when: with(func(c *protecteditem.EnableProtection) { c.RecoveryHost = "" }), refused: errorcatalog.ValidationFailed, field: "/recoveryHost"},
		"enabling needs a storage account":            {when: with(func(c *protecteditem.EnableProtection) { c.Store.ID = "" }), refused: errorcatalog.ValidationFailed, field: "/storageAccount"},
		"enabling needs a known kind of store":        {when: with(func(c *protecteditem.EnableProtection) { c.Store.Kind = "Tape" }), refused: errorcatalog.ValidationFailed, field: "/storageAccount"},
		"enabling needs a sound policy":               {when: with(func(c *protecteditem.EnableProtection) { c.Policy.CopyFrequencySeconds = 60 }), refused: errorcatalog.ValidationFailed, field: "/policy/copyFrequencySeconds"},
		"enabling needs a name that can be used":      {when: with(func(c *protecteditem.EnableProtection) { c.RecoveryVMName = "sql_1" }), refused: errorcatalog.ValidationFailed, field: "/recoveryVmName"},
		"enabling twice the same disk is refused":     {when: with(func(c *protecteditem.EnableProtection) { c.Disks = []string{"os", "os"} }), refused: errorcatalog.ValidationFailed, field: "/disks"},
		"enabling an unknown disk is refused":         {when: with(func(c *protecteditem.EnableProtection) { c.Disks = []string{"os", "tmp"} }), refused: errorcatalog.VirtualMachineNotProtectable, field: "/virtualMachine"},
		"enabling a VM with a shared disk is refused": {when: with(func(c *protecteditem.EnableProtection) { c.VM.Disks[1].Shared = true }), refused: errorcatalog.VirtualMachineNotProtectable, field: "/virtualMachine"},
		"a VM is not brought up on itself": {
			when: with(func(c *protecteditem.EnableProtection) {
				c.RecoverySite, c.RecoveryHost, c.RecoveryVMName = c.Site, c.Host, ""
			}),
			refused: errorcatalog.ValidationFailed, field: "/recoveryHost",
		},

		"a relationship leaves initial replication pending": {given: history(enabling), when: protecteditem.RecordRelationship{JobID: "job-enable", StartAt: noon, At: noon}, then: history(related)},
		"a relationship recorded again changes nothing":     {given: pending, when: protecteditem.RecordRelationship{JobID: "job-enable", StartAt: noon, At: noon}},
		"a relationship of another job is refused":          {given: history(enabling), when: protecteditem.RecordRelationship{JobID: "old", At: noon}, refused: errorcatalog.StaleJob},
		"a relationship of an overtaken job is refused":     {given: history(enabling, disabling), when: protecteditem.RecordRelationship{JobID: "job-enable", At: noon}, refused: errorcatalog.StaleJob},
		"a relationship of an unknown item is refused":      {when: protecteditem.RecordRelationship{JobID: "job-enable", At: noon}, refused: errorcatalog.ProtectedItemNotFound},
		"a failure ends enabling": {
			given: history(enabling), when: protecteditem.FailEnable{JobID: "job-enable", Failure: unreachable, At: noon},
			then: history(protecteditem.EnableFailed{JobID: "job-enable", Failure: *unreachable, At: noon}),
		},
		"a failure without a reason is an internal error": {
			given: history(enabling), when: protecteditem.FailEnable{JobID: "job-enable", At: noon},
			then: history(protecteditem.EnableFailed{JobID: "job-enable", Failure: errorcatalog.Failure{Code: errorcatalog.InternalError, Detail: "no failure was given"}, At: noon}),
		},
		"a failure to enable recorded again changes nothing": {
			given: history(enabling, protecteditem.EnableFailed{JobID: "job-enable", Failure: *unreachable, At: noon}),
			when:  protecteditem.FailEnable{JobID: "job-enable", Failure: unreachable, At: noon},
		},
		"a failure to enable after success is refused":      {given: pending, when: protecteditem.FailEnable{JobID: "job-enable", At: noon}, refused: errorcatalog.StaleJob},
		"a failure to enable of an unknown item is refused": {when: protecteditem.FailEnable{JobID: "job-enable", At: noon}, refused: errorcatalog.ProtectedItemNotFound},
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
		"initial replication starts once it is pending":         {given: pending, when: start, then: history(copying)},
		"initial replication started again changes nothing":     {given: replicating, when: start},
		"initial replication goes on from a new snapshot":       {given: replicating, when: fresh, then: history(protecteditem.InitialReplicationStarted(fresh))},
		"initial replication by two jobs is refused":            {given: replicating, when: protecteditem.StartInitialReplication{JobID: "other", Snapshot: "snap-2", At: noon}, refused: errorcatalog.StaleJob},
		"initial replication needs a relationship":              {given: history(enabling), when: start, refused: errorcatalog.NotProtected},
		"initial replication of an unknown item is refused":     {when: start, refused: errorcatalog.ProtectedItemNotFound},
		"initial replication needs a job":                       {given: pending, when: protecteditem.StartInitialReplication{Snapshot: "s"}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"initial replication needs a snapshot":                  {given: pending, when: protecteditem.StartInitialReplication{JobID: "j"}, refused: errorcatalog.ValidationFailed, field: "/snapshot"},
		"initial replication started after its end is harmless": {given: finalizing, when: start},
		"a complete copy is the first point":                    {given: replicating, when: complete, then: history(copied, firstPoint)},
		"a complete copy recorded again changes nothing":        {given: finalizing, when: complete},
		"a copy by another job is refused":                      {given: replicating, when: protecteditem.CompleteInitialReplication{JobID: "old", Point: point("cut-1", 1)}, refused: errorcatalog.StaleJob},
		"a copy whose logs are lost is refused":                 {given: history(replicating, required), when: complete, refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a first point without a disk is refused":               {given: replicating, when: partial, refused: errorcatalog.ValidationFailed, field: "/point/disks"},
		"a first point without an instant is refused":           {given: replicating, when: timeless, refused: errorcatalog.ValidationFailed, field: "/point/instant"},
		"a first point without an id is refused":                {given: replicating, when: nameless, refused: errorcatalog.ValidationFailed, field: "/point/id"},
		"a first point of an unknown kind is refused":           {given: replicating, when: odd, refused: errorcatalog.ValidationFailed, field: "/point/consistency"},

		"finalizing makes the item protected":   {given: finalizing, when: protecteditem.FinalizeProtection{JobID: "job-final", At: noon}, then: history(finalized)},
		"finalizing again changes nothing":      {given: protected, when: protecteditem.FinalizeProtection{JobID: "job-final", At: noon}},
		"finalizing by another job is refused":  {given: finalizing, when: protecteditem.FinalizeProtection{JobID: "old"}, refused: errorcatalog.StaleJob},
		"finalizing needs a job":                {given: finalizing, when: protecteditem.FinalizeProtection{}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"finalizing during the copy is refused": {given: replicating, when: protecteditem.FinalizeProtection{JobID: "job-final"}, refused: errorcatalog.NotProtected},
		"finalizing an unknown item is refused": {when: protecteditem.FinalizeProtection{JobID: "job-final"}, refused: errorcatalog.ProtectedItemNotFound},
		"finalizing names its job if none did": {
			given: history(replicating, protecteditem.InitialReplicationCompleted{JobID: "job-ir", At: noon}, firstPoint),
			when:  protecteditem.FinalizeProtection{JobID: "any", At: noon}, then: history(protecteditem.ProtectionFinalized{JobID: "any", At: noon}),
		},
	}
}

func pointsRows() map[string]scenario {
	ship := protecteditem.RecordDelta{Cut: "cut-2", PreviousCut: "cut-1", Instant: shipped2.Instant, Logs: shipped2.Logs, Bytes: 4096, At: noon}
	ship3 := protecteditem.RecordDelta{Cut: "cut-3", PreviousCut: "cut-2", Instant: shipped3.Instant, At: noon}
	create := protecteditem.CreateRecoveryPoint{Point: point("cut-2", 6), At: noon}
	return map[string]scenario{
		"a delta follows the last cut":                     {given: protected, when: ship, then: history(shipped2)},
		"a delta can be shipped while disks are copied":    {given: replicating, when: ship, then: history(shipped2)},
		"a delta can be shipped while a resync runs":       {given: resyncRuns, when: ship3, then: history(shipped3)},
		"a delta can be shipped during a planned failover": {given: history(failing, stopped), when: ship3, then: history(shipped3)},
		"a delta shipped already changes nothing":          {given: history(protected, shipped2), when: ship},
		"a delta that is a point already changes nothing":  {given: following, when: ship},
		"a delta that skips a cut is refused":              {given: protected, when: ship3, refused: errorcatalog.CutOutOfOrder},
		"a delta that begins a chain is refused once protected": {
			given: protected, when: protecteditem.RecordDelta{Cut: "cut-7", At: noon}, refused: errorcatalog.CutOutOfOrder,
		},
		"a delta may begin a chain afresh while disks are copied": {
			given: history(replicating, shipped2), when: protecteditem.RecordDelta{Cut: "cut-7", Instant: noon, At: noon},
			then: history(protecteditem.DeltaShipped{Cut: "cut-7", Instant: noon, At: noon}),
		},
		"a delta needs a replica that follows":      {given: diverged, when: ship3, refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a delta of an item failed over is refused": {given: uncommitted, when: protecteditem.RecordDelta{Cut: "cut-4", PreviousCut: "cut-3"}, refused: errorcatalog.NotProtected},
		"a delta of an item that ends is refused":   {given: ending, when: ship3, refused: errorcatalog.NotProtected},
		"a delta of an unknown item is refused":     {when: ship, refused: errorcatalog.ProtectedItemNotFound},
		"a delta needs a cut":                       {given: protected, when: protecteditem.RecordDelta{}, refused: errorcatalog.ValidationFailed, field: "/cut"},

		"a point is made of a shipped cut":                 {given: history(protected, shipped2), when: create, then: history(secondPoint)},
		"a point is made during a planned failover":        {given: history(failing, stopped, shipped3), when: protecteditem.CreateRecoveryPoint{Point: point("cut-3", 8), At: noon}, then: history(thirdPoint)},
		"a point made already changes nothing":             {given: following, when: create},
		"a point of a cut that was not shipped is refused": {given: protected, when: create, refused: errorcatalog.CutNotShipped},
		"a point of a cut passed over is refused": {
			given: history(protected, shipped2, shipped3, thirdPoint), when: create, refused: errorcatalog.CutNotShipped,
		},
		"no point is made while a resync is required": {given: history(protected, shipped2, required), when: create, refused: errorcatalog.ResynchronizationRequiredRefusal},
		"no point is made while a resync runs":        {given: history(resyncRuns, shipped3), when: protecteditem.CreateRecoveryPoint{Point: point("cut-3", 8)}, refused: errorcatalog.ResynchronizationRequiredRefusal},
		"no point is made while disks are copied":     {given: history(replicating, shipped2), when: create, refused: errorcatalog.NotProtected},
		"a point without a disk is refused":           {given: history(protected, shipped2), when: protecteditem.CreateRecoveryPoint{Point: protecteditem.Point{ID: "cut-2", Instant: noon, Consistency: protecteditem.Planned}}, refused: errorcatalog.ValidationFailed, field: "/point/disks"},

		"old points can be removed": {
			given: following, when: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1", "gone"}, Reason: "retention", At: noon},
			then: history(protecteditem.RecoveryPointsRemoved{IDs: []string{"cut-1"}, Reason: "retention", At: noon}),
		},
		"removing points that are gone changes nothing":  {given: following, when: protecteditem.RemoveRecoveryPoints{IDs: []string{"gone"}, At: noon}},
		"the newest point is never removed":              {given: following, when: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1", "cut-2"}}, refused: errorcatalog.NewestPointKept},
		"the only point is never removed":                {given: protected, when: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1"}}, refused: errorcatalog.NewestPointKept},
		"no point is removed while a resync is required": {given: diverged, when: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1"}}, refused: errorcatalog.OperationInProgress},
		"no point is removed while a resync runs":        {given: resyncRuns, when: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1"}}, refused: errorcatalog.OperationInProgress},
		"no point is removed during a failover":          {given: failing, when: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1"}}, refused: errorcatalog.OperationInProgress},
		"no point is removed until a failover's commit":  {given: uncommitted, when: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1"}}, refused: errorcatalog.OperationInProgress},
		"removing points of an unknown item is refused":  {when: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1"}}, refused: errorcatalog.ProtectedItemNotFound},
	}
}
