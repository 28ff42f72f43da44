package protecteditem

import "time"

// FinalizeProtection reports that networks and other settings of the recovery
// side are in place.
type FinalizeProtection struct {
	JobID string
	At    time.Time
}

func (c FinalizeProtection) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if err := s.requireState(FinalizingProtection); err != nil {
		return nil, err
	}
	if s.Job != nil {
		if err := s.requireJob(c.JobID); err != nil {
			return nil, err
		}
	}
	return []Event{ProtectionFinalized(c)}, nil
}

// ProtectionFinalized makes the item protected: it can fail over.
type ProtectionFinalized struct {
	JobID string    `json:"jobId"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (ProtectionFinalized) EventType() string { return "protected_item.protection_finalized.v1" }

func (e ProtectionFinalized) evolve(s State) State {
	s.Protection, s.ProtectedAt, s.Job = Protected, e.At, &JobRef{ID: e.JobID, Kind: FinalizeProtectionJob}
	return s.endJob(false)
}
