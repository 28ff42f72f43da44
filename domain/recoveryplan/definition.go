package recoveryplan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"farshore/domain"
)

// Operation is what a plan is run as, in the words of its items' operations.
type Operation string

// The operations.
const (
	TestFailover        Operation = "TestFailover"
	TestFailoverCleanup Operation = "TestFailoverCleanup"
	PlannedFailover     Operation = "PlannedFailover"
	UnplannedFailover   Operation = "UnplannedFailover"
	Failback            Operation = "Failback"
	FailoverCommit      Operation = "FailoverCommit" // of failovers and failbacks
)

// Operations lists all of them.
func Operations() []Operation {
	return []Operation{TestFailover, TestFailoverCleanup, PlannedFailover, UnplannedFailover, Failback, FailoverCommit}
}

// Acts says whether a plan's actions belong to an operation: what only tidies up
// or accepts has none.
func (o Operation) Acts() bool { return o != TestFailoverCleanup && o != FailoverCommit }

// Direction says which way an operation moves the VMs.
func (o Operation) Direction() string {
	if o == Failback {
		return "RecoveryToPrimary"
	}
	return "PrimaryToRecovery"
}

// OnFailure says what becomes of a run when an item or an action fails.
type OnFailure string

// The policies.
const (
	Stop     OnFailure = "Stop"     // the run ends; what has not started on the other side is taken back
	Continue OnFailure = "Continue" // the run goes on with the others, and ends as failed
)

// Definition is what a plan consists of.
type Definition struct {
	Name      string    `json:"name"`
	OnFailure OnFailure `json:"onFailure"`
	Groups    []Group   `json:"groups"`
}

// Group is a part of a plan: its items are moved at the same time.
type Group struct {
	Name        string   `json:"name,omitempty"`
	Items       []string `json:"items"`
	PreActions  []Action `json:"preActions,omitempty"`
	PostActions []Action `json:"postActions,omitempty"`
}

// ActionKind says what an action is.
type ActionKind string

// The kinds of action.
const (
	Manual    ActionKind = "Manual"    // an operator follows instructions and lets the plan go on
	Script    ActionKind = "Script"    // a program of the server's scripts directory is run
	AwaitPort ActionKind = "AwaitPort" // a TCP port is waited for
)

// Action is done before or after a group's items are moved.
type Action struct {
	Name           string      `json:"name"`
	Kind           ActionKind  `json:"kind"`
	FailoverTypes  []Operation `json:"failoverTypes,omitempty"` // none: all
	Instructions   string      `json:"instructions,omitempty"`  // of a manual action
	Script         string      `json:"script,omitempty"`        // the program's file name
	Arguments      []string    `json:"arguments,omitempty"`
	Address        string      `json:"address,omitempty"` // of a port: "host:port"
	TimeoutSeconds int         `json:"timeoutSeconds,omitempty"`
}

// Limits bound a plan.
type Limits struct {
	Groups int
	Items  int
}

// DefaultLimits are those that are known from Site Recovery.
func DefaultLimits() Limits { return Limits{Groups: 7, Items: 100} }

// The bounds of what is written by hand.
const (
	maxActions      = 20 // before or after a group
	maxInstructions = 4096
	maxArguments    = 32
	maxArgument     = 1024
	maxScriptName   = 128
	maxTimeout      = 24 * 60 * 60
	maxAddress      = 255
)

// For says whether an action belongs to an operation.
func (a Action) For(o Operation) bool {
	return o.Acts() && (len(a.FailoverTypes) == 0 || slices.Contains(a.FailoverTypes, o))
}

// Items lists the items of all groups.
func (d Definition) Items() []string {
	var items []string
	for _, g := range d.Groups {
		items = append(items, g.Items...)
	}
	return items
}

func (d Definition) validate(l Limits) error {
	if err := domain.CheckName("/name", d.Name); err != nil {
		return err
	}
	items := d.Items()
	switch {
	case d.OnFailure != Stop && d.OnFailure != Continue:
		return invalid("/onFailure", "%q is neither %s nor %s", d.OnFailure, Stop, Continue)
	case len(d.Groups) == 0 || len(d.Groups) > l.Groups:
		return invalid("/groups", "a plan has 1 to %d groups, this one %d", l.Groups, len(d.Groups))
	case len(items) == 0 || len(items) > l.Items:
		return invalid("/groups", "a plan has 1 to %d items, this one %d", l.Items, len(items))
	}
	seen := map[string]bool{}
	for n, g := range d.Groups {
		if err := g.validate(fmt.Sprintf("/groups/%d", n), seen); err != nil {
			return err
		}
	}
	return nil
}

func (g Group) validate(at string, seen map[string]bool) error {
	if g.Name != "" {
		if err := domain.CheckName(at+"/name", g.Name); err != nil {
			return err
		}
	}
	for n, item := range g.Items {
		field := at + "/items/" + strconv.Itoa(n)
		if err := domain.CheckSlug(field, item); err != nil {
			return err
		}
		if seen[item] {
			return invalid(field, "item %q is in the plan twice", item)
		}
		seen[item] = true
	}
	if err := validateActions(at+"/preActions", g.PreActions); err != nil {
		return err
	}
	return validateActions(at+"/postActions", g.PostActions)
}

func validateActions(at string, actions []Action) error {
	if len(actions) > maxActions {
		return invalid(at, "there are at most %d actions before a group, and after it", maxActions)
	}
	for n, a := range actions {
		if err := a.validate(at + "/" + strconv.Itoa(n)); err != nil {
			return err
		}
	}
	return nil
}

func (a Action) validate(at string) error {
	if err := domain.CheckName(at+"/name", a.Name); err != nil {
		return err
	}
	for n, o := range a.FailoverTypes {
		if !slices.Contains(Operations(), o) || !o.Acts() {
			return invalid(at+"/failoverTypes/"+strconv.Itoa(n), "%q is not a failover with actions", o)
		}
	}
	switch a.Kind {
	case Manual:
		if a.Instructions == "" || len(a.Instructions) > maxInstructions {
			return invalid(at+"/instructions", "instructions have 1 to %d bytes", maxInstructions)
		}
		return a.only(at, Action{Instructions: a.Instructions})
	case Script:
		return a.validateScript(at)
	case AwaitPort:
		if !validAddress(a.Address) {
			return invalid(at+"/address", "%q is not an address like db.example:5432", a.Address)
		}
		if err := a.timed(at); err != nil {
			return err
		}
		return a.only(at, Action{Address: a.Address, TimeoutSeconds: a.TimeoutSeconds})
	default:
		return invalid(at+"/kind", "%q is not one of %s, %s, %s", a.Kind, Manual, Script, AwaitPort)
	}
}

func (a Action) validateScript(at string) error {
	if !ValidScript(a.Script) {
		return invalid(at+"/script", "%q is not the name of a file in the scripts directory", a.Script)
	}
	if len(a.Arguments) > maxArguments {
		return invalid(at+"/arguments", "a script has at most %d arguments", maxArguments)
	}
	for n, arg := range a.Arguments {
		if len(arg) > maxArgument || strings.ContainsRune(arg, 0) {
			return invalid(at+"/arguments/"+strconv.Itoa(n), "an argument has at most %d bytes and no zero byte", maxArgument)
		}
	}
	if err := a.timed(at); err != nil {
		return err
	}
	return a.only(at, Action{Script: a.Script, Arguments: a.Arguments, TimeoutSeconds: a.TimeoutSeconds})
}

func (a Action) timed(at string) error {
	if a.TimeoutSeconds < 1 || a.TimeoutSeconds > maxTimeout {
		return invalid(at+"/timeoutSeconds", "the time is 1 to %d seconds", maxTimeout)
	}
	return nil
}

// only refuses what an action of another kind would have.
func (a Action) only(at string, own Action) error {
	switch {
	case a.Instructions != own.Instructions:
		at += "/instructions"
	case a.Script != own.Script:
		at += "/script"
	case len(a.Arguments) != len(own.Arguments):
		at += "/arguments"
	case a.Address != own.Address:
		at += "/address"
	case a.TimeoutSeconds != own.TimeoutSeconds:
		at += "/timeoutSeconds"
	default:
		return nil
	}
	return invalid(at, "an action of kind %s has none", a.Kind)
}

// ValidScript says whether a name can be that of a file in the scripts directory
// and of nothing outside of it.
func ValidScript(name string) bool {
	if name == "" || len(name) > maxScriptName || name[0] == '.' || name[0] == '-' {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		letter := (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z')
		return !letter && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
	})
}

func validAddress(address string) bool {
	i := strings.LastIndexByte(address, ':')
	if i <= 0 || len(address) > maxAddress || strings.ContainsAny(address, " \t\n/@") {
		return false
	}
	port, err := strconv.Atoi(address[i+1:])
	return err == nil && port > 0 && port < 1<<16
}

// Equal says whether two definitions say the same.
func (d Definition) Equal(o Definition) bool {
	return d.Name == o.Name && d.OnFailure == o.OnFailure && slices.EqualFunc(d.Groups, o.Groups, func(a, b Group) bool {
		return a.Name == b.Name && slices.Equal(a.Items, b.Items) &&
			slices.EqualFunc(a.PreActions, b.PreActions, Action.equal) && slices.EqualFunc(a.PostActions, b.PostActions, Action.equal)
	})
}

func (a Action) equal(o Action) bool {
	return a.Name == o.Name && a.Kind == o.Kind && slices.Equal(a.FailoverTypes, o.FailoverTypes) && a.Instructions == o.Instructions &&
		a.Script == o.Script && slices.Equal(a.Arguments, o.Arguments) && a.Address == o.Address && a.TimeoutSeconds == o.TimeoutSeconds
}
