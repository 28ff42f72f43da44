package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/domain/job"
)

func TestTheFeedTellsAnItemsStory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	w.furnish("umbra")
	i, j := w.enable()
	execute(w, job.Category, job.Decider, j.ID, job.Command(job.Start{Vault: "acme", Kind: job.EnableProtection, Subject: "acme.web", At: time.Now()}), "acme")
	i.replicated(j.ID)

	var types []string
	next := "/v1/vaults/acme/events?item=web&pageSize=3&minPosition=" + strconv.Itoa(int(w.head()))
	for next != "" {
		var page oapi.EventList
		if err := json.Unmarshal(w.must("GET", next, "").body, &page); err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Value {
			types = append(types, e.Type)
		}
		next = ""
		if page.NextLink != nil {
			next = strings.TrimPrefix(*page.NextLink, w.url)
		}
	}
	got := strings.Join(types, " ")
	want := "protected_item.protection_enabling.v1 job.started.v1 protected_item.relationship_created.v1 protected_item.initial_replication_started.v1" +
		" protected_item.initial_replication_completed.v1 protected_item.recovery_point_created.v1 protected_item.protection_finalized.v1"
	if got != want {
		t.Errorf("story:\n%s\nwant\n%s", got, want)
	}
	if a := w.must("GET", "/v1/vaults/acme/events?pageSize=500", ""); strings.Contains(string(a.body), "umbra") || !strings.Contains(string(a.body), `"actor":"apikey:`+w.keyID) {
		t.Errorf("the vault's feed:\n%s", a.body)
	}
	if a := w.must("GET", "/v1/vaults/acme/events?job="+j.ID, ""); strings.Count(string(a.body), `"position"`) != 2 {
		t.Errorf("the job's events:\n%s", a.body)
	}
	if a := w.must("GET", "/v1/vaults/acme/events?type=policy.defined.v1", ""); strings.Count(string(a.body), `"position"`) != 1 {
		t.Errorf("events of a type:\n%s", a.body)
	}
}

func TestAStreamGoesOnWhereItsReaderStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	before := w.head()
	w.must("PUT", "/v1/vaults/acme/policies/p1", `{"name":"one"}`)
	first := w.stream(before)
	if e := first(); e.Type != "policy.defined.v1" || e.Position != int64(before)+1 {
		t.Errorf("what was missed: %+v", e)
	}
	w.must("PUT", "/v1/vaults/acme/policies/p2", `{"name":"two"}`)
	if e := first(); e.Stream != "policy-acme.p2" {
		t.Errorf("what is new: %+v", e)
	}
}

// stream follows the vault acme after a position; the function returned waits
// for the next event.
func (w *world) stream(after any) func() oapi.Event {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/v1/vaults/acme/events/stream", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.key)
	b, err := json.Marshal(after)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", string(b))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		w.t.Fatalf("stream: %d %v", resp.StatusCode, resp.Header)
	}
	lines := bufio.NewScanner(resp.Body)
	return func() oapi.Event {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var e oapi.Event
				if err := json.Unmarshal([]byte(data), &e); err != nil {
					w.t.Fatal(err)
				}
				return e
			}
		}
		w.t.Fatalf("the stream ended: %v", lines.Err())
		return oapi.Event{}
	}
}
