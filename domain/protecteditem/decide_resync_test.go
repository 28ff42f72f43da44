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
		"a failed attempt can be repeated at once":            {given: history(following, failed(3, unreachable, 4*time.Minute)), when: retry, then: history(requested)},
		"a failure that was mended can be tried at once":      {given: history(following, failed(1, unauthorized, 0)), when: retry, then: history(requested)},
		"a failed step of a failover can be repeated":         {given: history(crashing2, failed(1, unauthorized, 0)), when: retry, then: history(requested)},
		"a failed step of a test failover can be repeated":    {given: history(testRuns, testFailed), when: retry, then: history(requested)},
		"a failed attempt that is due changes nothing":        {given: history(following, failed(1, unreachable, time.Minute)), when: protecteditem.RetryNow{At: noon.Add(time.Hour)}},
		"a failed attempt that was asked for changes nothing": {given: history(following, failed(1, unauthorized, 0), requested), when: retry},
		"nothing that failed, nothing to repeat":              {given: following, when: retry, refused: errorcatalog.NothingToDo},
		"nothing is repeated of what is disabled":             {given: ended, when: retry, refused: errorcatalog.NotProtected},
		"nothing is repeated of an unknown item":              {when: retry, refused: errorcatalog.ProtectedItemNotFound},
		"a resync that runs can be cancelled":                 {given: resyncRuns, when: cancel, then: history(canceled)},
		"a resync that runs can be cancelled during a pause":  {given: history(resyncRuns, paused), when: cancel, then: history(canceled)},
		"a resync that is due can be cancelled":               {given: diverged, when: cancel, then: history(unnamed)},
		"a resync in the place of the copy can be cancelled":  {given: history(replicating, required, resyncing), when: cancel, then: history(canceled)},
		"a resync cancelled again changes nothing":            {given: history(resyncRuns, canceled), when: cancel},
		"a resync that nothing requires cannot be cancelled":  {given: following, when: cancel, refused: errorcatalog.NothingToDo},
		"a resync of a failover cannot be cancelled":          {given: crashing2, when: cancel, refused: errorcatalog.NotProtected},
		"a resync of an unknown item cannot be cancelled":     {when: cancel, refused: errorcatalog.ProtectedItemNotFound},
		"a cancelled resync does not start by itself":         {given: history(resyncRuns, canceled), when: start, refused: errorcatalog.StaleJob},
		"a cancelled resync cannot end":                       {given: history(resyncRuns, canceled), when: protecteditem.CompleteResynchronization{JobID: "job-resync", Point: point("cut-9", 30)}, refused: errorcatalog.StaleJob},
		"a cancelled resync can be asked for":                 {given: history(resyncRuns, canceled), when: repair, then: history(asked)},
		"a cancelled resync starts when asked for":            {given: history(resyncRuns, canceled, asked), when: start, then: history(protecteditem.ResynchronizationStarted{JobID: "job-again", At: noon})},
		"a resync whose logs outgrow the threshold":           {given: resyncRuns, when: again, then: history(anew)},
		"a resync whose logs outgrow the threshold, again":    {given: history(resyncRuns, anew), when: again},
		"a resync that was overtaken requires none":           {given: history(resyncRuns, canceled, asked, protecteditem.ResynchronizationStarted{JobID: "job-again", At: noon}), when: again},
		"a resync that begins anew does not end":              {given: history(resyncRuns, anew), when: protecteditem.CompleteResynchronization{JobID: "job-resync", Point: point("cut-9", 30)}, refused: errorcatalog.StaleJob},
		"a resync that begins anew starts under another job":  {given: history(resyncRuns, anew), when: start, then: history(protecteditem.ResynchronizationStarted{JobID: "job-again", At: noon})},
	}
}

func TestAResyncIsDueAsItWasScheduled(t *testing.T) {
	t.Parallel()
	canceled := protecteditem.ResynchronizationCanceled{JobID: "job-resync", At: noon}
	for name, tt := range map[string]struct {
		given []protecteditem.Event
		want  time.Time
		due   bool
	}{
		"never when none is required": {given: following},
		"at its window":               {given: diverged, want: required.ScheduledFor, due: true},
		"not while it runs":           {given: resyncRuns},
		"not once it was cancelled":   {given: history(resyncRuns, canceled)},
		"not during a pause":          {given: history(diverged, paused)},
		"at once when asked for": {
			given: history(resyncRuns, canceled, protecteditem.ResynchronizationRequested{JobID: "j", At: noon.Add(time.Minute)}), want: noon.Add(time.Minute), due: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if at, due := protecteditem.ResyncDue(after(tt.given)); due != tt.due || !at.Equal(tt.want) {
				t.Errorf("due = %s %v, want %s %v", at, due, tt.want, tt.due)
			}
		})
	}
}
