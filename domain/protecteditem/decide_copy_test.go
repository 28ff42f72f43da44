package protecteditem_test

import (
	"slices"
	"testing"
	"time"

	"farshore/domain/domaintest"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

var (
	copyBegun   = protecteditem.BackgroundCopyStarted{JobID: "job-copy", Point: "cut-2", At: noon}
	copyDone    = protecteditem.BackgroundCopyCompleted{JobID: "job-copy", Bytes: 12 * gib, At: noon}
	copies      = history(following, crashing, crashed, copyBegun)
	copied2     = history(copies, copyDone)
	committing2 = history(copies, committing)
	changing2   = history(copies, changing)
	disabling2  = history(copies, disabling)
)

func TestTheCopyOfARunningVMsDisks(t *testing.T) {
	t.Parallel()
	domaintest.Decide(t, protecteditem.Decider, copyRows())
	domaintest.Decide(t, protecteditem.Decider, copyBesideRows())
}

func copyRows() map[string]scenario {
	done := protecteditem.CompleteBackgroundCopy{JobID: "job-copy", Bytes: 12 * gib, At: noon}
	failure := protecteditem.RecordFailure{JobID: "job-copy", Failure: unreachable, At: noon}
	attempt := protecteditem.ReplicationFailed{JobID: "job-copy", Attempt: 1, Failure: *unreachable, NextRetryAt: noon.Add(time.Minute), At: noon}
	stale := done
	stale.JobID = "other"
	planned := protecteditem.BackgroundCopyStarted{JobID: "job-copy", Point: "cut-3", At: noon}
	changedCopy := protecteditem.BackgroundCopyStarted{JobID: "job-copy", Point: "cut-1", At: noon}
	return map[string]scenario{
		"a planned failover begins the copy with the VM": {
			Given: lastShipped, When: protecteditem.CompletePlannedFailover{JobID: "job-fail", Point: "cut-3", RecoveryVM: "vm-9", CopyJobID: "job-copy", At: noon},
			Then: history(failedOver, planned),
		},
		"an unplanned failover begins the copy with the VM": {
			Given: history(following, crashing), When: protecteditem.CompleteUnplannedFailover{JobID: "job-crash", Point: "cut-2", RecoveryVM: "vm-9", CopyJobID: "job-copy", At: noon},
			Then: history(crashed, copyBegun),
		},
		"a change of the point begins the copy with the VM": {
			Given: history(copied2, changing), When: protecteditem.CompleteRecoveryPointChange{JobID: "job-change", RecoveryVM: "vm-10", CopyJobID: "job-copy", At: noon},
			Then: history(changed, changedCopy),
		},
		"a copy completes":                                 {Given: copies, When: done, Then: history(copyDone)},
		"a copy completed again changes nothing":           {Given: copied2, When: done},
		"a copy of another job is refused":                 {Given: copies, When: stale, Refused: errorcatalog.StaleJob},
		"a copy that was never begun is refused":           {Given: uncommitted, When: done, Refused: errorcatalog.StaleJob},
		"a copy of an unknown item is refused":             {When: done, Refused: errorcatalog.ProtectedItemNotFound},
		"a copy rests while the point is changed":          {Given: changing2, When: done, Refused: errorcatalog.OperationInProgress},
		"a copy rests while the failover is cancelled":     {Given: history(copies, canceling), When: done, Refused: errorcatalog.OperationInProgress},
		"a copy goes on during a commit":                   {Given: committing2, When: done, Then: history(copyDone)},
		"a copy goes on while protection is being ended":   {Given: disabling2, When: done, Then: history(copyDone)},
		"an attempt at a copy fails":                       {Given: copies, When: failure, Then: history(attempt)},
		"an attempt at a copy that rests is not counted":   {Given: changing2, When: failure, Refused: errorcatalog.OperationInProgress},
		"an attempt at a copy is due at once when asked":   {Given: history(copies, attempt), When: protecteditem.RetryNow{At: noon}, Then: history(protecteditem.RetryRequested{At: noon})},
		"an attempt at a copy that has ended is refused":   {Given: copied2, When: failure, Refused: errorcatalog.StaleJob},
		"an attempt of a job that has been ended is stale": {Given: history(changing2, changed), When: failure, Refused: errorcatalog.StaleJob},
	}
}

func copyBesideRows() map[string]scenario {
	commit := protecteditem.CompleteFailoverCommit{JobID: "job-commit", At: noon}
	giveUp := protecteditem.FailFailoverCommit{JobID: "job-commit", Failure: unreachable, At: noon}
	gaveUp := protecteditem.FailoverCommitFailed{JobID: "job-commit", Failure: *unreachable, At: noon}
	replaced := changed
	replaced.OvertakenCopyJobID = "job-copy"
	return map[string]scenario{
		"a commit begins while the disks are being copied": {Given: copies, When: protecteditem.CommitFailover{JobID: "job-commit", At: noon}, Then: history(committing)},
		"a commit does not end before the copy":            {Given: committing2, When: commit, Refused: errorcatalog.OperationInProgress},
		"a commit ends after the copy": {
			Given: history(committing2, copyDone), When: commit,
			Then: history(protecteditem.FailoverCommitted{JobID: "job-commit", Point: "cut-2", RemovedPoints: []string{"cut-1"}, At: noon}),
		},
		"a commit is given up":                           {Given: committing2, When: giveUp, Then: history(gaveUp)},
		"a commit given up again changes nothing":        {Given: history(committing2, gaveUp), When: giveUp},
		"a commit that is over is not given up":          {Given: done, When: giveUp, Refused: errorcatalog.StaleJob},
		"a failover whose commit was given up commits":   {Given: history(committing2, gaveUp), When: protecteditem.CommitFailover{JobID: "again", At: noon}, Then: history(protecteditem.FailoverCommitStarted{JobID: "again", At: noon})},
		"protection does not end before the copy":        {Given: disabling2, When: protecteditem.CompleteDisable{JobID: "job-disable", At: noon}, Refused: errorcatalog.OperationInProgress},
		"another point ends the copy of the one before":  {Given: changing2, When: protecteditem.CompleteRecoveryPointChange{JobID: "job-change", RecoveryVM: "vm-10", At: noon}, Then: history(replaced)},
		"a cancelled failover ends the copy":             {Given: history(copies, canceling), When: protecteditem.CompleteFailoverCancel{JobID: "job-cancel", At: noon}, Then: history(protecteditem.FailoverCanceled{JobID: "job-cancel", OvertakenCopyJobID: "job-copy", At: noon})},
		"a change that leaves no VM ends the copy":       {Given: changing2, When: protecteditem.FailRecoveryPointChange{JobID: "job-change", Failure: unreachable, At: noon}, Then: history(protecteditem.RecoveryPointChangeFailed{JobID: "job-change", Failure: *unreachable, OvertakenCopyJobID: "job-copy", At: noon})},
		"a change that leaves the VM leaves the copy":    {Given: changing2, When: protecteditem.FailRecoveryPointChange{JobID: "job-change", Failure: unreachable, RecoveryVM: "vm-9", At: noon}, Then: history(protecteditem.RecoveryPointChangeFailed{JobID: "job-change", Failure: *unreachable, RecoveryVM: "vm-9", At: noon})},
		"a cancel that leaves no VM ends the copy":       {Given: history(copies, canceling), When: protecteditem.FailFailoverCancel{JobID: "job-cancel", Failure: unreachable, At: noon}, Then: history(protecteditem.FailoverCancelFailed{JobID: "job-cancel", Failure: *unreachable, OvertakenCopyJobID: "job-copy", At: noon})},
		"a cancel of a failover without copy ends none":  {Given: history(copied2, canceling), When: protecteditem.CompleteFailoverCancel{JobID: "job-cancel", At: noon}, Then: history(protecteditem.FailoverCanceled{JobID: "job-cancel", At: noon})},
		"a failback waits for the commit, so for a copy": {Given: copies, When: protecteditem.StartFailback{JobID: "job-back", Mode: protecteditem.FullDownload, At: noon}, Refused: errorcatalog.NotFailedOver},
	}
}

func TestThePointOfACopyIsPinnedUntilItIsDone(t *testing.T) {
	t.Parallel()
	if s := after(copies); s.Copy.Point != "cut-2" || s.CopyJob == nil || !slices.Contains(s.Pinned(), "cut-2") {
		t.Errorf("the copy is %+v under %v, pinned is %v", s.Copy, s.CopyJob, s.Pinned())
	}
	for what, events := range map[string][]protecteditem.Event{
		"a copy that is done":   copied2,
		"a change without a VM": history(changing2, protecteditem.RecoveryPointChangeFailed{JobID: "job-change", Failure: *unreachable, At: noon}),
		"a cancelled failover":  history(copies, canceling, protecteditem.FailoverCanceled{JobID: "job-cancel", At: noon}),
	} {
		if s := after(events); s.Copy != (protecteditem.BackgroundCopy{}) || s.CopyJob != nil || s.EndedCopy.ID != "job-copy" {
			t.Errorf("after %s there is %+v under %v, ended %+v", what, s.Copy, s.CopyJob, s.EndedCopy)
		}
	}
	kept := history(changing2, protecteditem.RecoveryPointChangeFailed{JobID: "job-change", Failure: *unreachable, RecoveryVM: "vm-9", At: noon})
	if s := after(kept); s.CopyJob == nil || s.CopyRests() {
		t.Errorf("the copy of a VM that was left is %v, rests: %t", s.CopyJob, s.CopyRests())
	}
}

func TestEndingAProtectionTriesAFailedCopyAgain(t *testing.T) {
	t.Parallel()
	lost := protecteditem.ReplicationFailed{JobID: "job-copy", Attempt: 1, Failure: *errorcatalog.Fail(errorcatalog.VMNotFound, "vm-9"), At: noon}
	if s := after(history(copies, lost)); !s.CopyRetry.NextAt.IsZero() {
		t.Errorf("a VM that is gone is looked for again at %s", s.CopyRetry.NextAt)
	}
	if s := after(history(copies, lost, disabling)); !s.CopyRetry.NextAt.Equal(noon) {
		t.Errorf("the copy is tried again at %s", s.CopyRetry.NextAt)
	}
}

func TestACopyThatCannotGoOnIsCritical(t *testing.T) {
	t.Parallel()
	corrupt := errorcatalog.Fail(errorcatalog.RunningPointCorrupt, "os")
	for failure, want := range map[*errorcatalog.Failure]protecteditem.Health{corrupt: protecteditem.Critical, unreachable: protecteditem.Warning} {
		s := after(history(copies, protecteditem.ReplicationFailed{JobID: "job-copy", Attempt: 1, Failure: *failure, At: noon}))
		health, reasons := protecteditem.HealthOf(s, noon)
		if health != want || s.CopyRetry.Attempt != 1 || s.Retry.Attempt != 0 || !slices.ContainsFunc(reasons, func(e protecteditem.HealthError) bool { return e.Code == failure.Code }) {
			t.Errorf("after %s the health is %s with %v", failure.Code, health, reasons)
		}
	}
}
