package protecteditem

import (
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// PointChoice says which recovery point a failover is to use: one of the words
// below, or a point's id.
type PointChoice string

// The choices by rule. A planned point is app-consistent, too: its guest had shut
// down.
const (
	Latest              PointChoice = "latest"              // of all that was shipped, once it is applied
	LatestProcessed     PointChoice = "latestProcessed"     // the newest there is
	LatestAppConsistent PointChoice = "latestAppConsistent" // the newest that is app-consistent
)

// choose returns the point that a choice means, or "" while shipped logs are to
// be applied to make it.
func (s State) choose(choice PointChoice) (string, error) {
	newest, ok := s.NewestPoint()
	if !ok {
		return "", domain.Reject(domain.Conflict, errorcatalog.NoRecoveryPoint, "the item has no recovery point")
	}
	switch choice {
	case "":
		return "", invalid("/recoveryPoint", "a recovery point is to be chosen")
	case Latest:
		if s.appliesLogs() {
			return "", nil
		}
		return newest.ID, nil
	case LatestProcessed:
		return newest.ID, nil
	case LatestAppConsistent:
		for _, p := range slices.Backward(s.Points) {
			if p.Consistency != CrashConsistent {
				return p.ID, nil
			}
		}
		return "", domain.Reject(domain.Conflict, errorcatalog.NoRecoveryPoint, "no recovery point is app-consistent").At("/recoveryPoint")
	default:
		if _, known := s.Point(string(choice)); !known {
			return "", domain.Reject(domain.Conflict, errorcatalog.RecoveryPointNotFound, "there is no recovery point %q", choice).At("/recoveryPoint")
		}
		return string(choice), nil
	}
}

// InstantOf returns the instant of what a choice by rule leads to now; the zero time
// while it leads nowhere.
func InstantOf(s State, choice PointChoice) time.Time {
	id, err := s.choose(choice)
	if err != nil {
		return time.Time{}
	}
	if id == "" {
		return s.LastShipped.Instant
	}
	p, _ := s.Point(id)
	return p.Instant
}

// appliesLogs says whether there are shipped logs that a newer point can be made
// of.
func (s State) appliesLogs() bool {
	return len(s.Pending) > 0 && s.Resync.State == ResyncNone && !s.ChainBroken()
}

// requireLatest refuses a point as the latest while there is a newer one, or logs
// that one can be made of.
func (s State) requireLatest(point string) error {
	newest, ok := s.NewestPoint()
	switch {
	case !ok || newest.ID != point:
		return domain.Reject(domain.Conflict, errorcatalog.RecoveryPointNotFound, "%q is not the newest recovery point", point).At("/point")
	case s.appliesLogs():
		return domain.Reject(domain.Conflict, errorcatalog.CutOutOfOrder,
			"cut %s was shipped and is not in recovery point %s", s.LastShipped.Cut, point).At("/point")
	default:
		return nil
	}
}

// Pinned returns the ids of the points that something reads: they are kept
// whatever the policy says.
func (s State) Pinned() []string {
	var ids []string
	for _, id := range []string{s.FailoverPoint, s.NextFailoverPoint, s.Copy.Point, s.Test.Point} {
		if id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
