// Package apikey decides what may happen to an API key: the credential of a
// client, scoped to a vault and a role. Only a hash of its secret is recorded.
package apikey

import (
	"slices"
	"strings"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Category begins the name of every API key's stream; its UUID follows.
const Category = "api_key"

// AllVaults is the vault of a key that is good for every vault.
const AllVaults = "*"

// Role says what the bearer of a key may do.
type Role string

// The roles.
const (
	VaultAdmin  Role = "VaultAdmin"
	Contributor Role = "Contributor"
	Operator    Role = "Operator"
	Reader      Role = "Reader"
	Auditor     Role = "Auditor"
	Agent       Role = "Agent"
)

// Roles returns every role.
func Roles() []Role { return []Role{VaultAdmin, Contributor, Operator, Reader, Auditor, Agent} }

// State is everything a rule needs to know about an API key.
type State struct {
	Issued     bool
	Vault      string
	Name       string
	Role       Role
	SecretHash string
	ExpiresAt  time.Time // zero: never
	RevokedAt  time.Time // zero: it is not
}

// ValidAt says whether the key is good at an instant.
func (s State) ValidAt(now time.Time) bool {
	return s.Issued && s.RevokedAt.IsZero() && (s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt))
}

// Command asks for something to happen to an API key.
type Command interface {
	decide(s State) ([]Event, error)
}

// Event has happened to an API key.
type Event interface {
	domain.Event
	evolve(s State) State
}

// Decider is the API key aggregate.
var Decider = domain.Decider[Command, Event, State]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, e Event) State { return e.evolve(s) },
}

// Events lists one zero value of each event, for the codec.
func Events() []Event { return []Event{Issued{}, Revoked{}} }

// Issue makes a key known. Issuing the same key again changes nothing.
type Issue struct {
	Vault      string // AllVaults, or a vault's id
	Name       string
	Role       Role
	SecretHash string // the secret itself is shown once and never recorded
	ExpiresAt  time.Time
	At         time.Time
}

func (c Issue) decide(s State) ([]Event, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	e := Issued(c)
	switch {
	case !s.Issued:
		return []Event{e}, nil
	case e.evolve(State{}) == s:
		return nil, nil
	default:
		return nil, domain.Reject(domain.Conflict, errorcatalog.AlreadyExistsWithOtherSettings, "the key was issued with other settings, or is revoked")
	}
}

func (c Issue) validate() error {
	if c.Vault != AllVaults {
		if err := domain.CheckSlug("/vault", c.Vault); err != nil {
			return err
		}
	}
	if err := domain.CheckName("/name", c.Name); err != nil {
		return err
	}
	switch {
	case !slices.Contains(Roles(), c.Role):
		return invalid("/role", "%q is not one of %s", c.Role, roleNames())
	case c.SecretHash == "":
		return invalid("/secretHash", "the hash of the secret is required")
	case !c.ExpiresAt.IsZero() && !c.ExpiresAt.After(c.At):
		return invalid("/expiresAt", "a key expires after it is issued")
	}
	return nil
}

// Issued makes the key good until it expires or is revoked.
type Issued struct {
	Vault      string    `json:"vault"`
	Name       string    `json:"name"`
	Role       Role      `json:"role"`
	SecretHash string    `json:"secretHash"`
	ExpiresAt  time.Time `json:"expiresAt,omitzero"`
	At         time.Time `json:"at"`
}

// EventType implements domain.Event.
func (Issued) EventType() string { return "api_key.issued.v1" }

func (e Issued) evolve(State) State {
	return State{Issued: true, Vault: e.Vault, Name: e.Name, Role: e.Role, SecretHash: e.SecretHash, ExpiresAt: e.ExpiresAt}
}

// Revoke makes a key worthless. Revoking it again changes nothing.
type Revoke struct{ At time.Time }

func (c Revoke) decide(s State) ([]Event, error) {
	switch {
	case !s.Issued:
		return nil, domain.Reject(domain.NotFound, errorcatalog.APIKeyNotFound, "no such key was issued")
	case !s.RevokedAt.IsZero():
		return nil, nil
	default:
		return []Event{Revoked(c)}, nil
	}
}

// Revoked ends the key.
type Revoked struct {
	At time.Time `json:"at"`
}

// EventType implements domain.Event.
func (Revoked) EventType() string { return "api_key.revoked.v1" }

func (e Revoked) evolve(s State) State {
	s.RevokedAt = e.At
	return s
}

func roleNames() string {
	names := make([]string, 0, len(Roles()))
	for _, r := range Roles() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

func invalid(field, format string, args ...any) error {
	return domain.Reject(domain.Invalid, errorcatalog.ValidationFailed, format, args...).At(field)
}
