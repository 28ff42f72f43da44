package systemtest_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"farshore/api/oapi"
	"farshore/cmd/farshore/client"
	"farshore/cmd/farshore/demo"
)

func TestTheCommandLineTellsFailuresApart(t *testing.T) {
	t.Parallel()
	s := commonServer(t)
	p := newPlace(t, s)
	vm := demo.VM{Name: "told-apart", Disks: []int64{48 * mib}}
	p.protect(vm)
	reader, err := client.Call[oapi.IssuedAPIKey](s.api.IssueAPIKey(t.Context(), vault, &oapi.IssueAPIKeyParams{}, oapi.APIKeyInput{Name: "looks", Role: oapi.Role("Reader")}))
	must(t, err)
	if reader.Body.Secret == nil {
		t.Fatal("a key without a secret was issued")
	}
	read := *reader.Body.Secret
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string // on standard error
	}{
		{"done", []string{"item", "show", vm.Name}, 0, nil},
		{"not found: item", []string{"item", "show", "nobody"}, client.ExitNotFound, []string{"[protected_item_not_found]", "remedy: "}},
		{"not found: job", []string{"job", "show", "018f0000-0000-7000-8000-000000000000"}, client.ExitNotFound, []string{"remedy: "}},
		{"not found: vault", []string{"item", "list", "--vault", "elsewhere"}, client.ExitNotFound, []string{"remedy: "}},
		{"conflict: enabled twice", append([]string{"item", "enable", vm.Name}, p.flags()...), client.ExitConflict, []string{"remedy: "}},
		{"conflict: nothing to commit", []string{"failover", "commit", vm.Name}, client.ExitConflict, []string{"remedy: "}},
		{"conflict: policy exists", []string{"policy", "add", p.name, "--copy-frequency", "300", "--if-match", `"999999"`}, client.ExitConflict, []string{"remedy: "}},
		{"denied: the key may only read", []string{"failover", "planned", vm.Name, "--key", read}, client.ExitDenied, []string{"remedy: "}},
		{"denied: the key is wrong", []string{"item", "list", "--key", "fsk_of_nobody"}, client.ExitDenied, []string{"remedy: "}},
		{"allowed: the key may read", []string{"item", "list", "--key", read}, 0, nil},
		{"usage: no such flag", []string{"item", "list", "--colour"}, client.ExitUsage, []string{"--colour"}},
		{"usage: no such command", []string{"item", "explode"}, client.ExitUsage, []string{"explode"}},
		{"usage: a flag is missing", []string{"item", "enable", "other"}, client.ExitUsage, []string{"required"}},
		{"usage: no argument", []string{"item", "show"}, client.ExitUsage, []string{"arg"}},
		{"usage: no such format", []string{"item", "list", "--output", "yaml"}, client.ExitUsage, []string{"table or json"}},
		{"refused: no script may run", []string{"worker", "--scripts-at-once", "0"}, client.ExitFailure, []string{"--scripts-at-once"}},
		{"refused: no such frequency", []string{"policy", "add", "odd", "--copy-frequency", "31"}, client.ExitFailure, []string{"copyFrequencySeconds"}},
		{"unreachable", []string{"item", "list", "--server", "http://127.0.0.1:1"}, client.ExitUnavailable, []string{"farshore serve"}},
		{"timeout", []string{"item", "watch", vm.Name, "--until", "FailedOver", "--timeout", "400ms"}, client.ExitTimeout, nil},
	} {
		out, errOut, code := s.cli(t.Context(), c.args...)
		if code != c.code || !has(errOut, c.says) || code != 0 && !strings.HasPrefix(errOut, "farshore: ") {
			t.Errorf("%s: farshore %s: exit %d, want %d and %q; it said %s%s", c.name, strings.Join(c.args, " "), code, c.code, c.says, errOut, out)
		}
	}
}

// flags are those of an enable.
func (p *place) flags() []string {
	return []string{"--site", p.site(), "--host", p.site(), "--policy", p.name, "--store", p.account, "--recovery", p.recoverySite() + "/" + p.recoverySite()}
}

func TestTheCommandLineSpeaksJSONAndWaitsForJobs(t *testing.T) {
	t.Parallel()
	s := commonServer(t)
	p := newPlace(t, s)
	vm := demo.VM{Name: "waited-for", Disks: []int64{48 * mib}, Stubborn: true, GraceSeconds: 1}
	p.boot(vm)
	out, errOut, code := s.cli(t.Context(), append([]string{"item", "enable", vm.Name, "--wait", "--output", "json"}, p.flags()...)...)
	var j oapi.Job
	if err := json.Unmarshal([]byte(out), &j); err != nil || code != 0 || j.Status != oapi.JobStatusSucceeded {
		t.Fatalf("item enable --wait: exit %d, %v, job %s; it said %s%s", code, err, j.Status, errOut, out)
	}
	p.becomesProtected(vm)
	for _, args := range [][]string{
		{"vault", "list"},
		{"policy", "list"},
		{"site", "list"},
		{"host", "list", "--site", p.site()},
		{"store", "list"},
		{"vm", "list", "--site", p.site()},
		{"vm", "show", vm.Name, "--site", p.site()},
		{"item", "list"},
		{"item", "show", vm.Name},
		{"job", "list", "--item", vm.Name},
		{"job", "show", j.ID},
		{"point", "list", vm.Name},
		{"events", "list", "--item", vm.Name},
		{"key", "list"},
		{"errors"},
		{"errors", "guest_shutdown_timeout"},
	} {
		out, errOut, code := s.cli(t.Context(), append(args, "--output", "json")...)
		var answered any
		if err := json.Unmarshal([]byte(out), &answered); err != nil || code != 0 || answered == nil {
			t.Errorf("farshore %s: exit %d, %v; it said %s%s", strings.Join(args, " "), code, err, errOut, out)
		}
	}
	out, errOut, code = s.cli(t.Context(), "failover", "planned", vm.Name, "--wait")
	if code != client.ExitFailure || !has(errOut, []string{"[guest_shutdown_timeout]", "remedy: "}) {
		t.Errorf("failover planned --wait: exit %d, want %d, the code and the remedy; it said %s%s", code, client.ExitFailure, errOut, out)
	}
	p.becomesProtected(vm)
	// The same as JSON: the job on standard output, the reason on standard error.
	out, errOut, code = s.cli(t.Context(), "failover", "planned", vm.Name, "--wait", "--output", "json")
	if err := json.Unmarshal([]byte(out), &j); err != nil || code != client.ExitFailure || j.Status != oapi.JobStatusFailed || j.Error == nil || j.Error.Remedy == nil {
		t.Errorf("failover planned --wait --output json: exit %d, %v, job %s; it said %s%s", code, err, j.Status, errOut, out)
	}
}

func TestASecondServerSaysThatTheAddressIsTaken(t *testing.T) {
	t.Parallel()
	s := commonServer(t)
	cmd := exec.CommandContext(t.Context(), shared.program, "serve", "--data", s.data+".second", "--listen", strings.TrimPrefix(s.url, "http://"))
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != client.ExitFailure || !strings.Contains(string(out), "address already in use") {
		t.Errorf("a second server: %v: %s", err, out)
	}
}
