package local

import (
	"context"
	"os"
	"slices"
	"time"

	"farshore/domain/site"
)

// State is what a host process tells about itself.
type State struct {
	Directory string    `json:"directory"`
	PID       int       `json:"pid"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"startedAt"`
	VMs       []VMState `json:"vms"`
}

// VMState is a VM at this moment.
type VMState struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Power     site.PowerState   `json:"power"`
	Active    bool              `json:"active"`
	Tracked   bool              `json:"tracked"` // has a replication relationship
	GuestPID  int               `json:"guestPid,omitempty"`
	Exports   map[string]string `json:"exports,omitempty"` // disk to the path of its NBD socket, while the VM runs
	Clients   int               `json:"clients"`           // NBD connections
	Snapshots []string          `json:"snapshots,omitempty"`
}

// State tells what the process serves. It does not wait: a VM with an operation
// under way is shown as it was before, but for its power.
func (e *Engine) State(context.Context) (State, error) {
	s := State{Directory: e.o.Directory, PID: os.Getpid(), Version: e.o.Version, StartedAt: e.started.UTC(), VMs: []VMState{}}
	for _, m := range e.all() {
		s.VMs = append(s.VMs, m.state())
	}
	return s, nil
}

func (m *machine) state() VMState {
	vm := m.vm.Load()
	if !m.mu.TryLock() {
		s := VMState{ID: vm.ID, Name: vm.Name, Active: true}
		if last := m.shown.Load(); last != nil {
			s = *last
		}
		if s.Power = m.powerState(); s.Power == site.Off {
			s.GuestPID, s.Exports, s.Clients = 0, nil, 0
		}
		return s
	}
	defer m.mu.Unlock()
	s := VMState{ID: vm.ID, Name: vm.Name, Power: m.powerState(), Active: m.power.Active, Tracked: m.rel != nil}
	if m.guest != nil {
		s.GuestPID = m.guest.record.PID
	}
	if m.stack != nil {
		for _, x := range m.stack.exports {
			if s.Exports == nil {
				s.Exports = map[string]string{}
			}
			s.Exports[x.disk] = x.socket
			s.Clients += x.server.Connections()
		}
	}
	for id := range m.snapshots {
		s.Snapshots = append(s.Snapshots, id)
	}
	slices.Sort(s.Snapshots)
	m.shown.Store(&s)
	return s
}
