package vault_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/vault"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func stored() []vault.Event { return []vault.Event{vault.Created{Name: "Acme", At: noon}} }

func TestDecide(t *testing.T) {
	t.Parallel()
	run(t, map[string]scenario{
		"a vault is created":                        {when: vault.Create{Name: "Acme", At: noon}, then: stored()},
		"creating it again changes nothing":         {given: stored(), when: vault.Create{Name: "Acme", At: noon.Add(time.Hour)}},
		"creating it under another name is refused": {given: stored(), when: vault.Create{Name: "Other", At: noon}, refused: errorcatalog.AlreadyExistsWithOtherSettings, field: "/name"},
		"a vault needs a name":                      {when: vault.Create{At: noon}, refused: errorcatalog.ValidationFailed, field: "/name"},
		"a name has no control characters":          {when: vault.Create{Name: "a\nb", At: noon}, refused: errorcatalog.ValidationFailed, field: "/name"},
	})
}

type scenario struct {
	given   []vault.Event
	when    vault.Command
	then    []vault.Event // none and not refused: nothing changes
	refused errorcatalog.Code
	field   string
}

func run(t *testing.T, rows map[string]scenario) {
	t.Helper()
	for name, tt := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := vault.Decider
			got, err := d.Decide(d.Fold(vault.State{}, tt.given...), tt.when)
			var code errorcatalog.Code
			var field string
			if r, ok := errors.AsType[*domain.RejectionError](err); ok {
				code, field = r.Code, r.Field
				if e, ok := errorcatalog.Lookup(code); !ok || e.Class != errorcatalog.Refusal {
					t.Errorf("%s is not a refusal of the catalogue", code)
				}
			}
			if code != tt.refused || field != tt.field || (err != nil) != (tt.refused != "") {
				t.Fatalf("refusal = %q at %q (%v), want %q at %q", code, field, err, tt.refused, tt.field)
			}
			if !reflect.DeepEqual(got, tt.then) {
				t.Errorf("events = %+v\nwant %+v", got, tt.then)
			}
		})
	}
}
