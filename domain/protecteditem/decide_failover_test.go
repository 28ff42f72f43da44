package protecteditem_test

import (
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

func failoversRows() map[string]scenario {
	start := protecteditem.StartPlannedFailover{JobID: "job-fail", At: noon}
	stop := protecteditem.RecordSourceStopped{JobID: "job-fail", At: noon}
	complete := protecteditem.CompletePlannedFailover{JobID: "job-fail", Point: "cut-3", RecoveryVM: "vm-9", At: noon}
	fail := protecteditem.FailPlannedFailover{JobID: "job-fail", Failure: unreachable, At: noon}
	gaveUp := protecteditem.PlannedFailoverFailed{JobID: "job-fail", Failure: *unreachable, At: noon}
	restarted := gaveUp
	restarted.SourceRestarted = true
	return map[string]scenario{
		"a protected item can fail over":                   {given: following, when: start, then: history(failingOver)},
		"a failover started again changes nothing":         {given: failing, when: start},
		"a second failover is refused":                     {given: failing, when: protecteditem.StartPlannedFailover{JobID: "other"}, refused: errorcatalog.OperationInProgress},
		"a failover of what is copied is refused":          {given: replicating, when: start, refused: errorcatalog.NotProtected},
		"a failover of what is finalized is refused":       {given: finalizing, when: start, refused: errorcatalog.NotProtected},
		"a failover of what failed over is refused":        {given: uncommitted, when: protecteditem.StartPlannedFailover{JobID: "other"}, refused: errorcatalog.NotProtected},
		"a failover of what is being disabled is refused":  {given: ending, when: start, refused: errorcatalog.OperationInProgress},
		"a failover of what is disabled is refused":        {given: ended, when: start, refused: errorcatalog.NotProtected},
		"a failover is refused while a resync is required": {given: diverged, when: start, refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a failover is refused while a resync runs":        {given: resyncRuns, when: start, refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a failover of an unknown item is refused":         {when: start, refused: errorcatalog.ProtectedItemNotFound},
		"a failover needs a job":                           {given: following, when: protecteditem.StartPlannedFailover{}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"a failover needs a point": {
			given: history(following, protecteditem.RecoveryPointsRemoved{IDs: []string{"cut-1", "cut-2"}, At: noon}), when: start, refused: errorcatalog.NoRecoveryPoint,
		},

		"the source is stopped":                       {given: failing, when: stop, then: history(stopped)},
		"stopping the source again changes nothing":   {given: lastShipped, when: stop},
		"stopping recorded after the end is harmless": {given: uncommitted, when: stop},
		"stopping by an overtaken job is refused":     {given: history(failing, disabling), when: stop, refused: errorcatalog.StaleJob},
		"stopping without a failover is refused":      {given: following, when: stop, refused: errorcatalog.StaleJob},

		"the VM comes up from the last point":              {given: lastShipped, when: complete, then: history(failedOver)},
		"a failover completed again changes nothing":       {given: uncommitted, when: complete},
		"a failover with a running source is refused":      {given: history(failing, shipped3, thirdPoint), when: complete, refused: errorcatalog.SourceNotStopped},
		"a failover to an older point is refused":          {given: lastShipped, when: protecteditem.CompletePlannedFailover{JobID: "job-fail", Point: "cut-2", RecoveryVM: "vm-9"}, refused: errorcatalog.RecoveryPointNotFound, field: "/point"},
		"a failover that leaves a delta behind is refused": {given: history(failing, stopped, shipped3), when: protecteditem.CompletePlannedFailover{JobID: "job-fail", Point: "cut-2", RecoveryVM: "vm-9"}, refused: errorcatalog.CutOutOfOrder, field: "/point"},
		"a failover without a VM is refused":               {given: lastShipped, when: protecteditem.CompletePlannedFailover{JobID: "job-fail", Point: "cut-3"}, refused: errorcatalog.ValidationFailed, field: "/recoveryVm"},
		"a failover whose last log is lost is refused":     {given: history(lastShipped, required), when: complete, refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a failover by an overtaken job is refused":        {given: history(lastShipped, disabling), when: complete, refused: errorcatalog.StaleJob},

		"a failed failover returns to protection":          {given: failing, when: fail, then: history(gaveUp)},
		"a failed failover starts the source again":        {given: lastShipped, when: fail, then: history(restarted)},
		"a failed failover recorded again changes nothing": {given: history(failing, gaveUp), when: fail},
		"a failover cannot fail after it has succeeded":    {given: uncommitted, when: fail, refused: errorcatalog.StaleJob},
	}
}

func commitsRows() map[string]scenario {
	commit := protecteditem.CommitFailover{JobID: "job-commit", At: noon}
	complete := protecteditem.CompleteFailoverCommit{JobID: "job-commit", At: noon}
	return map[string]scenario{
		"a failover can be committed":              {given: uncommitted, when: commit, then: history(committing)},
		"a commit asked for again changes nothing": {given: history(uncommitted, committing), when: commit},
		"a commit that has ended changes nothing":  {given: done, when: commit},
		"a second commit is refused":               {given: history(uncommitted, committing), when: protecteditem.CommitFailover{JobID: "other"}, refused: errorcatalog.OperationInProgress},
		"a commit without a failover is refused":   {given: following, when: commit, refused: errorcatalog.NoFailoverPending},
		"a commit of what is committed is refused": {given: done, when: protecteditem.CommitFailover{JobID: "other"}, refused: errorcatalog.NoFailoverPending},
		"a commit during the failover is refused":  {given: failing, when: commit, refused: errorcatalog.NoFailoverPending},
		"a commit needs a job":                     {given: uncommitted, when: protecteditem.CommitFailover{}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"a commit of an unknown item is refused":   {when: commit, refused: errorcatalog.ProtectedItemNotFound},
		"a commit keeps the point that was used":   {given: history(uncommitted, committing), when: complete, then: history(committed)},
		"a commit completed again changes nothing": {given: done, when: complete},
		"a commit by an overtaken job is refused":  {given: history(uncommitted, committing, disabling), when: complete, refused: errorcatalog.StaleJob},
		"a commit that was not started cannot end": {given: uncommitted, when: complete, refused: errorcatalog.StaleJob},
	}
}

func disablesRows() map[string]scenario {
	disable := protecteditem.DisableProtection{JobID: "job-disable", KeepReplica: 7 * 24 * time.Hour, At: noon}
	overtaking := disabling
	overtaking.OvertakenJobID = "job-fail"
	complete := protecteditem.CompleteDisable{JobID: "job-disable", At: noon}
	rows := map[string]scenario{
		"disabling overtakes a job":                     {given: failing, when: disable, then: history(overtaking)},
		"disabling again changes nothing":               {given: ending, when: protecteditem.DisableProtection{JobID: "other", At: noon}},
		"disabling what is disabled changes nothing":    {given: ended, when: disable},
		"disabling an unknown item is refused":          {when: disable, refused: errorcatalog.ProtectedItemNotFound},
		"disabling needs a job":                         {given: following, when: protecteditem.DisableProtection{}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"disabling keeps no replica for minus one hour": {given: following, when: protecteditem.DisableProtection{JobID: "j", KeepReplica: -time.Hour}, refused: errorcatalog.ValidationFailed, field: "/keepReplica"},
		"disabling keeps no replica for ever":           {given: following, when: protecteditem.DisableProtection{JobID: "j", KeepReplica: 9000 * time.Hour}, refused: errorcatalog.ValidationFailed, field: "/keepReplica"},
		"disabling ends when the host is clean":         {given: ending, when: complete, then: history(disabled)},
		"disabling completed again changes nothing":     {given: ended, when: complete},
		"disabling cannot end by another job":           {given: ending, when: protecteditem.CompleteDisable{JobID: "other"}, refused: errorcatalog.StaleJob},
		"disabling that was not asked for cannot end":   {given: following, when: complete, refused: errorcatalog.StaleJob},
	}
	for name, given := range map[string][]protecteditem.Event{
		"pending": pending, "following": following, "diverged": diverged, "uncommitted": uncommitted, "committed": done,
	} {
		rows["disabling what is "+name] = scenario{given: given, when: disable, then: history(disabling)}
	}
	return rows
}
