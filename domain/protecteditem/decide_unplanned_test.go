package protecteditem_test

import (
	"strings"
	"testing"
	"time"

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
		"an unplanned failover takes the newest point":         {given: following, when: start, then: history(crashStarted)},
		"an unplanned failover takes the point asked for":      {given: following, when: by("cut-1"), then: history(to("cut-1", "cut-1", ""))},
		"an unplanned failover takes an app-consistent point":  {given: history(protected, shipped2, secondPoint, shipped3, quiet), when: by(protecteditem.LatestAppConsistent), then: history(to(protecteditem.LatestAppConsistent, "cut-3", ""))},
		"the latest is the newest point when all is applied":   {given: following, when: by(protecteditem.Latest), then: history(to(protecteditem.Latest, "cut-2", ""))},
		"the latest is not known while logs are to be applied": {given: history(following, shipped3), when: by(protecteditem.Latest), then: history(to(protecteditem.Latest, "", ""))},
		"the latest is not known before the source is stopped": {given: following, when: shutDown, then: history(shuttingDown)},
		"an unplanned failover started again changes nothing":  {given: crashing2, when: start},

		"an unplanned failover is allowed while a resync is required":     {given: diverged, when: by(protecteditem.Latest), then: history(to(protecteditem.Latest, "cut-2", ""))},
		"an unplanned failover ends a resync that is about to start":      {given: history(following, requested), when: start, then: history(to(protecteditem.LatestProcessed, "cut-2", "job-resync"))},
		"an unplanned failover ends a resync that runs":                   {given: history(resyncRuns, shipped3), when: by(protecteditem.Latest), then: history(to(protecteditem.Latest, "cut-2", "job-resync"))},
		"an unplanned failover is allowed while replication is paused":    {given: history(following, paused), when: start, then: history(crashStarted)},
		"an unplanned failover is allowed while a test failover is open":  {given: history(following, drilling, tested), when: start, then: history(crashStarted)},
		"an unplanned failover is allowed while a test failover comes up": {given: history(following, drilling), when: start, then: history(crashStarted)},
		"an unplanned failover of what is copied is refused":              {given: replicating, when: start, refused: errorcatalog.NotProtected},
		"an unplanned failover of what is finalized is refused":           {given: finalizing, when: start, refused: errorcatalog.NotProtected},
		"an unplanned failover of what fails over is refused":             {given: failing, when: start, refused: errorcatalog.OperationInProgress},
		"a second unplanned failover is refused":                          {given: crashing2, when: protecteditem.StartUnplannedFailover{JobID: "other", Choice: "cut-1"}, refused: errorcatalog.OperationInProgress},
		"a planned failover of what fails over unplanned is refused":      {given: crashing2, when: protecteditem.StartPlannedFailover{JobID: "other"}, refused: errorcatalog.OperationInProgress},
		"an unplanned failover of what failed over is refused":            {given: crashedOver, when: protecteditem.StartUnplannedFailover{JobID: "other", Choice: "cut-1"}, refused: errorcatalog.NotProtected},
		"an unplanned failover of what is committed is refused":           {given: done, when: start, refused: errorcatalog.NotProtected},
		"an unplanned failover of what is being disabled is refused":      {given: ending, when: start, refused: errorcatalog.OperationInProgress},
		"an unplanned failover of an unknown item is refused":             {when: start, refused: errorcatalog.ProtectedItemNotFound},
		"an unplanned failover needs a job":                               {given: following, when: protecteditem.StartUnplannedFailover{Choice: "cut-1"}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"an unplanned failover needs a choice":                            {given: following, when: by(""), refused: errorcatalog.ValidationFailed, field: "/recoveryPoint"},
		"an unplanned failover to an unknown point is refused":            {given: following, when: by("cut-0"), refused: errorcatalog.RecoveryPointNotFound, field: "/recoveryPoint"},
		"an unplanned failover without such a point is refused":           {given: following, when: by(protecteditem.LatestAppConsistent), refused: errorcatalog.NoRecoveryPoint, field: "/recoveryPoint"},
		"an unplanned failover without a point is refused": {
			given: history(following, protecteditem.RecoveryPointsRemoved{IDs: []string{"cut-1", "cut-2"}, At: noon}), when: start, refused: errorcatalog.NoRecoveryPoint,
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
		"a delta can be shipped during an unplanned failover":   {given: crashing2, when: protecteditem.RecordDelta{Cut: "cut-3", PreviousCut: "cut-2", Instant: shipped3.Instant, At: noon}, then: history(shipped3)},
		"a delta after a broken chain is refused":               {given: history(diverged, crashStarted), when: protecteditem.RecordDelta{Cut: "cut-3", PreviousCut: "cut-2"}, refused: errorcatalog.ResynchronizationRequiredRefusal},
		"a point is made during an unplanned failover":          {given: latest, when: protecteditem.CreateRecoveryPoint{Point: point("cut-3", 8), At: noon}, then: history(thirdPoint)},
		"a point after a broken chain is refused":               {given: history(latest, required), when: protecteditem.CreateRecoveryPoint{Point: point("cut-3", 8)}, refused: errorcatalog.ResynchronizationRequiredRefusal},
		"the source is stopped for an unplanned failover":       {given: crashing2, when: protecteditem.RecordSourceStopped{JobID: "job-crash", At: noon}, then: history(sourceOff)},
		"no point is removed during an unplanned failover":      {given: crashing2, when: protecteditem.RemoveRecoveryPoints{IDs: []string{"cut-1"}}, refused: errorcatalog.OperationInProgress},
		"the latest point is fixed once the logs are applied":   {given: applied, when: fix, then: history(fixed)},
		"the latest point fixed again changes nothing":          {given: history(applied, fixed), when: fix},
		"the latest point fixed after the end is harmless":      {given: history(applied, fixed, crashedAt3), when: fix},
		"the latest point is not an older one":                  {given: applied, when: protecteditem.RecordFailoverPoint{JobID: "job-crash", Point: "cut-2"}, refused: errorcatalog.RecoveryPointNotFound, field: "/point"},
		"the latest point leaves no log behind":                 {given: latest, when: protecteditem.RecordFailoverPoint{JobID: "job-crash", Point: "cut-2"}, refused: errorcatalog.CutOutOfOrder, field: "/point"},
		"the latest point is the newest when the logs are lost": {given: history(latest, required), when: protecteditem.RecordFailoverPoint{JobID: "job-crash", Point: "cut-2", At: noon}, then: history(fixedPoint)},
		"a point that was chosen is not changed":                {given: history(crashing2, shipped3, thirdPoint), when: fix, refused: errorcatalog.RecoveryPointNotFound, field: "/point"},
		"a point of an overtaken failover is refused":           {given: history(applied, disabling), when: fix, refused: errorcatalog.StaleJob},

		"an unplanned failover asks for its commit":                {given: crashing2, when: complete, then: history(crashed)},
		"an unplanned failover tells that the source is off":       {given: history(crashing2, sourceOff), when: complete, then: history(crashedOff)},
		"an unplanned failover completed again changes nothing":    {given: crashedOver, when: complete},
		"an unplanned failover to another point is refused":        {given: crashing2, when: protecteditem.CompleteUnplannedFailover{JobID: "job-crash", Point: "cut-1", RecoveryVM: "vm-9"}, refused: errorcatalog.RecoveryPointNotFound, field: "/point"},
		"an unplanned failover to the latest waits for logs":       {given: latest, when: complete, refused: errorcatalog.CutOutOfOrder, field: "/point"},
		"an unplanned failover without a VM is refused":            {given: crashing2, when: protecteditem.CompleteUnplannedFailover{JobID: "job-crash", Point: "cut-2"}, refused: errorcatalog.ValidationFailed, field: "/recoveryVm"},
		"an unplanned failover by an overtaken job is refused":     {given: history(crashing2, disabling), when: complete, refused: errorcatalog.StaleJob},
		"a planned failover cannot end as an unplanned one":        {given: lastShipped, when: protecteditem.CompleteUnplannedFailover{JobID: "job-fail", Point: "cut-3", RecoveryVM: "vm-9"}, refused: errorcatalog.NotProtected},
		"an unplanned failover that failed protects again":         {given: crashing2, when: fail, then: history(gaveUp)},
		"an unplanned failover that failed starts the source":      {given: history(crashing2, sourceOff), when: fail, then: history(restarted)},
		"an unplanned failover that failed again changes nothing":  {given: history(crashing2, gaveUp), when: fail},
		"an unplanned failover cannot fail after it has succeeded": {given: crashedOver, when: fail, refused: errorcatalog.StaleJob},
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
	cancelDone := protecteditem.CompleteFailoverCancel{JobID: "job-cancel", At: noon}
	restarted, owing := canceled, canceled
	restarted.SourceRestarted, owing.ChainBroken = true, true
	cancelFail := protecteditem.FailFailoverCancel{JobID: "job-cancel", Failure: unreachable, RecoveryVM: "vm-9", At: noon}
	notCanceled := protecteditem.FailoverCancelFailed{JobID: "job-cancel", Failure: *unreachable, RecoveryVM: "vm-9", At: noon}
	commit := protecteditem.CommitFailover{JobID: "job-commit", At: noon}
	return map[string]scenario{
		"the point can be changed until the commit":            {given: crashedOver, when: change, then: history(changing)},
		"the point of a planned failover can be changed":       {given: uncommitted, when: change, then: history(changing)},
		"the point can be changed to the newest there is":      {given: history(crashing2, shipped3, crashed), when: latest, then: history(newest)},
		"changing the point again changes nothing":             {given: changingTo1, when: change},
		"changing the point after the change is harmless":      {given: history(changingTo1, changed), when: change},
		"changing the point loses writes and is confirmed":     {given: crashedOver, when: unsure, refused: errorcatalog.ConfirmationRequired, field: "/confirm"},
		"changing to an unknown point is refused":              {given: crashedOver, when: nowhere, refused: errorcatalog.RecoveryPointNotFound, field: "/recoveryPoint"},
		"changing the point before the failover is refused":    {given: following, when: change, refused: errorcatalog.NoFailoverPending},
		"changing the point after the commit is refused":       {given: done, when: change, refused: errorcatalog.NoFailoverPending},
		"changing the point during the commit is refused":      {given: history(uncommitted, committing), when: change, refused: errorcatalog.OperationInProgress},
		"changing the point during the cancel is refused":      {given: cancelling, when: change, refused: errorcatalog.OperationInProgress},
		"changing the point needs a job":                       {given: crashedOver, when: protecteditem.ChangeRecoveryPoint{}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"changing the point of an unknown item is refused":     {when: change, refused: errorcatalog.ProtectedItemNotFound},
		"another point replaces the VM":                        {given: changingTo1, when: complete, then: history(changed)},
		"another point recorded again changes nothing":         {given: history(changingTo1, changed), when: complete},
		"another point needs a VM":                             {given: changingTo1, when: protecteditem.CompleteRecoveryPointChange{JobID: "job-change"}, refused: errorcatalog.ValidationFailed, field: "/recoveryVm"},
		"another point by an overtaken job is refused":         {given: history(changingTo1, disabling), when: complete, refused: errorcatalog.StaleJob},
		"another point cannot end a cancel":                    {given: cancelling, when: protecteditem.CompleteRecoveryPointChange{JobID: "job-cancel", RecoveryVM: "x"}, refused: errorcatalog.StaleJob},
		"a change that fails leaves the failover":              {given: changingTo1, when: fail, then: history(unchanged)},
		"a change that failed again changes nothing":           {given: history(changingTo1, unchanged), when: fail},
		"a change cannot fail after it has succeeded":          {given: history(changingTo1, changed), when: fail, refused: errorcatalog.StaleJob},
		"a commit after a change that lost the VM is refused":  {given: history(changingTo1, unchanged), when: commit, refused: errorcatalog.RecoveryVMMissing},
		"a cancel after a change that lost the VM is possible": {given: history(changingTo1, unchanged), when: cancel, then: history(canceling)},
		"a commit during the change is refused":                {given: changingTo1, when: commit, refused: errorcatalog.OperationInProgress},
		"a change cannot end as a commit":                      {given: changingTo1, when: protecteditem.CompleteFailoverCommit{JobID: "job-change"}, refused: errorcatalog.StaleJob},

		"an unplanned failover can be cancelled":              {given: crashedOver, when: cancel, then: history(canceling)},
		"a planned failover can be cancelled":                 {given: uncommitted, when: cancel, then: history(canceling)},
		"a cancel asked for again changes nothing":            {given: cancelling, when: cancel},
		"a cancel that has ended changes nothing":             {given: history(cancelling, canceled), when: cancel},
		"a second cancel is refused":                          {given: cancelling, when: protecteditem.CancelFailover{JobID: "other"}, refused: errorcatalog.OperationInProgress},
		"a cancel during the commit is refused":               {given: history(uncommitted, committing), when: cancel, refused: errorcatalog.OperationInProgress},
		"a cancel during the change is refused":               {given: changingTo1, when: cancel, refused: errorcatalog.OperationInProgress},
		"a cancel during the failover is refused":             {given: crashing2, when: cancel, refused: errorcatalog.NoFailoverPending},
		"a cancel after the commit is refused":                {given: done, when: cancel, refused: errorcatalog.NoFailoverPending},
		"a cancel needs a job":                                {given: crashedOver, when: protecteditem.CancelFailover{}, refused: errorcatalog.ValidationFailed, field: "/jobId"},
		"a cancel of an unknown item is refused":              {when: cancel, refused: errorcatalog.ProtectedItemNotFound},
		"a cancelled failover protects again":                 {given: cancelling, when: cancelDone, then: history(canceled)},
		"a cancelled failover starts the source":              {given: history(uncommitted, canceling), when: cancelDone, then: history(restarted)},
		"a cancelled failover tells that the chain is broken": {given: history(brokenOff, canceling), when: cancelDone, then: history(owing)},
		"a cancel recorded again changes nothing":             {given: history(cancelling, canceled), when: cancelDone},
		"a cancel by an overtaken job is refused":             {given: history(cancelling, disabling), when: cancelDone, refused: errorcatalog.StaleJob},
		"a cancel that fails leaves the failover":             {given: cancelling, when: cancelFail, then: history(notCanceled)},
		"a cancel that failed again changes nothing":          {given: history(cancelling, notCanceled), when: cancelFail},
		"a cancel cannot fail after it has succeeded":         {given: history(cancelling, canceled), when: cancelFail, refused: errorcatalog.StaleJob},
		"a broken chain is recorded until the commit":         {given: crashedOver, when: protecteditem.RequireResynchronization{Reason: required.Reason, Detail: "os", ScheduledFor: required.ScheduledFor, At: noon}, then: history(required)},
		"a broken chain recorded again changes nothing":       {given: brokenOff, when: protecteditem.RequireResynchronization{Reason: required.Reason, At: noon}},
		"no point is made of a failover that is uncommitted":  {given: history(crashing2, shipped3, crashed), when: protecteditem.CreateRecoveryPoint{Point: point("cut-3", 8)}, refused: errorcatalog.NotProtected},
	}
}

func fencingRows() map[string]scenario {
	runs := protecteditem.RecordSourceRunning{Detail: "hv-1", At: noon}
	found := protecteditem.SourceFoundRunning{Detail: "hv-1", At: noon}
	held := []protecteditem.ShippedLog{{Disk: "os", Log: "log-9", Bytes: 512}}
	fence := protecteditem.RecordSourceFenced{Held: held, At: noon}
	fenced := protecteditem.SourceFenced{Held: held, At: noon}
	return map[string]scenario{
		"a source that runs after the failover is recorded": {given: crashedOver, when: runs, then: history(found)},
		"a source that runs after the commit is recorded":   {given: done, when: runs, then: history(found)},
		"a source that still runs changes nothing":          {given: history(done, found), when: runs},
		"a source that runs before a failover is none":      {given: following, when: runs, refused: errorcatalog.NotFailedOver},
		"a source that runs during a failover is none":      {given: crashing2, when: runs, refused: errorcatalog.NotFailedOver},
		"a source of an item that ends is not watched":      {given: history(done, disabling), when: runs, refused: errorcatalog.NotFailedOver},
		"a source of an unknown item is not watched":        {when: runs, refused: errorcatalog.ProtectedItemNotFound},
		"a source is fenced with what it holds":             {given: history(crashedOver, found), when: fence, then: history(fenced)},
		"a source fenced again changes nothing":             {given: history(crashedOver, fenced), when: fence},
		"a source that holds more is recorded":              {given: history(crashedOver, protecteditem.SourceFenced{At: noon}), when: fence, then: history(fenced)},
		"a source that runs in spite of all is recorded":    {given: history(crashedOver, fenced), when: runs, then: history(found)},
		"a source is fenced only after a failover":          {given: following, when: fence, refused: errorcatalog.NotFailedOver},
		"a source of an unknown item is not fenced":         {when: fence, refused: errorcatalog.ProtectedItemNotFound},
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
	} else if code, _ := rejection(t, err); code != errorcatalog.PointPinned {
		t.Errorf("refused with %s", code)
	}
}
