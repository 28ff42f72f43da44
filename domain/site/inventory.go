package site

import (
	"slices"
	"strconv"
	"time"

	"farshore/domain/errorcatalog"
)

// RecordInventory reports what a host holds now. Only differences become events.
type RecordInventory struct {
	Host     string
	VMs      []VirtualMachine
	Problems []Problem
	At       time.Time
}

func (c RecordInventory) decide(s State) ([]Event, error) {
	h, err := s.requireHost(c.Host)
	if err != nil {
		return nil, err
	}
	var events []Event
	for i, v := range c.VMs {
		if v.ID == "" || slices.ContainsFunc(c.VMs[:i], func(o VirtualMachine) bool { return o.ID == v.ID }) {
			return nil, invalid("/virtualMachines/"+strconv.Itoa(i)+"/id", "VM ids are unique within a host and not empty (%q)", v.ID)
		}
		switch known, ok := h.VirtualMachine(v.ID); {
		case !ok:
			events = append(events, VirtualMachineDiscovered{Host: c.Host, VM: v, At: c.At})
		case !known.Equal(v):
			events = append(events, VirtualMachineChanged{Host: c.Host, VM: v, At: c.At})
		}
	}
	for _, known := range h.VirtualMachines {
		if !slices.ContainsFunc(c.VMs, func(v VirtualMachine) bool { return v.ID == known.ID }) {
			events = append(events, VirtualMachineVanished{Host: c.Host, VM: known.ID, At: c.At})
		}
	}
	problems := stored(c.Problems)
	if !slices.EqualFunc(problems, h.Problems, func(a, b Problem) bool {
		return a.Subject == b.Subject && a.Failure.Code == b.Failure.Code && a.Failure.Detail == b.Failure.Detail
	}) {
		events = append(events, ProblemsChanged{Host: c.Host, Problems: problems, At: c.At})
	}
	return events, nil
}

// RecordUnusable reports that a host's directory cannot be used. What it is known to
// hold stays known.
type RecordUnusable struct {
	Host    string
	Failure errorcatalog.Failure
	At      time.Time
}

func (c RecordUnusable) decide(s State) ([]Event, error) {
	h, err := s.requireHost(c.Host)
	if err != nil {
		return nil, err
	}
	problem := Problem{Subject: h.Directory, Failure: c.Failure}
	return RecordInventory{Host: c.Host, VMs: h.VirtualMachines, Problems: []Problem{problem}, At: c.At}.decide(s)
}

// VirtualMachineDiscovered adds a VM that can be protected.
type VirtualMachineDiscovered struct {
	Host string         `json:"host"`
	VM   VirtualMachine `json:"vm"`
	At   time.Time      `json:"at"`
}

// EventType implements domain.Event.
func (VirtualMachineDiscovered) EventType() string { return "site.virtual_machine_discovered.v1" }

func (e VirtualMachineDiscovered) evolve(s State) State {
	return s.withHost(e.Host, func(h Host) Host {
		h.VirtualMachines, h.Inhabited = append(slices.Clone(h.VirtualMachines), e.VM), true
		return h
	})
}

// VirtualMachineChanged replaces a VM's description.
type VirtualMachineChanged struct {
	Host string         `json:"host"`
	VM   VirtualMachine `json:"vm"`
	At   time.Time      `json:"at"`
}

// EventType implements domain.Event.
func (VirtualMachineChanged) EventType() string { return "site.virtual_machine_changed.v1" }

func (e VirtualMachineChanged) evolve(s State) State {
	return s.withHost(e.Host, func(h Host) Host {
		h.VirtualMachines = slices.Clone(h.VirtualMachines)
		for i := range h.VirtualMachines {
			if h.VirtualMachines[i].ID == e.VM.ID {
				h.VirtualMachines[i] = e.VM
			}
		}
		return h
	})
}

// VirtualMachineVanished removes a VM that its host no longer holds.
type VirtualMachineVanished struct {
	Host string    `json:"host"`
	VM   string    `json:"vm"` // its id
	At   time.Time `json:"at"`
}

// EventType implements domain.Event.
func (VirtualMachineVanished) EventType() string { return "site.virtual_machine_vanished.v1" }

func (e VirtualMachineVanished) evolve(s State) State {
	return s.withHost(e.Host, func(h Host) Host {
		h.VirtualMachines = slices.DeleteFunc(slices.Clone(h.VirtualMachines), func(v VirtualMachine) bool { return v.ID == e.VM })
		return h
	})
}

// ProblemsChanged replaces the list of what cannot be protected on a host.
type ProblemsChanged struct {
	Host     string    `json:"host"`
	Problems []Problem `json:"problems"`
	At       time.Time `json:"at"`
}

// EventType implements domain.Event.
func (ProblemsChanged) EventType() string { return "site.problems_changed.v1" }

func (e ProblemsChanged) evolve(s State) State {
	return s.withHost(e.Host, func(h Host) Host {
		h.Problems = e.Problems
		return h
	})
}

// stored returns problems as they are stored: without the errors behind them.
func stored(problems []Problem) []Problem {
	plain := make([]Problem, len(problems))
	for i, p := range problems {
		plain[i] = Problem{Subject: p.Subject, Failure: errorcatalog.Failure{Code: p.Failure.Code, Detail: p.Failure.Detail}}
	}
	return plain
}
