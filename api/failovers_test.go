package api_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/domain/protecteditem"
)

// asked is the answer that the generated client gets.
func (i item) asked(ask func() (*http.Response, error)) answer {
	i.t.Helper()
	resp, err := ask()
	if err != nil {
		i.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: body}
}

// verb is an operation that begins a job.
type verb struct {
	kind  oapi.JobKind
	wrong string       // its refusal while protection is being enabled
	again string       // its refusal once it has begun
	ready func(i item) // brings a protected item to where it is possible; nil: it is
	ask   func(c oapi.ClientInterface, key *string, only bool) (*http.Response, error)
}

// verbs are the operations by their routes.
func verbs() map[string]verb {
	ctx := context.Background()
	return map[string]verb{
		"plannedFailover": {
			kind: oapi.JobKindPlannedFailover, wrong: "not_protected", again: "operation_in_progress",
			ask: func(c oapi.ClientInterface, key *string, only bool) (*http.Response, error) {
				return c.PlannedFailover(ctx, "acme", "web", &oapi.PlannedFailoverParams{IdempotencyKey: key, ValidateOnly: &only})
			},
		},
		"unplannedFailover": {
			kind: oapi.JobKindUnplannedFailover, wrong: "not_protected", again: "operation_in_progress",
			ask: func(c oapi.ClientInterface, key *string, only bool) (*http.Response, error) {
				return c.UnplannedFailover(ctx, "acme", "web", &oapi.UnplannedFailoverParams{IdempotencyKey: key, ValidateOnly: &only},
					oapi.UnplannedFailoverInput{RecoveryPoint: new("LatestProcessed"), ShutDownSource: new(true)})
			},
		},
		"testFailover": {
			kind: oapi.JobKindTestFailover, wrong: "not_protected", again: "test_failover_open",
			ask: func(c oapi.ClientInterface, key *string, only bool) (*http.Response, error) {
				return c.TestFailover(ctx, "acme", "web", &oapi.TestFailoverParams{IdempotencyKey: key, ValidateOnly: &only}, oapi.TestFailoverInput{Network: new("lab")})
			},
		},
		"testFailoverCleanup": {
			kind: oapi.JobKindTestFailoverCleanup, wrong: "no_test_failover", again: "operation_in_progress", ready: item.tested,
			ask: func(c oapi.ClientInterface, key *string, _ bool) (*http.Response, error) {
				return c.CleanUpTestFailover(ctx, "acme", "web", &oapi.CleanUpTestFailoverParams{IdempotencyKey: key}, oapi.TestFailoverCleanupInput{Notes: new("it works\n\teven the till")})
			},
		},
		"failoverCancel": {
			kind: oapi.JobKindFailoverCancel, wrong: "no_failover_pending", again: "operation_in_progress", ready: item.failedOver,
			ask: func(c oapi.ClientInterface, key *string, _ bool) (*http.Response, error) {
				return c.CancelFailover(ctx, "acme", "web", &oapi.CancelFailoverParams{IdempotencyKey: key})
			},
		},
		"failoverCommit": {
			kind: oapi.JobKindFailoverCommit, wrong: "no_failover_pending", again: "operation_in_progress", ready: item.failedOver,
			ask: func(c oapi.ClientInterface, key *string, _ bool) (*http.Response, error) {
				return c.CommitFailover(ctx, "acme", "web", &oapi.CommitFailoverParams{IdempotencyKey: key})
			},
		},
	}
}

// newest is the id of the item's newest recovery point.
func (i item) newest() string {
	i.t.Helper()
	p := i.show().LatestRecoveryPoint
	if p == nil {
		i.t.Fatal("there is no recovery point")
	}
	return p.ID
}

// failedOver takes a protected item through an unplanned failover.
func (i item) failedOver() {
	j, now := newID(), time.Now()
	i.do(protecteditem.StartUnplannedFailover{JobID: j, Choice: protecteditem.LatestProcessed, At: now})
	i.do(protecteditem.CompleteUnplannedFailover{JobID: j, Point: i.newest(), RecoveryVM: "web-1", At: now})
}

// tested takes a protected item through a test failover.
func (i item) tested() {
	j, now := newID(), time.Now()
	i.do(protecteditem.StartTestFailover{JobID: j, Choice: protecteditem.LatestProcessed, At: now})
	i.do(protecteditem.CompleteTestFailover{JobID: j, Point: i.newest(), VM: "web-test", At: now})
}

// refusing asks for what is to be refused, and expects the log to stay as it is.
func (i item) refusing(a func() answer, status int, code string) {
	i.t.Helper()
	before := i.head()
	got := a()
	if got.status != status || got.problem(i.t).Code != code {
		i.t.Errorf("answered %d, want %d %s\n%s", got.status, status, code, got.body)
	}
	if after := i.head(); after != before {
		i.t.Errorf("the refusal took the log from %d to %d", before, after)
	}
}

// may expects what an item says about an operation; code is why not.
func (i item) may(name, code string) {
	i.t.Helper()
	operations := i.show().AllowedOperations
	n := slices.IndexFunc(operations, func(o oapi.Operation) bool { return o.Name == name })
	if n < 0 {
		i.t.Fatalf("the item says nothing about %s: %+v", name, operations)
	}
	if o := operations[n]; o.Allowed != (code == "") || (code != "" && (o.Code == nil || *o.Code != code)) {
		i.t.Errorf("%s: %+v, want %q", name, o, code)
	}
}

func TestAJobsOperationIsRefusedOutOfPlaceAndBegunOnce(t *testing.T) {
	t.Parallel()
	asked := verbs()
	maps.Copy(asked, wayBack())
	for name, v := range asked {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.furnish("acme")
			i := item{w, "web"}
			ask := func(key *string, only bool) func() answer {
				return func() answer { return i.asked(func() (*http.Response, error) { return v.ask(w.client, key, only) }) }
			}
			i.refusing(ask(nil, false), http.StatusNotFound, "protected_item_not_found")
			i, enabling := w.enable()
			i.refusing(ask(new("early"), false), http.StatusConflict, v.wrong)
			i.may(name, v.wrong)
			i.replicated(enabling.ID)
			if v.ready != nil {
				v.ready(i)
			}
			i.may(name, "")
			begun := jobIn(t, ask(new("once"), false)())
			if begun.Kind != v.kind || begun.Status != oapi.JobStatusNotStarted || begun.Item != "web" {
				t.Errorf("job: %+v", begun)
			}
			i.knows(begun)
			head := w.head()
			if again := jobIn(t, ask(new("once"), false)()); again.ID != begun.ID || w.head() != head {
				t.Errorf("repeated: job %s, first %s; the log went from %d to %d", again.ID, begun.ID, head, w.head())
			}
			i.refusing(ask(new("twice"), false), http.StatusConflict, v.again)
			i.may(name, v.again)
		})
	}
}

// knows expects a job among those of its kind before any worker has taken it up.
func (i item) knows(j oapi.Job) {
	i.t.Helper()
	r, err := i.client.ListJobsWithResponse(context.Background(), "acme", &oapi.ListJobsParams{
		Item: &i.id, Kind: &j.Kind, State: new(oapi.JobStatusNotStarted), MinPosition: new(int64(i.head())),
	})
	if err != nil || r.JSON200 == nil || len(r.JSON200.Value) != 1 || r.JSON200.Value[0].ID != j.ID {
		i.t.Errorf("jobs: %v %s", err, r.Body)
	}
}

func TestAFailoverIsValidatedWithoutATrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	for _, name := range []string{"plannedFailover", "unplannedFailover", "testFailover"} {
		v := verbs()[name]
		i.refusing(func() answer { return i.asked(func() (*http.Response, error) { return v.ask(w.client, nil, true) }) }, http.StatusConflict, v.wrong)
	}
	i.replicated(enabling.ID)
	head := w.head()
	for _, name := range []string{"plannedFailover", "unplannedFailover", "testFailover"} {
		if a := i.asked(func() (*http.Response, error) { return verbs()[name].ask(w.client, nil, true) }); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if w.head() != head {
		t.Error("validation left an event")
	}
}

func TestAnUnplannedFailoverGoesToTheLatestUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	const path = "/v1/vaults/acme/protectedItems/web"
	for name, tt := range map[string]struct {
		body   string
		status int
		say    string // in the event, or the refusal's code
	}{
		"no body":              {"", 202, `"choice":"latest"`},
		"an empty body":        {"{}", 202, `"choice":"latest"`},
		"the latest":           {`{"recoveryPoint":"Latest"}`, 202, `"choice":"latest"`},
		"the latest processed": {`{"recoveryPoint":"LatestProcessed","shutDownSource":true}`, 202, `"choice":"latestProcessed"`},
		"a point's id":         {`{"recoveryPoint":"{newest}"}`, 202, `"choice":"{newest}"`},
		"none that is app":     {`{"recoveryPoint":"LatestAppConsistent"}`, 409, "no_recovery_point"},
		"one that is not":      {`{"recoveryPoint":"0198c0de-0000-7000-8000-000000000000"}`, 409, "recovery_point_not_found"},
		"the domain's word":    {`{"recoveryPoint":"latest"}`, 400, "validation_failed"},
		"a word of no meaning": {`{"recoveryPoint":"Newest"}`, 400, "validation_failed"},
		"a wrong type":         {`{"shutDownSource":"yes"}`, 400, "validation_failed"},
		"an unknown field":     {`{"force":true}`, 400, "unknown_field"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.furnish("acme")
			i, enabling := w.enable()
			i.replicated(enabling.ID)
			fill := strings.NewReplacer("{newest}", i.newest())
			send := func() answer { return w.send("POST", path+"/unplannedFailover", w.key, fill.Replace(tt.body)) }
			if tt.status != http.StatusAccepted {
				i.refusing(send, tt.status, tt.say)
				return
			}
			j := jobIn(t, send())
			story := w.must("GET", "/v1/vaults/acme/events?job="+j.ID, "")
			if !strings.Contains(string(story.body), fill.Replace(tt.say)) || strings.Contains(string(story.body), `"shutDownSource":true`) != strings.Contains(tt.body, "shutDown") {
				t.Errorf("events: %s", story.body)
			}
		})
	}
}

func TestAnotherPointIsAppliedOnlyWhenItsLossIsConfirmed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	apply := func(key *string, in oapi.ApplyRecoveryPointInput) func() answer {
		return func() answer {
			return i.asked(func() (*http.Response, error) {
				return w.client.ApplyRecoveryPoint(t.Context(), "acme", "web", &oapi.ApplyRecoveryPointParams{IdempotencyKey: key}, in)
			})
		}
	}
	in := oapi.ApplyRecoveryPointInput{RecoveryPoint: newID(), Confirm: true}
	i.refusing(apply(nil, in), http.StatusConflict, "no_failover_pending")
	i.replicated(enabling.ID)
	i.may("applyRecoveryPoint", "no_failover_pending")
	i.failedOver()
	i.may("applyRecoveryPoint", "")
	i.refusing(apply(nil, in), http.StatusConflict, "recovery_point_not_found")
	in.RecoveryPoint = i.newest()
	i.refusing(apply(nil, oapi.ApplyRecoveryPointInput{RecoveryPoint: in.RecoveryPoint}), http.StatusConflict, "confirmation_required")
	for _, body := range []string{"", "{}", `{"recoveryPoint":"` + in.RecoveryPoint + `"}`, `{"recoveryPoint":"Latest","confirm":true}`, `{"recoveryPoint":"` + in.RecoveryPoint + `","confirm":"true"}`} {
		i.refusing(func() answer {
			return w.send("POST", "/v1/vaults/acme/protectedItems/web/applyRecoveryPoint", w.key, body)
		}, http.StatusBadRequest, "validation_failed")
	}
	begun := jobIn(t, apply(new("once"), in)())
	if begun.Kind != oapi.JobKindApplyRecoveryPoint {
		t.Errorf("job: %+v", begun)
	}
	i.knows(begun)
	if again := jobIn(t, apply(new("once"), in)()); again.ID != begun.ID {
		t.Errorf("another job: %s, first %s", again.ID, begun.ID)
	}
	i.refusing(apply(nil, in), http.StatusConflict, "operation_in_progress")
}

func TestAFailedOverItemTellsThatItsSourceRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	i.failedOver()
	i.do(protecteditem.RecordSourceRunning{Detail: "web runs on h1", At: time.Now()})
	shown := i.show()
	if shown.ReplicationHealth != oapi.ReplicationHealthCritical || len(shown.HealthErrors) == 0 || shown.HealthErrors[0].Code != "source_still_running" || shown.HealthErrors[0].Remedy == nil {
		t.Errorf("health: %s %+v", shown.ReplicationHealth, shown.HealthErrors)
	}
}

// pinned are the recovery points that the item's list marks.
func (i item) pinned() []string {
	i.t.Helper()
	r, err := i.client.ListRecoveryPointsWithResponse(context.Background(), "acme", i.id, &oapi.ListRecoveryPointsParams{MinPosition: new(int64(i.head()))})
	if err != nil || r.JSON200 == nil {
		i.t.Fatalf("points: %v %s", err, r.Body)
	}
	var ids []string
	for _, p := range r.JSON200.Value {
		one, err := i.client.GetRecoveryPointWithResponse(context.Background(), "acme", i.id, p.ID, &oapi.GetRecoveryPointParams{})
		if err != nil || one.JSON200 == nil || one.JSON200.Pinned != p.Pinned {
			i.t.Errorf("point %s: %v %s", p.ID, err, one.Body)
		}
		if p.Pinned {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

func TestATestFailoverIsSeenOnItsItemFromStartToCleanup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	used := i.newest()
	if got := i.show().TestFailover; got.State != oapi.TestFailoverStateNone || got.LastSuccessAt != nil || got.StartedAt != nil || len(i.pinned()) != 0 {
		t.Errorf("before: %+v, pinned %v", got, i.pinned())
	}
	begun := jobIn(t, i.asked(func() (*http.Response, error) {
		return w.client.TestFailover(t.Context(), "acme", "web", &oapi.TestFailoverParams{}, oapi.TestFailoverInput{RecoveryPoint: &used})
	}))
	got := i.show()
	if run := got.TestFailover; run.State != oapi.TestFailoverStateInProgress || run.Job == nil || *run.Job != begun.ID || run.Point == nil || *run.Point != used || run.StartedAt == nil {
		t.Errorf("in progress: %+v", run)
	}
	if got.CurrentJob != nil || !slices.Equal(i.pinned(), []string{used}) {
		t.Errorf("current job %+v, pinned %v", got.CurrentJob, i.pinned())
	}
	i.may("plannedFailover", "")
	i.do(protecteditem.CompleteTestFailover{JobID: begun.ID, Point: used, VM: "web-test", At: time.Now()})
	if run := i.show().TestFailover; run.State != oapi.TestFailoverStateAwaitingCleanup || run.Job != nil || run.VirtualMachine == nil || *run.VirtualMachine != "web-test" || run.LastSuccessAt == nil {
		t.Errorf("awaiting cleanup: %+v", run)
	}
	cleaning := jobIn(t, w.send("POST", "/v1/vaults/acme/protectedItems/web/testFailoverCleanup", w.key, ""))
	if run := i.show().TestFailover; run.State != oapi.TestFailoverStateCleaningUp || run.Job == nil || *run.Job != cleaning.ID {
		t.Errorf("cleaning up: %+v", run)
	}
	i.do(protecteditem.CompleteTestFailoverCleanup{JobID: cleaning.ID, At: time.Now()})
	if run := i.show().TestFailover; run.State != oapi.TestFailoverStateNone || run.VirtualMachine != nil || run.LastSuccessAt == nil || len(i.pinned()) != 0 {
		t.Errorf("afterwards: %+v, pinned %v", run, i.pinned())
	}
}

func TestDisablingLeavesNoTestFailoverBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	drill := jobIn(t, i.asked(func() (*http.Response, error) {
		return w.client.TestFailover(t.Context(), "acme", "web", &oapi.TestFailoverParams{}, oapi.TestFailoverInput{})
	}))
	disable := func(cleanup *bool) func() answer {
		return func() answer {
			return i.asked(func() (*http.Response, error) {
				return w.client.DisableProtection(t.Context(), "acme", "web", &oapi.DisableProtectionParams{IfMatch: new("*"), Cleanup: cleanup})
			})
		}
	}
	i.refusing(disable(nil), http.StatusConflict, "test_failover_open")
	if p := disable(new(false))().problem(t); p.Errors == nil || (*p.Errors)[0].Pointer != "#/query/cleanup" {
		t.Errorf("problem: %+v", p)
	}
	jobIn(t, disable(new(true))())
	a := w.must("GET", "/v1/vaults/acme/jobs/"+drill.ID+"?minPosition="+position(w.head()), "")
	var j oapi.Job
	if err := json.Unmarshal(a.body, &j); err != nil || j.Status != oapi.JobStatusCanceled {
		t.Errorf("the test failover's job: %v %s", err, a.body)
	}
}

func TestAFailbackIsEndedByDisablingOnlyWithItsSurvivorNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	i.failedOver()
	committing := newID()
	i.do(protecteditem.CommitFailover{JobID: committing, At: time.Now()})
	i.do(protecteditem.CompleteFailoverCommit{JobID: committing, At: time.Now()})
	i.do(protecteditem.RecordSourceFenced{At: time.Now()})
	i.do(protecteditem.StartFailback{JobID: newID(), Mode: protecteditem.FullDownload, At: time.Now()})
	disable := func(force *bool, survivor *string) func() answer {
		return func() answer {
			return i.asked(func() (*http.Response, error) {
				return w.client.DisableProtection(t.Context(), "acme", "web", &oapi.DisableProtectionParams{IfMatch: new("*"), Force: force, Survivor: survivor})
			})
		}
	}
	i.refusing(disable(nil, nil), http.StatusConflict, "failback_open")
	i.may("disableProtection", "failback_open")
	i.refusing(disable(nil, new("web-1")), http.StatusConflict, "failback_open")
	for _, survivor := range []*string{nil, new("web")} {
		i.refusing(disable(new(true), survivor), http.StatusBadRequest, "validation_failed")
	}
	if p := disable(new(true), new("web"))().problem(t); p.Errors == nil || (*p.Errors)[0].Pointer != "#/query/survivor" {
		t.Errorf("problem: %+v", p)
	}
	jobIn(t, disable(new(true), new("web-1"))())
}

func TestDisablingCanBeForcedLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	disable := func(force bool) oapi.Job {
		t.Helper()
		return jobIn(t, i.asked(func() (*http.Response, error) {
			return w.client.DisableProtection(t.Context(), "acme", "web", &oapi.DisableProtectionParams{IfMatch: new("*"), Force: &force})
		}))
	}
	first, before := disable(false), w.head()
	if again := disable(false); again.ID != first.ID || w.head() != before {
		t.Errorf("disabled again by job %s, first by %s", again.ID, first.ID)
	}
	if forced := disable(true); forced.ID != first.ID || w.head() != before+1 {
		t.Errorf("forced as job %s, first by %s; %d events", forced.ID, first.ID, w.head()-before)
	}
}
