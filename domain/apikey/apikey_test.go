package apikey_test

import (
	"testing"
	"time"

	"farshore/domain/apikey"
	"farshore/domain/domaintest"
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
		"a key is issued":                           {When: issue, Then: stored()[:1]},
		"a key may be good everywhere for ever":     {When: everywhere, Then: []apikey.Event{apikey.Issued(everywhere)}},
		"issuing it again changes nothing":          {Given: stored()[:1], When: issue},
		"issuing it with another role is refused":   {Given: stored()[:1], When: with(func(c *apikey.Issue) { c.Role = apikey.Reader }), Refused: errorcatalog.AlreadyExistsWithOtherSettings},
		"issuing what is revoked is refused":        {Given: stored(), When: issue, Refused: errorcatalog.AlreadyExistsWithOtherSettings},
		"a key needs a vault":                       {When: with(func(c *apikey.Issue) { c.Vault = "" }), Refused: errorcatalog.ValidationFailed, Field: "/vault"},
		"a key needs a name":                        {When: with(func(c *apikey.Issue) { c.Name = "" }), Refused: errorcatalog.ValidationFailed, Field: "/name"},
		"a key needs a known role":                  {When: with(func(c *apikey.Issue) { c.Role = "Root" }), Refused: errorcatalog.ValidationFailed, Field: "/role"},
		"a key needs a hash":                        {When: with(func(c *apikey.Issue) { c.SecretHash = "" }), Refused: errorcatalog.ValidationFailed, Field: "/secretHash"},
		"a key does not expire before it is issued": {When: with(func(c *apikey.Issue) { c.ExpiresAt = noon }), Refused: errorcatalog.ValidationFailed, Field: "/expiresAt"},
		"a key is revoked":                          {Given: stored()[:1], When: apikey.Revoke{At: noon.Add(time.Minute)}, Then: stored()[1:]},
		"revoking it again changes nothing":         {Given: stored(), When: apikey.Revoke{At: noon.Add(time.Hour)}},
		"revoking an unknown key is refused":        {When: apikey.Revoke{At: noon}, Refused: errorcatalog.APIKeyNotFound},
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

type scenario = domaintest.Scenario[apikey.Command, apikey.Event]

func run(t *testing.T, rows map[string]scenario) {
	t.Helper()
	domaintest.Decide(t, apikey.Decider, rows)
}
