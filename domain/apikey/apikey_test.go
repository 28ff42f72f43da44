package apikey_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"farshore/domain"
	"farshore/domain/apikey"
	"farshore/domain/errorcatalog"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func stored() []apikey.Event {
	return []apikey.Event{
		apikey.Issued{Vault: "acme", Name: "ci", Role: apikey.Operator, SecretHash: "a1b2", ExpiresAt: noon.Add(time.Hour), At: noon},
		apikey.Revoked{At: noon.Add(time.Minute)},
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	issue := apikey.Issue{Vault: "acme", Name: "ci", Role: apikey.Operator, SecretHash: "a1b2", ExpiresAt: noon.Add(time.Hour), At: noon}
	with := func(change func(*apikey.Issue)) apikey.Issue {
		c := issue
		change(&c)
		return c
	}
	everywhere := with(func(c *apikey.Issue) { c.Vault, c.ExpiresAt = apikey.AllVaults, time.Time{} })
	run(t, map[string]scenario{
		"a key is issued":                           {when: issue, then: stored()[:1]},
		"a key may be good everywhere for ever":     {when: everywhere, then: []apikey.Event{apikey.Issued(everywhere)}},
		"issuing it again changes nothing":          {given: stored()[:1], when: issue},
		"issuing it with another role is refused":   {given: stored()[:1], when: with(func(c *apikey.Issue) { c.Role = apikey.Reader }), refused: errorcatalog.AlreadyExistsWithOtherSettings},
		"issuing what is revoked is refused":        {given: stored(), when: issue, refused: errorcatalog.AlreadyExistsWithOtherSettings},
		"a key needs a vault":                       {when: with(func(c *apikey.Issue) { c.Vault = "" }), refused: errorcatalog.ValidationFailed, field: "/vault"},
		"a key needs a name":                        {when: with(func(c *apikey.Issue) { c.Name = "" }), refused: errorcatalog.ValidationFailed, field: "/name"},
		"a key needs a known role":                  {when: with(func(c *apikey.Issue) { c.Role = "Root" }), refused: errorcatalog.ValidationFailed, field: "/role"},
		"a key needs a hash":                        {when: with(func(c *apikey.Issue) { c.SecretHash = "" }), refused: errorcatalog.ValidationFailed, field: "/secretHash"},
		"a key does not expire before it is issued": {when: with(func(c *apikey.Issue) { c.ExpiresAt = noon }), refused: errorcatalog.ValidationFailed, field: "/expiresAt"},
		"a key is revoked":                          {given: stored()[:1], when: apikey.Revoke{At: noon.Add(time.Minute)}, then: stored()[1:]},
		"revoking it again changes nothing":         {given: stored(), when: apikey.Revoke{At: noon.Add(time.Hour)}},
		"revoking an unknown key is refused":        {when: apikey.Revoke{At: noon}, refused: errorcatalog.APIKeyNotFound},
	})
}

func TestAKeyIsValidUntilItExpiresOrIsRevoked(t *testing.T) {
	t.Parallel()
	d := apikey.Decider
	issued, revoked := d.Fold(apikey.State{}, stored()[0]), d.Fold(apikey.State{}, stored()...)
	for _, tt := range []struct {
		s    apikey.State
		at   time.Time
		want bool
	}{
		{apikey.State{}, noon, false},
		{issued, noon, true},
		{issued, noon.Add(time.Hour), false},
		{revoked, noon, false},
		{apikey.State{Issued: true}, noon.AddDate(99, 0, 0), true},
	} {
		if got := tt.s.ValidAt(tt.at); got != tt.want {
			t.Errorf("%+v is valid at %s = %v", tt.s, tt.at, got)
		}
	}
}

type scenario struct {
	given   []apikey.Event
	when    apikey.Command
	then    []apikey.Event // none and not refused: nothing changes
	refused errorcatalog.Code
	field   string
}

func run(t *testing.T, rows map[string]scenario) {
	t.Helper()
	for name, tt := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := apikey.Decider
			got, err := d.Decide(d.Fold(apikey.State{}, tt.given...), tt.when)
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
