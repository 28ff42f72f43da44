package workflow

import (
	"time"

	"farshore/domain/protecteditem"
)

// Due says when the work that an item's state calls for is due. It reports false
// when nothing is, until an event changes that.
func Due(s protecteditem.State, now time.Time) (time.Time, bool) {
	at, due := due(s, now)
	switch {
	case !due:
		return time.Time{}, false
	case s.Retry.Failure == nil:
		return at, true
	}
	// A failed attempt waits for its retry, and one that would be in vain for an
	// operator.
	if s.Retry.NextAt.IsZero() {
		return time.Time{}, false
	}
	return s.Retry.NextAt, true
}

func due(s protecteditem.State, now time.Time) (time.Time, bool) {
	switch s.Protection {
	case protecteditem.EnablingProtection, protecteditem.FinalizingProtection,
		protecteditem.PlannedFailoverInProgress, protecteditem.DisablingProtection:
		return now, true
	case protecteditem.InitialReplicationPending:
		return s.StartAt, true
	case protecteditem.InitialReplicationInProgress:
		if s.Resync.State == protecteditem.ResyncRequired {
			return s.Resync.ScheduledFor, true
		}
		return now, true
	case protecteditem.Protected:
		return dueProtected(s, now)
	case protecteditem.FailoverCommitRequired:
		return now, s.Job != nil
	case protecteditem.Unprotected:
		return s.ReplicaUntil, !s.ReplicaUntil.IsZero()
	default:
		return time.Time{}, false
	}
}

func dueProtected(s protecteditem.State, now time.Time) (time.Time, bool) {
	switch s.Resync.State {
	case protecteditem.ResyncRequired:
		return s.Resync.ScheduledFor, true
	case protecteditem.ResyncInProgress:
		return now, true
	default:
		next := protecteditem.NextCut(s, now)
		return next, !next.IsZero()
	}
}
