package api_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/domain/protecteditem"
)

func TestAPolicySaysWhenADrillIsDueAndHowLongCyclesAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	read := func(a answer) oapi.Policy {
		t.Helper()
		var p oapi.Policy
		if err := json.Unmarshal(a.body, &p); err != nil {
			t.Fatalf("%v\n%s", err, a.body)
		}
		return p
	}
	const path = "/v1/vaults/acme/policies/drilled"
	for body, code := range map[string]string{
		`{"name":"d","drillReminderDays":-1}`: "validation_failed", `{"name":"d","drillReminderDays":3651}`: "validation_failed",
		`{"name":"d","monitoringWindowHours":0}`: "validation_failed", `{"name":"d","monitoringWindowHours":169}`: "validation_failed",
	} {
		if a := w.send("PUT", path, w.key, body); a.status != http.StatusBadRequest || a.problem(t).Code != code {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	if p := read(w.must("PUT", path, `{"name":"d","drillReminderDays":90,"monitoringWindowHours":24}`)); p.DrillReminderDays != 90 || p.MonitoringWindowHours != 24 {
		t.Errorf("defined: %+v", p)
	}
	if p := read(w.must("GET", "/v1/vaults/acme/policies/p30", "")); p.DrillReminderDays != 0 || p.MonitoringWindowHours != 12 {
		t.Errorf("by default: %+v", p)
	}
	w.must("PUT", "/v1/vaults/acme/policies/p30", `{"name":"Often","copyFrequencySeconds":30,"monitoringWindowHours":12,"drillReminderDays":0}`) // as it is
}

func TestAnItemShowsWhatIsRecoverableAndItsAlertsAreOnRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	w.must("PUT", "/v1/vaults/acme/policies/drilled", `{"name":"d","drillReminderDays":90}`)
	i, enabling := w.enable()
	if shown := i.show(); shown.Recoverable != nil || shown.Cycles != nil || shown.TestFailover.DueAt != nil {
		t.Errorf("while enabling: %+v %+v", shown.Recoverable, shown.Cycles)
	}
	i.replicated(enabling.ID)
	w.must("POST", "/v1/vaults/acme/protectedItems/web/changePolicy", `{"policy":"drilled"}`)
	before := i.show()
	now := time.Now().UTC().Add(time.Second)
	i.do(protecteditem.RecordDelta{Cut: newID(), PreviousCut: lastCut(w), Instant: now, At: now})
	shown := i.show()
	if r := shown.Recoverable; r == nil || !r.Latest.Equal(now) || !r.LatestProcessed.Equal(before.LatestRecoveryPoint.Instant) || r.LatestAppConsistent != nil {
		t.Errorf("recoverable: %+v", r)
	}
	if c := shown.Cycles; c == nil || c.WindowHours != 12 || c.Done != 1 || c.Missed != 0 {
		t.Errorf("cycles: %+v", c)
	}
	if due := shown.TestFailover.DueAt; due == nil || due.Before(now.AddDate(0, 0, 89)) {
		t.Errorf("a test failover is due at %s", due)
	}

	late := now.AddDate(0, 0, 91)
	i.do(protecteditem.RecordHealth{At: late})
	i.do(protecteditem.RemindOfTestFailover{At: late})
	var list oapi.EventList
	a := w.send("GET", "/v1/vaults/acme/events?item=web&type=protected_item.health_changed.v1&minPosition="+position(w.head()), w.key, "")
	if err := json.Unmarshal(a.body, &list); err != nil || len(list.Value) != 1 || list.Value[0].Data["health"] != "Warning" {
		t.Errorf("alerts: %v %s", err, a.body)
	}
	a = w.send("GET", "/v1/vaults/acme/events?item=web&type=protected_item.test_failover_due.v1&minPosition="+position(w.head()), w.key, "")
	if err := json.Unmarshal(a.body, &list); err != nil || len(list.Value) != 1 {
		t.Errorf("reminders: %v %s", err, a.body)
	}
}
