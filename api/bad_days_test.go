package api_test

import (
	"net/http"
	"strconv"
	"testing"
)

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
