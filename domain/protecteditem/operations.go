package protecteditem

import (
	"errors"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Operation says whether an operator may do something now and, if not, why.
type Operation struct {
	Name    string
	Allowed bool
	Code    errorcatalog.Code // why not; empty when allowed
	Reason  string
}

// AllowedOperations returns what an operator can ask of an item. Each answer is
// that of the rule itself, given a request that is in order.
func AllowedOperations(s State, now time.Time) []Operation {
	const job = "asked" // no job has this id, so nothing is taken for a repetition
	return []Operation{
		operation(s, "EnableProtection", EnableProtection{JobID: job, At: now}),
		operation(s, "ReplicateNow", ReplicateNow{At: now}),
		operation(s, "RepairReplication", RepairReplication{JobID: job, At: now}),
		operation(s, "CancelResynchronization", CancelResynchronization{At: now}),
		operation(s, "RetryNow", RetryNow{At: now}),
		operation(s, "PlannedFailover", StartPlannedFailover{JobID: job, At: now}),
		operation(s, "UnplannedFailover", StartUnplannedFailover{JobID: job, Choice: LatestProcessed, At: now}),
		operation(s, "ApplyRecoveryPoint", ChangeRecoveryPoint{JobID: job, Choice: LatestProcessed, Confirm: true, At: now}),
		operation(s, "FailoverCancel", CancelFailover{JobID: job, At: now}),
		operation(s, "FailoverCommit", CommitFailover{JobID: job, At: now}),
		operation(s, "Failback", StartFailback{JobID: job, Mode: MinimizeDowntime, At: now}),
		operation(s, "CompleteFailback", CompleteFailback{At: now}),
		operation(s, "FailbackCancel", CancelFailback{JobID: job, At: now}),
		operation(s, "FailbackCommit", CommitFailback{JobID: job, At: now}),
		operation(s, "ReProtect", ReProtect{JobID: job, At: now}),
		operation(s, "TestFailover", StartTestFailover{JobID: job, Choice: LatestProcessed, At: now}),
		operation(s, "TestFailoverCleanup", CleanUpTestFailover{JobID: job, At: now}),
		operation(s, "PauseReplication", PauseReplication{At: now}),
		operation(s, "ResumeReplication", ResumeReplication{At: now}),
		operation(s, "ChangePolicy", ChangePolicy{At: now}),
		operation(s, "ChangeNetworkSettings", ChangeNetworkSettings{NICs: []NICSettings{{}}, At: now}),
		operation(s, "AddDisks", AddDisks{JobID: job, At: now}),
		operation(s, "RemoveDisks", RemoveDisks{At: now}),
		operation(s, "DisableProtection", DisableProtection{JobID: job, CleanUp: true, At: now}),
	}
}

func operation(s State, name string, c Command) Operation {
	events, err := c.decide(s)
	r, refused := errors.AsType[*domain.RejectionError](err)
	switch {
	case refused && r.Kind == domain.Invalid: // only the request is at fault, and it is ours
		return Operation{Name: name, Allowed: true}
	case refused:
		return Operation{Name: name, Code: r.Code, Reason: r.Detail}
	case len(events) == 0:
		return Operation{Name: name, Code: errorcatalog.NothingToDo, Reason: "it is under way or done already (" + string(s.Protection) + ")"}
	default:
		return Operation{Name: name, Allowed: true}
	}
}
