package protecteditem

import "time"

// PlanChoices are the choices of a recovery plan's run, for each of its items.
type PlanChoices struct {
	Point          PointChoice // of a test or an unplanned failover
	Network        string      // of a test failover
	Known          *Networks   // of a test failover; nil: its network is not looked at
	ShutDownSource bool        // of an unplanned failover
	Resume         bool        // of a planned failover
	Hold           bool        // of a planned failover
	// AllowUnmappedNetworks lets the VM of a planned failover come up with adapters that are not connected.
	AllowUnmappedNetworks bool
	Networks              *NetworkPlan // as it is known now; nil: as it was checked last
	Notes                 string       // of a cleanup
}

// PlanCommand returns the kind of job under which a recovery plan asks an item for
// an operation, which is named as among the allowed ones, and the command that
// begins it. A failback of a plan brings what differs while the recovery VM runs,
// and waits.
func PlanCommand(s State, operation string, c PlanChoices, id string, at time.Time) (kind string, cmd Command) {
	switch operation {
	case TestFailoverJob:
		return operation, StartTestFailover{JobID: id, Choice: c.Point, Network: c.Network, Known: c.Known, At: at}
	case TestFailoverCleanupJob:
		return operation, CleanUpTestFailover{JobID: id, Notes: c.Notes, At: at}
	case PlannedFailoverJob:
		return operation, StartPlannedFailover{
			JobID: id, Resume: c.Resume, Hold: c.Hold, AllowUnmappedNetworks: c.AllowUnmappedNetworks, Networks: c.Networks, At: at,
		}
	case UnplannedFailoverJob:
		return operation, StartUnplannedFailover{JobID: id, Choice: c.Point, ShutDownSource: c.ShutDownSource, At: at}
	case FailbackJob:
		return operation, StartFailback{JobID: id, Mode: MinimizeDowntime, At: at}
	default:
		if s.Protection == FailbackCommitRequired {
			return FailbackCommitJob, CommitFailback{JobID: id, At: at}
		}
		return FailoverCommitJob, CommitFailover{JobID: id, At: at}
	}
}

// Settled says whether an item is already where an operation of a recovery plan
// would bring it, and in words what it is: the plan skips it.
func Settled(s State, operation string) (string, bool) {
	returning := s.Job != nil && s.Job.Kind == FailoverCancelJob
	over := s.Protection == FailedOver || s.Protection == FailoverCommitRequired && !returning
	back := s.Protection == FailedBack || s.Protection == ReverseReplicating
	switch operation {
	case PlannedFailoverJob, UnplannedFailoverJob:
		return "it is failed over already", over
	case TestFailoverJob:
		if over {
			return "it is failed over already", true
		}
		return "its test failover is open already", s.TestFailover == TestFailoverAwaitingCleanup
	case TestFailoverCleanupJob:
		return "no test failover of it is open", s.Protection != "" && !s.testOpen()
	case FailbackJob:
		if s.Protection == Protected {
			return "it has not failed over", true
		}
		return "it is failed back already", back || s.Protection == FailbackCommitRequired
	case FailoverCommitJob:
		if s.Protection == Protected {
			return "it has not failed over", true
		}
		return "it is committed already", back || s.Protection == FailedOver
	default:
		return "", false
	}
}

// Knows says whether a job is or was the item's last one, of its own or of its
// test failover.
func (s State) Knows(job string) bool {
	return job != "" && (s.runs(job) || s.runsTest(job) || s.Ended.ID == job || s.EndedTest.ID == job)
}
