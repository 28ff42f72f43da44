package protecteditem_test

import (
	"strings"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

var (
	testRuns  = history(following, drilling)
	testOpen  = history(testRuns, tested)
	cleansUp  = history(testOpen, cleaning)
	cleanedUp = history(cleansUp, cleaned)
)

func drillRows() map[string]scenario {
	start := protecteditem.StartTestFailover{JobID: "job-test", Choice: "cut-1", Network: "lab", At: noon}
	latest := start
	latest.Choice = protecteditem.Latest
	open, newest := drilling, drilling
	open.Choice, open.Point = protecteditem.Latest, ""
	newest.Choice, newest.Point = protecteditem.Latest, "cut-2"
	fix := protecteditem.RecordTestFailoverPoint{JobID: "job-test", Point: "cut-1", At: noon}
	complete := protecteditem.CompleteTestFailover{JobID: "job-test", Point: "cut-1", VM: "vm-7", At: noon}
	fail := protecteditem.FailTestFailover{JobID: "job-test", Failure: unreachable, At: noon}
	gone := protecteditem.TestFailoverFailed{JobID: "job-test", Failure: *unreachable, At: noon}
	other := start
	other.JobID = "other"
	return map[string]scenario{
		"a test failover takes the point asked for":            {given: following, when: start, then: history(drilling)},
		"a test failover of the latest waits for its logs":     {given: history(following, shipped3), when: latest, then: history(open)},
		"a test failover of the latest takes the newest point": {given: following, when: latest, then: history(newest)},
		"a test failover while a resync is required":           {given: diverged, when: start, then: history(drilling)},
		"a test failover while a resync runs":                  {given: history(resyncRuns, shipped3), when: latest, then: history(newest)},
		"a test failover while replication is paused":          {given: history(following, paused), when: start, then: history(drilling)},
		"a test failover started again changes nothing":        {given: testRuns, when: start},
		"a test failover started after its end is harmless":    {given: testOpen, when: start},
		"a second test failover is refused":                    {given: testRuns, when: other, refused: errorcatalog.TestFailoverOpen},
		"a test failover before the cleanup is refused":        {given: testOpen, when: other, refused: errorcatalog.TestFailoverOpen},
		"a test failover after the cleanup":                    {given: cleanedUp, when: start, then: history(drilling)},
		"a test failover of what is copied is refused":         {given: replicating, when: start, refused: errorcatalog.NotProtected},
		"a test failover of what fails over is refused":        {given: failing, when: start, refused: errorcatalog.NotProtected},
		"a test failover of what failed over is refused":       {given: done, when: start, refused: errorcatalog.NotProtected},
		"a test failover of an unknown item is refused":        {when: start, refused: errorcatalog.ProtectedItemNotFound},
		"a test failover needs a job":                          {given: following, when: protecteditem.StartTestFailover{Choice: "cut-1"}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"a test failover of an unknown point is refused":       {given: following, when: protecteditem.StartTestFailover{JobID: "j", Choice: "cut-0"}, refused: errorcatalog.RecoveryPointNotFound, field: "/recoveryPoint"},

		"replication goes on beside a test failover":     {given: testOpen, when: protecteditem.RecordDelta{Cut: "cut-3", PreviousCut: "cut-2", Instant: shipped3.Instant, At: noon}, then: history(shipped3)},
		"a planned failover beside a test failover":      {given: testOpen, when: protecteditem.StartPlannedFailover{JobID: "job-fail", At: noon}, then: history(failingOver)},
		"a test's point is fixed once it is made":        {given: history(following, shipped3, open, thirdPoint), when: fix, then: history(testPoint)},
		"a test's point fixed again changes nothing":     {given: testRuns, when: fix},
		"a test's point fixed after the end is harmless": {given: testOpen, when: fix},
		"a test's point is not changed":                  {given: testRuns, when: protecteditem.RecordTestFailoverPoint{JobID: "job-test", Point: "cut-2"}, refused: errorcatalog.RecoveryPointNotFound, field: "/point"},
		"a test's point is one of the item's":            {given: history(following, shipped3, open), when: protecteditem.RecordTestFailoverPoint{JobID: "job-test", Point: "cut-3"}, refused: errorcatalog.RecoveryPointNotFound, field: "/point"},
		"a test's point by another job is refused":       {given: testRuns, when: protecteditem.RecordTestFailoverPoint{JobID: "old", Point: "cut-1"}, refused: errorcatalog.StaleJob},
		"a test failover that is up awaits its cleanup":  {given: testRuns, when: complete, then: history(tested)},
		"a test failover comes up during a failover":     {given: history(testRuns, failingOver), when: complete, then: history(tested)},
		"a test failover completed again":                {given: testOpen, when: complete},
		"a test failover of another point is refused":    {given: testRuns, when: protecteditem.CompleteTestFailover{JobID: "job-test", Point: "cut-2", VM: "x"}, refused: errorcatalog.RecoveryPointNotFound, field: "/point"},
		"a test failover without a VM is refused":        {given: testRuns, when: protecteditem.CompleteTestFailover{JobID: "job-test", Point: "cut-1"}, refused: errorcatalog.ValidationFailed, field: "/vm"},
		"a test failover overtaken is refused":           {given: history(testRuns, disabling), when: complete, refused: errorcatalog.StaleJob},
		"a test failover of no item is refused":          {when: complete, refused: errorcatalog.ProtectedItemNotFound},
		"a test failover that fails is over":             {given: testRuns, when: fail, then: history(gone)},
		"a test failover that failed again":              {given: history(testRuns, gone), when: fail},
		"a test failover cannot fail after success":      {given: testOpen, when: fail, refused: errorcatalog.StaleJob},
		"a failed attempt of a test failover is its own": {given: testRuns, when: protecteditem.RecordFailure{Failure: unreachable, JobID: "job-test", At: noon}, then: history(protecteditem.ReplicationFailed{JobID: "job-test", Attempt: 1, Failure: *unreachable, NextRetryAt: noon.Add(time.Minute), At: noon})},
	}
}

func cleanupRows() map[string]scenario {
	cleanUp := protecteditem.CleanUpTestFailover{JobID: "job-clean", Notes: "SQL came up", At: noon}
	complete := protecteditem.CompleteTestFailoverCleanup{JobID: "job-clean", At: noon}
	fail := protecteditem.FailTestFailoverCleanup{JobID: "job-clean", Failure: unreachable, At: noon}
	left := protecteditem.TestFailoverCleanupFailed{JobID: "job-clean", Failure: *unreachable, At: noon}
	cleansUpWith := disabling
	cleansUpWith.CleanUpTestFailover = true
	overtaking := cleansUpWith
	overtaking.OvertakenTestJobID = "job-test"
	disable := protecteditem.DisableProtection{JobID: "job-disable", KeepReplica: 7 * 24 * time.Hour, CleanUp: true, At: noon}
	kept := committed
	kept.RemovedPoints = []string{"cut-2"}
	committedBeside := history(lastShipped, drilling, tested, failedOver, committing)
	rows := map[string]scenario{
		"a cleanup asked for again changes nothing":       {given: cleansUp, when: cleanUp},
		"a cleanup that has ended changes nothing":        {given: cleanedUp, when: cleanUp},
		"a second cleanup is refused":                     {given: cleansUp, when: protecteditem.CleanUpTestFailover{JobID: "other"}, refused: errorcatalog.OperationInProgress},
		"a cleanup while the test comes up is refused":    {given: testRuns, when: cleanUp, refused: errorcatalog.OperationInProgress},
		"a cleanup without a test failover is refused":    {given: following, when: cleanUp, refused: errorcatalog.NoTestFailover},
		"a cleanup beside disabling is refused":           {given: history(testOpen, cleansUpWith), when: cleanUp, refused: errorcatalog.OperationInProgress},
		"a cleanup of an unknown item is refused":         {when: cleanUp, refused: errorcatalog.ProtectedItemNotFound},
		"a cleanup needs a job":                           {given: testOpen, when: protecteditem.CleanUpTestFailover{}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"a cleanup with a book of notes is refused":       {given: testOpen, when: protecteditem.CleanUpTestFailover{JobID: "j", Notes: strings.Repeat("x", 5000)}, refused: errorcatalog.ValidationFailed, field: "/notes"},
		"a cleanup ends the test failover":                {given: cleansUp, when: complete, then: history(cleaned)},
		"a cleanup completed again changes nothing":       {given: cleanedUp, when: complete},
		"a cleanup by another job is refused":             {given: cleansUp, when: protecteditem.CompleteTestFailoverCleanup{JobID: "other"}, refused: errorcatalog.StaleJob},
		"a cleanup that fails leaves the test failover":   {given: cleansUp, when: fail, then: history(left)},
		"a cleanup that failed again changes nothing":     {given: history(cleansUp, left), when: fail},
		"a cleanup that failed can be asked for again":    {given: history(cleansUp, left), when: cleanUp, then: history(cleaning)},
		"a cleanup cannot fail after it has succeeded":    {given: cleanedUp, when: fail, refused: errorcatalog.StaleJob},
		"a commit keeps the point of a test failover":     {given: committedBeside, when: protecteditem.CompleteFailoverCommit{JobID: "job-commit", At: noon}, then: history(kept)},
		"a cleanup after a commit gives the point up":     {given: history(committedBeside, kept, cleaning), when: complete, then: history(cleaned, protecteditem.RecoveryPointsRemoved{IDs: []string{"cut-1"}, Reason: "failover commit", At: noon})},
		"disabling beside a test failover is refused":     {given: testOpen, when: protecteditem.DisableProtection{JobID: "job-disable", At: noon}, refused: errorcatalog.TestFailoverOpen, field: "/cleanup"},
		"disabling can clean a test failover up":          {given: testOpen, when: disable, then: history(cleansUpWith)},
		"disabling overtakes a test failover":             {given: testRuns, when: disable, then: history(overtaking)},
		"disabling with nothing to clean up is as before": {given: following, when: disable, then: history(disabling)},
	}
	for name, given := range map[string][]protecteditem.Event{
		"protected": testOpen, "paused": history(testOpen, paused), "diverged": history(testOpen, required), "being resynchronized": history(testOpen, required, resyncing),
		"failing over": history(testOpen, failingOver), "failing over unplanned": history(testOpen, crashStarted),
		"uncommitted": history(testOpen, crashStarted, crashed), "failed over": history(committedBeside, kept),
	} {
		rows["a test failover can be cleaned up when the item is "+name] = scenario{given: given, when: cleanUp, then: history(cleaning)}
	}
	return rows
}

func pauseRows() map[string]scenario {
	pause := protecteditem.PauseReplication{Reason: "storage migration", By: "eva", At: noon}
	resume := protecteditem.ResumeReplication{By: "eva", At: noon}
	resumed := protecteditem.ReplicationResumed{By: "eva", At: noon}
	still := history(following, paused)
	change := protecteditem.ChangePolicy{PolicyID: "silver", Settings: silver(), At: noon}
	changedPolicy := protecteditem.PolicyChanged{PolicyID: "silver", Settings: silver(), At: noon}
	unsound := change
	unsound.Settings.DrillReminderDays = -1
	rows := map[string]scenario{
		"replication can be paused":                             {given: following, when: pause, then: history(paused)},
		"the copy can be paused":                                {given: replicating, when: pause, then: history(paused)},
		"a resync that runs can be paused":                      {given: resyncRuns, when: pause, then: history(paused)},
		"replication paused again changes nothing":              {given: still, when: protecteditem.PauseReplication{Reason: "other", At: noon}},
		"pausing with a book as the reason is refused":          {given: following, when: protecteditem.PauseReplication{Reason: strings.Repeat("x", 5000)}, refused: errorcatalog.ValidationFailed, field: "/reason"},
		"pausing a failover is refused":                         {given: failing, when: pause, refused: errorcatalog.NotProtected},
		"pausing what failed over is refused":                   {given: done, when: pause, refused: errorcatalog.NotProtected},
		"pausing an unknown item is refused":                    {when: pause, refused: errorcatalog.ProtectedItemNotFound},
		"replication can be resumed":                            {given: still, when: resume, then: history(resumed)},
		"replication resumed again changes nothing":             {given: following, when: resume},
		"resuming what is disabled is refused":                  {given: ended, when: resume, refused: errorcatalog.NotProtected},
		"resuming an unknown item is refused":                   {when: resume, refused: errorcatalog.ProtectedItemNotFound},
		"a cycle is not asked for during a pause":               {given: still, when: protecteditem.ReplicateNow{At: noon}, refused: errorcatalog.ReplicationPausedRefusal},
		"a resync is not asked for during a pause":              {given: still, when: protecteditem.RepairReplication{JobID: "job-resync", At: noon}, refused: errorcatalog.ReplicationPausedRefusal},
		"a resync does not start during a pause":                {given: history(diverged, paused), when: protecteditem.StartResynchronization{JobID: "job-resync", At: noon}, refused: errorcatalog.ReplicationPausedRefusal},
		"a copy does not start during a pause":                  {given: history(pending, paused), when: protecteditem.StartInitialReplication{JobID: "job-ir", Snapshot: "snap-1", At: noon}, refused: errorcatalog.ReplicationPausedRefusal},
		"a log may outgrow the threshold during a pause":        {given: still, when: protecteditem.RequireResynchronization{Reason: required.Reason, Detail: "os", ScheduledFor: required.ScheduledFor, At: noon}, then: history(required)},
		"a planned failover is refused during a pause":          {given: still, when: protecteditem.StartPlannedFailover{JobID: "job-fail", At: noon}, refused: errorcatalog.ReplicationPausedRefusal},
		"a planned failover can end a pause":                    {given: still, when: protecteditem.StartPlannedFailover{JobID: "job-fail", Resume: true, At: noon}, then: history(protecteditem.ReplicationResumed{At: noon}, failingOver)},
		"a planned failover that resumes nothing is as any":     {given: following, when: protecteditem.StartPlannedFailover{JobID: "job-fail", Resume: true, At: noon}, then: history(failingOver)},
		"the policy can be changed":                             {given: following, when: change, then: history(changedPolicy)},
		"the policy can be changed after failover":              {given: done, when: change, then: history(changedPolicy)},
		"the policy changed to what it is":                      {given: history(following, changedPolicy), when: change},
		"the policy cannot be changed to unsound settings":      {given: following, when: unsound, refused: errorcatalog.ValidationFailed, field: "/settings/drillReminderDays"},
		"the policy needs an id":                                {given: following, when: protecteditem.ChangePolicy{Settings: silver()}, refused: errorcatalog.ValidationFailed, field: "/policy"},
		"the policy of what is being disabled is not changed":   {given: ending, when: change, refused: errorcatalog.NotProtected},
		"the policy of what is disabled is not changed":         {given: ended, when: change, refused: errorcatalog.NotProtected},
		"the policy of an unknown item is not changed":          {when: change, refused: errorcatalog.ProtectedItemNotFound},
		"what was on its way when a pause came is recorded":     {given: still, when: protecteditem.RecordDelta{Cut: "cut-3", PreviousCut: "cut-2", Instant: shipped3.Instant, At: noon}, then: history(shipped3)},
		"a resync that was all but done during a pause may end": {given: history(resyncRuns, paused), when: protecteditem.CompleteResynchronization{JobID: "job-resync", Point: point("cut-9", 30), At: noon}, then: history(protecteditem.ResynchronizationCompleted{JobID: "job-resync", At: noon}, protecteditem.RecoveryPointCreated{Point: point("cut-9", 30), At: noon})},
	}
	return rows
}

func TestADrillIsDueAsThePolicySays(t *testing.T) {
	t.Parallel()
	quarterly := protecteditem.PolicyChanged{PolicyID: "silver", Settings: silver(), At: noon} // 90 days
	days := func(n int) time.Time { return noon.AddDate(0, 0, n) }
	later := tested
	later.At = days(40)
	for name, tt := range map[string]struct {
		given []protecteditem.Event
		now   time.Time
		want  bool
	}{
		"never without a reminder":          {given: following, now: days(4000)},
		"not before the time":               {given: history(following, quarterly), now: days(89)},
		"after the time without any test":   {given: history(following, quarterly), now: days(90), want: true},
		"not after a test":                  {given: history(following, quarterly, drilling, later, cleaning, cleaned), now: days(129)},
		"again after a test":                {given: history(following, quarterly, drilling, later, cleaning, cleaned), now: days(130), want: true},
		"not while a test is open":          {given: history(following, quarterly, drilling), now: days(200)},
		"not for an item that failed over":  {given: history(done, quarterly), now: days(200)},
		"after a test that did not come up": {given: history(following, quarterly, drilling, protecteditem.TestFailoverFailed{JobID: "job-test", At: days(80)}), now: days(91), want: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, due := protecteditem.DrillDue(after(tt.given), tt.now); due != tt.want {
				t.Errorf("due = %v", due)
			}
		})
	}
}
