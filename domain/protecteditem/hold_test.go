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
		"a failover can be held":                      {Given: following, When: start, Then: history(holding)},
		"a held failover waits":                       {Given: history(following, holding, stopped), When: ready, Then: history(waits)},
		"waiting recorded again changes nothing":      {Given: history(following, holding, waits), When: ready},
		"waiting recorded after the end is harmless":  {Given: uncommitted, When: ready},
		"a released failover does not wait":           {Given: history(following, holding, goesOn), When: ready},
		"waiting of an overtaken job is refused":      {Given: history(following, holding, disabling), When: ready, Refused: errorcatalog.StaleJob},
		"what waits is released":                      {Given: history(following, holding, waits), When: release, Then: history(goesOn)},
		"it is released before it waits":              {Given: history(following, holding), When: release, Then: history(goesOn)},
		"released again changes nothing":              {Given: history(following, holding, waits, goesOn), When: release},
		"released after the end is harmless":          {Given: uncommitted, When: release},
		"what is not held is not released":            {Given: failing, When: release, Refused: errorcatalog.JobNotWaiting},
		"a release without a failover is refused":     {Given: following, When: release, Refused: errorcatalog.StaleJob},
		"a held failover that fails is taken back":    {Given: history(following, holding, stopped, waits), When: protecteditem.FailPlannedFailover{JobID: "job-fail", Failure: unreachable, At: noon}, Then: history(protecteditem.PlannedFailoverFailed{JobID: "job-fail", Failure: *unreachable, SourceRestarted: true, At: noon})},
		"a held failover cannot be overtaken by hand": {Given: history(following, holding, waits), When: protecteditem.StartUnplannedFailover{JobID: "other", Choice: protecteditem.Latest}, Refused: errorcatalog.OperationInProgress},
	})
}
