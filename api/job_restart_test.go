package api_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/eventstore"
)

// job reads a job once its read model has everything.
func (i item) job(id string) oapi.Job {
	i.t.Helper()
	r, err := i.client.GetJobWithResponse(context.Background(), "acme", id, &oapi.GetJobParams{MinPosition: new(int64(i.head()))})
	if err != nil || r.JSON200 == nil {
		i.t.Fatalf("job: %v %s", err, r.Body)
	}
	return *r.JSON200
}

// journal records what a worker would of a job.
func (i item) journal(id string, cmds ...job.Command) {
	i.t.Helper()
	for _, cmd := range cmds {
		execute(i.world, job.Category, job.Decider, id, cmd, "acme")
	}
}

// begins asks for an operation and returns its job.
func (i item) begins(path, body string) string {
	i.t.Helper()
	return jobIn(i.t, i.must("POST", "/v1/vaults/acme/protectedItems/web/"+path, body)).ID
}

func (i item) restart(id, key string) answer {
	i.t.Helper()
	i.job(id) // the read model knows it
	return i.send("POST", "/v1/vaults/acme/jobs/"+id+"/restart", i.key, "", "Idempotency-Key", key)
}

func TestAFailedFailoverIsBegunAnewUnderAJobThatNamesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	old := i.begins("unplannedFailover", `{"recoveryPoint":"LatestProcessed","shutDownSource":true}`)
	i.refusing(func() answer { return i.restart(old, "soon") }, http.StatusConflict, "job_not_failed")
	now := time.Now()
	f := errorcatalog.Fail(errorcatalog.HostUnreachable, "h2")
	i.journal(old, job.Start{Vault: "acme", Kind: job.UnplannedFailover, Subject: "acme.web", At: now})
	i.do(protecteditem.FailUnplannedFailover{JobID: old, Failure: f, At: now})
	i.journal(old, job.Fail{Failure: f, At: now})
	var id string
	for range 2 { // the same request twice starts one
		anew := jobIn(t, i.restart(old, "once"))
		if anew.Kind != oapi.JobKindUnplannedFailover || anew.ID == old || id != "" && anew.ID != id {
			t.Errorf("restarted as %s %s after %q", anew.Kind, anew.ID, id)
		}
		id = anew.ID
	}
	if j := i.job(old); j.RestartedAs == nil || *j.RestartedAs != id || j.Status != oapi.JobStatusFailed {
		t.Errorf("the failed job: %+v", j)
	}
	if j := i.job(id); j.RestartOf == nil || *j.RestartOf != old || j.Status != oapi.JobStatusNotStarted {
		t.Errorf("the new job: %+v", j)
	}
	// Its worker takes it up: the link stays, and the choices are the first ones.
	i.journal(id, job.Start{Vault: "acme", Kind: job.UnplannedFailover, Subject: "acme.web", At: now})
	if j := i.job(id); j.RestartOf == nil || j.Status != oapi.JobStatusRunning {
		t.Errorf("the new job at work: %+v", j)
	}
	if st := i.state(); st.FailoverChoice != protecteditem.LatestProcessed || !st.ShutDownSource {
		t.Errorf("restarted with %q, %v", st.FailoverChoice, st.ShutDownSource)
	}
	i.refusing(func() answer { return i.restart(old, "twice") }, http.StatusConflict, "job_not_restartable")
	i.refusing(func() answer { return i.send("POST", "/v1/vaults/acme/jobs/"+newID()+"/restart", i.key, "") }, http.StatusNotFound, "job_not_found")
}

func (i item) state() protecteditem.State {
	i.t.Helper()
	items := eventstore.Repository[protecteditem.Command, protecteditem.Event, protecteditem.State]{Store: i.store, Category: protecteditem.Category, Decider: protecteditem.Decider}
	state, _, err := items.Load(context.Background(), "acme."+i.id)
	if err != nil {
		i.t.Fatal(err)
	}
	return state
}

func TestAJobThatWaitsAfterAFailedStepTriesItAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	i.refusing(func() answer { return i.restart(enabling.ID, "soon") }, http.StatusConflict, "job_not_failed")
	i.do(protecteditem.RecordFailure{JobID: enabling.ID, Failure: errorcatalog.Fail(errorcatalog.HostUnreachable, "h1"), At: time.Now()})
	for range 2 {
		if j := jobIn(t, i.restart(enabling.ID, "once")); j.ID != enabling.ID {
			t.Errorf("restarted as %s", j.ID)
		}
	}
	if next := i.state().Retry.NextAt; next.After(time.Now()) {
		t.Errorf("the step is tried again at %s", next)
	}
}

func TestAFailbackIsLetGoOnWithComments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	resume := func(id, key, body string) answer {
		i.job(id)
		return i.send("POST", "/v1/vaults/acme/jobs/"+id+"/resume", i.key, body, "Idempotency-Key", key)
	}
	i.refusing(func() answer { return resume(enabling.ID, "early", "") }, http.StatusConflict, "job_not_waiting")
	i.committed()
	id := i.begins("failback", `{"mode":"minimizeDowntime"}`)
	i.journal(id, job.Start{Vault: "acme", Kind: job.Failback, Subject: "acme.web", At: time.Now()})
	i.refusing(func() answer { return resume(id, "too-early", "") }, http.StatusConflict, "job_not_waiting")
	i.do(protecteditem.RecordFailbackSynchronized{JobID: id, BytesScanned: 9, At: time.Now()})
	if j := i.job(id); j.Status != oapi.JobStatusWaitingForInput {
		t.Errorf("the job is %s", j.Status)
	}
	for range 2 {
		if j := jobIn(t, resume(id, "once", `{"comments":"users were told"}`)); j.ID != id {
			t.Errorf("resumed job %s", j.ID)
		}
	}
	if st := i.state(); st.Protection != protecteditem.FailbackCompleting {
		t.Errorf("the item is %s", st.Protection)
	}
	j := i.job(id)
	if j.Comments == nil || len(*j.Comments) != 1 || (*j.Comments)[0].Text == nil || *(*j.Comments)[0].Text != "users were told" || j.Status != oapi.JobStatusRunning {
		t.Errorf("the job is %s with %+v", j.Status, j.Comments)
	}
	i.refusing(func() answer { return resume(id, "again", "") }, http.StatusConflict, "job_not_waiting")
}

func TestJobsAreListedByTimeAndKind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	middle := i.job(enabling.ID).CreatedAt
	test := i.begins("testFailover", `{}`)
	i.job(test)
	list := func(p oapi.ListJobsParams) []string {
		t.Helper()
		p.MinPosition = new(int64(i.head()))
		var ids []string
		for {
			r, err := w.client.ListJobsWithResponse(t.Context(), "acme", &p)
			if err != nil || r.JSON200 == nil {
				t.Fatalf("jobs: %v %s", err, r.Body)
			}
			for _, j := range r.JSON200.Value {
				ids = append(ids, string(j.Kind))
			}
			if r.JSON200.NextLink == nil {
				return ids
			}
			next, err := url.Parse(*r.JSON200.NextLink)
			if err != nil {
				t.Fatal(err)
			}
			p.Cursor = new(next.Query().Get("cursor"))
		}
	}
	all := []string{"TestFailover", "FinalizeProtection", "InitialReplication", "EnableProtection"}
	for name, tt := range map[string]struct {
		params oapi.ListJobsParams
		want   []string
	}{
		"page by page": {oapi.ListJobsParams{PageSize: new(int32(1)), Since: middle}, all},
		"none before":  {oapi.ListJobsParams{Until: middle}, nil},
		"of a kind":    {oapi.ListJobsParams{Kind: new(oapi.JobKindFilter("TestFailover")), Since: middle}, all[:1]},
		"not begun":    {oapi.ListJobsParams{State: new(oapi.JobStatusFilter("Failed"))}, nil},
	} {
		if got := list(tt.params); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
