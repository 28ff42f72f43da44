package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"farshore/api/oapi"
	"farshore/domain/apikey"
)

// refused is a request that must be answered with a problem and leave no trace.
type refused struct {
	method, path, body string
	header             []string
	status             int
	code               string
	pointer            string // of one of the problem's fields; empty: not looked at
}

func TestBadInputIsRefusedWithItsReasonAndLeavesNoEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	const v = "/v1/vaults/acme"
	const item = v + "/protectedItems/web"
	for name, r := range map[string]refused{ //nolint:paralleltest // each looks at what the others would add to the log
		"malformed JSON":             {"PUT", v + "/policies/p", `{"name":`, nil, 400, "malformed_json", ""},
		"two JSON values":            {"PUT", v + "/policies/p", `{"name":"a"} {}`, nil, 400, "malformed_json", ""},
		"no body":                    {"PUT", v + "/policies/p", ``, nil, 400, "validation_failed", ""},
		"an array":                   {"PUT", v + "/policies/p", `[]`, nil, 400, "validation_failed", ""},
		"null":                       {"PUT", v + "/policies/p", `null`, nil, 400, "validation_failed", ""},
		"another media type":         {"PUT", v + "/policies/p", `{"name":"a"}`, []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type", ""},
		"an unknown field":           {"PUT", v + "/policies/p", `{"name":"a","colour":"red"}`, nil, 400, "unknown_field", ""},
		"an unknown nested field":    {"PUT", item, strings.Replace(enableWeb, `"host":"h2"`, `"host":"h2","speed":1`, 1), nil, 400, "unknown_field", "/recovery"},
		"a missing field":            {"PUT", v + "/policies/p", `{}`, nil, 400, "validation_failed", ""},
		"a wrong type":               {"PUT", v + "/policies/p", `{"name":"a","retentionHours":"2"}`, nil, 400, "validation_failed", "/retentionHours"},
		"a fraction":                 {"PUT", v + "/policies/p", `{"name":"a","retentionHours":2.5}`, nil, 400, "validation_failed", "/retentionHours"},
		"an integer beyond measure":  {"PUT", v + "/policies/p", `{"name":"a","retentionHours":1.4e50}`, nil, 400, "validation_failed", "/retentionHours"},
		"retention out of range":     {"PUT", v + "/policies/p", `{"name":"a","retentionHours":721}`, nil, 400, "validation_failed", "/retentionHours"},
		"a frequency not offered":    {"PUT", v + "/policies/p", `{"name":"a","copyFrequencySeconds":31}`, nil, 400, "validation_failed", "/copyFrequencySeconds"},
		"a time that is none":        {"PUT", v + "/policies/p", `{"name":"a","startTime":"25:00"}`, nil, 400, "validation_failed", "/startTime"},
		"an id that is no slug":      {"PUT", v + "/policies/Bad_Id", `{"name":"a"}`, nil, 400, "validation_failed", "#/path/policy"},
		"a name with control bytes":  {"PUT", v + "/policies/p", `{"name":"a\u0000b"}`, nil, 400, "validation_failed", "/name"},
		"a zone that does not exist": {"PUT", v + "/sites/s", `{"name":"s","kind":"Local","timeZone":"Mars/Olympus"}`, nil, 400, "validation_failed", "/timeZone"},
		"a secret as credential":     {"PUT", v + "/storageAccounts/a", `{"name":"a","kind":"AzurePageBlob","endpoint":"https://a.example","container":"abc","credential":"c2VjcmV0"}`, nil, 400, "validation_failed", "/credential"},
		"a host of no site":          {"PUT", v + "/sites/nowhere/hosts/h", `{"directory":"/srv"}`, nil, 404, "site_not_found", ""},
		"a relative directory":       {"PUT", v + "/sites/primary/hosts/h", `{"directory":"srv"}`, nil, 400, "validation_failed", "/directory"},
		"a policy redefined":         {"PUT", v + "/policies/p30", `{"name":"Often","copyFrequencySeconds":900}`, nil, 409, "already_exists_with_other_settings", ""},
		"a stale If-Match":           {"PUT", v + "/policies/p30", `{"name":"Often","copyFrequencySeconds":30}`, []string{"If-Match", `"7"`}, 412, "precondition_failed", ""},
		"an If-Match that is none":   {"PUT", v + "/policies/p30", `{"name":"Often"}`, []string{"If-Match", `7`}, 400, "validation_failed", "#/header/If-Match"},
		"removal without If-Match":   {"DELETE", v + "/sites/primary/hosts/h1", "", nil, 428, "precondition_required", ""},
		"removal with a stale one":   {"DELETE", v + "/sites/primary/hosts/h1", "", []string{"If-Match", `"1"`}, 412, "precondition_failed", ""},
		"removal of no host":         {"DELETE", v + "/sites/primary/hosts/h9", "", []string{"If-Match", "*"}, 404, "host_not_found", ""},
		"a VM that is not there":     {"PUT", item, strings.Replace(enableWeb, `"virtualMachine":"web"`, `"virtualMachine":"gone"`, 1), nil, 400, "virtual_machine_not_found", "/virtualMachine"},
		"a site that is not there":   {"PUT", item, strings.Replace(enableWeb, `"site":"primary"`, `"site":"gone"`, 1), nil, 400, "site_not_found", "/site"},
		"a host that is not there":   {"PUT", item, strings.Replace(enableWeb, `"host":"h2"`, `"host":"gone"`, 1), nil, 400, "host_not_found", "/recovery/host"},
		"a policy that is not there": {"PUT", item, strings.Replace(enableWeb, `"p30"`, `"gone"`, 1), nil, 400, "policy_not_found", "/policy"},
		"a store that is not there":  {"PUT", item, strings.Replace(enableWeb, `"store"`, `"gone"`, 1), nil, 400, "storage_account_not_found", "/storageAccount"},
		"a VM without an OS disk":    {"PUT", item, strings.Replace(enableWeb, `"virtualMachine":"web"`, `"virtualMachine":"bad"`, 1), nil, 409, "virtual_machine_not_protectable", "/virtualMachine"},
		"the VM's own host":          {"PUT", item, strings.Replace(enableWeb, `{"site":"recovery","host":"h2"}`, `{"site":"primary","host":"h1"}`, 1), nil, 400, "validation_failed", "/recovery/host"},
		"a disk twice":               {"PUT", item, strings.Replace(enableWeb, `"policy"`, `"disks":["os","os"],"policy"`, 1), nil, 400, "validation_failed", "/disks"},
		"failover of no item":        {"POST", item + "/plannedFailover", "", nil, 404, "protected_item_not_found", ""},
		"commit of no item":          {"POST", item + "/failoverCommit", "", nil, 404, "protected_item_not_found", ""},
		"repair of no item":          {"POST", item + "/repairReplication", "", nil, 404, "protected_item_not_found", ""},
		"replication of no item":     {"POST", item + "/replicateNow", "", nil, 404, "protected_item_not_found", ""},
		"a media type of none":       {"POST", item + "/unplannedFailover", `{}`, []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type", ""},
		"a point of no form":         {"POST", item + "/unplannedFailover", `{"recoveryPoint":"yesterday"}`, nil, 400, "validation_failed", "/recoveryPoint"},
		"a test of no point":         {"POST", item + "/testFailover", `{"recoveryPoint":""}`, nil, 400, "validation_failed", "/recoveryPoint"},
		"a network without a name":   {"POST", item + "/testFailover", `{"network":""}`, nil, 400, "validation_failed", "/network"},
		"notes beyond measure":       {"POST", item + "/testFailoverCleanup", `{"notes":"` + strings.Repeat("a", 1001) + `"}`, nil, 400, "validation_failed", "/notes"},
		"a confirmation of no form":  {"POST", item + "/applyRecoveryPoint", `{"recoveryPoint":"0198c0de-0000-7000-8000-000000000000","confirm":1}`, nil, 400, "validation_failed", "/confirm"},
		"a cancel with a bad etag":   {"POST", item + "/failoverCancel", "", []string{"If-Match", "7"}, 400, "validation_failed", "#/header/If-Match"},
		"resuming maybe":             {"POST", item + "/plannedFailover?resume=maybe", "", nil, 400, "validation_failed", "#/query/resume"},
		"forcing maybe":              {"DELETE", item + "?force=maybe", "", []string{"If-Match", "*"}, 400, "validation_failed", "#/query/force"},
		"a survivor of no form":      {"DELETE", item + "?force=true&survivor=-", "", []string{"If-Match", "*"}, 400, "validation_failed", "#/query/survivor"},
		"cleaning up maybe":          {"DELETE", item + "?cleanup=maybe", "", []string{"If-Match", "*"}, 400, "validation_failed", "#/query/cleanup"},
		"disabling without If-Match": {"DELETE", item, "", nil, 428, "precondition_required", ""},
		"disabling no item":          {"DELETE", item, "", []string{"If-Match", "*"}, 404, "protected_item_not_found", ""},
		"a replica kept too long":    {"DELETE", item + "?keepReplica=8761", "", []string{"If-Match", "*"}, 400, "validation_failed", "#/query/keepReplica"},
		"a job that is no id":        {"GET", v + "/jobs/17", "", nil, 400, "validation_failed", "#/path/job"},
		"a job that is not there":    {"GET", v + "/jobs/0198c0de-0000-7000-8000-000000000000", "", nil, 404, "job_not_found", ""},
		"a status that is none":      {"GET", v + "/jobs?state=Sleeping", "", nil, 400, "validation_failed", "#/query/state"},
		"a page size of nothing":     {"GET", v + "/jobs?pageSize=0", "", nil, 400, "validation_failed", "#/query/pageSize"},
		"a cursor made up":           {"GET", v + "/jobs?cursor=bm9uZQ", "", nil, 400, "invalid_cursor", ""},
		"a position that is none":    {"GET", v + "/jobs?minPosition=x", "", nil, 400, "validation_failed", "#/query/minPosition"},
		"a role that is none":        {"POST", v + "/apiKeys", `{"name":"k","role":"Root"}`, nil, 400, "validation_failed", "/role"},
		"a key expired at birth":     {"POST", v + "/apiKeys", `{"name":"k","role":"Reader","expiresAt":"2001-01-01T00:00:00Z"}`, nil, 400, "validation_failed", "/expiresAt"},
		"an unknown vault":           {"GET", "/v1/vaults/nowhere/jobs", "", nil, 404, "vault_not_found", ""},
		"a write to no vault":        {"PUT", "/v1/vaults/nowhere/policies/p", `{"name":"a"}`, nil, 404, "vault_not_found", ""},
		"an unknown path":            {"GET", "/v1/vault", "", nil, 404, "route_not_found", ""},
		"an unknown method":          {"PATCH", v, "", nil, 405, "method_not_allowed", ""},
		"a body beyond measure":      {"PUT", v + "/policies/p", `{"name":"` + strings.Repeat("a", 2<<20) + `"}`, nil, 413, "request_too_large", ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := w.head()
			a := w.send(r.method, r.path, w.key, r.body, r.header...)
			p := a.problem(t)
			if a.status != r.status || p.Code != r.code {
				t.Errorf("answered %d %s, want %d %s\n%s", a.status, p.Code, r.status, r.code, a.body)
			}
			if r.pointer != "" && (p.Errors == nil || !slices.ContainsFunc(*p.Errors, func(f oapi.FieldError) bool { return f.Pointer == r.pointer })) {
				t.Errorf("no field %s in %s", r.pointer, a.body)
			}
			if a.header.Get("Content-Type") != "application/problem+json" || p.RequestID == "" || p.RequestID != a.header.Get("X-Request-Id") || p.Remedy == nil {
				t.Errorf("incomplete problem: %v\n%s", a.header, a.body)
			}
			if after := w.head(); after != before {
				t.Errorf("the log went from %d to %d", before, after)
			}
		})
	}
}

func TestAStrangerGetsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	w.furnish("umbra")
	_, umbra := w.seedKey("umbra", apikey.VaultAdmin)
	_, reader := w.seedKey("acme", apikey.Reader)
	_, operator := w.seedKey("acme", apikey.Operator)
	_, auditor := w.seedKey("acme", apikey.Auditor)
	_, agent := w.seedKey("acme", apikey.Agent)
	const v = "/v1/vaults/acme"
	altered := []byte(w.key)
	altered[len(altered)-30] ^= 1 // a digit of the secret
	for name, r := range map[string]struct {
		key    string
		method string
		path   string
		body   string
		status int
		code   string
	}{
		"no key":                        {"", "GET", v, "", 401, "unauthenticated"},
		"something else":                {"hunter2", "GET", v, "", 401, "unauthenticated"},
		"a wrong checksum":              {string(altered), "GET", v, "", 401, "unauthenticated"},
		"no key and bad input":          {"", "PUT", v + "/policies/p", "{", 401, "unauthenticated"},
		"another vault's key":           {umbra, "GET", v, "", 404, "vault_not_found"},
		"another vault's item":          {umbra, "GET", v + "/protectedItems/web", "", 404, "vault_not_found"},
		"a write to another vault":      {umbra, "PUT", v + "/policies/p", `{"name":"a"}`, 404, "vault_not_found"},
		"another vault made":            {umbra, "PUT", "/v1/vaults/new", `{"name":"a"}`, 404, "vault_not_found"},
		"a key for all from one vault":  {umbra, "POST", "/v1/vaults/umbra/apiKeys", `{"name":"k","role":"Reader","allVaults":true}`, 403, "forbidden"},
		"a reader that writes":          {reader, "PUT", v + "/policies/p", `{"name":"a"}`, 403, "forbidden"},
		"a reader that looks at keys":   {reader, "GET", v + "/apiKeys", "", 403, "forbidden"},
		"an operator that enables":      {operator, "PUT", v + "/protectedItems/web", enableWeb, 403, "forbidden"},
		"an operator that disables":     {operator, "DELETE", v + "/protectedItems/web", "", 403, "forbidden"},
		"an operator that fails over":   {operator, "POST", v + "/protectedItems/web/plannedFailover", "", 404, "protected_item_not_found"},
		"an auditor that reads items":   {auditor, "GET", v + "/protectedItems", "", 403, "forbidden"},
		"an agent that reads":           {agent, "GET", v, "", 403, "forbidden"},
		"a reader that asks for a role": {reader, "POST", v + "/apiKeys", `{"name":"k","role":"VaultAdmin"}`, 403, "forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			before := w.head()
			a := w.send(r.method, r.path, r.key, r.body)
			if p := a.problem(t); a.status != r.status || p.Code != r.code {
				t.Errorf("answered %d %s, want %d %s", a.status, p.Code, r.status, r.code)
			}
			if a.status == http.StatusUnauthorized && a.header.Get("WWW-Authenticate") == "" {
				t.Error("does not say how to authenticate")
			}
			if after := w.head(); after != before {
				t.Errorf("the log went from %d to %d", before, after)
			}
		})
	}
	for key, path := range map[string]string{ //nolint:paralleltest // the loop above looks at what the others would add to the log
		reader: v + "/protectedItems", operator: v + "/jobs", auditor: v + "/events", agent: "/v1/errors", umbra: "/v1/vaults/umbra",
	} {
		if a := w.send("GET", path, key, ""); a.status != http.StatusOK {
			t.Errorf("GET %s: %d", path, a.status)
		}
	}
	if a := w.send("GET", "/v1/vaults", umbra, ""); strings.Contains(string(a.body), "acme") || !strings.Contains(string(a.body), "umbra") {
		t.Errorf("vaults seen with umbra's key: %s", a.body)
	}
	if a := w.send("GET", "/metrics", "", ""); !strings.Contains(string(a.body), `farshore_http_denied_total{code="forbidden",operation="putPolicy"} 1`) {
		t.Errorf("denied attempts are not counted:\n%s", a.body)
	}
}
