package policy

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Define creates a policy. Items copy the settings when their protection is
// enabled, so a defined policy does not change: that would promise what no item
// keeps.
type Define struct {
	Name     string
	Settings Settings
	At       time.Time
}

func (c Define) decide(s State) ([]Event, error) {
	if err := domain.CheckName("/name", c.Name); err != nil {
		return nil, err
	}
	if err := c.Settings.Validate("/settings"); err != nil {
		return nil, err
	}
	switch {
	case !s.Defined:
		return []Event{Defined(c)}, nil
	case s.Name == c.Name && s.Settings == c.Settings:
		return nil, nil
	default:
		return nil, domain.Reject(domain.Conflict, errorcatalog.AlreadyExistsWithOtherSettings,
			"the policy is defined with other settings, which cannot be changed")
	}
}

// Defined makes the policy available to protected items.
type Defined struct {
	Name     string    `json:"name"`
	Settings Settings  `json:"settings"`
	At       time.Time `json:"at"`
}

// EventType implements domain.Event.
func (Defined) EventType() string { return "policy.defined.v1" }

func (e Defined) evolve(State) State {
	return State{Defined: true, Name: e.Name, Settings: e.Settings}
}
