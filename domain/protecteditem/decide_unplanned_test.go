package protecteditem_test

import (
	"strings"
	"testing"
	"time"

	"farshore/domain/domaintest"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

// States around an unplanned failover, in which nothing was overtaken.
var (
	crashStarted = protecteditem.UnplannedFailoverStarted{JobID: "job-crash", Choice: protecteditem.LatestProcessed, Point: "cut-2", At: noon}
	crashing2    = history(following, crashStarted)
	crashedOver  = history(crashing2, crashed)
	changingTo1  = history(crashedOver, changing)
	cancelling   = history(crashedOver, canceling)
	canceled     = protecteditem.FailoverCanceled{JobID: "job-cancel", At: noon}
	brokenOff    = history(crashedOver, required)
)

func unplannedRows() map[string]scenario {
	start := protecteditem.StartUnplannedFailover{JobID: "job-crash", Choice: protecteditem.LatestProcessed, At: noon}
	by := func(choice protecteditem.PointChoice) protecteditem.StartUnplannedFailover {
		c := start
		c.Choice = choice
		return c
	}
	to := func(choice protecteditem.PointChoice, point, overtaken string) protecteditem.UnplannedFailoverStarted {
		e := crashStarted
		e.Choice, e.Point, e.OvertakenJobID = choice, point, overtaken
		return e
	}
	shutDown := by(protecteditem.Latest)
	shutDown.ShutDownSource = true
	shuttingDown := to(protecteditem.Latest, "", "")
	shuttingDown.ShutDownSource = true
	quiet := thirdPoint
	quiet.Point.Consistency = protecteditem.AppConsistent
	requested := protecteditem.ResynchronizationRequested{JobID: "job-resync", At: noon}
	return map[string]scenario{
		"an unplanned failover takes the newest point":         {Given: following, When: start, Then: history(crashStarted)},
		"an unplanned failover takes the point asked for":      {Given: following, When: by("cut-1"), Then: history(to("cut-1", "cut-1", ""))},
		"an unplanned failover takes an app-consistent point":  {Given: history(protected, shipped2, secondPoint, shipped3, quiet), When: by(protecteditem.LatestAppConsistent), Then: history(to(protecteditem.LatestAppConsistent, "cut-3", ""))},
		"the latest is the newest point when all is applied":   {Given: following, When: by(protecteditem.Latest), Then: history(to(protecteditem.Latest, "cut-2", ""))},
		"the latest is not known while logs are to be applied": {Given: history(following, shipped3), When: by(protecteditem.Latest), Then: history(to(protecteditem.Latest, "", ""))},
		"the latest is not known before the source is stopped": {Given: following, When: shutDown, Then: history(shuttingDown)},
		"an unplanned failover started again changes nothing":  {Given: crashing2, When: start},

		"an unplanned failover is allowed while a resync is required":     {Given: diverged, When: by(protecteditem.Latest), Then: history(to(protecteditem.Latest, "cut-2", ""))},
		"an unplanned failover ends a resync that is about to start":      {Given: history(following, requested), When: start, Then: history(to(protecteditem.LatestProcessed, "cut-2", "job-resync"))},
		"an unplanned failover ends a resync that runs":                   {Given: history(resyncRuns, shipped3), When: by(protecteditem.Latest), Then: history(to(protecteditem.Latest, "cut-2", "job-resync"))},
		"an unplanned failover is allowed while replication is paused":    {Given: history(following, paused), When: start, Then: history(crashStarted)},
		"an unplanned failover is allowed while a test failover is open":  {Given: history(following, drilling, tested), When: start, Then: history(crashStarted)},
		"an unplanned failover is allowed while a test failover comes up": {Given: history(following, drilling), When: start, Then: history(crashStarted)},
		"an unplanned failover of what is copied is refused":              {Given: replicating, When: start, Refused: errorcatalog.NotProtected},
		"an unplanned failover of what is finalized is refused":           {Given: finalizing, When: start, Refused: errorcatalog.NotProtected},
		"an unplanned failover of what fails over is refused":             {Given: failing, When: start, Refused: errorcatalog.OperationInProgress},
		"a second unplanned failover is refused":                          {Given: crashing2, When: protecteditem.StartUnplannedFailover{JobID: "other", Choice: "cut-1"}, Refused: errorcatalog.OperationInProgress},
		"a planned failover of what fails over unplanned is refused":      {Given: crashing2, When: protecteditem.StartPlannedFailover{JobID: "other"}, Refused: errorcatalog.OperationInProgress},
		"an unplanned failover of what failed over is refused":            {Given: crashedOver, When: protecteditem.StartUnplannedFailover{JobID: "other", Choice: "cut-1"}, Refused: errorcatalog.NotProtected},
		"an unplanned failover of what is committed is refused":           {Given: done, When: start, Refused: errorcatalog.NotProtected},
		"an unplanned failover of what is being disabled is refused":      {Given: ending, When: start, Refused: errorcatalog.OperationInProgress},
		"an unplanned failover of an unknown item is refused":             {When: start, Refused: errorcatalog.ProtectedItemNotFound},
		"an unplanned failover needs a job":                               {Given: following, When: protecteditem.StartUnplannedFailover{Choice: "cut-1"}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"an unplanned failover needs a choice":                            {Given: following, When: by(""), Refused: errorcatalog.ValidationFailed, Field: "/recoveryPoint"},
		"an unplanned failover to an unknown point is refused":            {Given: following, When: by("cut-0"), Refused: errorcatalog.RecoveryPointNotFound, Field: "/recoveryPoint"},
		"an unplanned failover without such a point is refused":           {Given: following, When: by(protecteditem.LatestAppConsistent), Refused: errorcatalog.NoRecoveryPoint, Field: "/recoveryPoint"},
		"an unplanned failover without a point is refused": {
			Given: history(following, protecteditem.RecoveryPointsRemoved{IDs: []string{"cut-1", "cut-2"}, At: noon}), When: start, Refused: errorcatalog.NoRecoveryPoint,
		},
	}
}

func unplannedStepRows() map[string]scenario {
	fix := protecteditem.RecordFailoverPoint{JobID: "job-crash", Point: "cut-3", At: noon}
	fixed := protecteditem.FailoverPointChosen{JobID: "job-crash", Point: "cut-3", At: noon}
	complete := protecteditem.CompleteUnplannedFailover{JobID: "job-crash", Point: "cut-2", RecoveryVM: "vm-9", At: noon}
	fail := protecteditem.FailUnplannedFailover{JobID: "job-crash", Failure: unreachable, At: noon}
	gaveUp := protecteditem.UnplannedFailoverFailed{JobID: "job-crash", Failure: *unreachable, At: noon}
	open := crashStarted
	open.Choice, open.Point = protecteditem.Latest, ""
	latest := history(following, shipped3, open)
	applied := history(latest, thirdPoint)
	sourceOff := protecteditem.SourceStopped{JobID: "job-crash", At: noon}
	crashedOff, restarted := crashed, gaveUp
	crashedOff.SourceStopped, restarted.SourceRestarted = true, true
	crashedAt3 := crashed
	crashedAt3.Point = "cut-3"
	return map[string]scenario{
		"a delta can be shipped during an unplanned failover":   {Given: crashing2, When: protecteditem.RecordDelta{Cut: "cut-3", PreviousCut: "cut-2", Instant: shipped3.Instant, At: noon}, Then: history(shipped3)},
		"a delta after a broken chain is refused":               {Given: history(diverged, crashStarted), When: protecteditem.RecordDelta{Cut: "cut-3", PreviousCut: "cut-2"}, Refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a point is made during an unplanned failover":          {Given: latest, When: protecteditem.CreateRecoveryPoint{Point: point("cut-3", 8), At: noon}, Then: history(thirdPoint)},
		"a point after a broken chain is refused":               {Given: history(latest, required), When: protecteditem.CreateRecoveryPoint{Point: point("cut-3", 8)}, Refused: errorcatalog.ResynchronizationRequiredRefusal},
		"the source is stopped for an unplanned failover":       {Given: crashing2, When: protecteditem.RecordSourceStopped{JobID: "job-crash", At: noon}, Then: history(sourceOff)},
		"no point is removed during an unplanned failover":      {Given: crashing2, When: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1"}}, Refused: errorcatalog.OperationInProgress},
		"the latest point is fixed once the logs are applied":   {Given: applied, When: fix, Then: history(fixed)},
		"the latest point fixed again changes nothing":          {Given: history(applied, fixed), When: fix},
		"the latest point fixed after the end is harmless":      {Given: history(applied, fixed, crashedAt3), When: fix},
		"the latest point is not an older one":                  {Given: applied, When: protecteditem.RecordFailoverPoint{JobID: "job-crash", Point: "cut-2"}, Refused: errorcatalog.RecoveryPointNotFound, Field: "/point"},
		"the latest point leaves no log behind":                 {Given: latest, When: protecteditem.RecordFailoverPoint{JobID: "job-crash", Point: "cut-2"}, Refused: errorcatalog.CutOutOfOrder, Field: "/point"},
		"the latest point is the newest when the logs are lost": {Given: history(latest, required), When: protecteditem.RecordFailoverPoint{JobID: "job-crash", Point: "cut-2", At: noon}, Then: history(fixedPoint)},
		"a point that was chosen is not changed":                {Given: history(crashing2, shipped3, thirdPoint), When: fix, Refused: errorcatalog.RecoveryPointNotFound, Field: "/point"},
		"a point of an overtaken failover is refused":           {Given: history(applied, disabling), When: fix, Refused: errorcatalog.StaleJob},

		"an unplanned failover asks for its commit":                {Given: crashing2, When: complete, Then: history(crashed)},
		"an unplanned failover tells that the source is off":       {Given: history(crashing2, sourceOff), When: complete, Then: history(crashedOff)},
		"an unplanned failover completed again changes nothing":    {Given: crashedOver, When: complete},
		"an unplanned failover to another point is refused":        {Given: crashing2, When: protecteditem.CompleteUnplannedFailover{JobID: "job-crash", Point: "cut-1", RecoveryVM: "vm-9"}, Refused: errorcatalog.RecoveryPointNotFound, Field: "/point"},
		"an unplanned failover to the latest waits for logs":       {Given: latest, When: complete, Refused: errorcatalog.CutOutOfOrder, Field: "/point"},
		"an unplanned failover without a VM is refused":            {Given: crashing2, When: protecteditem.CompleteUnplannedFailover{JobID: "job-crash", Point: "cut-2"}, Refused: errorcatalog.ValidationFailed, Field: "/recoveryVm"},
		"an unplanned failover by an overtaken job is refused":     {Given: history(crashing2, disabling), When: complete, Refused: errorcatalog.StaleJob},
		"a planned failover cannot end as an unplanned one":        {Given: lastShipped, When: protecteditem.CompleteUnplannedFailover{JobID: "job-fail", Point: "cut-3", RecoveryVM: "vm-9"}, Refused: errorcatalog.NotProtected},
		"an unplanned failover that failed protects again":         {Given: crashing2, When: fail, Then: history(gaveUp)},
		"an unplanned failover that failed starts the source":      {Given: history(crashing2, sourceOff), When: fail, Then: history(restarted)},
		"an unplanned failover that failed again changes nothing":  {Given: history(crashing2, gaveUp), When: fail},
		"an unplanned failover cannot fail after it has succeeded": {Given: crashedOver, When: fail, Refused: errorcatalog.StaleJob},
	}
}

func uncommittedRows() map[string]scenario {
	change := protecteditem.ChangeRecoveryPoint{JobID: "job-change", Choice: "cut-1", Confirm: true, At: noon}
	unsure, nowhere, latest := change, change, change
	unsure.Confirm, nowhere.Choice, latest.Choice = false, "cut-0", protecteditem.Latest
	newest := changing
	newest.Point = "cut-2"
	complete := protecteditem.CompleteRecoveryPointChange{JobID: "job-change", RecoveryVM: "vm-10", At: noon}
	fail := protecteditem.FailRecoveryPointChange{JobID: "job-change", Failure: unreachable, At: noon}
	unchanged := protecteditem.RecoveryPointChangeFailed{JobID: "job-change", Failure: *unreachable, At: noon}
	cancel := protecteditem.CancelFailover{JobID: "job-cancel", At: noon}
	forcing := protecteditem.CancelFailover{JobID: "job-force", Force: true, At: noon}
	insisted := protecteditem.JobForced{JobID: "job-cancel", At: noon}
	cancelDone := protecteditem.CompleteFailoverCancel{JobID: "job-cancel", At: noon}
	restarted, owing := canceled, canceled
	restarted.SourceRestarted, owing.ChainBroken = true, true
	cancelFail := protecteditem.FailFailoverCancel{JobID: "job-cancel", Failure: unreachable, RecoveryVM: "vm-9", At: noon}
	notCanceled := protecteditem.FailoverCancelFailed{JobID: "job-cancel", Failure: *unreachable, RecoveryVM: "vm-9", At: noon}
	commit := protecteditem.CommitFailover{JobID: "job-commit", At: noon}
	return map[string]scenario{
		"the point can be changed until the commit":            {Given: crashedOver, When: change, Then: history(changing)},
		"the point of a planned failover can be changed":       {Given: uncommitted, When: change, Then: history(changing)},
		"the point can be changed to the newest there is":      {Given: history(crashing2, shipped3, crashed), When: latest, Then: history(newest)},
		"changing the point again changes nothing":             {Given: changingTo1, When: change},
		"changing the point after the change is harmless":      {Given: history(changingTo1, changed), When: change},
		"changing the point loses writes and is confirmed":     {Given: crashedOver, When: unsure, Refused: errorcatalog.ConfirmationRequired, Field: "/confirm"},
		"changing to an unknown point is refused":              {Given: crashedOver, When: nowhere, Refused: errorcatalog.RecoveryPointNotFound, Field: "/recoveryPoint"},
		"changing the point before the failover is refused":    {Given: following, When: change, Refused: errorcatalog.NoFailoverPending},
		"changing the point after the commit is refused":       {Given: done, When: change, Refused: errorcatalog.NoFailoverPending},
		"changing the point during the commit is refused":      {Given: history(uncommitted, committing), When: change, Refused: errorcatalog.OperationInProgress},
		"changing the point during the cancel is refused":      {Given: cancelling, When: change, Refused: errorcatalog.OperationInProgress},
		"changing the point needs a job":                       {Given: crashedOver, When: protecteditem.ChangeRecoveryPoint{}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"changing the point of an unknown item is refused":     {When: change, Refused: errorcatalog.ProtectedItemNotFound},
		"another point replaces the VM":                        {Given: changingTo1, When: complete, Then: history(changed)},
		"another point recorded again changes nothing":         {Given: history(changingTo1, changed), When: complete},
		"another point needs a VM":                             {Given: changingTo1, When: protecteditem.CompleteRecoveryPointChange{JobID: "job-change"}, Refused: errorcatalog.ValidationFailed, Field: "/recoveryVm"},
		"another point by an overtaken job is refused":         {Given: history(changingTo1, disabling), When: complete, Refused: errorcatalog.StaleJob},
		"another point cannot end a cancel":                    {Given: cancelling, When: protecteditem.CompleteRecoveryPointChange{JobID: "job-cancel", RecoveryVM: "x"}, Refused: errorcatalog.StaleJob},
		"a change that fails leaves the failover":              {Given: changingTo1, When: fail, Then: history(unchanged)},
		"a change that failed again changes nothing":           {Given: history(changingTo1, unchanged), When: fail},
		"a change cannot fail after it has succeeded":          {Given: history(changingTo1, changed), When: fail, Refused: errorcatalog.StaleJob},
		"a commit after a change that lost the VM is refused":  {Given: history(changingTo1, unchanged), When: commit, Refused: errorcatalog.RecoveryVMMissing},
		"a cancel after a change that lost the VM is possible": {Given: history(changingTo1, unchanged), When: cancel, Then: history(canceling)},
		"a commit during the change is refused":                {Given: changingTo1, When: commit, Refused: errorcatalog.OperationInProgress},
		"a change cannot end as a commit":                      {Given: changingTo1, When: protecteditem.CompleteFailoverCommit{JobID: "job-change"}, Refused: errorcatalog.StaleJob},

		"an unplanned failover can be cancelled":              {Given: crashedOver, When: cancel, Then: history(canceling)},
		"a planned failover can be cancelled":                 {Given: uncommitted, When: cancel, Then: history(canceling)},
		"a cancel asked for again changes nothing":            {Given: cancelling, When: cancel},
		"a cancel that has ended changes nothing":             {Given: history(cancelling, canceled), When: cancel},
		"a cancel is forced from the start":                   {Given: crashedOver, When: forcing, Then: history(protecteditem.FailoverCancelStarted{JobID: "job-force", Force: true, At: noon})},
		"a cancel can be forced later":                        {Given: cancelling, When: forcing, Then: history(insisted)},
		"a cancel is forced once":                             {Given: history(cancelling, insisted), When: forcing, Refused: errorcatalog.OperationInProgress},
		"a second cancel is refused":                          {Given: cancelling, When: protecteditem.CancelFailover{JobID: "other"}, Refused: errorcatalog.OperationInProgress},
		"a cancel during the commit is refused":               {Given: history(uncommitted, committing), When: cancel, Refused: errorcatalog.OperationInProgress},
		"a cancel during the change is refused":               {Given: changingTo1, When: cancel, Refused: errorcatalog.OperationInProgress},
		"a cancel during the failover is refused":             {Given: crashing2, When: cancel, Refused: errorcatalog.NoFailoverPending},
		"a cancel after the commit is refused":                {Given: done, When: cancel, Refused: errorcatalog.NoFailoverPending},
		"a cancel needs a job":                                {Given: crashedOver, When: protecteditem.CancelFailover{}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"a cancel of an unknown item is refused":              {When: cancel, Refused: errorcatalog.ProtectedItemNotFound},
		"a cancelled failover protects again":                 {Given: cancelling, When: cancelDone, Then: history(canceled)},
		"a cancelled failover starts the source":              {Given: history(uncommitted, canceling), When: cancelDone, Then: history(restarted)},
		"a cancelled failover tells that the chain is broken": {Given: history(brokenOff, canceling), When: cancelDone, Then: history(owing)},
		"a cancel recorded again changes nothing":             {Given: history(cancelling, canceled), When: cancelDone},
		"a cancel by an overtaken job is refused":             {Given: history(cancelling, disabling), When: cancelDone, Refused: errorcatalog.StaleJob},
		"a cancel that fails leaves the failover":             {Given: cancelling, When: cancelFail, Then: history(notCanceled)},
		"a cancel that failed again changes nothing":          {Given: history(cancelling, notCanceled), When: cancelFail},
		"a cancel cannot fail after it has succeeded":         {Given: history(cancelling, canceled), When: cancelFail, Refused: errorcatalog.StaleJob},
		"a broken chain is recorded until the commit":         {Given: crashedOver, When: protecteditem.RequireResynchronization{Reason: required.Reason, Detail: "os", ScheduledFor: required.ScheduledFor, At: noon}, Then: history(required)},
		"a broken chain recorded again changes nothing":       {Given: brokenOff, When: protecteditem.RequireResynchronization{Reason: required.Reason, At: noon}},
		"no point is made of a failover that is uncommitted":  {Given: history(crashing2, shipped3, crashed), When: protecteditem.CreateRecoveryPoint{Point: point("cut-3", 8)}, Refused: errorcatalog.NotProtected},
	}
}

func fencingRows() map[string]scenario {
	runs := protecteditem.RecordSourceRunning{Detail: "hv-1", At: noon}
	found := protecteditem.SourceFoundRunning{Detail: "hv-1", At: noon}
	held := []protecteditem.ShippedLog{{Disk: "os", Log: "log-9", Bytes: 512}}
	fence := protecteditem.RecordSourceFenced{Held: held, At: noon}
	fenced := protecteditem.SourceFenced{Held: held, At: noon}
	return map[string]scenario{
		"a source that runs after the failover is recorded": {Given: crashedOver, When: runs, Then: history(found)},
		"a source that runs after the commit is recorded":   {Given: done, When: runs, Then: history(found)},
		"a source that still runs changes nothing":          {Given: history(done, found), When: runs},
		"a source that runs before a failover is none":      {Given: following, When: runs, Refused: errorcatalog.NotFailedOver},
		"a source that runs during a failover is none":      {Given: crashing2, When: runs, Refused: errorcatalog.NotFailedOver},
		"a source of an item that ends is not watched":      {Given: history(done, disabling), When: runs, Refused: errorcatalog.NotFailedOver},
		"a source of an unknown item is not watched":        {When: runs, Refused: errorcatalog.ProtectedItemNotFound},
		"a source is fenced with what it holds":             {Given: history(crashedOver, found), When: fence, Then: history(fenced)},
		"a source fenced again changes nothing":             {Given: history(crashedOver, fenced), When: fence},
		"a source that holds more is recorded":              {Given: history(crashedOver, protecteditem.SourceFenced{At: noon}), When: fence, Then: history(fenced)},
		"a source that runs in spite of all is recorded":    {Given: history(crashedOver, fenced), When: runs, Then: history(found)},
		"a source is fenced only after a failover":          {Given: following, When: fence, Refused: errorcatalog.NotFailedOver},
		"a source of an unknown item is not fenced":         {When: fence, Refused: errorcatalog.ProtectedItemNotFound},
	}
}

func TestAFailoverThatEndsAResyncOwesIt(t *testing.T) {
	t.Parallel()
	s := after(history(resyncRuns, shipped3, crashStarted))
	if s.Resync.State != protecteditem.ResyncNone || !s.ChainBroken() || s.Owed.Reason != errorcatalog.LogMissing || len(s.Pending) > 0 {
		t.Fatalf("failing over: %+v", s)
	}
	s = decide(t, s, protecteditem.FailUnplannedFailover{JobID: "job-crash", Failure: unreachable, At: noon})
	if s.Protection != protecteditem.Protected || s.Resync.State != protecteditem.ResyncRequired || s.Resync.Reason != errorcatalog.LogMissing || s.Resync.Job != "" || s.ChainBroken() {
		t.Errorf("failed: %+v", s.Resync)
	}
	if !s.Resync.ScheduledFor.Equal(noon) || !s.Resync.Since.Equal(noon) {
		t.Errorf("scheduled for %s since %s", s.Resync.ScheduledFor, s.Resync.Since)
	}
	decide(t, s, protecteditem.StartResynchronization{JobID: "job-again", At: noon})
}

func TestACancelledFailoverGoesOnWithTheNextCut(t *testing.T) {
	t.Parallel()
	s := after(history(crashedOver, protecteditem.SourceFoundRunning{At: noon}, paused, canceling, canceled))
	if s.ActiveLocation != protecteditem.Primary || s.Recovery.VM != "" || len(s.Pinned()) > 0 || s.Fencing.SourceActive || s.Paused == nil {
		t.Fatalf("cancelled: %+v", s)
	}
	s = decide(t, s, protecteditem.ResumeReplication{At: noon})
	s = decide(t, s, protecteditem.RecordDelta{Cut: "cut-3", PreviousCut: "cut-2", Instant: shipped3.Instant, At: noon})
	s = decide(t, s, protecteditem.CreateRecoveryPoint{Point: point("cut-3", 8), At: noon})
	if len(s.Points) != 3 {
		t.Errorf("points: %+v", s.Points)
	}
}

func TestACancelledFailoverWithABrokenChainNeedsAResync(t *testing.T) {
	t.Parallel()
	s := after(history(brokenOff, canceling, canceled))
	if s.Resync.State != protecteditem.ResyncRequired || !s.Resync.ScheduledFor.Equal(required.ScheduledFor) || s.ChainBroken() {
		t.Errorf("resync = %+v", s.Resync)
	}
}

func TestPinnedPointsAreNotThinned(t *testing.T) {
	t.Parallel()
	var given []protecteditem.Event
	given = append(given, protected...)
	previous := "cut-1"
	for i, id := range []string{"cut-a", "cut-b", "cut-c"} {
		p := point(id, 0)
		p.Instant = noon.Add(time.Duration(i+1) * 30 * time.Hour)
		given = append(given, protecteditem.DeltaShipped{Cut: id, PreviousCut: previous, Instant: p.Instant, At: noon}, protecteditem.RecoveryPointCreated{Point: p, At: noon})
		previous = id
	}
	if got := strings.Join(protecteditem.Expired(after(given), noon), " "); got != "cut-1 cut-a cut-b" {
		t.Fatalf("expired = %q", got)
	}
	s := after(append(given, drilling)) // of cut-1
	if got := strings.Join(protecteditem.Expired(s, noon), " "); got != "cut-a cut-b" {
		t.Errorf("expired = %q", got)
	}
	if _, err := protecteditem.Decider.Decide(s, protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1", "cut-a"}, At: noon}); err == nil {
		t.Error("a pinned point can be removed")
	} else if code, _ := domaintest.Refusal(t, err); code != errorcatalog.PointPinned {
		t.Errorf("refused with %s", code)
	}
}
