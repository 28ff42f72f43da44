package protecteditem

import (
	"slices"
	"time"
)

// SettleReleasedPoints reports that the replica store no longer holds points that
// the item gave up while its failover was committed.
type SettleReleasedPoints struct {
	IDs []string
	At  time.Time
}

func (c SettleReleasedPoints) decide(s State) ([]Event, error) {
	if err := s.requireItem(); err != nil {
		return nil, err
	}
	var gone []string
	for _, id := range s.Released {
		if slices.Contains(c.IDs, id) {
			gone = append(gone, id)
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	return []Event{ReleasedPointsSettled{IDs: gone, At: c.At}}, nil
}

// ReleasedPointsSettled means that the store has followed the item's list.
type ReleasedPointsSettled struct {
	IDs []string  `json:"ids"`
	At  time.Time `json:"at"`
}

// EventType implements domain.Event.
func (ReleasedPointsSettled) EventType() string { return "protected_item.released_points_settled.v1" }

func (e ReleasedPointsSettled) evolve(s State) State {
	s.Released = slices.DeleteFunc(slices.Clone(s.Released), func(id string) bool { return slices.Contains(e.IDs, id) })
	return s
}
