package protecteditem

import (
	"slices"
	"time"
)

// LeftBehind is a VM that is not the item's any more, at a host that has not been
// told yet because it does not answer.
type LeftBehind struct {
	Site  string    `json:"site"`
	Host  string    `json:"host"`
	VM    string    `json:"vm"` // its id there
	Fate  Fate      `json:"fate"`
	Owner string    `json:"owner,omitempty"` // for whom it was made, if it is to be removed
	Start bool      `json:"start,omitempty"` // it is given back running
	Since time.Time `json:"since"`
}

// Fate is what becomes of a VM that was left behind, once its host answers.
type Fate string

// The fates.
const (
	KeepOff  Fate = "keepOff"  // it runs elsewhere: it is kept off, and no longer tracked
	GiveBack Fate = "giveBack" // it may run, and is no longer tracked
	Restore  Fate = "restore"  // what a failback has left beside its disks goes
	Remove   Fate = "remove"   // Farshore has made it
)

// is says whether it is the VM of that place.
func (l LeftBehind) is(site, host, vm string) bool {
	return l.Site == site && l.Host == host && l.VM == vm
}

// leave remembers a VM that is left behind.
func (s State) leave(l LeftBehind) State {
	s = s.forget(l.Site, l.Host, l.VM)
	s.LeftBehind = append(s.LeftBehind, l)
	return s
}

func (s State) forget(site, host, vm string) State {
	s.LeftBehind = slices.DeleteFunc(slices.Clone(s.LeftBehind), func(l LeftBehind) bool { return l.is(site, host, vm) })
	return s
}

// SettleLeftBehind reports that the fate of a VM that was left behind has come to pass.
type SettleLeftBehind struct {
	Site string
	Host string
	VM   string
	At   time.Time
}

func (c SettleLeftBehind) decide(s State) ([]Event, error) {
	if err := s.requireItem(); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(s.LeftBehind, func(l LeftBehind) bool { return l.is(c.Site, c.Host, c.VM) }) {
		return nil, nil
	}
	return []Event{LeftBehindSettled(c)}, nil
}

// LeftBehindSettled means that nothing more is to be done about that VM.
type LeftBehindSettled struct {
	Site string    `json:"site"`
	Host string    `json:"host"`
	VM   string    `json:"vm"`
	At   time.Time `json:"at"`
}

// EventType implements domain.Event.
func (LeftBehindSettled) EventType() string { return "protected_item.left_behind_settled.v1" }

func (e LeftBehindSettled) evolve(s State) State { return s.forget(e.Site, e.Host, e.VM) }
