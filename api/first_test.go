package api_test

import (
	"net/http"
	"testing"
)

func TestTheContractIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	for _, path := range []string{
		"/v1/openapi.json", "/livez", "/readyz", "/metrics", "/v1/errors", "/v1/vaults", "/v1/vaults/acme", "/v1/vaults/acme/policies",
		"/v1/vaults/acme/policies/p30", "/v1/vaults/acme/sites", "/v1/vaults/acme/sites/primary", "/v1/vaults/acme/sites/primary/hosts",
		"/v1/vaults/acme/sites/primary/hosts/h1", "/v1/vaults/acme/sites/primary/virtualMachines", "/v1/vaults/acme/sites/primary/virtualMachines/web",
		"/v1/vaults/acme/storageAccounts", "/v1/vaults/acme/storageAccounts/store", "/v1/vaults/acme/protectedItems", "/v1/vaults/acme/jobs",
		"/v1/vaults/acme/events", "/v1/vaults/acme/apiKeys",
	} {
		if a := w.send("GET", path+"?minPosition=9", w.key, ""); a.status != http.StatusOK && a.status != 400 {
			t.Errorf("GET %s: %d\n%s", path, a.status, a.body)
		}
	}
}
