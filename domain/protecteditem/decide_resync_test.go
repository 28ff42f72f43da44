package protecteditem_test

import (
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

func interruptedRows() map[string]scenario {
	retry := protecteditem.RetryNow{At: noon}
	requested := protecteditem.RetryRequested{At: noon}
	testFailed := failed(1, unauthorized, 0)
	testFailed.JobID = "job-test"
	cancel := protecteditem.CancelResynchronization{At: noon}
	canceled := protecteditem.ResynchronizationCanceled{JobID: "job-resync", At: noon}
	unnamed := protecteditem.ResynchronizationCanceled{At: noon}
	again := protecteditem.RequireResynchronization{Reason: errorcatalog.LogThresholdExceeded, Detail: "os", ScheduledFor: noon.Add(6 * time.Hour), JobID: "job-resync", At: noon}
	anew := protecteditem.ResynchronizationRequired{Reason: errorcatalog.LogThresholdExceeded, Detail: "os", ScheduledFor: again.ScheduledFor, OvertakenJobID: "job-resync", At: noon}
	repair := protecteditem.RepairReplication{JobID: "job-again", At: noon}
	asked := protecteditem.ResynchronizationRequested{JobID: "job-again", At: noon}
	start := protecteditem.StartResynchronization{JobID: "job-again", At: noon}
	return map[string]scenario{
		"a failed attempt can be repeated at once":            {Given: history(following, failed(3, unreachable, 4*time.Minute)), When: retry, Then: history(requested)},
		"a failure that was mended can be tried at once":      {Given: history(following, failed(1, unauthorized, 0)), When: retry, Then: history(requested)},
		"a failed step of a failover can be repeated":         {Given: history(crashing2, failed(1, unauthorized, 0)), When: retry, Then: history(requested)},
		"a failed step of a test failover can be repeated":    {Given: history(testRuns, testFailed), When: retry, Then: history(requested)},
		"a failed attempt that is due changes nothing":        {Given: history(following, failed(1, unreachable, time.Minute)), When: protecteditem.RetryNow{At: noon.Add(time.Hour)}},
		"a failed attempt that was asked for changes nothing": {Given: history(following, failed(1, unauthorized, 0), requested), When: retry},
		"nothing that failed, nothing to repeat":              {Given: following, When: retry, Refused: errorcatalog.NothingToDo},
		"nothing is repeated of what is disabled":             {Given: ended, When: retry, Refused: errorcatalog.NotProtected},
		"nothing is repeated of an unknown item":              {When: retry, Refused: errorcatalog.ProtectedItemNotFound},
		"a resync that runs can be cancelled":                 {Given: resyncRuns, When: cancel, Then: history(canceled)},
		"a resync that runs can be cancelled during a pause":  {Given: history(resyncRuns, paused), When: cancel, Then: history(canceled)},
		"a resync that is due can be cancelled":               {Given: diverged, When: cancel, Then: history(unnamed)},
		"a resync in the place of the copy can be cancelled":  {Given: history(replicating, required, resyncing), When: cancel, Then: history(canceled)},
		"a resync cancelled again changes nothing":            {Given: history(resyncRuns, canceled), When: cancel},
		"a resync that nothing requires cannot be cancelled":  {Given: following, When: cancel, Refused: errorcatalog.NothingToDo},
		"a resync of a failover cannot be cancelled":          {Given: crashing2, When: cancel, Refused: errorcatalog.NotProtected},
		"a resync of an unknown item cannot be cancelled":     {When: cancel, Refused: errorcatalog.ProtectedItemNotFound},
		"a cancelled resync does not start by itself":         {Given: history(resyncRuns, canceled), When: start, Refused: errorcatalog.StaleJob},
		"a cancelled resync cannot end":                       {Given: history(resyncRuns, canceled), When: protecteditem.CompleteResynchronization{JobID: "job-resync", Point: point("cut-9", 30)}, Refused: errorcatalog.StaleJob},
		"a cancelled resync can be asked for":                 {Given: history(resyncRuns, canceled), When: repair, Then: history(asked)},
		"a cancelled resync starts when asked for":            {Given: history(resyncRuns, canceled, asked), When: start, Then: history(protecteditem.ResynchronizationStarted{JobID: "job-again", At: noon})},
		"a resync whose logs outgrow the threshold":           {Given: resyncRuns, When: again, Then: history(anew)},
		"a resync whose logs outgrow the threshold, again":    {Given: history(resyncRuns, anew), When: again},
		"a resync that was overtaken requires none":           {Given: history(resyncRuns, canceled, asked, protecteditem.ResynchronizationStarted{JobID: "job-again", At: noon}), When: again},
		"a resync that begins anew does not end":              {Given: history(resyncRuns, anew), When: protecteditem.CompleteResynchronization{JobID: "job-resync", Point: point("cut-9", 30)}, Refused: errorcatalog.StaleJob},
		"a resync that begins anew starts under another job":  {Given: history(resyncRuns, anew), When: start, Then: history(protecteditem.ResynchronizationStarted{JobID: "job-again", At: noon})},
	}
}

func TestAResyncIsDueAsItWasScheduled(t *testing.T) {
	t.Parallel()
	canceled := protecteditem.ResynchronizationCanceled{JobID: "job-resync", At: noon}
	for name, tt := range map[string]struct {
		Given []protecteditem.Event
		want  time.Time
		due   bool
	}{
		"never when none is required": {Given: following},
		"at its window":               {Given: diverged, want: required.ScheduledFor, due: true},
		"not while it runs":           {Given: resyncRuns},
		"not once it was cancelled":   {Given: history(resyncRuns, canceled)},
		"not during a pause":          {Given: history(diverged, paused)},
		"at once when asked for": {
			Given: history(resyncRuns, canceled, protecteditem.ResynchronizationRequested{JobID: "j", At: noon.Add(time.Minute)}), want: noon.Add(time.Minute), due: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if at, due := protecteditem.ResyncDue(after(tt.Given)); due != tt.due || !at.Equal(tt.want) {
				t.Errorf("due = %s %v, want %s %v", at, due, tt.want, tt.due)
			}
		})
	}
}
