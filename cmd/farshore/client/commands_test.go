package client_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"farshore/cmd/farshore/client"
)

const (
	jobID   = "0198c0de-0000-7000-8000-000000000001"
	pointID = "0198c0de-0000-7000-8000-000000000002"
	since   = "2026-11-23T12:00:00Z"
)

// plan is a recovery plan as the server shows it.
const plan = `{"id":"shop","name":"Shop","onFailure":"Stop","revision":2,"etag":"\"4\"","allowedOperations":[],
	"groups":[{"items":["db"],"postActions":[{"name":"DNS","kind":"Script","script":"dns.sh","arguments":["dr"]}]},{"items":["app","web"],"preActions":[{"name":"look","kind":"Manual","instructions":"look at db"}]}],
	"readiness":{"state":"Ready","operation":"PlannedFailover","checkedAt":"` + since + `","findings":[]},
	"lastRun":{"job":"` + jobID + `","operation":"TestFailover","status":"Failed","startedAt":"` + since + `","items":[{"item":"web","outcome":"Failed","detail":"no space"}]}}`

// said is what a command has sent and printed.
type said struct {
	requests []string // "POST /v1/… {…}"
	keys     []string // Idempotency-Key of each
	out      string
	code     int
}

// run runs a command against a server that answers everything, with a job that
// has ended in the given status.
func run(t *testing.T, status string, args ...string) said {
	t.Helper()
	var s said
	item := `{"id":"web","protectionState":"Protected","resynchronizationState":"None","testFailoverState":"AwaitingCleanup","replicationHealth":"Warning",
		"activeLocation":"Primary","healthErrors":[],"allowedOperations":[{"name":"resume","allowed":true}],"policy":{"copyFrequencySeconds":900,"retentionHours":24},
		"paused":{"since":"` + since + `","by":"apikey:0198c0de-0000-7000-8000-00000000abcd","reason":"the line is needed"},
		"testFailover":{"state":"AwaitingCleanup","point":"` + pointID + `","virtualMachine":"web-test","startedAt":"` + since + `","lastSuccessAt":"` + since + `"}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.requests = append(s.requests, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
		s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
		w.Header().Set("X-Event-Position", "7")
		answer := item
		switch _, verb, _ := strings.Cut(r.URL.Path, "/protectedItems/web"); {
		case strings.Contains(r.URL.Path, "/recoveryPlans/shop") && (r.Method != http.MethodPost || strings.HasSuffix(r.URL.Path, "/checkReadiness")):
			answer = plan
		case strings.Contains(r.URL.Path, "/recoveryPlans/shop") && r.URL.Query().Get("validateOnly") == "true":
			answer = `{"operation":"PlannedFailover","ready":true,"findings":[]}`
		case r.URL.Query().Get("validateOnly") == "true":
			answer = `{"valid":true}`
		case strings.HasSuffix(r.URL.Path, "/jobs"):
			answer = `{"value":[]}`
		case strings.Contains(r.URL.Path, "/jobs/"):
			input := ""
			if status == "WaitingForInput" {
				input = `"input":{"task":"group_2_pre_1","instructions":"look","since":"` + since + `"},`
			}
			answer = `{"id":"` + jobID + `","kind":"TestFailover","status":"` + status + `",` + input + `"item":"web","tasks":[],"endedAt":"` + since + `"}`
		case strings.Contains(strings.ToLower(verb), "fail") || verb == "/applyRecoveryPoint" || verb == "/addDisks" || verb == "/reProtect" || r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusAccepted)
			answer = `{"id":"` + jobID + `","kind":"TestFailover","status":"NotStarted","item":"web","tasks":[]}`
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	root := &cobra.Command{Use: "farshore", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(client.Commands(root)...)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetArgs(append(args, "--server", server.URL, "--key", "k", "--vault", "acme"))
	ran, err := root.ExecuteC()
	s.out, s.code = out.String(), client.ExitCode(ran, err)
	return s
}

func TestACommandAsksForWhatItSays(t *testing.T) {
	t.Parallel()
	const item, plans = "/v1/vaults/acme/protectedItems/web", "/v1/vaults/acme/recoveryPlans/shop"
	for args, want := range map[string]string{
		"item enable web --site a --host h --store s --recovery b/h2 --validate-only": "PUT " + item +
			`?validateOnly=true {"host":"h","policy":"default","recovery":{"host":"h2","site":"b"},"site":"a","storageAccount":"s","virtualMachine":"web"}`,
		"failover planned web":          "POST " + item + "/plannedFailover",
		"failover planned web --resume": "POST " + item + "/plannedFailover?resume=true",
		"failover unplanned web":        "POST " + item + "/unplannedFailover {}",
		"failover unplanned web --point LatestProcessed --shut-down-source": "POST " + item + `/unplannedFailover {"recoveryPoint":"LatestProcessed","shutDownSource":true}`,
		"item add-disk web logs data2":                                      "POST " + item + `/addDisks {"disks":["logs","data2"]}`,
		"item add-disk web logs --validate-only":                            "POST " + item + `/addDisks?validateOnly=true {"disks":["logs"]}`,
		"item remove-disk web logs":                                         "POST " + item + `/removeDisks {"disks":["logs"]}`,
		"failover unplanned web --validate-only":                            "POST " + item + "/unplannedFailover?validateOnly=true {}",
		"failover test web --point " + pointID + " --network lab":           "POST " + item + `/testFailover {"network":"lab","recoveryPoint":"` + pointID + `"}`,
		"failover test web --validate-only":                                 "POST " + item + "/testFailover?validateOnly=true {}",
		"failover cleanup web --notes good":                                 "POST " + item + `/testFailoverCleanup {"notes":"good"}`,
		"failover change-point web " + pointID:                              "POST " + item + `/applyRecoveryPoint {"confirm":false,"recoveryPoint":"` + pointID + `"}`,
		"failover change-point web " + pointID + " --confirm":               "POST " + item + `/applyRecoveryPoint {"confirm":true,"recoveryPoint":"` + pointID + `"}`,
		"failover cancel web":                                               "POST " + item + "/failoverCancel",
		"failover commit web":                                               "POST " + item + "/failoverCommit",
		"failback start web":                                                "POST " + item + `/failback {"mode":"minimizeDowntime"}`,
		"failback start web --full-download":                                "POST " + item + `/failback {"mode":"fullDownload"}`,
		"failback complete web":                                             "POST " + item + "/completeFailback",
		"failback cancel web":                                               "POST " + item + "/failbackCancel",
		"failback commit web":                                               "POST " + item + "/failbackCommit",
		"item reprotect web":                                                "POST " + item + "/reProtect",
		"item pause web --reason night":                                     "POST " + item + `/pause {"reason":"night"}`,
		"item resume web":                                                   "POST " + item + "/resume",
		"item retry web":                                                    "POST " + item + "/retryNow",
		"item policy web seldom":                                            "POST " + item + `/changePolicy {"policy":"seldom"}`,
		"item disable web --force --survivor web-1":                         "DELETE " + item + "?keepReplica=168&force=true&survivor=web-1",
		"plan check shop --operation Failback":                              "POST " + plans + `/checkReadiness {"operation":"Failback"}`,
		"plan run test shop --point LatestProcessed --network lab":          "POST " + plans + `/testFailover {"network":"lab","recoveryPoint":"LatestProcessed"}`,
		"plan run cleanup shop --notes good":                                "POST " + plans + `/testFailoverCleanup {"notes":"good"}`,
		"plan run planned shop --resume":                                    "POST " + plans + "/plannedFailover?resume=true",
		"plan run planned shop --validate-only":                             "POST " + plans + "/plannedFailover?validateOnly=true",
		"plan run unplanned shop --shut-down-source":                        "POST " + plans + `/unplannedFailover {"shutDownSource":true}`,
		"plan run failback shop":                                            "POST " + plans + "/failback",
		"plan run commit shop":                                              "POST " + plans + "/failoverCommit",
		"job restart " + jobID:                                              "POST /v1/vaults/acme/jobs/" + jobID + "/restart",
		"job resume " + jobID + " --task a --comments seen":                 "POST /v1/vaults/acme/jobs/" + jobID + `/resume {"comments":"seen","task":"a"}`,
		"item disable web --cleanup":                                        "DELETE " + item + "?keepReplica=168&cleanup=true",

		// A new VM on another host.
		"failback start web --to office/hv3": "POST " + item + `/failback {"mode":"minimizeDowntime","target":{"host":"hv3","site":"office"}}`,
		"failback start web --to office/hv3 --vm-name web-2 --full-download --validate-only": "POST " + item +
			`/failback?validateOnly=true {"mode":"fullDownload","target":{"host":"hv3","site":"office","vmName":"web-2"}}`,
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			s := run(t, "Succeeded", strings.Fields(args)...)
			if s.code != 0 || len(s.requests) != 1 || s.requests[0] != want || s.keys[0] == "" {
				t.Errorf("exit %d, sent %q under %q, want %q; it printed %s", s.code, s.requests, s.keys, want, s.out)
			}
			if s.out == "" {
				t.Error("nothing was printed")
			}
			if strings.HasPrefix(want, "POST") {
				if asJSON := run(t, "Succeeded", append(strings.Fields(args), "--output", "json")...); !json.Valid([]byte(asJSON.out)) {
					t.Errorf("no JSON: %s", asJSON.out)
				}
			}
		})
	}
}

func TestACommandThatWaitsEndsAsItsJobDoes(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"failover unplanned web", "failover test web", "failover cleanup web", "failover change-point web " + pointID + " --confirm", "failover cancel web",
		"failback complete web", "item reprotect web",
	} {
		for status, code := range map[string]int{"Succeeded": 0, "Failed": client.ExitFailure, "Canceled": client.ExitFailure} {
			t.Run(args+" "+status, func(t *testing.T) {
				t.Parallel()
				s := run(t, status, append(strings.Fields(args), "--wait")...)
				if s.code != code || len(s.requests) != 2 || s.requests[1] != "GET /v1/vaults/acme/jobs/"+jobID+"?minPosition=7" {
					t.Errorf("exit %d, want %d; sent %q", s.code, code, s.requests)
				}
			})
		}
	}
}

func TestAFailbackIsWaitedForUntilItWaitsItself(t *testing.T) {
	t.Parallel()
	if s := run(t, "WaitingForInput", "failback", "start", "web", "--wait"); s.code != 0 || !strings.Contains(s.out, "WaitingForInput") {
		t.Errorf("exit %d; it printed %s", s.code, s.out)
	}
}

func TestACommandLineThatIsWrongSendsNothing(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"failover unplanned", "failover test", "failover cleanup", "failover change-point web", "failover cancel", "failover undo web",
		"failback start", "failback undo web", "failback complete", "failback start web --mode x", "failback start web --to hv3", "failback start web --vm-name web", "item reprotect",
		"item pause", "item resume web db", "item retry", "item policy web", "item disable web --survivor web-1", "failover test web --pont x",
		"plan add shop", "plan add shop --file nowhere/plan.yaml --x", "plan show", "plan check", "plan run dance shop", "plan run test", "plan run planned shop --point x",
		"job restart", "job resume", "job list --since yesterday",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			if s := run(t, "Succeeded", strings.Fields(args)...); s.code != client.ExitUsage || len(s.requests) != 0 {
				t.Errorf("exit %d, sent %q", s.code, s.requests)
			}
		})
	}
}

func TestAnItemShowsItsPauseAndItsTestFailover(t *testing.T) {
	t.Parallel()
	s := run(t, "Succeeded", "item", "show", "web")
	for _, part := range []string{"paused", "by apikey …000abcd: the line is needed", "Protected, paused, test failover awaiting cleanup", "awaiting cleanup: web-test from " + pointID, "last good test", "resume"} {
		if !strings.Contains(s.out, part) {
			t.Errorf("no %q in\n%s", part, s.out)
		}
	}
}

func TestAJobIsResumedAtTheTaskAtWhichItWaits(t *testing.T) {
	t.Parallel()
	const job = "/v1/vaults/acme/jobs/" + jobID
	for status, want := range map[string]string{"WaitingForInput": `{"comments":"seen","task":"group_2_pre_1"}`, "Running": `{"comments":"seen"}`} {
		s := run(t, status, "job", "resume", jobID, "--comments", "seen")
		if s.code != 0 || !slices.Equal(s.requests, []string{"GET " + job, "POST " + job + "/resume " + want}) {
			t.Errorf("of a job that is %s: exit %d, sent %q", status, s.code, s.requests)
		}
	}
	s := run(t, "WaitingForInput", "job", "show", jobID)
	if hint := "farshore job resume " + jobID + " --task group_2_pre_1 --comments"; !strings.Contains(s.out, hint) {
		t.Errorf("no %q in\n%s", hint, s.out)
	}
}

func TestJobsAreListedByStateKindAndTime(t *testing.T) {
	t.Parallel()
	s := run(t, "Succeeded", "job", "list", "--state", "Failed", "--kind", "PlannedFailover", "--item", "web", "--since", since, "--until", "2026-11-24T12:00:00Z")
	const want = "GET /v1/vaults/acme/jobs?state=Failed&kind=PlannedFailover&item=web&since=2026-11-23T12%3A00%3A00Z&until=2026-11-24T12%3A00%3A00Z"
	if s.code != 0 || len(s.requests) != 1 || s.requests[0] != want {
		t.Errorf("exit %d, sent %q", s.code, s.requests)
	}
}
