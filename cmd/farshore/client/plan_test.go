package client_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"farshore/cmd/farshore/client"
)

func TestAPlanIsReadFromYAMLAndJSON(t *testing.T) {
	t.Parallel()
	const want = `PUT /v1/vaults/acme/recoveryPlans/shop {"groups":[{"items":["db"],"postActions":[{"kind":"Script","name":"DNS","script":"dns.sh","timeoutSeconds":30}]}],"onFailure":"Continue"}`
	dir := t.TempDir()
	for name, text := range map[string]string{
		"plan.yaml": "onFailure: Continue\ngroups:\n- items: [db]\n  postActions:\n  - {name: DNS, kind: Script, script: dns.sh, timeoutSeconds: 30}\n",
		"plan.json": `{"onFailure":"Continue","groups":[{"items":["db"],"postActions":[{"name":"DNS","kind":"Script","script":"dns.sh","timeoutSeconds":30}]}]}`,
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := run(t, "Succeeded", "plan", "add", "shop", "--file", file)
		if s.code != 0 || len(s.requests) != 1 || s.requests[0] != want {
			t.Errorf("%s: exit %d, sent %q", name, s.code, s.requests)
		}
	}
	for name, text := range map[string]string{"a.yaml": "groups: [\n", "b.yaml": "grops: []\n", "c.yaml": "- 1\n"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s := run(t, "Succeeded", "plan", "add", "shop", "--file", file); s.code != client.ExitUsage || len(s.requests) != 0 {
			t.Errorf("%s: exit %d, sent %q", name, s.code, s.requests)
		}
	}
}

func TestAPlanShowsItsLastRunAndReadiness(t *testing.T) {
	t.Parallel()
	s := run(t, "Succeeded", "plan", "show", "shop")
	for _, part := range []string{"after: DNS", "Script: dns.sh dr", "look at db", "app, web", "ready (planned failover", "TestFailover Failed", "no space"} {
		if !strings.Contains(s.out, part) {
			t.Errorf("no %q in\n%s", part, s.out)
		}
	}
}
