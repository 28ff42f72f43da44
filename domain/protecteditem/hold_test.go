package protecteditem_test

import (
	"testing"

	"farshore/domain/domaintest"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

func TestAPlannedFailoverIsHeldUntilItIsReleased(t *testing.T) {
	t.Parallel()
	start := protecteditem.StartPlannedFailover{JobID: "job-fail", Hold: true, At: noon}
	holding := protecteditem.PlannedFailoverStarted{JobID: "job-fail", Hold: true, At: noon}
	ready := protecteditem.RecordPlannedFailoverReady{JobID: "job-fail", At: noon}
	waits := protecteditem.PlannedFailoverReady{JobID: "job-fail", At: noon}
	release := protecteditem.ReleasePlannedFailover{JobID: "job-fail", At: noon}
	goesOn := protecteditem.PlannedFailoverReleased{JobID: "job-fail", At: noon}
	domaintest.Decide(t, protecteditem.Decider, map[string]scenario{
		"a failover can be held":                     {Given: following, When: start, Then: history(holding)},
		"a held failover waits":                      {Given: history(following, holding, stopped), When: ready, Then: history(waits)},
		"waiting recorded again changes nothing":     {Given: history(following, holding, waits), When: ready},
		"waiting recorded after the end is harmless": {Given: uncommitted, When: ready},
		"a released failover does not wait":          {Given: history(following, holding, goesOn), When: ready},
		"waiting of an overtaken job is refused":     {Given: history(following, holding, disabling), When: ready, Refused: errorcatalog.StaleJob},
		"what waits is released":                     {Given: history(following, holding, waits), When: release, Then: history(goesOn)},
		"it is released before it waits":             {Given: history(following, holding), When: release, Then: history(goesOn)},
		"released again changes nothing":             {Given: history(following, holding, waits, goesOn), When: release},
		"released after the end is harmless":         {Given: uncommitted, When: release},
		"what is not held is not released":           {Given: failing, When: release, Refused: errorcatalog.JobNotWaiting},
		"a release without a failover is refused":    {Given: following, When: release, Refused: errorcatalog.StaleJob},
		"a held failover that fails is taken back":   {Given: history(following, holding, stopped, waits), When: protecteditem.FailPlannedFailover{JobID: "job-fail", Failure: unreachable, At: noon}, Then: history(protecteditem.PlannedFailoverFailed{JobID: "job-fail", Failure: *unreachable, SourceRestarted: true, At: noon})},
	})
}

func TestAFailoverYieldsToAnUnplannedOneUntilItsVMCanRun(t *testing.T) {
	t.Parallel()
	holding := protecteditem.PlannedFailoverStarted{JobID: "job-fail", Hold: true, At: noon}
	waits := protecteditem.PlannedFailoverReady{JobID: "job-fail", At: noon}
	goesOn := protecteditem.PlannedFailoverReleased{JobID: "job-fail", At: noon}
	inVain := protecteditem.RecordFailure{JobID: "job-fail", Failure: unreachable, At: noon}
	lost := protecteditem.StartUnplannedFailover{JobID: "job-crash", Choice: protecteditem.LatestProcessed, At: noon}
	takes := crashStarted
	takes.OvertakenJobID = "job-fail"
	next := lost
	next.JobID = "job-next"
	takesNext := takes
	takesNext.JobID, takesNext.OvertakenJobID = "job-next", "job-crash"
	failed := func(given []protecteditem.Event, cmd protecteditem.Command) []protecteditem.Event {
		events, err := protecteditem.Decider.Decide(after(given), cmd)
		if err != nil {
			t.Fatal(err)
		}
		return history(given, events)
	}
	overtaken := history(following, holding, stopped, waits, takes)
	inVainAgain := inVain
	inVainAgain.JobID = "job-crash"
	gaveUp := protecteditem.UnplannedFailoverFailed{JobID: "job-crash", Failure: *unreachable, SourceRestarted: true, At: noon}
	domaintest.Decide(t, protecteditem.Decider, map[string]scenario{
		"what waits for its plan":                      {Given: history(following, holding, stopped, waits), When: lost, Then: history(takes)},
		"what is on its way to there":                  {Given: history(following, holding), When: lost, Then: history(takes)},
		"what is overtaken is asked for again":         {Given: overtaken, When: lost},
		"what is released does not yield":              {Given: history(following, holding, stopped, waits, goesOn), When: lost, Refused: errorcatalog.OperationInProgress},
		"what is not held does not yield":              {Given: history(failing, stopped), When: lost, Refused: errorcatalog.OperationInProgress},
		"what is not taken back to a lost source":      {Given: failed(history(failing, stopped), inVain), When: lost, Then: history(takes)},
		"nor is the one after it":                      {Given: failed(overtaken, inVainAgain), When: next, Then: history(takesNext)},
		"the one after it does not yield on its way":   {Given: overtaken, When: next, Refused: errorcatalog.OperationInProgress},
		"what was stopped runs again if it fails":      {Given: overtaken, When: protecteditem.FailUnplannedFailover{JobID: "job-crash", Failure: unreachable, At: noon}, Then: history(gaveUp)},
		"the overtaken one is not released any more":   {Given: overtaken, When: protecteditem.ReleasePlannedFailover{JobID: "job-fail", At: noon}, Refused: errorcatalog.StaleJob},
		"the overtaken one does not wait any more":     {Given: overtaken, When: protecteditem.RecordPlannedFailoverReady{JobID: "job-fail", At: noon}, Refused: errorcatalog.StaleJob},
		"the overtaken one does not complete any more": {Given: overtaken, When: protecteditem.CompletePlannedFailover{JobID: "job-fail", Point: "cut-2", RecoveryVM: "vm-9", At: noon}, Refused: errorcatalog.StaleJob},
	})
}
