package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"farshore/api/oapi"
)

func TestAKeyIsShownOnceAndGoodUntilRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	const keys = "/v1/vaults/acme/apiKeys"
	issue := func(body string, header ...string) oapi.IssuedAPIKey {
		t.Helper()
		a := w.send("POST", keys, w.key, body, header...)
		var k oapi.IssuedAPIKey
		if err := json.Unmarshal(a.body, &k); err != nil || a.status != http.StatusCreated || a.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("issue: %d %v %s", a.status, a.header, a.body)
		}
		return k
	}
	k := issue(`{"name":"ci","role":"Reader"}`, "Idempotency-Key", "k1")
	if k.Secret == nil || !strings.HasPrefix(*k.Secret, "fsk_"+k.APIKey.ID+"_") {
		t.Fatalf("no secret: %+v", k)
	}
	if again := issue(`{"name":"ci","role":"Reader"}`, "Idempotency-Key", "k1"); again.APIKey.ID != k.APIKey.ID || again.Secret != nil {
		t.Errorf("the request repeated: %+v", again)
	}
	if a := w.send("GET", "/v1/vaults/acme/policies", *k.Secret, ""); a.status != http.StatusOK {
		t.Errorf("with the new key: %d", a.status)
	}
	if a := w.must("GET", "/v1/vaults/acme/events?pageSize=500", ""); strings.Contains(string(a.body), *k.Secret) || strings.Contains(string(a.body), "secretHash") || strings.Contains(string(a.body), strings.Split(*k.Secret, "_")[2]) {
		t.Error("the log holds the secret")
	}
	short := issue(`{"name":"soon","role":"Reader","expiresAt":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}`)
	if short.APIKey.ExpiresAt == nil {
		t.Errorf("no expiry: %+v", short)
	}
	if a := w.send("DELETE", keys+"/"+k.APIKey.ID, w.key, ""); a.status != http.StatusPreconditionRequired {
		t.Errorf("revoke without If-Match: %d", a.status)
	}
	if a := w.send("DELETE", keys+"/"+w.keyID, *short.Secret, "", "If-Match", "*"); a.status != http.StatusForbidden {
		t.Errorf("revoke as a reader: %d", a.status)
	}
	if a := w.send("DELETE", keys+"/"+k.APIKey.ID, w.key, "", "If-Match", k.APIKey.Etag); a.status != http.StatusNoContent {
		t.Errorf("revoke: %d %s", a.status, a.body)
	}
	if a := w.send("GET", "/v1/vaults/acme/policies", *k.Secret, ""); a.status != http.StatusUnauthorized {
		t.Errorf("with the revoked key: %d", a.status)
	}
	w.pagesThrough(keys, 2, "")
}
