package api_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

func TestAnAppConsistentPointIsAskedForAndShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	const path = "/v1/vaults/acme/protectedItems/web"
	for body, code := range map[string]string{
		`{"consistency":"Planned"}`: "validation_failed", `{"consistency":7}`: "validation_failed", `[]`: "validation_failed", `{"atRest":true}`: "unknown_field",
	} {
		i.refusing(func() answer { return w.send("POST", path+"/replicateNow", w.key, body) }, http.StatusBadRequest, code)
	}
	if shown := i.show(); shown.AppConsistency != nil {
		t.Errorf("before anybody asked: %+v", shown.AppConsistency)
	}
	asked, err := w.client.ReplicateNowWithResponse(t.Context(), "acme", "web", &oapi.ReplicateNowParams{}, oapi.ReplicateNowInput{
		Consistency: new(oapi.ReplicateNowInputConsistencyAppConsistent),
	})
	if err != nil || asked.StatusCode() != http.StatusAccepted {
		t.Fatalf("asked: %v %s", err, asked.Body)
	}
	head := w.head()
	if a := w.send("POST", path+"/replicateNow", w.key, `{"consistency":"AppConsistent"}`); a.status != http.StatusAccepted || w.head() != head {
		t.Errorf("asked again: %d %s", a.status, a.body)
	}

	now := time.Now()
	failed := point(now)
	i.do(protecteditem.RecordDelta{
		Cut: failed.ID, PreviousCut: lastCut(w), Instant: failed.Instant, At: now,
		Freeze: &protecteditem.Freeze{Milliseconds: 30, Failure: errorcatalog.Fail(errorcatalog.FreezeHookFailed, "pre of VM web: busy")},
	})
	shown := i.show()
	if a := shown.AppConsistency; a == nil || a.Error == nil || a.Error.Code != "freeze_hook_failed" || a.LastAt != nil || a.LastAttemptAt == nil || a.FrozenMilliseconds != nil {
		t.Errorf("after a freeze that failed: %+v", a)
	}
	if shown.ReplicationHealth != oapi.ReplicationHealthWarning || shown.HealthErrors[0].Code != "freeze_hook_failed" || shown.HealthErrors[0].Remedy == nil {
		t.Errorf("health: %s %+v", shown.ReplicationHealth, shown.HealthErrors)
	}

	i.do(protecteditem.CreateRecoveryPoint{Point: failed, At: now})
	made := point(now.Add(time.Second))
	made.Consistency = protecteditem.AppConsistent
	i.do(protecteditem.RecordDelta{
		Cut: made.ID, PreviousCut: failed.ID, Instant: made.Instant, Consistency: protecteditem.AppConsistent, Freeze: &protecteditem.Freeze{Milliseconds: 30}, At: now,
	})
	i.do(protecteditem.CreateRecoveryPoint{Point: made, At: now})
	shown = i.show()
	if a := shown.AppConsistency; a == nil || a.Error != nil || a.LastAt == nil || *a.FrozenMilliseconds != 30 || a.NextAt != nil || shown.ReplicationHealth != oapi.ReplicationHealthNormal {
		t.Errorf("after a success: %+v, %s", a, shown.ReplicationHealth)
	}
	var shownPoint oapi.RecoveryPoint
	if err := json.Unmarshal(w.send("GET", path+"/recoveryPoints/"+made.ID, w.key, "").body, &shownPoint); err != nil || shownPoint.Consistency != "AppConsistent" {
		t.Errorf("the point is %+v, %v", shownPoint, err)
	}
}
