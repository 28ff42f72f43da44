package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// targets are the operations with a good body each; {…} is replaced.
var targets = []struct{ method, path, body string }{
	{"GET", "/v1/vaults", ""},
	{"GET", "/v1/vaults/{}", ""},
	{"PUT", "/v1/vaults/{}", `{"name":"v"}`},
	{"GET", "/v1/vaults/acme/policies/{}", ""},
	{"PUT", "/v1/vaults/acme/policies/{}", `{"name":"p","copyFrequencySeconds":30,"retentionHours":2,"appConsistentFrequencyHours":0,"startTime":"22:00","resyncWindow":{"start":"18:30","end":"06:00"},"resyncThresholdPercent":50}`},
	{"PUT", "/v1/vaults/acme/sites/{}", `{"name":"s","kind":"Local","timeZone":"UTC"}`},
	{"PUT", "/v1/vaults/acme/sites/primary/hosts/{}", `{"directory":"/srv/x"}`},
	{"DELETE", "/v1/vaults/acme/sites/recovery/hosts/{}", ""},
	{"GET", "/v1/vaults/acme/sites/primary/virtualMachines/{}", ""},
	{"PUT", "/v1/vaults/acme/storageAccounts/{}", `{"name":"a","kind":"AzurePageBlob","endpoint":"https://a.example","container":"abc","credential":"env:KEY"}`},
	{"PUT", "/v1/vaults/acme/protectedItems/{}", enableWeb},
	{"DELETE", "/v1/vaults/acme/protectedItems/{}", ""},
	{"POST", "/v1/vaults/acme/protectedItems/{}/plannedFailover", ""},
	{"POST", "/v1/vaults/acme/protectedItems/{}/failoverCommit", ""},
	{"POST", "/v1/vaults/acme/protectedItems/{}/replicateNow", ""},
	{"POST", "/v1/vaults/acme/protectedItems/{}/unplannedFailover", `{"recoveryPoint":"LatestProcessed","shutDownSource":true}`},
	{"POST", "/v1/vaults/acme/protectedItems/{}/applyRecoveryPoint", `{"recoveryPoint":"0198c0de-0000-7000-8000-000000000000","confirm":true}`},
	{"POST", "/v1/vaults/acme/protectedItems/{}/failoverCancel", ""},
	{"POST", "/v1/vaults/acme/protectedItems/{}/failback", `{"mode":"minimizeDowntime"}`},
	{"POST", "/v1/vaults/acme/protectedItems/{}/completeFailback", ""},
	{"POST", "/v1/vaults/acme/protectedItems/{}/failbackCancel", ""},
	{"POST", "/v1/vaults/acme/protectedItems/{}/failbackCommit", ""},
	{"POST", "/v1/vaults/acme/protectedItems/{}/reProtect", ""},
	{"POST", "/v1/vaults/acme/protectedItems/{}/testFailover", `{"recoveryPoint":"Latest","network":"lab"}`},
	{"POST", "/v1/vaults/acme/protectedItems/{}/testFailoverCleanup", `{"notes":"good"}`},
	{"POST", "/v1/vaults/acme/protectedItems/{}/pause", `{"reason":"night"}`},
	{"POST", "/v1/vaults/acme/protectedItems/{}/resume", ""},
	{"POST", "/v1/vaults/acme/protectedItems/{}/retryNow", ""},
	{"POST", "/v1/vaults/acme/protectedItems/{}/changePolicy", `{"policy":"p30"}`},
	{"GET", "/v1/vaults/acme/protectedItems/{}/recoveryPoints", ""},
	{"PUT", "/v1/vaults/acme/sites/{}/inventory", plainDocument},
	{"GET", "/v1/vaults/acme/sites/primary/networks/{}", ""},
	{"GET", "/v1/vaults/acme/sites/{}/clouds", ""},
	{"PUT", "/v1/vaults/acme/networkMappings/{}", `{"site":"primary","network":"lan","recoverySite":"primary","recoveryNetwork":"lan","recoverySubnet":"10.1.0.0/24","addressing":"translateAddress"}`},
	{"GET", "/v1/vaults/acme/networkMappings/{}", ""},
	{"DELETE", "/v1/vaults/acme/networkMappings/{}", ""},
	{"GET", "/v1/vaults/acme/protectedItems/{}/networkSettings", ""},
	{"PUT", "/v1/vaults/acme/protectedItems/{}/networkSettings", `{"nics":[{"nic":"eth0","network":"lan","address":{"type":"static","ip":"10.1.0.9","subnet":"10.1.0.0/24","gateway":"10.1.0.1","dns":["10.1.0.2"]},"primary":true}]}`},
	{"GET", "/v1/vaults/acme/jobs", ""},
	{"POST", "/v1/vaults/acme/jobs/{}/cancel", ""},
	{"POST", "/v1/vaults/acme/jobs/{}/restart", ""},
	{"POST", "/v1/vaults/acme/jobs/{}/resume", `{"comments":"done"}`},
	{"PUT", "/v1/vaults/acme/recoveryPlans/{}", `{"name":"s","onFailure":"Continue","groups":[{"items":["web"],"preActions":[{"name":"a","kind":"Manual","instructions":"i"}]}]}`},
	{"GET", "/v1/vaults/acme/recoveryPlans/{}", ""},
	{"DELETE", "/v1/vaults/acme/recoveryPlans/{}", ""},
	{"POST", "/v1/vaults/acme/recoveryPlans/{}/checkReadiness", `{"operation":"Failback"}`},
	{"POST", "/v1/vaults/acme/recoveryPlans/{}/testFailover", `{"recoveryPoint":"Latest","network":"lab"}`},
	{"POST", "/v1/vaults/acme/recoveryPlans/{}/plannedFailover", ""},
	{"POST", "/v1/vaults/acme/recoveryPlans/{}/unplannedFailover", `{"recoveryPoint":"Latest","shutDownSource":true}`},
	{"GET", "/v1/vaults/acme/events", ""},
	{"POST", "/v1/vaults/acme/apiKeys", `{"name":"k","role":"Reader","expiresAt":"2030-01-01T00:00:00Z","allVaults":false}`},
	{"GET", "/v1/vaults/acme/apiKeys/{}", ""},
}

func TestNoRequestBreaksTheContract(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	rapid.Check(t, func(rt *rapid.T) {
		target := rapid.SampledFrom(targets).Draw(rt, "operation")
		r := draw(rt, w, target.method, target.path, target.body)
		good, _ := contract(t).ValidateHttpRequestSync(r.clone(rt))
		a := w.raw(rt, r)
		switch {
		case a.status >= http.StatusInternalServerError:
			rt.Fatalf("%s %s: %d\n%s\n%s", r.method, r.url, a.status, r.body, a.body)
		case !good && a.status < http.StatusBadRequest:
			rt.Fatalf("%s %s breaks the contract, and was answered %d\n%s\n%s", r.method, r.url, a.status, r.body, a.body)
		case good && a.status == http.StatusBadRequest && a.problem(t).Code == "malformed_json":
			rt.Fatalf("%s %s follows the contract, and was answered %s", r.method, r.url, a.body)
		}
	})
}

// drawn is a request that chance has made.
type drawn struct {
	method, url, body string
	header            map[string]string
}

func (d drawn) clone(t *rapid.T) *http.Request {
	r, err := http.NewRequestWithContext(context.Background(), d.method, d.url, bytes.NewReader([]byte(d.body)))
	if err != nil {
		t.Skip("no URL")
	}
	for k, v := range d.header {
		r.Header.Set(k, v)
	}
	return r
}

func (w *world) raw(t *rapid.T, d drawn) answer {
	r := d.clone(t)
	resp, err := w.http().Do(r)
	if err != nil {
		t.Skip("cannot be sent")
	}
	defer func() { _ = resp.Body.Close() }()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: body.Bytes()}
}

func draw(t *rapid.T, w *world, method, path, body string) drawn {
	id := rapid.OneOf(
		rapid.SampledFrom([]string{"web", "p30", "h1", "acme", "store", "primary", "0198c0de-0000-7000-8000-000000000000"}),
		rapid.StringMatching(`[a-z0-9-]{1,8}`), rapid.StringN(1, 6, 70)).Draw(t, "id")
	d := drawn{method: method, url: w.url + strings.ReplaceAll(path, "{}", url.PathEscape(id)), header: map[string]string{"Authorization": "Bearer " + w.key}}
	if q := rapid.SampledFrom([]string{"", "pageSize", "cursor", "minPosition", "keepReplica", "validateOnly", "resume", "cleanup", "force", "survivor", "item", "state", "after", "reason"}).Draw(t, "parameter"); q != "" {
		v := rapid.OneOf(rapid.SampledFrom([]string{"0", "1", "-1", "true", "1e3", "99999999999999999999", "web", "Running"}), rapid.StringN(0, 8, 40)).Draw(t, "argument")
		d.url += "?" + q + "=" + url.QueryEscape(v)
	}
	for name, values := range map[string][]string{"If-Match": {"", "*", `"1"`, `"1-3"`, `"0"`, "1", `"99999999999999999999"`}, "Idempotency-Key": {"", "k", `"k"`, `"`}} {
		if v := rapid.SampledFrom(values).Draw(t, name); v != "" {
			d.header[name] = v
		}
	}
	if body != "" {
		d.header["Content-Type"] = "application/json"
		d.body = spoil(t, body)
	}
	return d
}

// spoil changes one thing of a body, or nothing.
func spoil(t *rapid.T, body string) string {
	var v map[string]any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	field := rapid.SampledFrom(slices.Sorted(maps.Keys(v))).Draw(t, "field")
	switch rapid.IntRange(0, 5).Draw(t, "how") {
	case 0:
		return body
	case 1:
		delete(v, field)
	case 2:
		v[rapid.String().Draw(t, "name")] = 1
	case 3:
		return body[:rapid.IntRange(0, len(body)-1).Draw(t, "length")]
	default:
		v[field] = rapid.OneOf(
			rapid.Just[any](nil), rapid.Just[any](true), rapid.Just[any]([]any{}), rapid.Just[any](map[string]any{}), rapid.Just[any](json.Number("1.4e50")),
			rapid.Map(rapid.Int64(), func(n int64) any { return n }), rapid.Map(rapid.Float64(), func(n float64) any { return n }),
			rapid.Map(rapid.String(), func(s string) any { return s })).Draw(t, "value")
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
