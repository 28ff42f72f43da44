// Package site decides what may happen to a site: a place with hosts, and the
// virtual machines discovered on them.
//
//	register.go   the site itself
//	host.go       its hosts
//	inventory.go  the VMs that hosts report
//
// network.go has what VMs are attached to, and load_inventory.go how it becomes
// known, with the VMM server and its clouds on a site that has one.
package site

import (
	"slices"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Category begins the name of every site's stream; "<vault>.<site>" follows.
const Category = "site"

// Kind says what runs the VMs of a site.
type Kind string

// The kinds of site.
const (
	HyperV Kind = "HyperV"
	VMM    Kind = "VMM"
	Local  Kind = "Local"
)

// State is everything a rule needs to know about a site.
type State struct {
	Registered bool
	Name       string
	Kind       Kind
	TimeZone   string // IANA name; empty is UTC
	Hosts      []Host // in the order in which they were added

	Server          *Server // of a VMM site, once it is known
	Clouds          []Cloud
	LogicalNetworks []LogicalNetwork
	Networks        []Network // those that were loaded
	Inventoried     bool      // some were loaded once, though there may be none now
}

// Host is a host of a site and what was found on it.
type Host struct {
	ID              string
	Directory       string
	VirtualMachines []VirtualMachine
	Problems        []Problem
	Inhabited       bool // it has held VMs, though there may be none now
}

// Problem is something on a host that cannot be protected as it is.
type Problem struct {
	Subject string               `json:"subject"` // a VM's folder or id, or the host's directory
	Failure errorcatalog.Failure `json:"failure"`
}

// Host returns the host of the given id.
func (s State) Host(id string) (Host, bool) {
	i := s.find(id)
	if i < 0 {
		return Host{}, false
	}
	return s.Hosts[i], true
}

// VirtualMachine returns the VM of the given id that was found on the host.
func (h Host) VirtualMachine(id string) (VirtualMachine, bool) {
	i := slices.IndexFunc(h.VirtualMachines, func(v VirtualMachine) bool { return v.ID == id })
	if i < 0 {
		return VirtualMachine{}, false
	}
	return h.VirtualMachines[i], true
}

// Command asks for something to happen to a site.
type Command interface {
	decide(s State) ([]Event, error)
}

// Event has happened to a site.
type Event interface {
	domain.Event
	evolve(s State) State
}

// Decider is the site aggregate.
var Decider = domain.Decider[Command, Event, State]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, e Event) State { return e.evolve(s) },
}

// Events lists one zero value of each event, for the codec.
func Events() []Event {
	return []Event{
		Registered{},
		HostAdded{},
		HostRemoved{},
		VirtualMachineDiscovered{},
		VirtualMachineChanged{},
		VirtualMachineVanished{},
		ProblemsChanged{},
		VMMServerChanged{},
		CloudsChanged{},
		LogicalNetworksChanged{},
		NetworkAdded{},
		NetworkChanged{},
		NetworkRemoved{},
	}
}

func (s State) find(host string) int {
	return slices.IndexFunc(s.Hosts, func(h Host) bool { return h.ID == host })
}

// withHost returns the state with a host changed.
func (s State) withHost(id string, change func(Host) Host) State {
	if i := s.find(id); i >= 0 {
		s.Hosts = slices.Clone(s.Hosts)
		s.Hosts[i] = change(s.Hosts[i])
	}
	return s
}

// requireHost returns a host of the site or refuses the command.
func (s State) requireHost(id string) (Host, error) {
	if !s.Registered {
		return Host{}, domain.Reject(domain.NotFound, errorcatalog.SiteNotFound, "the site is not registered")
	}
	h, ok := s.Host(id)
	if !ok {
		return Host{}, domain.Reject(domain.NotFound, errorcatalog.HostNotFound, "the site has no host %q", id)
	}
	return h, nil
}

func invalid(field, format string, args ...any) error {
	return domain.Reject(domain.Invalid, errorcatalog.ValidationFailed, format, args...).At(field)
}
