// Package storageaccount decides what may happen to a storage account: a place
// where replicas are kept.
package storageaccount

import (
	"strings"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Category begins the name of every storage account's stream; "<vault>.<name>"
// follows.
const Category = "storage_account"

// Kind names an implementation of the replica store.
type Kind string

// The kinds of storage account.
const (
	Directory     Kind = "Directory"
	AzurePageBlob Kind = "AzurePageBlob"
)

// Settings say where replicas are kept and how to get in.
type Settings struct {
	Kind       Kind   `json:"kind"`
	Directory  string `json:"directory,omitempty"`  // of kind Directory: an absolute path
	Endpoint   string `json:"endpoint,omitempty"`   // of kind AzurePageBlob: the account's URL
	Container  string `json:"container,omitempty"`  // of kind AzurePageBlob
	Credential string `json:"credential,omitempty"` // "env:NAME" or "file:/path": where the secret is, never the secret
}

// State is everything a rule needs to know about a storage account.
type State struct {
	Registered bool
	Name       string
	Settings   Settings
}

// Command asks for something to happen to a storage account.
type Command interface {
	decide(s State) ([]Event, error)
}

// Event has happened to a storage account.
type Event interface {
	domain.Event
	evolve(s State) State
}

// Decider is the storage account aggregate.
var Decider = domain.Decider[Command, Event, State]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, e Event) State { return e.evolve(s) },
}

// Events lists one zero value of each event, for the codec.
func Events() []Event { return []Event{Registered{}} }

// Register makes a storage account known. It cannot be changed afterwards, since
// replicas lie in it; registering it again as it is changes nothing.
type Register struct {
	Name       string
	Kind       Kind
	Directory  string
	Endpoint   string
	Container  string
	Credential string
	At         time.Time
}

func (c Register) decide(s State) ([]Event, error) {
	if err := domain.CheckName("/name", c.Name); err != nil {
		return nil, err
	}
	settings := Settings{Kind: c.Kind, Directory: c.Directory, Endpoint: c.Endpoint, Container: c.Container, Credential: c.Credential}
	if err := settings.validate(); err != nil {
		return nil, err
	}
	switch {
	case !s.Registered:
		return []Event{Registered{Name: c.Name, Settings: settings, At: c.At}}, nil
	case s.Name == c.Name && s.Settings == settings:
		return nil, nil
	default:
		return nil, domain.Reject(domain.Conflict, errorcatalog.AlreadyExistsWithOtherSettings,
			"the storage account is registered with other settings, which cannot be changed")
	}
}

// Registered makes the storage account available to protected items.
type Registered struct {
	Name string `json:"name"`
	Settings
	At time.Time `json:"at"`
}

// EventType implements domain.Event.
func (Registered) EventType() string { return "storage_account.registered.v1" }

func (e Registered) evolve(State) State {
	return State{Registered: true, Name: e.Name, Settings: e.Settings}
}

func (s Settings) validate() error {
	switch s.Kind {
	case Directory:
		return s.validateDirectory()
	case AzurePageBlob:
		return s.validatePageBlob()
	default:
		return invalid("/kind", "%q is neither %s nor %s", s.Kind, Directory, AzurePageBlob)
	}
}

func (s Settings) validateDirectory() error {
	switch {
	case !strings.HasPrefix(s.Directory, "/"):
		return invalid("/directory", "%q is not an absolute path", s.Directory)
	case s.Endpoint != "":
		return invalid("/endpoint", "a directory has no endpoint")
	case s.Container != "":
		return invalid("/container", "a directory has no container")
	case s.Credential != "":
		return invalid("/credential", "a directory needs no credential")
	}
	return nil
}

func (s Settings) validatePageBlob() error {
	name, named := strings.CutPrefix(s.Credential, "env:")
	file, filed := strings.CutPrefix(s.Credential, "file:")
	switch {
	case s.Directory != "":
		return invalid("/directory", "page blobs are not in a directory")
	case !validEndpoint(s.Endpoint):
		return invalid("/endpoint", "the endpoint is a URL like https://account.blob.core.windows.net, without a query or credential")
	case !validContainer(s.Container):
		return invalid("/container", "%q is not 3 to 63 lower-case letters, digits and single hyphens", s.Container)
	case named && name != "" && !strings.ContainsAny(name, "= "), filed && strings.HasPrefix(file, "/"):
		return nil
	default: // the value is not repeated: it may be a secret
		return invalid("/credential", "the credential is a reference: env:NAME or file:/path")
	}
}

// validEndpoint keeps secrets out of the log: a shared access signature is a
// query, a password stands before an @.
func validEndpoint(url string) bool {
	rest, ok := strings.CutPrefix(url, "https://")
	if !ok {
		rest, ok = strings.CutPrefix(url, "http://")
	}
	return ok && rest != "" && rest[0] != '/' && !strings.ContainsAny(rest, "?#@ \t\r\n")
}

func validContainer(name string) bool {
	const shortest = 3
	return len(name) >= shortest && domain.ValidSlug(name) && !strings.Contains(name, "--")
}

func invalid(field, format string, args ...any) error {
	return domain.Reject(domain.Invalid, errorcatalog.ValidationFailed, format, args...).At(field)
}
