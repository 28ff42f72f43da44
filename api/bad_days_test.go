package api_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"farshore/eventstore/pgtest"
)

func TestWhileTheDatabaseIsAwayCommandsAreAskedToComeBack(t *testing.T) {
	t.Parallel()
	server := pgtest.Durable(t)
	w := newWorldOn(t, pgtest.Open(t, server.DB.URL))
	w.furnish("acme")
	before := w.head()
	const path, body = "/v1/vaults/acme/protectedItems/web", enableWeb
	server.Kill()
	for _, a := range []answer{
		w.send("PUT", path, w.key, body, "Idempotency-Key", "storm"),
		w.send("GET", path, w.key, ""),
		w.send("GET", "/readyz", "", ""),
	} {
		if a.status != http.StatusServiceUnavailable || a.problem(t).Code != "database_unavailable" || a.header.Get("Retry-After") == "" {
			t.Errorf("without a database: %d %v\n%s", a.status, a.header, a.body)
		}
	}
	if a := w.send("GET", "/livez", "", ""); a.status != http.StatusOK {
		t.Errorf("livez: %d", a.status)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := jobIn(t, w.patiently("PUT", path, body, "Idempotency-Key", "storm"))
	if again := jobIn(t, w.send("PUT", path, w.key, body, "Idempotency-Key", "storm")); again.ID != first.ID {
		t.Errorf("another job: %s, first %s", again.ID, first.ID)
	}
	if after := w.head(); after != before+1 {
		t.Errorf("the log went from %d to %d", before, after)
	}
	w.patiently("GET", path+"?minPosition="+strconv.Itoa(int(before)+1), "")
	if shown := (item{w, "web"}).show(); shown.ProtectionState != "EnablingProtection" {
		t.Errorf("after the storm: %+v", shown)
	}
}

// patiently comes back as long as it is asked to.
func (w *world) patiently(method, path, body string, header ...string) answer {
	w.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for range 1000 {
		if a := w.send(method, path, w.key, body, header...); a.status != http.StatusServiceUnavailable {
			return a
		}
		<-again.C
	}
	w.t.Fatal("the service has not come back")
	return answer{}
}

func TestAReaderOfWhatIsNotThereYetIsAskedToComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	a := w.send("GET", "/v1/vaults/acme/policies?minPosition="+strconv.Itoa(int(w.head())+1), w.key, "")
	if a.status != http.StatusServiceUnavailable || a.problem(t).Code != "projection_lagging" || a.header.Get("Retry-After") == "" {
		t.Errorf("answered %d %v\n%s", a.status, a.header, a.body)
	}
}

func TestACursorIsGoodForItsListOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		w.must("PUT", "/v1/vaults/acme/policies/"+id, `{"name":"p"}`)
	}
	w.pagesThrough("/v1/vaults/acme/policies", 6, "a")
	w.pagesThrough("/v1/vaults/acme/sites/primary/virtualMachines", 2, "bad")
}
