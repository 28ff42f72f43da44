package api_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/domain/protecteditem"
)

// wayBack are the operations of a failback, by their routes.
func wayBack() map[string]verb {
	ctx := context.Background()
	return map[string]verb{
		"failback": {
			kind: oapi.JobKindFailback, wrong: "not_failed_over", again: "failback_open", ready: item.committed,
			ask: func(c oapi.ClientInterface, key *string, _ bool) (*http.Response, error) {
				return c.StartFailback(ctx, "acme", "web", &oapi.StartFailbackParams{IdempotencyKey: key}, oapi.FailbackInput{Mode: oapi.FailbackInputModeMinimizeDowntime})
			},
		},
		"failbackCancel": {
			kind: oapi.JobKindFailbackCancel, wrong: "no_failback_pending", again: "operation_in_progress", ready: func(i item) { i.synchronized() },
			ask: func(c oapi.ClientInterface, key *string, _ bool) (*http.Response, error) {
				return c.CancelFailback(ctx, "acme", "web", &oapi.CancelFailbackParams{IdempotencyKey: key})
			},
		},
		"failbackCommit": {
			kind: oapi.JobKindFailbackCommit, wrong: "no_failback_pending", again: "operation_in_progress", ready: item.failedBack,
			ask: func(c oapi.ClientInterface, key *string, _ bool) (*http.Response, error) {
				return c.CommitFailback(ctx, "acme", "web", &oapi.CommitFailbackParams{IdempotencyKey: key})
			},
		},
		"reProtect": {
			kind: oapi.JobKindReverseReplication, wrong: "not_failed_back", again: "operation_in_progress", ready: item.unreplicated,
			ask: func(c oapi.ClientInterface, key *string, _ bool) (*http.Response, error) {
				return c.ReProtect(ctx, "acme", "web", &oapi.ReProtectParams{IdempotencyKey: key})
			},
		},
	}
}

// committed takes a protected item through a failover and its commit.
func (i item) committed() {
	i.failedOver()
	j, now := newID(), time.Now()
	i.do(protecteditem.CommitFailover{JobID: j, At: now})
	i.do(protecteditem.CompleteFailoverCommit{JobID: j, At: now})
}

// synchronized takes it to where a failback waits, and names the failback's job.
func (i item) synchronized() string {
	j := newID()
	i.synchronizedBy(j)
	return j
}

func (i item) synchronizedBy(j string) {
	i.committed()
	now := time.Now()
	i.do(protecteditem.StartFailback{JobID: j, Mode: protecteditem.MinimizeDowntime, At: now})
	i.do(protecteditem.RecordFailbackSynchronized{JobID: j, BytesScanned: 9, BytesDiffering: 3, BytesSent: 3, At: now})
}

// failedBack takes it to where the failback can be committed.
func (i item) failedBack() {
	j, now := i.synchronized(), time.Now()
	i.do(protecteditem.CompleteFailback{JobID: j, At: now})
	i.do(protecteditem.RecordFailbackCompleted{JobID: j, VM: "web", At: now})
}

// unreplicated takes it past the failback's commit.
func (i item) unreplicated() {
	i.failedBack()
	j, now := newID(), time.Now()
	i.do(protecteditem.CommitFailback{JobID: j, At: now})
	i.do(protecteditem.CompleteFailbackCommit{JobID: j, At: now})
}

func TestAFailbackThatWaitsIsLetGoOnUnderItsJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	complete := func(key string) func() answer {
		return func() answer {
			return i.asked(func() (*http.Response, error) {
				return w.client.CompleteFailback(t.Context(), "acme", "web", &oapi.CompleteFailbackParams{IdempotencyKey: &key})
			})
		}
	}
	i.refusing(complete("early"), http.StatusConflict, "no_failback_pending")
	i.replicated(enabling.ID)
	i.refusing(complete("too-early"), http.StatusConflict, "no_failback_pending")
	i.may("completeFailback", "no_failback_pending")
	id := i.synchronized()
	i.may("completeFailback", "")
	get := func() oapi.Job {
		r, err := w.client.GetJobWithResponse(t.Context(), "acme", id, &oapi.GetJobParams{MinPosition: new(int64(i.head()))})
		if err != nil || r.JSON200 == nil {
			t.Fatalf("job: %v %s", err, r.Body)
		}
		return *r.JSON200
	}
	if j := get(); j.Status != oapi.JobStatusWaitingForInput {
		t.Errorf("the job is %s while the failback waits", j.Status)
	}
	for range 2 {
		if j := jobIn(t, complete("once")()); j.ID != id || j.Kind != oapi.JobKindFailback {
			t.Errorf("job %s %s, want %s", j.Kind, j.ID, id)
		}
	}
	if j := get(); j.Status != oapi.JobStatusRunning {
		t.Errorf("the job is %s after it was let go on", j.Status)
	}
	i.may("completeFailback", "nothing_to_do")
}

func TestAFailbackOfNoModeIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	i.committed()
	for body, code := range map[string]string{
		"": "validation_failed", "{}": "validation_failed", `{"mode":"quick"}`: "validation_failed", `{"mode":"fullDownload","target":{}}`: "validation_failed",
		`{"mode":"fullDownload","disks":[]}`: "unknown_field",
	} {
		i.refusing(func() answer { return w.send("POST", "/v1/vaults/acme/protectedItems/web/failback", w.key, body) }, http.StatusBadRequest, code)
	}
}
