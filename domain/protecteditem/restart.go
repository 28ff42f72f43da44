package protecteditem

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Restart returns the command that begins a failed job of an item anew, under a
// new job. Begun is the event that began the failed one, from which the operator's
// choices are taken; nil if it is not known. What was taken back begins at its
// first step again; what loses data or was decided with the request is to be asked
// for again.
func Restart(kind string, begun Event, id string, at time.Time) (Command, error) {
	switch kind {
	case PlannedFailoverJob:
		e, _ := begun.(PlannedFailoverStarted)
		return StartPlannedFailover{JobID: id, AllowUnmappedNetworks: e.AllowUnmappedNetworks, At: at}, nil
	case FailoverCancelJob:
		return CancelFailover{JobID: id, At: at}, nil
	case FailoverCommitJob:
		return CommitFailover{JobID: id, At: at}, nil
	case TestFailoverCleanupJob:
		e, _ := begun.(TestFailoverCleanupStarted)
		return CleanUpTestFailover{JobID: id, Notes: e.Notes, At: at}, nil
	case FailbackCommitJob:
		return CommitFailback{JobID: id, At: at}, nil
	case FailbackCancelJob:
		return CancelFailback{JobID: id, At: at}, nil
	case ReverseReplicationJob:
		return ReProtect{JobID: id, At: at}, nil
	case ResynchronizationJob:
		return RepairReplication{JobID: id, At: at}, nil
	case EnableProtectionJob:
		return nil, notRestartable("enable protection again: the VM and the settings are to be looked at anew")
	case RecoveryPointChangeJob:
		return nil, notRestartable("choose the recovery point again: what the recovery VM has written since is lost with it, which is to be confirmed")
	default:
		return restartChosen(kind, begun, id, at)
	}
}

// restartChosen begins anew what depends on the choices of its first request.
func restartChosen(kind string, begun Event, id string, at time.Time) (Command, error) {
	switch e := begun.(type) {
	case UnplannedFailoverStarted:
		return StartUnplannedFailover{JobID: id, Choice: e.Choice, ShutDownSource: e.ShutDownSource, At: at}, nil
	case TestFailoverStarted:
		return StartTestFailover{JobID: id, Choice: e.Choice, Network: e.Network, At: at}, nil
	case DisksAdding:
		return AddDisks{JobID: id, Disks: e.Disks, At: at}, nil
	case FailbackStarted:
		return StartFailback{JobID: id, Mode: e.Mode, Target: e.Target, At: at}, nil
	default:
		return nil, notRestartable("a " + kind + " that has ended goes on by itself under another job, or is to be asked for again")
	}
}

func notRestartable(why string) error {
	return domain.Reject(domain.Conflict, errorcatalog.JobNotRestartable, "%s", why)
}

// Attempts returns the state of the attempts at an item's job; false when the job
// is none of the item's present ones.
func Attempts(s State, job string) (Retry, bool) {
	switch {
	case job == "":
		return Retry{}, false
	case s.runs(job):
		return s.Retry, true
	case s.runsTest(job):
		return s.TestRetry, true
	case s.runsDisks(job):
		return s.DiskRetry, true
	default:
		return Retry{}, false
	}
}
