package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
)

const (
	shopPath = "/v1/vaults/acme/recoveryPlans/shop"
	shopPlan = `{"name":"Shop","groups":[
		{"items":["web"],"postActions":[{"name":"DNS","kind":"Script","script":"dns.sh","failoverTypes":["PlannedFailover"]}]},
		{"items":["db"],"preActions":[{"name":"look","kind":"Manual","instructions":"look at it"},{"name":"answers","kind":"AwaitPort","address":"db.example:5432","timeoutSeconds":9}]}]}`
)

// plan reads the plan once its read model has everything.
func (w *world) plan() oapi.RecoveryPlan {
	w.t.Helper()
	r, err := w.client.GetRecoveryPlanWithResponse(context.Background(), "acme", "shop", &oapi.GetRecoveryPlanParams{MinPosition: new(int64(w.head()))})
	if err != nil || r.JSON200 == nil {
		w.t.Fatalf("plan: %v %s", err, r.Body)
	}
	return *r.JSON200
}

// planned records what the worker of a plan would.
func (w *world) planned(cmds ...recoveryplan.Command) {
	w.t.Helper()
	for _, cmd := range cmds {
		execute(w, recoveryplan.Category, recoveryplan.Decider, "acme.shop", cmd, "acme")
	}
}

func TestAPlanIsDefinedChangedAndDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	refused := func(a answer, status int, code string) {
		t.Helper()
		if a.status != status || a.problem(t).Code != code {
			t.Errorf("answered %d, want %d %s\n%s", a.status, status, code, a.body)
		}
	}
	refused(w.send("GET", shopPath, w.key, ""), http.StatusNotFound, "recovery_plan_not_found")
	if a := w.must("PUT", shopPath, shopPlan); a.status != http.StatusCreated || a.header.Get("ETag") == "" {
		t.Errorf("defined with %d", a.status)
	}
	if a := w.must("PUT", shopPath, shopPlan); a.status != http.StatusOK {
		t.Errorf("defined again with %d", a.status)
	}
	p := w.plan()
	if p.Name != "Shop" || p.OnFailure != "Stop" || p.Revision != 1 || p.Readiness.State != "NeverChecked" || len(p.Groups) != 2 {
		t.Errorf("plan %+v", p)
	}
	if post := *p.Groups[0].PostActions; *post[0].TimeoutSeconds != 300 || *post[0].Script != "dns.sh" || (*post[0].FailoverTypes)[0] != "PlannedFailover" {
		t.Errorf("actions %+v", post)
	}
	other := strings.Replace(shopPlan, "Shop", "Till", 1)
	refused(w.send("PUT", shopPath, w.key, other), http.StatusPreconditionRequired, "precondition_required")
	refused(w.send("PUT", shopPath, w.key, other, "If-Match", `"9"`), http.StatusPreconditionFailed, "precondition_failed")
	if a := w.send("PUT", shopPath, w.key, other, "If-Match", p.Etag); a.status != http.StatusOK || w.plan().Revision != 2 {
		t.Errorf("changed with %d", a.status)
	}
	for body, code := range map[string]string{
		`{"groups":[]}`: "validation_failed", `{"groups":[{"items":["web","web"]}]}`: "validation_failed", `{"groups":[{"itms":[]}]}`: "unknown_field",
		`{"groups":[{"items":["web"],"preActions":[{"name":"x","kind":"Script","script":"../sh"}]}]}`:    "validation_failed",
		`{"groups":[{"items":["web"],"preActions":[{"name":"x","kind":"AwaitPort","address":"none"}]}]}`: "validation_failed",
	} {
		refused(w.send("PUT", "/v1/vaults/acme/recoveryPlans/other", w.key, body), http.StatusBadRequest, code)
	}
	r, err := w.client.ListRecoveryPlansWithResponse(t.Context(), "acme", &oapi.ListRecoveryPlansParams{MinPosition: new(int64(w.head()))})
	if err != nil || r.JSON200 == nil || len(r.JSON200.Value) != 1 {
		t.Fatalf("plans: %v %s", err, r.Body)
	}
	refused(w.send("DELETE", shopPath, w.key, ""), http.StatusPreconditionRequired, "precondition_required")
	if a := w.send("DELETE", shopPath, w.key, "", "If-Match", "*"); a.status != http.StatusNoContent {
		t.Errorf("deleted with %d", a.status)
	}
	head := int64(w.head())
	if r, err := w.client.GetRecoveryPlanWithResponse(t.Context(), "acme", "shop", &oapi.GetRecoveryPlanParams{MinPosition: &head}); err != nil || r.StatusCode() != http.StatusNotFound {
		t.Errorf("a deleted plan: %v %s", err, r.Body)
	}
	refused(w.send("DELETE", shopPath, w.key, "", "If-Match", "*"), http.StatusNotFound, "recovery_plan_not_found")
	refused(w.send("POST", shopPath+"/failback", w.key, ""), http.StatusNotFound, "recovery_plan_not_found")
}

func TestAPlanSaysWhatWouldFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	w.must("PUT", shopPath, shopPlan)
	check := func(path, body string) oapi.PlanCheck {
		t.Helper()
		before := w.head()
		a := w.must("POST", shopPath+path+"?validateOnly=true", body)
		var c oapi.PlanCheck
		if err := json.Unmarshal(a.body, &c); err != nil || a.status != http.StatusOK || w.head() != before {
			t.Fatalf("checked with %d: %v\n%s", a.status, err, a.body)
		}
		return c
	}
	codes := func(findings []oapi.PlanFinding) string {
		var all []string
		for _, f := range findings {
			all = append(all, deref(f.Item)+deref(f.Action)+":"+f.Code)
			if deref(f.Remedy) == "" {
				t.Errorf("%s has no remedy", f.Code)
			}
		}
		return strings.Join(all, " ")
	}
	if c := check("/plannedFailover", ""); c.Ready || codes(c.Findings) != "web:not_protected DNS:script_not_found db:protected_item_not_found" {
		t.Errorf("checked: %s", codes(c.Findings))
	}
	if c := check("/testFailover", `{"network":"lab"}`); codes(c.Findings) != "web:not_protected db:protected_item_not_found" {
		t.Errorf("checked: %s", codes(c.Findings))
	}
	ready := func() oapi.PlanReadiness {
		t.Helper()
		a := w.must("POST", shopPath+"/checkReadiness", `{"operation":"TestFailover"}`)
		var p oapi.RecoveryPlan
		if err := json.Unmarshal(a.body, &p); err != nil {
			t.Fatal(err)
		}
		return p.Readiness
	}
	if r := ready(); r.State != "NotReady" || len(*r.Findings) != 2 || r.CheckedAt == nil || !strings.HasPrefix(deref(r.CheckedBy), "apikey:") {
		t.Errorf("readiness %+v", r)
	}
	i.replicated(enabling.ID)
	a := w.send("PUT", shopPath, w.key, `{"groups":[{"items":["web"]}]}`, "If-Match", "*")
	if a.status != http.StatusOK || w.plan().Readiness.State != "Lapsed" {
		t.Errorf("a changed plan is %s after %d", w.plan().Readiness.State, a.status)
	}
	if r := ready(); r.State != "Ready" || w.plan().Readiness.State != "Ready" {
		t.Errorf("readiness %+v", r)
	}
	// What is where the run would bring it does not make the plan unready.
	if c := check("/failback", ""); !c.Ready {
		t.Errorf("checked: %s", codes(c.Findings))
	}
	i.do(protecteditem.PauseReplication{At: time.Now()})
	if c := check("/plannedFailover", ""); codes(c.Findings) != "web:replication_paused_refusal" {
		t.Errorf("checked: %s", codes(c.Findings))
	}
	if c := check("/plannedFailover", ""); c.Ready {
		t.Error("a paused item is ready")
	}
}

func TestAPlanRunsOnceForARequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	w.must("PUT", shopPath, shopPlan)
	start := func(key string) answer {
		return w.send("POST", shopPath+"/unplannedFailover", w.key, `{"recoveryPoint":"LatestProcessed"}`, "Idempotency-Key", key)
	}
	var id string
	for range 2 {
		j := jobIn(t, start("once"))
		if j.Kind != "RecoveryPlanUnplannedFailover" || deref(j.RecoveryPlan) != "shop" || j.Item != "" || id != "" && j.ID != id {
			t.Errorf("job %+v after %s", j, id)
		}
		id = j.ID
	}
	i.refusing(func() answer { return start("twice") }, http.StatusConflict, "operation_in_progress")
	i.refusing(func() answer { return w.send("DELETE", shopPath, w.key, "", "If-Match", "*") }, http.StatusConflict, "operation_in_progress")
	if p := w.plan(); p.CurrentRun == nil || p.CurrentRun.Job != id || p.CurrentRun.Status != oapi.JobStatusNotStarted {
		t.Errorf("the plan runs %+v", p.CurrentRun)
	}
	for _, o := range w.plan().AllowedOperations {
		if o.Allowed || deref(o.Code) != "operation_in_progress" || deref(o.Reason) == "" {
			t.Errorf("while it runs: %+v", o)
		}
	}
	// Its worker announces the items' jobs, asks an operator, and fails.
	now, child := time.Now(), newID()
	i.journal(id, job.Start{Vault: "acme", Kind: job.RecoveryPlanUnplannedFailover, Subject: "acme.shop", Tasks: []job.TaskSpec{{Name: "a", Title: "A"}, {Name: "b", Title: "B"}}, At: now},
		job.StartTask{Task: "a", At: now}, job.AwaitInput{Task: "a", Instructions: "look", At: now})
	i.journal(child, job.Announce{Vault: "acme", Kind: job.UnplannedFailover, Subject: "acme.web", Parent: id, At: now},
		job.Fail{Failure: errorcatalog.Fail(errorcatalog.HostUnreachable, "h2"), At: now})
	j := i.job(id)
	if j.Status != oapi.JobStatusWaitingForInput || j.Input == nil || deref(j.Input.Instructions) != "look" {
		t.Errorf("the job waits for %+v", j.Input)
	}
	if j.Children == nil || len(*j.Children) != 1 || (*j.Children)[0].ID != child || (*j.Children)[0].Item != "web" || (*j.Children)[0].Error.Code != "host_unreachable" {
		t.Errorf("its parts are %+v", j.Children)
	}
	if a := w.send("POST", "/v1/vaults/acme/jobs/"+id+"/resume", w.key, `{"task":"a","comments":"seen"}`); jobIn(t, a).ID != id || len(*i.job(id).Comments) != 1 {
		t.Errorf("resumed: %s", a.body)
	}
	r, err := w.client.ListJobsWithResponse(t.Context(), "acme", &oapi.ListJobsParams{RecoveryPlan: new("shop"), MinPosition: new(int64(w.head()))})
	if err != nil || r.JSON200 == nil || len(r.JSON200.Value) != 1 || r.JSON200.Value[0].ID != id {
		t.Errorf("jobs of the plan: %v %s", err, r.Body)
	}
	i.refusing(func() answer { return i.restart(id, "soon") }, http.StatusConflict, "job_not_failed")
	f := errorcatalog.Fail(errorcatalog.PlanItemFailed, "web")
	w.planned(recoveryplan.EndRun{JobID: id, Outcome: recoveryplan.Failed, Failure: f, At: now, Items: []recoveryplan.ItemOutcome{{Item: "web", Job: child, Outcome: recoveryplan.Failed, Detail: "h2"}}})
	i.journal(id, job.Fail{Failure: f, At: now})
	if last := w.plan().LastRun; last == nil || last.Status != oapi.JobStatusFailed || last.Error.Code != "plan_item_failed" || len(*last.Items) != 1 {
		t.Errorf("the last run is %+v", last)
	}
	var again string
	for range 2 {
		anew := jobIn(t, i.restart(id, "go-on"))
		if anew.ID == id || again != "" && anew.ID != again {
			t.Errorf("restarted as %s after %s", anew.ID, again)
		}
		again = anew.ID
	}
	if old, anew := i.job(id), i.job(again); deref(old.RestartedAs) != again || deref(anew.RestartOf) != id {
		t.Errorf("%s was restarted as %s", deref(anew.RestartOf), deref(old.RestartedAs))
	}
	if run := w.plan().CurrentRun; run == nil || deref(run.RestartOf) != id || run.Operation != "UnplannedFailover" {
		t.Errorf("the plan goes on as %+v", run)
	}
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
