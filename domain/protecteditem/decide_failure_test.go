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
			given: following, when: protecteditem.RecordFailure{Failure: unreachable, At: noon}, then: history(failed(1, unreachable, time.Minute)),
		},
		"a second failure is retried after two minutes": {
			given: history(following, failed(1, unreachable, time.Minute)), when: protecteditem.RecordFailure{Failure: unreachable, At: noon},
			then: history(failed(2, unreachable, 2*time.Minute)),
		},
		"a failure after a new point is a first one": {
			given: history(following, failed(4, unreachable, 8*time.Minute), shipped3, thirdPoint), when: protecteditem.RecordFailure{Failure: unreachable, At: noon},
			then: history(failed(1, unreachable, time.Minute)),
		},
		"a failure of a new job is a first one": {
			given: history(following, failed(4, unreachable, 8*time.Minute), disabling), when: protecteditem.RecordFailure{Failure: unreachable, JobID: "job-disable", At: noon},
			then: history(protecteditem.ReplicationFailed{JobID: "job-disable", Attempt: 1, Failure: *unreachable, NextRetryAt: noon.Add(time.Minute), At: noon}),
		},
		"a failure that an operator must mend is not retried": {
			given: following, when: protecteditem.RecordFailure{Failure: unauthorized, At: noon}, then: history(failed(1, unauthorized, 0)),
		},
		"a failure that asks for a resync is refused": {
			given: following, when: protecteditem.RecordFailure{Failure: errorcatalog.Fail(errorcatalog.LogTruncated, "os"), At: noon},
			refused: errorcatalog.ValidationFailed, field: "/failure/code",
		},
		"a failure of an overtaken job is refused":    {given: ending, when: protecteditem.RecordFailure{Failure: unreachable, JobID: "job-fail"}, refused: errorcatalog.StaleJob},
		"a failure of an unprotected item is refused": {given: ended, when: protecteditem.RecordFailure{Failure: unreachable}, refused: errorcatalog.NotProtected},
		"a failure of an unknown item is refused":     {when: protecteditem.RecordFailure{Failure: unreachable}, refused: errorcatalog.ProtectedItemNotFound},

		"an operator may ask for a cycle":              {given: following, when: protecteditem.ReplicateNow{At: noon}, then: history(requested)},
		"asking twice for a cycle changes nothing":     {given: history(following, requested), when: protecteditem.ReplicateNow{At: noon.Add(time.Second)}},
		"asking for a cycle retries what has failed":   {given: history(following, failed(3, unreachable, 4*time.Minute)), when: protecteditem.ReplicateNow{At: noon}, then: history(requested)},
		"asking for a cycle retries what would not be": {given: history(following, failed(1, unauthorized, 0)), when: protecteditem.ReplicateNow{At: noon}, then: history(requested)},
		"asking for a cycle retries a failed copy":     {given: history(replicating, failed(1, unauthorized, 0)), when: protecteditem.ReplicateNow{At: noon}, then: history(requested)},
		"asking for an attempt that is due changes nothing": {
			given: history(following, failed(1, unreachable, time.Minute)), when: protecteditem.ReplicateNow{At: noon.Add(time.Hour)},
		},
		"a cycle needs a replica that follows":  {given: diverged, when: protecteditem.ReplicateNow{At: noon}, refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a cycle needs a protected item":        {given: replicating, when: protecteditem.ReplicateNow{At: noon}, refused: errorcatalog.NotProtected},
		"a cycle of an unknown item is refused": {when: protecteditem.ReplicateNow{At: noon}, refused: errorcatalog.ProtectedItemNotFound},
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
		"a lost log requires a resync":                 {given: following, when: require, then: history(required)},
		"a resync can be required during the copy":     {given: replicating, when: require, then: history(required)},
		"a resync can be required during a failover":   {given: failing, when: require, then: history(required)},
		"requiring a resync again changes nothing":     {given: diverged, when: require},
		"requiring a resync that runs changes nothing": {given: resyncRuns, when: require},
		"a resync needs a reason of its class":         {given: following, when: protecteditem.RequireResynchronization{Reason: errorcatalog.HostUnreachable}, refused: errorcatalog.ValidationFailed, field: "/reason"},
		"a resync before the copy is refused":          {given: pending, when: require, refused: errorcatalog.NotProtected},
		"a resync after failover is refused":           {given: done, when: require, refused: errorcatalog.NotProtected},
		"a resync of an unknown item is refused":       {when: require, refused: errorcatalog.ProtectedItemNotFound},

		"an operator may ask for a resync":                   {given: following, when: repair, then: history(requested)},
		"an operator may have a required resync at once":     {given: diverged, when: repair, then: history(requested)},
		"an operator may have the copy done over":            {given: history(replicating, required), when: repair, then: history(requested)},
		"asking again for a resync changes nothing":          {given: history(following, requested), when: repair},
		"asking for a resync that has ended changes nothing": {given: history(resyncRuns, completed, ninth), when: repair},
		"asking for a resync twice is refused":               {given: history(following, requested), when: protecteditem.RepairReplication{JobID: "other"}, refused: errorcatalog.OperationInProgress},
		"asking for a resync while one runs is refused":      {given: resyncRuns, when: protecteditem.RepairReplication{JobID: "other"}, refused: errorcatalog.OperationInProgress},
		"asking for a resync during the copy is refused":     {given: replicating, when: repair, refused: errorcatalog.NotProtected},
		"asking for a resync after failover is refused":      {given: uncommitted, when: repair, refused: errorcatalog.NotProtected},
		"asking for a resync needs a job":                    {given: following, when: protecteditem.RepairReplication{}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"asking for a resync of an unknown item is refused":  {when: repair, refused: errorcatalog.ProtectedItemNotFound},

		"a required resync starts":                      {given: diverged, when: start, then: history(resyncing)},
		"a requested resync starts":                     {given: history(following, requested), when: start, then: history(resyncing)},
		"a resync takes the place of the copy":          {given: history(replicating, required), when: start, then: history(resyncing)},
		"a resync started again changes nothing":        {given: resyncRuns, when: start},
		"a resync started after its end is harmless":    {given: history(resyncRuns, completed, ninth), when: start},
		"a resync by another job than asked is refused": {given: history(following, requested), when: protecteditem.StartResynchronization{JobID: "other"}, refused: errorcatalog.StaleJob},
		"a resync by two jobs is refused":               {given: resyncRuns, when: protecteditem.StartResynchronization{JobID: "other"}, refused: errorcatalog.StaleJob},
		"a resync that nothing requires is refused":     {given: following, when: start, refused: errorcatalog.NothingToDo},
		"a resync during a failover is refused":         {given: history(failing, required), when: start, refused: errorcatalog.NotProtected},
		"a resync without a job is refused":             {given: diverged, when: protecteditem.StartResynchronization{}, refused: errorcatalog.ValidationFailed, field: "/jobId"},

		"a complete resync is a new point":                 {given: resyncRuns, when: complete, then: history(completed, ninth)},
		"a complete resync recorded again changes nothing": {given: history(resyncRuns, completed, ninth), when: complete},
		"a resync by an overtaken job is refused":          {given: history(resyncRuns, disabling), when: complete, refused: errorcatalog.StaleJob},
		"a resync that has not started cannot end": {
			given: history(replicating, required), when: protecteditem.CompleteResynchronization{JobID: "job-ir", Point: point("cut-9", 30)}, refused: errorcatalog.StaleJob,
		},
		"a resync ends in a new point":           {given: resyncRuns, when: known, refused: errorcatalog.CutOutOfOrder},
		"a resync of an unknown item cannot end": {when: complete, refused: errorcatalog.ProtectedItemNotFound},
	}
}
