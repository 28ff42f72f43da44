package protecteditem

import (
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// CreateRecoveryPoint reports that the replica was brought to a shipped cut and
// keeps that state.
type CreateRecoveryPoint struct {
	Point Point
	At    time.Time
}

func (c CreateRecoveryPoint) decide(s State) ([]Event, error) {
	if _, known := s.Point(c.Point.ID); known {
		return nil, nil
	}
	if err := s.requireState(FinalizingProtection, Protected, PlannedFailoverInProgress, UnplannedFailoverInProgress); err != nil {
		return nil, err
	}
	if err := s.requireInSync(); err != nil {
		return nil, err
	}
	if err := s.validatePoint(c.Point); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(s.Pending, func(p Shipped) bool { return p.Cut == c.Point.ID }) {
		return nil, domain.Reject(domain.Conflict, errorcatalog.CutNotShipped, "cut %s has not been shipped", c.Point.ID)
	}
	return []Event{RecoveryPointCreated(c)}, nil
}

// RecoveryPointCreated adds the newest recovery point. What was failing before
// works again.
type RecoveryPointCreated struct {
	Point Point     `json:"point"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (RecoveryPointCreated) EventType() string { return "protected_item.recovery_point_created.v1" }

func (e RecoveryPointCreated) evolve(s State) State {
	s.Points = append(slices.Clone(s.Points), e.Point)
	s.LastCut, s.Retry, s.Failure = e.Point.ID, Retry{}, nil
	s = s.growDisks(e.Point)
	if i := slices.IndexFunc(s.Pending, func(p Shipped) bool { return p.Cut == e.Point.ID }); i >= 0 {
		s.Pending = slices.Clone(s.Pending[i+1:])
		return s
	}
	// The first point of a chain may be made from a cut that was applied without
	// being recorded as a delta; the next cut follows it.
	s.LastShipped, s.Pending = Shipped{Cut: e.Point.ID, Instant: e.Point.Instant}, nil
	return s
}

// RemoveRecoveryPoints gives up points that retention no longer keeps. Unknown
// ones have been removed before.
type RemoveRecoveryPoints struct {
	IDs    []string
	Reason string
	At     time.Time
}

func (c RemoveRecoveryPoints) decide(s State) ([]Event, error) {
	if err := s.requireItem(); err != nil {
		return nil, err
	}
	var known []string
	for _, p := range s.Points {
		if slices.Contains(c.IDs, p.ID) {
			known = append(known, p.ID)
		}
	}
	if len(known) == 0 {
		return nil, nil
	}
	if newest, _ := s.NewestPoint(); slices.Contains(known, newest.ID) {
		return nil, domain.Reject(domain.Conflict, errorcatalog.NewestPointKept, "%s is the newest recovery point", newest.ID)
	}
	if !thins(s) {
		return nil, domain.Reject(domain.Conflict, errorcatalog.OperationInProgress,
			"recovery points are kept as they are in this state (%s, resynchronization %s)", s.Protection, s.Resync.State)
	}
	for _, pinned := range s.Pinned() {
		if slices.Contains(known, pinned) {
			return nil, domain.Reject(domain.Conflict, errorcatalog.PointPinned, "recovery point %s is in use", pinned)
		}
	}
	return []Event{RecoveryPointsRemoved{IDs: known, Reason: c.Reason, At: c.At}}, nil
}

// RecoveryPointsRemoved takes points out of the item's list.
type RecoveryPointsRemoved struct {
	IDs    []string  `json:"ids"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// EventType implements domain.Event.
func (RecoveryPointsRemoved) EventType() string { return "protected_item.recovery_points_removed.v1" }

func (e RecoveryPointsRemoved) evolve(s State) State {
	s.Points = slices.DeleteFunc(slices.Clone(s.Points), func(p Point) bool { return slices.Contains(e.IDs, p.ID) })
	if s.committed() { // what has no work of its own follows later
		s.Released = append(slices.Clone(s.Released), e.IDs...)
	}
	return s
}
