package workflow

import (
	"time"

	"farshore/domain/protecteditem"
)

// Due says when the work that an item's state calls for is due. It reports false
// when nothing is, until an event changes that.
func Due(s protecteditem.State, now time.Time) (time.Time, bool) {
	at, due := dueItself(s, now)
	if disks, also := DisksDue(s, now); also && (!due || disks.Before(at)) {
		return disks, true
	}
	return at, due
}

// DisksDue says when the work on disks that are added or have grown is due, which
// is done between the cycles of the others. It waits for a replication that has
// failed, as for one that is paused or out of step.
func DisksDue(s protecteditem.State, now time.Time) (time.Time, bool) {
	switch {
	case s.DiskJob == nil || s.Protection != protecteditem.Protected || s.Paused != nil || s.Resync.State != protecteditem.ResyncNone:
		return time.Time{}, false
	case s.Retry.Failure != nil && (s.Retry.NextAt.IsZero() || s.Retry.NextAt.After(now)):
		return s.Retry.NextAt, !s.Retry.NextAt.IsZero()
	case s.DiskRetry.Failure == nil:
		return now, true
	default:
		return s.DiskRetry.NextAt, !s.DiskRetry.NextAt.IsZero()
	}
}

func dueItself(s protecteditem.State, now time.Time) (time.Time, bool) {
	at, due := due(s, now)
	if due && s.Retry.Failure != nil {
		// A failed attempt waits for its retry, and one that would be in vain for an
		// operator.
		at, due = s.Retry.NextAt, !s.Retry.NextAt.IsZero()
	}
	if look := LookAfter(s); look > 0 && (!due || at.After(now.Add(look))) {
		return now.Add(look), true
	}
	if !due {
		return time.Time{}, false
	}
	return at, true
}

// LookAfter is how soon it is looked again after what lies beside an item's work; 0
// when nothing does.
func LookAfter(s protecteditem.State) time.Duration {
	switch {
	case s.Job != nil && s.Protection != protecteditem.FailbackAwaitingCompletion:
		return 0
	case len(s.Released) > 0:
		return guardUntilFenced
	case s.LeavesSource() && s.Fencing.Fenced:
		return guardFenced
	case s.LeavesSource():
		return guardUntilFenced
	case len(s.LeftBehind) > 0:
		return guardFenced
	default:
		return 0
	}
}

// How often a source that may not run is looked after: until its host keeps it
// off, and from then on.
const (
	guardUntilFenced = 5 * time.Second
	guardFenced      = time.Minute
)

func due(s protecteditem.State, now time.Time) (time.Time, bool) {
	switch s.Protection {
	case protecteditem.EnablingProtection, protecteditem.FinalizingProtection, protecteditem.DisablingProtection,
		protecteditem.UnplannedFailoverInProgress:
		return now, true
	case protecteditem.PlannedFailoverInProgress: // one that is held waits for its plan, unless taking it back has failed
		return now, s.Hold != protecteditem.HoldReady || s.Retry.Failure != nil
	case protecteditem.InitialReplicationPending:
		return s.StartAt, s.Paused == nil
	case protecteditem.InitialReplicationInProgress:
		if s.Resync.State == protecteditem.ResyncRequired {
			return protecteditem.ResyncDue(s)
		}
		return now, s.Paused == nil
	case protecteditem.Protected:
		return dueProtected(s, now)
	case protecteditem.FailbackSynchronizing, protecteditem.FailbackCompleting, protecteditem.FailbackCommitRequired,
		protecteditem.FailedBack, protecteditem.ReverseReplicating:
		return now, s.Job != nil
	case protecteditem.FailbackAwaitingCompletion:
		return now, s.Job != nil && !awaitsWord(s)
	case protecteditem.FailoverCommitRequired, protecteditem.FailedOver:
		return dueFailedOver(s, now)
	case protecteditem.Unprotected:
		return s.ReplicaUntil, !s.ReplicaUntil.IsZero()
	default:
		return time.Time{}, false
	}
}

// awaitsWord says whether a failback's own job waits for an operator. One that
// downloads everything tells itself to go on.
func awaitsWord(s protecteditem.State) bool {
	return s.Job.Kind == protecteditem.FailbackJob && s.Failback.Mode != protecteditem.FullDownload
}

func dueProtected(s protecteditem.State, now time.Time) (time.Time, bool) {
	switch s.Resync.State {
	case protecteditem.ResyncRequired:
		return protecteditem.ResyncDue(s)
	case protecteditem.ResyncInProgress:
		return now, s.Paused == nil
	default:
		next := protecteditem.NextCut(s, now)
		return next, !next.IsZero()
	}
}

func dueFailedOver(s protecteditem.State, now time.Time) (time.Time, bool) {
	switch {
	case s.Job != nil:
		return now, true
	case !Guarded(s):
		return time.Time{}, false
	case s.Fencing.Fenced:
		return now.Add(guardFenced), true
	default:
		return now.Add(guardUntilFenced), true
	}
}

// Guarded says whether the source is to be kept off, because another VM runs in
// its place.
func Guarded(s protecteditem.State) bool {
	switch s.Protection {
	case protecteditem.FailoverCommitRequired, protecteditem.FailedOver:
		return (s.Job == nil || commitWaits(s)) && s.Recovery.VM != ""
	case protecteditem.FailbackSynchronizing, protecteditem.FailbackAwaitingCompletion:
		return s.LeavesSource() && s.Job != nil && s.Job.Kind == protecteditem.FailbackJob
	default:
		return s.LeavesSource() && s.Job == nil
	}
}

// commitWaits says whether a commit does nothing but wait for the disks.
func commitWaits(s protecteditem.State) bool {
	return s.CopyJob != nil && s.Job != nil && s.Job.Kind == protecteditem.FailoverCommitJob
}

// CopyDue says when the work on the copy of a failed-over VM's disks is due.
func CopyDue(s protecteditem.State, now time.Time) (time.Time, bool) {
	switch {
	case s.CopyJob == nil || s.CopyRests():
		return time.Time{}, false
	case s.CopyRetry.Failure == nil:
		return now, true
	default:
		return s.CopyRetry.NextAt, !s.CopyRetry.NextAt.IsZero()
	}
}

// DrillDue says when the work on an item's test failover is due.
func DrillDue(s protecteditem.State, now time.Time) (time.Time, bool) {
	switch {
	case s.TestJob == nil:
		return time.Time{}, false
	case s.TestRetry.Failure == nil:
		return now, true
	default:
		return s.TestRetry.NextAt, !s.TestRetry.NextAt.IsZero()
	}
}

// UpkeepDue says when there may be something to tell of an item that no other work
// brings about.
func UpkeepDue(s protecteditem.State, now time.Time) (time.Time, bool) {
	health, changes := protecteditem.HealthDue(s, now)
	reminder, wanted := protecteditem.ReminderDue(s)
	switch {
	case !changes:
		return reminder, wanted
	case wanted && reminder.Before(health):
		return reminder, true
	default:
		return health, true
	}
}
