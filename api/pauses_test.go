package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/eventstore"
)

func position(p eventstore.Position) string { return strconv.FormatInt(int64(p), 10) }

// itemIn is the item that an answer shows.
func itemIn(tb testing.TB, a answer) oapi.ProtectedItem {
	tb.Helper()
	if a.status != http.StatusOK {
		tb.Fatalf("answered %d\n%s", a.status, a.body)
	}
	var shown oapi.ProtectedItem
	if err := json.Unmarshal(a.body, &shown); err != nil {
		tb.Fatal(err)
	}
	if a.header.Get("ETag") != shown.Etag || a.header.Get("X-Event-Position") == "" {
		tb.Errorf("incomplete 200: %v", a.header)
	}
	return shown
}

func (i item) pause(key, ifMatch *string, reason string) answer {
	i.t.Helper()
	return i.asked(func() (*http.Response, error) {
		return i.client.PauseReplication(context.Background(), "acme", i.id, &oapi.PauseReplicationParams{IdempotencyKey: key, IfMatch: ifMatch}, oapi.PauseInput{Reason: &reason})
	})
}

func (i item) resume(key *string) answer {
	i.t.Helper()
	return i.asked(func() (*http.Response, error) {
		return i.client.ResumeReplication(context.Background(), "acme", i.id, &oapi.ResumeReplicationParams{IdempotencyKey: key})
	})
}

func TestReplicationIsPausedAndResumedWithWhoAndWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i := item{w, "web"}
	i.refusing(func() answer { return i.pause(nil, nil, "") }, http.StatusNotFound, "protected_item_not_found")
	i.refusing(func() answer { return i.resume(nil) }, http.StatusNotFound, "protected_item_not_found")
	i, enabling := w.enable()
	i.refusing(func() answer { return i.pause(nil, nil, "") }, http.StatusConflict, "not_protected")
	i.may("pause", "not_protected")
	i.may("resume", "nothing_to_do")
	i.replicated(enabling.ID)
	i.may("pause", "")
	i.refusing(func() answer { return i.pause(nil, new(`"1-1"`), "") }, http.StatusPreconditionFailed, "precondition_failed")

	paused := itemIn(t, i.pause(new("once"), nil, "the line is needed"))
	if p := paused.Paused; p == nil || *p.Reason != "the line is needed" || *p.By != "apikey:"+w.keyID || p.Since.IsZero() {
		t.Errorf("paused: %+v", p)
	}
	head := w.head()
	if again := itemIn(t, i.pause(new("once"), nil, "the line is needed")); again.Etag != paused.Etag || w.head() != head {
		t.Errorf("repeated: %s, first %s", again.Etag, paused.Etag)
	}
	if again := itemIn(t, i.pause(nil, nil, "another reason")); *again.Paused.Reason != "the line is needed" || w.head() != head {
		t.Errorf("paused again: %+v", again.Paused)
	}
	shown := i.show()
	if shown.Paused == nil || shown.ReplicationHealth != oapi.ReplicationHealthWarning || shown.HealthErrors[0].Code != "replication_paused" {
		t.Errorf("shown: %+v %+v", shown.Paused, shown.HealthErrors)
	}
	i.may("replicateNow", "replication_paused_refusal")
	i.may("resume", "")
	i.may("unplannedFailover", "")

	if resumed := itemIn(t, i.resume(new("go"))); resumed.Paused != nil {
		t.Errorf("resumed: %+v", resumed.Paused)
	}
	head = w.head()
	if again := itemIn(t, i.resume(new("go"))); again.Paused != nil || w.head() != head {
		t.Errorf("resumed again: %+v", again.Paused)
	}
	if a := w.send("POST", "/v1/vaults/acme/protectedItems/web/pause", w.key, ""); itemIn(t, a).Paused.Reason != nil {
		t.Errorf("without a body: %s", a.body)
	}
	for _, body := range []string{`{"reason":7}`, `{"reason":"a\u0000b"}`, `[]`} {
		i.refusing(func() answer { return w.send("POST", "/v1/vaults/acme/protectedItems/web/pause", w.key, body) }, http.StatusBadRequest, "validation_failed")
	}
}

func TestAPlannedFailoverOfWhatIsPausedResumesItWhenAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	itemIn(t, i.pause(nil, nil, ""))
	planned := func(resume *bool) func() answer {
		return func() answer {
			return i.asked(func() (*http.Response, error) {
				return w.client.PlannedFailover(t.Context(), "acme", "web", &oapi.PlannedFailoverParams{Resume: resume})
			})
		}
	}
	i.refusing(planned(nil), http.StatusConflict, "replication_paused_refusal")
	i.refusing(planned(new(false)), http.StatusConflict, "replication_paused_refusal")
	i.may("plannedFailover", "replication_paused_refusal")
	jobIn(t, planned(new(true))())
	if shown := i.show(); shown.Paused != nil || shown.ProtectionState != oapi.ProtectionStatePlannedFailoverInProgress {
		t.Errorf("shown: %s %+v", shown.ProtectionState, shown.Paused)
	}
}

func TestWhatHasFailedIsTriedAgainAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i := item{w, "web"}
	retry := func(key *string) func() answer {
		return func() answer {
			return i.asked(func() (*http.Response, error) {
				return w.client.RetryNow(t.Context(), "acme", "web", &oapi.RetryNowParams{IdempotencyKey: key})
			})
		}
	}
	i.refusing(retry(nil), http.StatusNotFound, "protected_item_not_found")
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	i.refusing(retry(nil), http.StatusConflict, "nothing_to_do")
	i.may("retryNow", "nothing_to_do")
	i.do(protecteditem.RecordFailure{Failure: errorcatalog.Fail(errorcatalog.ReplicaStoreAuthentication, "the key is wrong"), At: time.Now()})
	if shown := i.show(); shown.NextRetryAt != nil || shown.LastError == nil {
		t.Errorf("failed: %+v", shown.NextRetryAt)
	}
	i.may("retryNow", "")
	shown := itemIn(t, retry(new("once"))())
	if shown.NextRetryAt == nil || time.Since(*shown.NextRetryAt) < 0 {
		t.Errorf("retried: %+v", shown.NextRetryAt)
	}
	head := w.head()
	if again := itemIn(t, retry(new("once"))()); again.Etag != shown.Etag || w.head() != head {
		t.Errorf("repeated: %s, first %s", again.Etag, shown.Etag)
	}
	if again := itemIn(t, retry(nil)()); again.Etag != shown.Etag || w.head() != head {
		t.Errorf("asked while it is due: %s, first %s", again.Etag, shown.Etag)
	}
	i.refusing(func() answer {
		return w.send("POST", "/v1/vaults/acme/protectedItems/web/retryNow", w.key, "", "If-Match", "1")
	}, http.StatusBadRequest, "validation_failed")
}

func TestAnItemIsProtectedByAnotherPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	w.must("PUT", "/v1/vaults/acme/policies/p900", `{"name":"Seldom","copyFrequencySeconds":900,"retentionHours":24}`)
	i := item{w, "web"}
	change := func(key *string, policy string) func() answer {
		return func() answer {
			return i.asked(func() (*http.Response, error) {
				return w.client.ChangePolicy(t.Context(), "acme", "web", &oapi.ChangePolicyParams{IdempotencyKey: key}, oapi.ChangePolicyInput{Policy: policy})
			})
		}
	}
	i.refusing(change(nil, "p900"), http.StatusNotFound, "protected_item_not_found")
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	i.may("changePolicy", "")
	i.refusing(change(nil, "gone"), http.StatusBadRequest, "policy_not_found")
	for _, body := range []string{"", "{}", `{"policy":"Not A Slug"}`, `{"policy":null}`} {
		i.refusing(func() answer { return w.send("POST", "/v1/vaults/acme/protectedItems/web/changePolicy", w.key, body) }, http.StatusBadRequest, "validation_failed")
	}
	changed := itemIn(t, change(new("once"), "p900")())
	if changed.Policy.CopyFrequencySeconds != 900 || changed.Policy.RetentionHours != 24 {
		t.Errorf("changed: %+v", changed.Policy)
	}
	head := w.head()
	if again := itemIn(t, change(new("once"), "p900")()); again.Etag != changed.Etag || w.head() != head {
		t.Errorf("repeated: %s, first %s", again.Etag, changed.Etag)
	}
	if same := itemIn(t, change(nil, "p900")()); same.Etag != changed.Etag || w.head() != head {
		t.Errorf("the same again: %s, first %s", same.Etag, changed.Etag)
	}
	jobIn(t, w.send("DELETE", "/v1/vaults/acme/protectedItems/web", w.key, "", "If-Match", "*"))
	i.refusing(change(nil, "p30"), http.StatusConflict, "not_protected")
	i.may("changePolicy", "not_protected")
}

func TestEveryAllowedOperationIsOneOfTheContract(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, _ := w.enable()
	for _, o := range i.show().AllowedOperations {
		method, path := http.MethodPost, w.url+"/v1/vaults/acme/protectedItems/web/"+o.Name
		switch o.Name {
		case "enableProtection":
			method, path = http.MethodPut, w.url+"/v1/vaults/acme/protectedItems/web"
		case "networkSettings":
			method = http.MethodPut
		case "disableProtection":
			method, path = http.MethodDelete, w.url+"/v1/vaults/acme/protectedItems/web"
		}
		a := w.send(method, path[len(w.url):], "", "")
		if a.status != http.StatusUnauthorized {
			t.Errorf("%s %s: %d", method, path, a.status)
		}
	}
}
