package protecteditem_test

import (
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

func failed(attempt int, f *errorcatalog.Failure, wait time.Duration) protecteditem.ReplicationFailed {
	e := protecteditem.ReplicationFailed{Attempt: attempt, Failure: *f, At: noon}
	if wait > 0 {
		e.NextRetryAt = noon.Add(wait)
	}
	return e
}

func failuresRows() map[string]scenario {
	requested := protecteditem.ReplicationRequested{At: noon}
	return map[string]scenario{
		"a recoverable failure is retried after a minute": {
			Given: following, When: protecteditem.RecordFailure{Failure: unreachable, At: noon}, Then: history(failed(1, unreachable, time.Minute)),
		},
		"a second failure is retried after two minutes": {
			Given: history(following, failed(1, unreachable, time.Minute)), When: protecteditem.RecordFailure{Failure: unreachable, At: noon},
			Then: history(failed(2, unreachable, 2*time.Minute)),
		},
		"a failure after a new point is a first one": {
			Given: history(following, failed(4, unreachable, 8*time.Minute), shipped3, thirdPoint), When: protecteditem.RecordFailure{Failure: unreachable, At: noon},
			Then: history(failed(1, unreachable, time.Minute)),
		},
		"a failure of a new job is a first one": {
			Given: history(following, failed(4, unreachable, 8*time.Minute), disabling), When: protecteditem.RecordFailure{Failure: unreachable, JobID: "job-disable", At: noon},
			Then: history(protecteditem.ReplicationFailed{JobID: "job-disable", Attempt: 1, Failure: *unreachable, NextRetryAt: noon.Add(time.Minute), At: noon}),
		},
		"a failure that an operator must mend is not retried": {
			Given: following, When: protecteditem.RecordFailure{Failure: unauthorized, At: noon}, Then: history(failed(1, unauthorized, 0)),
		},
		"a failure that asks for a resync is refused": {
			Given: following, When: protecteditem.RecordFailure{Failure: errorcatalog.Fail(errorcatalog.LogTruncated, "os"), At: noon},
			Refused: errorcatalog.ValidationFailed, Field: "/failure/code",
		},
		"a failure of an overtaken job is refused":    {Given: ending, When: protecteditem.RecordFailure{Failure: unreachable, JobID: "job-fail"}, Refused: errorcatalog.StaleJob},
		"a failure of an unprotected item is refused": {Given: ended, When: protecteditem.RecordFailure{Failure: unreachable}, Refused: errorcatalog.NotProtected},
		"a failure of an unknown item is refused":     {When: protecteditem.RecordFailure{Failure: unreachable}, Refused: errorcatalog.ProtectedItemNotFound},

		"an operator may ask for a cycle":              {Given: following, When: protecteditem.ReplicateNow{At: noon}, Then: history(requested)},
		"asking twice for a cycle changes nothing":     {Given: history(following, requested), When: protecteditem.ReplicateNow{At: noon.Add(time.Second)}},
		"asking for a cycle retries what has failed":   {Given: history(following, failed(3, unreachable, 4*time.Minute)), When: protecteditem.ReplicateNow{At: noon}, Then: history(requested)},
		"asking for a cycle retries what would not be": {Given: history(following, failed(1, unauthorized, 0)), When: protecteditem.ReplicateNow{At: noon}, Then: history(requested)},
		"asking for a cycle retries a failed copy":     {Given: history(replicating, failed(1, unauthorized, 0)), When: protecteditem.ReplicateNow{At: noon}, Then: history(requested)},
		"asking for an attempt that is due changes nothing": {
			Given: history(following, failed(1, unreachable, time.Minute)), When: protecteditem.ReplicateNow{At: noon.Add(time.Hour)},
		},
		"a cycle needs a replica that follows":  {Given: diverged, When: protecteditem.ReplicateNow{At: noon}, Refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a cycle needs a protected item":        {Given: replicating, When: protecteditem.ReplicateNow{At: noon}, Refused: errorcatalog.NotProtected},
		"a cycle of an unknown item is refused": {When: protecteditem.ReplicateNow{At: noon}, Refused: errorcatalog.ProtectedItemNotFound},
	}
}

func resynchronizationsRows() map[string]scenario {
	require := protecteditem.RequireResynchronization{Reason: errorcatalog.LogMissing, Detail: "os", ScheduledFor: noon.Add(6 * time.Hour), At: noon}
	repair := protecteditem.RepairReplication{JobID: "job-resync", At: noon}
	requested := protecteditem.ResynchronizationRequested{JobID: "job-resync", At: noon}
	start := protecteditem.StartResynchronization{JobID: "job-resync", At: noon}
	complete := protecteditem.CompleteResynchronization{JobID: "job-resync", BytesScanned: 9, BytesDiffering: 5, BytesSent: 3, Point: point("cut-9", 30), At: noon}
	completed := protecteditem.ResynchronizationCompleted{JobID: "job-resync", BytesScanned: 9, BytesDiffering: 5, BytesSent: 3, At: noon}
	ninth := protecteditem.RecoveryPointCreated{Point: point("cut-9", 30), At: noon}
	known := complete
	known.Point = point("cut-2", 6)
	return map[string]scenario{
		"a lost log requires a resync":                 {Given: following, When: require, Then: history(required)},
		"a resync can be required during the copy":     {Given: replicating, When: require, Then: history(required)},
		"a resync can be required during a failover":   {Given: failing, When: require, Then: history(required)},
		"requiring a resync again changes nothing":     {Given: diverged, When: require},
		"requiring a resync that runs changes nothing": {Given: resyncRuns, When: require},
		"a resync needs a reason of its class":         {Given: following, When: protecteditem.RequireResynchronization{Reason: errorcatalog.HostUnreachable}, Refused: errorcatalog.ValidationFailed, Field: "/reason"},
		"a resync before the copy is refused":          {Given: pending, When: require, Refused: errorcatalog.NotProtected},
		"a resync after failover is refused":           {Given: done, When: require, Refused: errorcatalog.NotProtected},
		"a resync of an unknown item is refused":       {When: require, Refused: errorcatalog.ProtectedItemNotFound},

		"an operator may ask for a resync":                   {Given: following, When: repair, Then: history(requested)},
		"an operator may have a required resync at once":     {Given: diverged, When: repair, Then: history(requested)},
		"an operator may have the copy done over":            {Given: history(replicating, required), When: repair, Then: history(requested)},
		"asking again for a resync changes nothing":          {Given: history(following, requested), When: repair},
		"asking for a resync that has ended changes nothing": {Given: history(resyncRuns, completed, ninth), When: repair},
		"asking for a resync twice is refused":               {Given: history(following, requested), When: protecteditem.RepairReplication{JobID: "other"}, Refused: errorcatalog.OperationInProgress},
		"asking for a resync while one runs is refused":      {Given: resyncRuns, When: protecteditem.RepairReplication{JobID: "other"}, Refused: errorcatalog.OperationInProgress},
		"asking for a resync during the copy is refused":     {Given: replicating, When: repair, Refused: errorcatalog.NotProtected},
		"asking for a resync after failover is refused":      {Given: uncommitted, When: repair, Refused: errorcatalog.NotProtected},
		"asking for a resync needs a job":                    {Given: following, When: protecteditem.RepairReplication{}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"asking for a resync of an unknown item is refused":  {When: repair, Refused: errorcatalog.ProtectedItemNotFound},

		"a required resync starts":                      {Given: diverged, When: start, Then: history(resyncing)},
		"a requested resync starts":                     {Given: history(following, requested), When: start, Then: history(resyncing)},
		"a resync takes the place of the copy":          {Given: history(replicating, required), When: start, Then: history(resyncing)},
		"a resync started again changes nothing":        {Given: resyncRuns, When: start},
		"a resync started after its end is harmless":    {Given: history(resyncRuns, completed, ninth), When: start},
		"a resync by another job than asked is refused": {Given: history(following, requested), When: protecteditem.StartResynchronization{JobID: "other"}, Refused: errorcatalog.StaleJob},
		"a resync by two jobs is refused":               {Given: resyncRuns, When: protecteditem.StartResynchronization{JobID: "other"}, Refused: errorcatalog.StaleJob},
		"a resync that nothing requires is refused":     {Given: following, When: start, Refused: errorcatalog.NothingToDo},
		"a resync during a failover is refused":         {Given: history(failing, required), When: start, Refused: errorcatalog.NotProtected},
		"a resync without a job is refused":             {Given: diverged, When: protecteditem.StartResynchronization{}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},

		"a complete resync is a new point":                 {Given: resyncRuns, When: complete, Then: history(completed, ninth)},
		"a complete resync recorded again changes nothing": {Given: history(resyncRuns, completed, ninth), When: complete},
		"a resync by an overtaken job is refused":          {Given: history(resyncRuns, disabling), When: complete, Refused: errorcatalog.StaleJob},
		"a resync that has not started cannot end": {
			Given: history(replicating, required), When: protecteditem.CompleteResynchronization{JobID: "job-ir", Point: point("cut-9", 30)}, Refused: errorcatalog.StaleJob,
		},
		"a resync ends in a new point":           {Given: resyncRuns, When: known, Refused: errorcatalog.CutOutOfOrder},
		"a resync of an unknown item cannot end": {When: complete, Refused: errorcatalog.ProtectedItemNotFound},
	}
}
