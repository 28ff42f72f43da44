package protecteditem_test

import (
	"strings"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
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
	in := func(network string, change func(*protecteditem.Networks)) protecteditem.StartTestFailover {
		c, known := start, networks(change)
		c.Network, c.Known = network, &known
		return c
	}
	isolated := drilling
	isolated.Network = "DR DMZ"
	ledToDMZ := func(n *protecteditem.Networks) { n.Led = []site.Network{{ID: "dr-dmz", Name: "DMZ once"}} }
	anywhere := func(n *protecteditem.Networks) { n.RecoveryLoaded, n.Recovery = false, nil }
	other := start
	other.JobID = "other"
	return map[string]scenario{
		"a test failover takes the point asked for":            {Given: following, When: start, Then: history(drilling)},
		"a test failover of the latest waits for its logs":     {Given: history(following, shipped3), When: latest, Then: history(open)},
		"a test failover of the latest takes the newest point": {Given: following, When: latest, Then: history(newest)},
		"a test failover while a resync is required":           {Given: diverged, When: start, Then: history(drilling)},
		"a test failover while a resync runs":                  {Given: history(resyncRuns, shipped3), When: latest, Then: history(newest)},
		"a test failover while replication is paused":          {Given: history(following, paused), When: start, Then: history(drilling)},
		"a test failover started again changes nothing":        {Given: testRuns, When: start},
		"a test failover started after its end is harmless":    {Given: testOpen, When: start},
		"a second test failover is refused":                    {Given: testRuns, When: other, Refused: errorcatalog.TestFailoverOpen},
		"a test failover before the cleanup is refused":        {Given: testOpen, When: other, Refused: errorcatalog.TestFailoverOpen},
		"a test failover after the cleanup":                    {Given: cleanedUp, When: start, Then: history(drilling)},
		"a test failover of what is copied is refused":         {Given: replicating, When: start, Refused: errorcatalog.NotProtected},
		"a test failover of what fails over is refused":        {Given: failing, When: start, Refused: errorcatalog.NotProtected},
		"a test failover of what failed over is refused":       {Given: done, When: start, Refused: errorcatalog.NotProtected},
		"a test failover of an unknown item is refused":        {When: start, Refused: errorcatalog.ProtectedItemNotFound},
		"a test failover in a network that nothing leads to":   {Given: withNICs(following), When: in("DR DMZ", nil), Then: history(isolated)},
		"a test failover in a network that VMs fail over to":   {Given: withNICs(following), When: in("DR LAN", nil), Refused: errorcatalog.TestNetworkNotIsolated, Field: "/network"},
		"by its id, too":              {Given: withNICs(following), When: in("dr-lan", nil), Refused: errorcatalog.TestNetworkNotIsolated, Field: "/network"},
		"or that others fail over to": {Given: withNICs(following), When: in("DR DMZ", ledToDMZ), Refused: errorcatalog.TestNetworkNotIsolated, Field: "/network"},
		"a test failover in a network that the site does not have":  {Given: withNICs(following), When: in("DR LAB", nil), Refused: errorcatalog.NetworkNotFound, Field: "/network"},
		"a test failover in a network of a site that tells of none": {Given: withNICs(following), When: in("DR DMZ", anywhere), Then: history(isolated)},
		"a test failover in what it fails over to of such a site":   {Given: withNICs(following), When: in("DR LAN", anywhere), Refused: errorcatalog.TestNetworkNotIsolated, Field: "/network"},
		"a test failover needs a job":                               {Given: following, When: protecteditem.StartTestFailover{Choice: "cut-1"}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"a test failover of an unknown point is refused":            {Given: following, When: protecteditem.StartTestFailover{JobID: "j", Choice: "cut-0"}, Refused: errorcatalog.RecoveryPointNotFound, Field: "/recoveryPoint"},

		"replication goes on beside a test failover":     {Given: testOpen, When: protecteditem.RecordDelta{Cut: "cut-3", PreviousCut: "cut-2", Instant: shipped3.Instant, At: noon}, Then: history(shipped3)},
		"a planned failover beside a test failover":      {Given: testOpen, When: protecteditem.StartPlannedFailover{JobID: "job-fail", At: noon}, Then: history(failingOver)},
		"a test's point is fixed once it is made":        {Given: history(following, shipped3, open, thirdPoint), When: fix, Then: history(testPoint)},
		"a test's point fixed again changes nothing":     {Given: testRuns, When: fix},
		"a test's point fixed after the end is harmless": {Given: testOpen, When: fix},
		"a test's point is not changed":                  {Given: testRuns, When: protecteditem.RecordTestFailoverPoint{JobID: "job-test", Point: "cut-2"}, Refused: errorcatalog.RecoveryPointNotFound, Field: "/point"},
		"a test's point is one of the item's":            {Given: history(following, shipped3, open), When: protecteditem.RecordTestFailoverPoint{JobID: "job-test", Point: "cut-3"}, Refused: errorcatalog.RecoveryPointNotFound, Field: "/point"},
		"a test's point by another job is refused":       {Given: testRuns, When: protecteditem.RecordTestFailoverPoint{JobID: "old", Point: "cut-1"}, Refused: errorcatalog.StaleJob},
		"a test failover that is up awaits its cleanup":  {Given: testRuns, When: complete, Then: history(tested)},
		"a test failover comes up during a failover":     {Given: history(testRuns, failingOver), When: complete, Then: history(tested)},
		"a test failover completed again":                {Given: testOpen, When: complete},
		"a test failover of another point is refused":    {Given: testRuns, When: protecteditem.CompleteTestFailover{JobID: "job-test", Point: "cut-2", VM: "x"}, Refused: errorcatalog.RecoveryPointNotFound, Field: "/point"},
		"a test failover without a VM is refused":        {Given: testRuns, When: protecteditem.CompleteTestFailover{JobID: "job-test", Point: "cut-1"}, Refused: errorcatalog.ValidationFailed, Field: "/vm"},
		"a test failover overtaken is refused":           {Given: history(testRuns, disabling), When: complete, Refused: errorcatalog.StaleJob},
		"a test failover of no item is refused":          {When: complete, Refused: errorcatalog.ProtectedItemNotFound},
		"a test failover that fails is over":             {Given: testRuns, When: fail, Then: history(gone)},
		"a test failover that failed again":              {Given: history(testRuns, gone), When: fail},
		"a test failover cannot fail after success":      {Given: testOpen, When: fail, Refused: errorcatalog.StaleJob},
		"a failed attempt of a test failover is its own": {Given: testRuns, When: protecteditem.RecordFailure{Failure: unreachable, JobID: "job-test", At: noon}, Then: history(protecteditem.ReplicationFailed{JobID: "job-test", Attempt: 1, Failure: *unreachable, NextRetryAt: noon.Add(time.Minute), At: noon})},
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
		"a cleanup asked for again changes nothing":       {Given: cleansUp, When: cleanUp},
		"a cleanup that has ended changes nothing":        {Given: cleanedUp, When: cleanUp},
		"a second cleanup is refused":                     {Given: cleansUp, When: protecteditem.CleanUpTestFailover{JobID: "other"}, Refused: errorcatalog.OperationInProgress},
		"a cleanup while the test comes up is refused":    {Given: testRuns, When: cleanUp, Refused: errorcatalog.OperationInProgress},
		"a cleanup without a test failover is refused":    {Given: following, When: cleanUp, Refused: errorcatalog.NoTestFailover},
		"a cleanup beside disabling is refused":           {Given: history(testOpen, cleansUpWith), When: cleanUp, Refused: errorcatalog.OperationInProgress},
		"a cleanup of an unknown item is refused":         {When: cleanUp, Refused: errorcatalog.ProtectedItemNotFound},
		"a cleanup needs a job":                           {Given: testOpen, When: protecteditem.CleanUpTestFailover{}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"a cleanup with a book of notes is refused":       {Given: testOpen, When: protecteditem.CleanUpTestFailover{JobID: "j", Notes: strings.Repeat("x", 5000)}, Refused: errorcatalog.ValidationFailed, Field: "/notes"},
		"a cleanup ends the test failover":                {Given: cleansUp, When: complete, Then: history(cleaned)},
		"a cleanup completed again changes nothing":       {Given: cleanedUp, When: complete},
		"a cleanup by another job is refused":             {Given: cleansUp, When: protecteditem.CompleteTestFailoverCleanup{JobID: "other"}, Refused: errorcatalog.StaleJob},
		"a cleanup that fails leaves the test failover":   {Given: cleansUp, When: fail, Then: history(left)},
		"a cleanup that failed again changes nothing":     {Given: history(cleansUp, left), When: fail},
		"a cleanup that failed can be asked for again":    {Given: history(cleansUp, left), When: cleanUp, Then: history(cleaning)},
		"a cleanup cannot fail after it has succeeded":    {Given: cleanedUp, When: fail, Refused: errorcatalog.StaleJob},
		"a commit keeps the point of a test failover":     {Given: committedBeside, When: protecteditem.CompleteFailoverCommit{JobID: "job-commit", At: noon}, Then: history(kept)},
		"a cleanup after a commit gives the point up":     {Given: history(committedBeside, kept, cleaning), When: complete, Then: history(cleaned, protecteditem.RecoveryPointsRemoved{IDs: []string{"cut-1"}, Reason: "failover commit", At: noon})},
		"disabling beside a test failover is refused":     {Given: testOpen, When: protecteditem.DisableProtection{JobID: "job-disable", At: noon}, Refused: errorcatalog.TestFailoverOpen, Field: "/cleanup"},
		"disabling can clean a test failover up":          {Given: testOpen, When: disable, Then: history(cleansUpWith)},
		"disabling overtakes a test failover":             {Given: testRuns, When: disable, Then: history(overtaking)},
		"disabling with nothing to clean up is as before": {Given: following, When: disable, Then: history(disabling)},
	}
	for name, given := range map[string][]protecteditem.Event{
		"protected": testOpen, "paused": history(testOpen, paused), "diverged": history(testOpen, required), "being resynchronized": history(testOpen, required, resyncing),
		"failing over": history(testOpen, failingOver), "failing over unplanned": history(testOpen, crashStarted),
		"uncommitted": history(testOpen, crashStarted, crashed), "failed over": history(committedBeside, kept),
	} {
		rows["a test failover can be cleaned up when the item is "+name] = scenario{Given: given, When: cleanUp, Then: history(cleaning)}
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
		"replication can be paused":                             {Given: following, When: pause, Then: history(paused)},
		"the copy can be paused":                                {Given: replicating, When: pause, Then: history(paused)},
		"a resync that runs can be paused":                      {Given: resyncRuns, When: pause, Then: history(paused)},
		"replication paused again changes nothing":              {Given: still, When: protecteditem.PauseReplication{Reason: "other", At: noon}},
		"pausing with a book as the reason is refused":          {Given: following, When: protecteditem.PauseReplication{Reason: strings.Repeat("x", 5000)}, Refused: errorcatalog.ValidationFailed, Field: "/reason"},
		"pausing a failover is refused":                         {Given: failing, When: pause, Refused: errorcatalog.NotProtected},
		"pausing what failed over is refused":                   {Given: done, When: pause, Refused: errorcatalog.NotProtected},
		"pausing an unknown item is refused":                    {When: pause, Refused: errorcatalog.ProtectedItemNotFound},
		"replication can be resumed":                            {Given: still, When: resume, Then: history(resumed)},
		"replication resumed again changes nothing":             {Given: following, When: resume},
		"resuming what is disabled is refused":                  {Given: ended, When: resume, Refused: errorcatalog.NotProtected},
		"resuming an unknown item is refused":                   {When: resume, Refused: errorcatalog.ProtectedItemNotFound},
		"a cycle is not asked for during a pause":               {Given: still, When: protecteditem.ReplicateNow{At: noon}, Refused: errorcatalog.ReplicationPausedRefusal},
		"a resync is not asked for during a pause":              {Given: still, When: protecteditem.RepairReplication{JobID: "job-resync", At: noon}, Refused: errorcatalog.ReplicationPausedRefusal},
		"a resync does not start during a pause":                {Given: history(diverged, paused), When: protecteditem.StartResynchronization{JobID: "job-resync", At: noon}, Refused: errorcatalog.ReplicationPausedRefusal},
		"a copy does not start during a pause":                  {Given: history(pending, paused), When: protecteditem.StartInitialReplication{JobID: "job-ir", Snapshot: "snap-1", At: noon}, Refused: errorcatalog.ReplicationPausedRefusal},
		"a log may outgrow the threshold during a pause":        {Given: still, When: protecteditem.RequireResynchronization{Reason: required.Reason, Detail: "os", ScheduledFor: required.ScheduledFor, At: noon}, Then: history(required)},
		"a planned failover is refused during a pause":          {Given: still, When: protecteditem.StartPlannedFailover{JobID: "job-fail", At: noon}, Refused: errorcatalog.ReplicationPausedRefusal},
		"a planned failover can end a pause":                    {Given: still, When: protecteditem.StartPlannedFailover{JobID: "job-fail", Resume: true, At: noon}, Then: history(protecteditem.ReplicationResumed{At: noon}, failingOver)},
		"a planned failover that resumes nothing is as any":     {Given: following, When: protecteditem.StartPlannedFailover{JobID: "job-fail", Resume: true, At: noon}, Then: history(failingOver)},
		"the policy can be changed":                             {Given: following, When: change, Then: history(changedPolicy)},
		"the policy can be changed after failover":              {Given: done, When: change, Then: history(changedPolicy)},
		"the policy changed to what it is":                      {Given: history(following, changedPolicy), When: change},
		"the policy cannot be changed to unsound settings":      {Given: following, When: unsound, Refused: errorcatalog.ValidationFailed, Field: "/settings/drillReminderDays"},
		"the policy needs an id":                                {Given: following, When: protecteditem.ChangePolicy{Settings: silver()}, Refused: errorcatalog.ValidationFailed, Field: "/policy"},
		"the policy of what is being disabled is not changed":   {Given: ending, When: change, Refused: errorcatalog.NotProtected},
		"the policy of what is disabled is not changed":         {Given: ended, When: change, Refused: errorcatalog.NotProtected},
		"the policy of an unknown item is not changed":          {When: change, Refused: errorcatalog.ProtectedItemNotFound},
		"what was on its way when a pause came is recorded":     {Given: still, When: protecteditem.RecordDelta{Cut: "cut-3", PreviousCut: "cut-2", Instant: shipped3.Instant, At: noon}, Then: history(shipped3)},
		"a resync that was all but done during a pause may end": {Given: history(resyncRuns, paused), When: protecteditem.CompleteResynchronization{JobID: "job-resync", Point: point("cut-9", 30), At: noon}, Then: history(protecteditem.ResynchronizationCompleted{JobID: "job-resync", At: noon}, protecteditem.RecoveryPointCreated{Point: point("cut-9", 30), At: noon})},
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
		Given []protecteditem.Event
		now   time.Time
		want  bool
	}{
		"never without a reminder":          {Given: following, now: days(4000)},
		"not before the time":               {Given: history(following, quarterly), now: days(89)},
		"after the time without any test":   {Given: history(following, quarterly), now: days(90), want: true},
		"not after a test":                  {Given: history(following, quarterly, drilling, later, cleaning, cleaned), now: days(129)},
		"again after a test":                {Given: history(following, quarterly, drilling, later, cleaning, cleaned), now: days(130), want: true},
		"not while a test is open":          {Given: history(following, quarterly, drilling), now: days(200)},
		"not for an item that failed over":  {Given: history(done, quarterly), now: days(200)},
		"after a test that did not come up": {Given: history(following, quarterly, drilling, protecteditem.TestFailoverFailed{JobID: "job-test", At: days(80)}), now: days(91), want: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, due := protecteditem.DrillDue(after(tt.Given), tt.now); due != tt.want {
				t.Errorf("due = %v", due)
			}
		})
	}
}
