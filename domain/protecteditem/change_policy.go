package protecteditem

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/policy"
)

// ChangePolicy replaces the settings that the item is protected with, at any time
// until its protection ends.
type ChangePolicy struct {
	PolicyID string
	Settings policy.Settings
	At       time.Time
}

func (c ChangePolicy) decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	if s.Protection == DisablingProtection {
		return nil, domain.Reject(domain.Conflict, errorcatalog.NotProtected, "protection is being disabled")
	}
	if err := domain.CheckSlug("/policy", c.PolicyID); err != nil {
		return nil, err
	}
	if err := c.Settings.Validate("/settings"); err != nil {
		return nil, err
	}
	if s.PolicyID == c.PolicyID && s.Policy == c.Settings {
		return nil, nil
	}
	return []Event{PolicyChanged(c)}, nil
}

// PolicyChanged takes effect with the next cut, point or reminder.
type PolicyChanged struct {
	PolicyID string          `json:"policyId"`
	Settings policy.Settings `json:"settings"`
	At       time.Time       `json:"at"`
}

// EventType implements domain.Event.
func (PolicyChanged) EventType() string { return "protected_item.policy_changed.v1" }

func (e PolicyChanged) evolve(s State) State {
	s.PolicyID, s.Policy = e.PolicyID, e.Settings
	s.AppConsistency = s.AppConsistency.underPolicy(e.Settings.AppConsistentFrequency())
	return s
}
