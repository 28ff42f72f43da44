package vault_test

import (
	"testing"
	"time"

	"farshore/domain/domaintest"
	"farshore/domain/errorcatalog"
	"farshore/domain/vault"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func stored() []vault.Event { return []vault.Event{vault.Created{Name: "Acme", At: noon}} }

func TestDecide(t *testing.T) {
	t.Parallel()
	run(t, map[string]scenario{
		"a vault is created":                        {When: vault.Create{Name: "Acme", At: noon}, Then: stored()},
		"creating it again changes nothing":         {Given: stored(), When: vault.Create{Name: "Acme", At: noon.Add(time.Hour)}},
		"creating it under another name is refused": {Given: stored(), When: vault.Create{Name: "Other", At: noon}, Refused: errorcatalog.AlreadyExistsWithOtherSettings, Field: "/name"},
		"a vault needs a name":                      {When: vault.Create{At: noon}, Refused: errorcatalog.ValidationFailed, Field: "/name"},
		"a name has no control characters":          {When: vault.Create{Name: "a\nb", At: noon}, Refused: errorcatalog.ValidationFailed, Field: "/name"},
	})
}

type scenario = domaintest.Scenario[vault.Command, vault.Event]

func run(t *testing.T, rows map[string]scenario) {
	t.Helper()
	domaintest.Decide(t, vault.Decider, rows)
}
