package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"farshore/domain/protecteditem"
)

const failbackPath = "/v1/vaults/acme/protectedItems/web/failback"

func TestAFailbackToAnotherHostIsRefusedBeforeItIsBegun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	w.furnish("other")
	w.must("PUT", "/v1/vaults/other/sites/abroad", `{"name":"Abroad","kind":"Local"}`)
	w.must("PUT", "/v1/vaults/other/sites/abroad/hosts/h9", `{"directory":"/srv/h9"}`)
	i, enabling := w.enable()
	to := func(target string) string { return `{"mode":"minimizeDowntime","target":` + target + `}` }
	i.refusing(func() answer { return w.send("POST", failbackPath, w.key, to(`{"site":"primary","host":"h1"}`)) }, http.StatusConflict, "not_failed_over")
	i.replicated(enabling.ID)
	i.committed()
	other := goodVM("vm-7")
	other.Name = "Mail"
	w.inventory("acme", "primary", "h1", goodVM("web"), other)
	for target, tt := range map[string]struct {
		status      int
		code, field string
	}{
		`{"site":"nowhere","host":"h1"}`:                             {http.StatusBadRequest, "site_not_found", "/target/site"},
		`{"site":"primary","host":"h7"}`:                             {http.StatusBadRequest, "host_not_found", "/target/host"},
		`{"site":"abroad","host":"h9"}`:                              {http.StatusBadRequest, "site_not_found", "/target/site"}, // of another vault
		`{"site":"primary","host":"h1"}`:                             {http.StatusConflict, "vm_name_taken", "/target/vmName"},  // the original VM is still there
		`{"site":"primary","host":"h1","vmName":"MAIL"}`:             {http.StatusConflict, "vm_name_taken", "/target/vmName"},
		`{"site":"primary","host":"h1","vmName":"VM-7"}`:             {http.StatusConflict, "vm_name_taken", "/target/vmName"},
		`{"site":"recovery","host":"h2","vmName":"web-1"}`:           {http.StatusConflict, "vm_name_taken", "/target/vmName"}, // the recovery VM itself
		`{"site":"primary","host":"h1","vmName":"a/b"}`:              {http.StatusBadRequest, "validation_failed", "/target/vmName"},
		`{"site":"primary"}`:                                         {http.StatusBadRequest, "validation_failed", ""},
		`{"site":"primary","host":"h1","vmName":"x","disks":["os"]}`: {http.StatusBadRequest, "unknown_field", ""},
	} {
		for _, query := range []string{"", "?validateOnly=true"} {
			ask := func() answer {
				a := w.send("POST", failbackPath+query, w.key, to(target))
				if tt.field != "" && !strings.Contains(string(a.body), `"`+tt.field+`"`) {
					t.Errorf("%s names another field: %s", target, a.body)
				}
				return a
			}
			i.refusing(ask, tt.status, tt.code)
		}
	}
}

func TestAFailbackToAnotherHostIsBegunOnceAndHoldsTheHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	w.must("PUT", "/v1/vaults/acme/sites/primary/hosts/h3", `{"directory":"/srv/h3"}`)
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	i.committed()
	const body = `{"mode":"minimizeDowntime","target":{"site":"primary","host":"h3"}}`
	head := w.head()
	if a := w.send("POST", failbackPath+"?validateOnly=true", w.key, body); a.status != http.StatusOK || w.head() != head {
		t.Errorf("validated: %d %s", a.status, a.body)
	}
	ask := func(key string) answer { return w.send("POST", failbackPath, w.key, body, "Idempotency-Key", key) }
	begun := jobIn(t, ask("once"))
	story := w.must("GET", "/v1/vaults/acme/events?job="+begun.ID, "")
	if !strings.Contains(string(story.body), `"target":{"host":"h3","site":"primary","vmName":"web"}`) {
		t.Errorf("events: %s", story.body)
	}
	if a := w.send("DELETE", "/v1/vaults/acme/sites/primary/hosts/h3", w.key, "", "If-Match", "*"); a.problem(t).Code != "in_use" {
		t.Errorf("a host that is failed back to was removed: %d %s", a.status, a.body)
	}
	if f := i.show().Failback; f == nil || f.Target == nil || f.Target.Host != "h3" || f.Mode != "minimizeDowntime" {
		t.Errorf("the item shows the failback %+v", f)
	}
	now := time.Now()
	i.do(protecteditem.RecordFailbackSynchronized{JobID: begun.ID, At: now})
	i.do(protecteditem.CompleteFailback{JobID: begun.ID, At: now})
	i.do(protecteditem.RecordFailbackCompleted{JobID: begun.ID, VM: "web", At: now})
	w.inventory("acme", "primary", "h3", goodVM("web")) // the VM that it has made
	if again := jobIn(t, ask("once")); again.ID != begun.ID {
		t.Errorf("repeated: job %s, first %s", again.ID, begun.ID)
	}
	i.refusing(func() answer { return ask("twice") }, http.StatusConflict, "failback_open")
	commit := newID()
	i.do(protecteditem.CommitFailback{JobID: commit, At: now})
	i.do(protecteditem.CompleteFailbackCommit{JobID: commit, At: now})
	if got := i.show(); got.Host != "h3" || got.Failback != nil || got.VirtualMachine != "web" || got.ReplicationHealth == "Normal" {
		t.Errorf("the item is %s on %s, %s", got.VirtualMachine, got.Host, got.ReplicationHealth)
	}
}
