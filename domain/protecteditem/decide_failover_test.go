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
		"a protected item can fail over":                   {Given: following, When: start, Then: history(failingOver)},
		"a failover started again changes nothing":         {Given: failing, When: start},
		"a second failover is refused":                     {Given: failing, When: protecteditem.StartPlannedFailover{JobID: "other"}, Refused: errorcatalog.OperationInProgress},
		"a failover of what is copied is refused":          {Given: replicating, When: start, Refused: errorcatalog.NotProtected},
		"a failover of what is finalized is refused":       {Given: finalizing, When: start, Refused: errorcatalog.NotProtected},
		"a failover of what failed over is refused":        {Given: uncommitted, When: protecteditem.StartPlannedFailover{JobID: "other"}, Refused: errorcatalog.NotProtected},
		"a failover of what is being disabled is refused":  {Given: ending, When: start, Refused: errorcatalog.OperationInProgress},
		"a failover of what is disabled is refused":        {Given: ended, When: start, Refused: errorcatalog.NotProtected},
		"a failover is refused while a resync is required": {Given: diverged, When: start, Refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a failover is refused while a resync runs":        {Given: resyncRuns, When: start, Refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a failover of an unknown item is refused":         {When: start, Refused: errorcatalog.ProtectedItemNotFound},
		"a failover needs a job":                           {Given: following, When: protecteditem.StartPlannedFailover{}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"a failover needs a point": {
			Given: history(following, protecteditem.RecoveryPointsRemoved{IDs: []string{"cut-1", "cut-2"}, At: noon}), When: start, Refused: errorcatalog.NoRecoveryPoint,
		},

		"the source is stopped":                       {Given: failing, When: stop, Then: history(stopped)},
		"stopping the source again changes nothing":   {Given: lastShipped, When: stop},
		"stopping recorded after the end is harmless": {Given: uncommitted, When: stop},
		"stopping by an overtaken job is refused":     {Given: history(failing, disabling), When: stop, Refused: errorcatalog.StaleJob},
		"stopping without a failover is refused":      {Given: following, When: stop, Refused: errorcatalog.StaleJob},

		"the VM comes up from the last point":              {Given: lastShipped, When: complete, Then: history(failedOver)},
		"a failover completed again changes nothing":       {Given: uncommitted, When: complete},
		"a failover with a running source is refused":      {Given: history(failing, shipped3, thirdPoint), When: complete, Refused: errorcatalog.SourceNotStopped},
		"a failover to an older point is refused":          {Given: lastShipped, When: protecteditem.CompletePlannedFailover{JobID: "job-fail", Point: "cut-2", RecoveryVM: "vm-9"}, Refused: errorcatalog.RecoveryPointNotFound, Field: "/point"},
		"a failover that leaves a delta behind is refused": {Given: history(failing, stopped, shipped3), When: protecteditem.CompletePlannedFailover{JobID: "job-fail", Point: "cut-2", RecoveryVM: "vm-9"}, Refused: errorcatalog.CutOutOfOrder, Field: "/point"},
		"a failover without a VM is refused":               {Given: lastShipped, When: protecteditem.CompletePlannedFailover{JobID: "job-fail", Point: "cut-3"}, Refused: errorcatalog.ValidationFailed, Field: "/recoveryVm"},
		"a failover whose last log is lost is refused":     {Given: history(lastShipped, required), When: complete, Refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a failover by an overtaken job is refused":        {Given: history(lastShipped, disabling), When: complete, Refused: errorcatalog.StaleJob},

		"a failed failover returns to protection":          {Given: failing, When: fail, Then: history(gaveUp)},
		"a failed failover starts the source again":        {Given: lastShipped, When: fail, Then: history(restarted)},
		"a failed failover recorded again changes nothing": {Given: history(failing, gaveUp), When: fail},
		"a failover cannot fail after it has succeeded":    {Given: uncommitted, When: fail, Refused: errorcatalog.StaleJob},
	}
}

func commitsRows() map[string]scenario {
	commit := protecteditem.CommitFailover{JobID: "job-commit", At: noon}
	complete := protecteditem.CompleteFailoverCommit{JobID: "job-commit", At: noon}
	return map[string]scenario{
		"a failover can be committed":              {Given: uncommitted, When: commit, Then: history(committing)},
		"a commit asked for again changes nothing": {Given: history(uncommitted, committing), When: commit},
		"a commit that has ended changes nothing":  {Given: done, When: commit},
		"a second commit is refused":               {Given: history(uncommitted, committing), When: protecteditem.CommitFailover{JobID: "other"}, Refused: errorcatalog.OperationInProgress},
		"a commit without a failover is refused":   {Given: following, When: commit, Refused: errorcatalog.NoFailoverPending},
		"a commit of what is committed is refused": {Given: done, When: protecteditem.CommitFailover{JobID: "other"}, Refused: errorcatalog.NoFailoverPending},
		"a commit during the failover is refused":  {Given: failing, When: commit, Refused: errorcatalog.NoFailoverPending},
		"a commit needs a job":                     {Given: uncommitted, When: protecteditem.CommitFailover{}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"a commit of an unknown item is refused":   {When: commit, Refused: errorcatalog.ProtectedItemNotFound},
		"a commit keeps the point that was used":   {Given: history(uncommitted, committing), When: complete, Then: history(committed)},
		"a commit completed again changes nothing": {Given: done, When: complete},
		"a commit by an overtaken job is refused":  {Given: history(uncommitted, committing, disabling), When: complete, Refused: errorcatalog.StaleJob},
		"a commit that was not started cannot end": {Given: uncommitted, When: complete, Refused: errorcatalog.StaleJob},
	}
}

func disablesRows() map[string]scenario {
	disable := protecteditem.DisableProtection{JobID: "job-disable", KeepReplica: 7 * 24 * time.Hour, At: noon}
	overtaking := disabling
	overtaking.OvertakenJobID = "job-fail"
	complete := protecteditem.CompleteDisable{JobID: "job-disable", At: noon}
	force := protecteditem.DisableProtection{JobID: "other", Force: true, At: noon}
	forced := protecteditem.JobForced{JobID: "job-disable", At: noon}
	source := protecteditem.LeftBehind{Site: "vienna", Host: "hv-1", VM: "sql-1", Fate: protecteditem.GiveBack}
	leave := protecteditem.LeaveBehind{JobID: "job-disable", Left: source, At: noon}
	source.Since = noon
	left := protecteditem.VMLeftBehind{LeftBehind: source}
	off, kept := leave, source
	off.Left.Fate, kept.Fate = protecteditem.KeepOff, protecteditem.KeepOff
	rows := map[string]scenario{
		"disabling overtakes a job":                     {Given: failing, When: disable, Then: history(overtaking)},
		"disabling again changes nothing":               {Given: ending, When: protecteditem.DisableProtection{JobID: "other", At: noon}},
		"disabling can be forced later":                 {Given: ending, When: force, Then: history(forced)},
		"disabling is forced once":                      {Given: history(ending, forced), When: force},
		"disabling by force leaves a host that is away": {Given: history(ending, forced), When: leave, Then: history(left)},
		"disabling leaves a host once":                  {Given: history(ending, forced, left), When: leave},
		"a host that is left can get another word":      {Given: history(ending, forced, left), When: off, Then: history(protecteditem.VMLeftBehind{LeftBehind: kept})},
		"nobody is left behind by another job":          {Given: ending, When: protecteditem.LeaveBehind{JobID: "other"}, Refused: errorcatalog.StaleJob},
		"disabling what is disabled changes nothing":    {Given: ended, When: disable},
		"disabling an unknown item is refused":          {When: disable, Refused: errorcatalog.ProtectedItemNotFound},
		"disabling needs a job":                         {Given: following, When: protecteditem.DisableProtection{}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"disabling keeps no replica for minus one hour": {Given: following, When: protecteditem.DisableProtection{JobID: "j", KeepReplica: -time.Hour}, Refused: errorcatalog.ValidationFailed, Field: "/keepReplica"},
		"disabling keeps no replica for ever":           {Given: following, When: protecteditem.DisableProtection{JobID: "j", KeepReplica: 9000 * time.Hour}, Refused: errorcatalog.ValidationFailed, Field: "/keepReplica"},
		"disabling ends when the host is clean":         {Given: ending, When: complete, Then: history(disabled)},
		"disabling completed again changes nothing":     {Given: ended, When: complete},
		"disabling cannot end by another job":           {Given: ending, When: protecteditem.CompleteDisable{JobID: "other"}, Refused: errorcatalog.StaleJob},
		"disabling that was not asked for cannot end":   {Given: following, When: complete, Refused: errorcatalog.StaleJob},
	}
	for name, given := range map[string][]protecteditem.Event{
		"pending": pending, "following": following, "diverged": diverged, "uncommitted": uncommitted, "committed": done,
	} {
		rows["disabling what is "+name] = scenario{Given: given, When: disable, Then: history(disabling)}
	}
	return rows
}
