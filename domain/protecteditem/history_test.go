package protecteditem_test

import (
	"slices"
	"time"

	"farshore/domain/domaintest"
	"farshore/domain/errorcatalog"
	"farshore/domain/policy"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
)

const gib = int64(1) << 30

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// vm is a VM that meets every prerequisite.
func vm() site.VirtualMachine {
	return site.VirtualMachine{
		ID: "sql-1", Name: "sql-1", Generation: 2, CPUs: 2, MemoryMiB: 4096,
		Disks: []site.Disk{
			{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: 40 * gib, OS: true},
			{ID: "data", File: "data.vhd", Format: site.FixedVHD, SizeBytes: 100 * gib},
		},
	}
}

func enable() protecteditem.EnableProtection {
	return protecteditem.EnableProtection{
		JobID: "job-enable", Vault: "acme", Item: "sql", Site: "vienna", Host: "hv-1", VM: vm(),
		PolicyID: "gold", Policy: policy.Defaults(), Store: protecteditem.StoreRef{ID: "blobs", Kind: protecteditem.PageBlobStore},
		RecoverySite: "graz", RecoveryHost: "hv-9", RecoveryVMName: "sql-1-dr", At: noon,
	}
}

// point returns a recovery point of a cut made some minutes after noon.
func point(id string, minutes int) protecteditem.Point {
	return protecteditem.Point{
		ID: id, Instant: noon.Add(time.Duration(minutes) * time.Minute), Consistency: protecteditem.CrashConsistent,
		Disks: []protecteditem.PointDisk{{Disk: "os", SizeBytes: 40 * gib, Root: "aa"}, {Disk: "data", SizeBytes: 100 * gib, Root: "bb"}},
	}
}

// The events of a life, in order.
var (
	enabling     = enabled()
	related      = protecteditem.RelationshipCreated{JobID: "job-enable", StartAt: noon, At: noon}
	copying      = protecteditem.InitialReplicationStarted{JobID: "job-ir", Snapshot: "snap-1", TotalBytes: 140 * gib, At: noon}
	copied       = protecteditem.InitialReplicationCompleted{JobID: "job-ir", Bytes: 12 * gib, FinalizeJobID: "job-final", At: noon}
	firstPoint   = protecteditem.RecoveryPointCreated{Point: point("cut-1", 1), At: noon}
	finalized    = protecteditem.ProtectionFinalized{JobID: "job-final", At: noon}
	shipped2     = protecteditem.DeltaShipped{Cut: "cut-2", PreviousCut: "cut-1", Instant: point("", 6).Instant, Logs: []protecteditem.ShippedLog{{Disk: "os", Log: "log-7", Bytes: 4096}}, Bytes: 4096, At: noon}
	secondPoint  = protecteditem.RecoveryPointCreated{Point: point("cut-2", 6), At: noon}
	required     = protecteditem.ResynchronizationRequired{Reason: errorcatalog.LogMissing, Detail: "os", ScheduledFor: noon.Add(6 * time.Hour), At: noon}
	resyncing    = protecteditem.ResynchronizationStarted{JobID: "job-resync", At: noon}
	failingOver  = protecteditem.PlannedFailoverStarted{JobID: "job-fail", At: noon}
	stopped      = protecteditem.SourceStopped{JobID: "job-fail", At: noon}
	shipped3     = protecteditem.DeltaShipped{Cut: "cut-3", PreviousCut: "cut-2", Instant: point("", 8).Instant, At: noon}
	thirdPoint   = protecteditem.RecoveryPointCreated{Point: point("cut-3", 8), At: noon}
	failedOver   = protecteditem.PlannedFailoverCompleted{JobID: "job-fail", Point: "cut-3", RecoveryVM: "vm-9", At: noon}
	committing   = protecteditem.FailoverCommitStarted{JobID: "job-commit", At: noon}
	committed    = protecteditem.FailoverCommitted{JobID: "job-commit", Point: "cut-3", RemovedPoints: []string{"cut-1", "cut-2"}, At: noon}
	disabling    = protecteditem.ProtectionDisabling{JobID: "job-disable", KeepReplicaSeconds: 7 * 24 * 3600, At: noon}
	disabled     = protecteditem.ProtectionDisabled{JobID: "job-disable", Replica: "acme.sql.1", ReplicaUntil: noon.Add(7 * 24 * time.Hour), At: noon}
	crashing     = protecteditem.UnplannedFailoverStarted{JobID: "job-crash", Choice: protecteditem.LatestProcessed, Point: "cut-2", ShutDownSource: true, OvertakenJobID: "job-resync", At: noon}
	fixedPoint   = protecteditem.FailoverPointChosen{JobID: "job-crash", Point: "cut-2", At: noon}
	crashed      = protecteditem.UnplannedFailoverCompleted{JobID: "job-crash", Point: "cut-2", RecoveryVM: "vm-9", At: noon}
	changing     = protecteditem.RecoveryPointChangeStarted{JobID: "job-change", Point: "cut-1", At: noon}
	changed      = protecteditem.RecoveryPointChangeCompleted{JobID: "job-change", Point: "cut-1", RecoveryVM: "vm-10", At: noon}
	canceling    = protecteditem.FailoverCancelStarted{JobID: "job-cancel", At: noon}
	drilling     = protecteditem.TestFailoverStarted{JobID: "job-test", Choice: "cut-1", Point: "cut-1", Network: "lab", At: noon}
	testPoint    = protecteditem.TestFailoverPointChosen{JobID: "job-test", Point: "cut-1", At: noon}
	tested       = protecteditem.TestFailoverCompleted{JobID: "job-test", Point: "cut-1", VM: "vm-7", At: noon}
	cleaning     = protecteditem.TestFailoverCleanupStarted{JobID: "job-clean", Notes: "SQL came up", At: noon}
	cleaned      = protecteditem.TestFailoverCleanedUp{JobID: "job-clean", At: noon}
	paused       = protecteditem.ReplicationPaused{Reason: "storage migration", By: "eva", At: noon}
	goingBack    = protecteditem.FailbackStarted{JobID: "job-back", Mode: protecteditem.MinimizeDowntime, At: noon}
	pulled       = protecteditem.FailbackSynchronized{JobID: "job-back", BytesScanned: 9, BytesDiffering: 5, BytesSent: 3, At: noon}
	switching    = protecteditem.FailbackCompletionStarted{JobID: "job-back", At: noon}
	switched     = protecteditem.FailbackCompleted{JobID: "job-back", VM: "sql-1", At: noon}
	accepting    = protecteditem.FailbackCommitStarted{JobID: "job-accept", At: noon}
	accepted     = protecteditem.FailbackCommitted{JobID: "job-accept", VM: "sql-1", At: noon}
	reversing    = protecteditem.ReverseReplicationStarted{JobID: "job-reverse", At: noon}
	reversedOver = protecteditem.ReverseReplicationCompleted{JobID: "job-reverse", BytesScanned: 9, BytesDiffering: 5, BytesSent: 3, Point: "cut-9", At: noon}
	ninthPoint   = protecteditem.RecoveryPointCreated{Point: point("cut-9", 30), At: noon}
	adding       = protecteditem.DisksAdding{JobID: "job-disk", Disks: []site.Disk{logs()}, At: noon}
	grown        = protecteditem.DiskGrown{JobID: "job-disk", Disk: "data", SizeBytes: 200 * gib, At: noon}
	diskDone     = protecteditem.DisksProtected{JobID: "job-disk", Disks: []string{"logs"}, Bytes: 7, At: noon}
	unreachable  = errorcatalog.Fail(errorcatalog.HostUnreachable, "hv-1")
	unauthorized = errorcatalog.Fail(errorcatalog.ReplicaStoreAuthorization, "403")
)

// The states that most rules are about.
var (
	pending     = history(enabling, related)
	replicating = history(pending, copying)
	finalizing  = history(replicating, copied, firstPoint)
	protected   = history(finalizing, finalized)
	following   = history(protected, shipped2, secondPoint)
	diverged    = history(following, required)
	resyncRuns  = history(diverged, resyncing)
	failing     = history(following, failingOver)
	lastShipped = history(failing, stopped, shipped3, thirdPoint)
	uncommitted = history(lastShipped, failedOver)
	done        = history(uncommitted, committing, committed)
	ending      = history(following, disabling)
	ended       = history(ending, disabled)
)

// logs is a disk that the VM is given later.
func logs() site.Disk {
	return site.Disk{ID: "logs", File: "logs.raw", Format: site.Raw, SizeBytes: 10 * gib}
}

func silver() policy.Settings {
	p := policy.Defaults()
	p.CopyFrequencySeconds, p.DrillReminderDays, p.MonitoringWindowHours = 900, 90, 24
	return p
}

func enabled() protecteditem.ProtectionEnabling {
	c := enable()
	return protecteditem.ProtectionEnabling{
		JobID: c.JobID, Vault: c.Vault, Item: c.Item, Cycle: 1, Site: c.Site, Host: c.Host, VM: c.VM, PolicyID: c.PolicyID, Policy: c.Policy,
		Store: c.Store, Disks: []string{"os", "data"}, RecoverySite: c.RecoverySite, RecoveryHost: c.RecoveryHost, RecoveryVMName: c.RecoveryVMName, At: noon,
	}
}

// history strings events and histories together.
func history(parts ...any) []protecteditem.Event {
	var all []protecteditem.Event
	for _, p := range parts {
		switch p := p.(type) {
		case []protecteditem.Event:
			all = append(all, p...)
		case protecteditem.Event:
			all = append(all, p)
		}
	}
	return slices.Clip(all)
}

func after(given []protecteditem.Event) protecteditem.State {
	return protecteditem.Decider.Fold(protecteditem.State{}, given...)
}

// scenario is one row: given these events, when this is asked, then that follows.
type scenario = domaintest.Scenario[protecteditem.Command, protecteditem.Event]
