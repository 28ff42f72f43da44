package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/recoveryplan"
)

// atOnce sends requests at the same time and counts the answers by status.
func atOnce(requests ...func() answer) map[int]int {
	var (
		mu      sync.Mutex
		sending sync.WaitGroup
		begin   = make(chan struct{})
		answers = map[int]int{}
	)
	for _, send := range requests {
		sending.Go(func() {
			<-begin
			a := send()
			mu.Lock()
			defer mu.Unlock()
			answers[a.status]++
		})
	}
	close(begin)
	sending.Wait()
	return answers
}

// planRunning begins a run of the shop's plan that waits at the first of two actions.
func (i item) planRunning(operation recoveryplan.Operation) string {
	i.t.Helper()
	i.must("PUT", shopPath, shopPlan)
	id, now := newID(), time.Now()
	i.planned(recoveryplan.StartRun{JobID: id, Operation: operation, At: now})
	i.journal(id, job.Start{
		Vault: "acme", Kind: job.PlanKind(string(operation)), Subject: "acme.shop", At: now,
		Tasks: []job.TaskSpec{{Name: "first", Title: "First"}, {Name: "second", Title: "Second"}, {Name: "third", Title: "Third"}},
	})
	i.asks(id, "first")
	return id
}

// asks plays the plan's worker up to a manual action.
func (i item) asks(id, task string) {
	i.t.Helper()
	i.journal(id, job.StartTask{Task: task, At: time.Now()}, job.AwaitInput{Task: task, Instructions: "look", At: time.Now()})
	i.job(id) // the read model knows it
}

func TestAManualActionIsAnsweredOnceHoweverManySaySo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i := item{world: w}
	id := i.planRunning(recoveryplan.TestFailover)
	resume := func(body string) func() answer {
		return func() answer { return w.send("POST", "/v1/vaults/acme/jobs/"+id+"/resume", w.key, body) }
	}
	i.refusing(resume(`{"comments":"seen"}`), http.StatusBadRequest, "task_required")
	i.refusing(resume(`{"task":"second"}`), http.StatusConflict, "other_task_waits")
	answers := atOnce(slices.Repeat([]func() answer{resume(`{"task":"first","comments":"seen"}`)}, 6)...)
	if answers[http.StatusAccepted] != 6 {
		t.Errorf("six answers to one action: %v", answers)
	}
	i.asks(id, "second")
	// The last click of the first answer comes late.
	if a := resume(`{"task":"first","comments":"seen"}`)(); jobIn(t, a).ID != id {
		t.Errorf("the first action, answered again: %s", a.body)
	}
	if j := i.job(id); j.Status != oapi.JobStatusWaitingForInput || j.Input.Task != "second" || len(*j.Comments) != 1 {
		t.Errorf("the job is %s at %+v after %+v", j.Status, j.Input, j.Comments)
	}
	i.refusing(resume(`{"task":"third"}`), http.StatusConflict, "other_task_waits")
	jobIn(t, resume(`{"task":"second"}`)())
	if j := i.job(id); j.Status != oapi.JobStatusRunning || len(*j.Comments) != 2 {
		t.Errorf("the job is %s after %+v", j.Status, j.Comments)
	}
	i.refusing(resume(`{"task":"third"}`), http.StatusConflict, "job_not_waiting")
}

func TestATaskThatWaitsForRoomSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i := item{world: w}
	id := i.planRunning(recoveryplan.TestFailover)
	i.journal(id, job.DeferTask{Task: "second", Reason: errorcatalog.Fail(errorcatalog.ScriptsBusy, "16 scripts run"), At: time.Now()})
	if task := i.job(id).Tasks[1]; task.Status != "Waiting" || task.Error == nil || task.Error.Code != "scripts_busy" || deref(task.Error.Remedy) == "" {
		t.Errorf("the task is %s: %+v", task.Status, task.Error)
	}
}

func TestAFailbackThatAPlanLeadsIsCompletedByThePlanAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	run := i.planRunning(recoveryplan.Failback)
	part := newID()
	i.journal(part, job.Announce{Vault: "acme", Kind: job.Failback, Subject: "acme.web", Parent: run, At: time.Now()},
		job.Start{Vault: "acme", Kind: job.Failback, Subject: "acme.web", At: time.Now()})
	i.synchronizedBy(part)
	resume := func() answer { i.job(part); return w.send("POST", "/v1/vaults/acme/jobs/"+part+"/resume", w.key, "") }
	complete := func() answer {
		return w.send("POST", "/v1/vaults/acme/protectedItems/web/completeFailback", w.key, "")
	}
	i.refusing(resume, http.StatusConflict, "led_by_plan")
	i.refusing(complete, http.StatusConflict, "led_by_plan")
	i.may("completeFailback", "led_by_plan")
	i.may("failbackCancel", "")
	// What the run has left behind is the operator's again.
	i.journal(run, job.Cancel{At: time.Now()})
	i.may("completeFailback", "")
	if j := jobIn(t, resume()); j.ID != part {
		t.Errorf("resumed %s", j.ID)
	}
	if j := jobIn(t, complete()); j.ID != part {
		t.Errorf("completed again as %s", j.ID)
	}
}

func TestOfSeveralThatDefineAThingOneHasMadeIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	const rounds, senders = 8, 4
	for path, tt := range map[string]struct {
		body, other string // $ is the thing's own name
		refused     int    // what is told to the others that would have made something else
	}{
		"/v1/vaults/":                          {`{"name":"A"}`, `{"name":"B"}`, http.StatusConflict},
		"/v1/vaults/acme/sites/":               {`{"name":"A","kind":"Local"}`, `{"name":"B","kind":"Local"}`, http.StatusConflict},
		"/v1/vaults/acme/sites/primary/hosts/": {`{"directory":"/srv/$"}`, `{"directory":"/srv/other-$"}`, http.StatusConflict},
		"/v1/vaults/acme/policies/":            {`{"name":"A","copyFrequencySeconds":30}`, `{"name":"B","copyFrequencySeconds":30}`, http.StatusConflict},
		"/v1/vaults/acme/storageAccounts/":     {`{"name":"A","kind":"Directory","directory":"/srv/a"}`, `{"name":"B","kind":"Directory","directory":"/srv/b"}`, http.StatusConflict},
		"/v1/vaults/acme/recoveryPlans/":       {`{"name":"A","groups":[{"items":["web"]}]}`, `{"name":"B","groups":[{"items":["web"]}]}`, http.StatusPreconditionRequired},
	} {
		for round := range rounds {
			put := func(name, body string) func() answer {
				return func() answer { return w.send("PUT", path+name, w.key, strings.ReplaceAll(body, "$", name)) }
			}
			same := fmt.Sprintf("same-%d", round)
			if got := atOnce(slices.Repeat([]func() answer{put(same, tt.body)}, senders)...); got[http.StatusCreated] != 1 || got[http.StatusOK] != senders-1 {
				t.Errorf("%s%s, asked for by %d: answered %v", path, same, senders, got)
			}
			both := fmt.Sprintf("both-%d", round)
			got := atOnce(put(both, tt.body), put(both, tt.other), put(both, tt.body), put(both, tt.other))
			if got[http.StatusCreated] != 1 || got[http.StatusOK] != 1 || got[tt.refused] != 2 {
				t.Errorf("%s%s, asked for in two forms by two each: answered %v", path, both, got)
			}
		}
	}
}
