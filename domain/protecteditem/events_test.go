package protecteditem_test

import (
	"testing"

	"farshore/domain/domaintest"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

func stored() []protecteditem.Event {
	return []protecteditem.Event{
		enabling, related,
		protecteditem.EnableFailed{JobID: "job-enable", Failure: *unreachable, At: noon},
		copying, copied, finalized,
		protecteditem.ReplicationRequested{Consistency: protecteditem.AppConsistent, At: noon},
		atRest(protecteditem.AppConsistent, frozen(120, unthawed)), secondPoint,
		protecteditem.RecoveryPointsRemoved{IDs: []string{"cut-1"}, Reason: "retention", At: noon},
		failed(3, unreachable, 4*60*1e9),
		required,
		protecteditem.ResynchronizationRequested{JobID: "job-resync", At: noon},
		resyncing,
		protecteditem.ResynchronizationCompleted{JobID: "job-resync", BytesScanned: 9, BytesDiffering: 5, BytesSent: 3, At: noon},
		failingOver, stopped, failedOver,
		protecteditem.PlannedFailoverFailed{JobID: "job-fail", Failure: *unreachable, SourceRestarted: true, At: noon},
		protecteditem.PlannedFailoverReady{JobID: "job-fail", At: noon},
		protecteditem.PlannedFailoverReleased{JobID: "job-fail", At: noon},
		committing, committed, disabling, disabled,
		protecteditem.FailoverCommitFailed{JobID: "job-commit", Failure: *unreachable, At: noon},
		copyBegun, copyDone,
		crashing, fixedPoint, crashed,
		protecteditem.UnplannedFailoverFailed{JobID: "job-crash", Failure: *unreachable, SourceRestarted: true, At: noon},
		changing, changed,
		protecteditem.RecoveryPointChangeFailed{JobID: "job-change", Failure: *unreachable, RecoveryVM: "vm-9", OvertakenCopyJobID: "job-copy", At: noon},
		canceling,
		protecteditem.FailoverCanceled{JobID: "job-cancel", SourceRestarted: true, ChainBroken: true, OvertakenCopyJobID: "job-copy", At: noon},
		protecteditem.FailoverCancelFailed{JobID: "job-cancel", Failure: *unreachable, RecoveryVM: "vm-9", OvertakenCopyJobID: "job-copy", At: noon},
		protecteditem.SourceFoundRunning{Detail: "hv-1", At: noon},
		protecteditem.SourceFenced{Held: []protecteditem.ShippedLog{{Disk: "os", Log: "log-9", Bytes: 512}}, At: noon},
		drilling, testPoint, tested,
		protecteditem.TestFailoverFailed{JobID: "job-test", Failure: *unreachable, VM: "vm-7", At: noon},
		cleaning, cleaned,
		protecteditem.TestFailoverCleanupFailed{JobID: "job-clean", Failure: *unreachable, At: noon},
		paused,
		protecteditem.ReplicationResumed{By: "eva", At: noon},
		protecteditem.FailbackStarted{JobID: "job-back", Mode: protecteditem.FullDownload, Target: protecteditem.FailbackTarget{Site: "vienna", Host: "hv-2", VMName: "sql-2"}, At: noon},
		pulled, switching, switchedOver,
		protecteditem.FailbackRestarted{JobID: "job-back", Reason: "os", At: noon},
		protecteditem.FailbackFailed{JobID: "job-back", Failure: *unreachable, Left: true, At: noon},
		protecteditem.FailbackCancelStarted{JobID: "job-cancel", OvertakenJobID: "job-back", At: noon},
		protecteditem.FailbackCanceled{JobID: "job-cancel", Left: true, At: noon},
		protecteditem.FailbackCancelFailed{JobID: "job-cancel", Failure: *unreachable, At: noon},
		accepting, acceptedAlone, reversing, reversedOver,
		protecteditem.ReverseReplicationFailed{JobID: "job-reverse", Failure: *unreachable, At: noon},
		protecteditem.VMLeftBehind{LeftBehind: protecteditem.LeftBehind{Site: "linz", Host: "hv-1", VM: "sql-1", Fate: protecteditem.Remove, Owner: "acme.sql.1", Since: noon}},
		protecteditem.JobForced{JobID: "job-disable", At: noon},
		protecteditem.LeftBehindSettled{Site: "linz", Host: "hv-1", VM: "sql-1", At: noon},
		protecteditem.ReleasedPointsSettled{IDs: []string{"cut-1"}, At: noon},
		adding, grown, diskDone,
		protecteditem.DiskReplicationFailed{JobID: "job-disk", Failure: *unreachable, At: noon},
		protecteditem.DisksRemoved{Disks: []string{"data"}, At: noon},
		protecteditem.ReplicaDisksRemoved{Disks: []string{"logs"}, At: noon},
		protecteditem.RetryRequested{At: noon},
		protecteditem.ResynchronizationCanceled{JobID: "job-resync", At: noon},
		settingsChanged, checked, decided,
		protecteditem.PolicyChanged{PolicyID: "silver", Settings: silver(), At: noon},
		protecteditem.HealthChanged{
			Health: protecteditem.Critical, Previous: protecteditem.Warning, At: noon,
			Reasons: []protecteditem.HealthReason{{Code: errorcatalog.LogMissing, Detail: "os", Since: noon}},
		},
		protecteditem.TestFailoverFellDue{Since: noon, LastTestFailover: noon, ReminderDays: 90, At: noon},
	}
}

func TestStoredForm(t *testing.T) {
	t.Parallel()
	domaintest.StoredForm(t, protecteditem.Category, protecteditem.Events(), stored())
}
