package api

import (
	"context"
	"errors"

	"farshore/api/oapi"
	"farshore/domain"
	"farshore/domain/protecteditem"
)

// routes names, for what the domain allows or refuses, where it is asked for: the
// last word of the route, or the operation where that is the item's own.
func routes() map[string]string {
	return map[string]string{
		"EnableProtection":    "enableProtection",
		"DisableProtection":   "disableProtection",
		"ReplicateNow":        "replicateNow",
		"RetryNow":            "retryNow",
		"RepairReplication":   "repairReplication",
		"PlannedFailover":     "plannedFailover",
		"UnplannedFailover":   "unplannedFailover",
		"ApplyRecoveryPoint":  "applyRecoveryPoint",
		"FailoverCancel":      "failoverCancel",
		"FailoverCommit":      "failoverCommit",
		"Failback":            "failback",
		"CompleteFailback":    "completeFailback",
		"FailbackCancel":      "failbackCancel",
		"FailbackCommit":      "failbackCommit",
		"ReProtect":           "reProtect",
		"TestFailover":        "testFailover",
		"TestFailoverCleanup": "testFailoverCleanup",
		"PauseReplication":    "pause",
		"ResumeReplication":   "resume",
		"ChangePolicy":        "changePolicy",
		"AddDisks":            "addDisks",
		"RemoveDisks":         "removeDisks",

		"ChangeNetworkSettings": "networkSettings",
	}
}

// leaveToPlan marks what a waiting item allows and the run of a recovery plan does
// not.
func (s *Server) leaveToPlan(ctx context.Context, state protecteditem.State, operations []oapi.Operation) error {
	if state.Protection != protecteditem.FailbackAwaitingCompletion || state.Job == nil {
		return nil
	}
	err := s.ledByNoPlan(ctx, state.Job.ID)
	refused, ok := errors.AsType[*domain.RejectionError](err)
	if !ok {
		return err
	}
	for n, o := range operations {
		if o.Name == routes()["CompleteFailback"] {
			operations[n] = oapi.Operation{Name: o.Name, Code: optional(string(refused.Code)), Reason: optional(refused.Detail)}
		}
	}
	return nil
}

// operationsOf shows what can be asked for; what has no route cannot.
func operationsOf(operations []protecteditem.Operation) []oapi.Operation {
	named, out := routes(), make([]oapi.Operation, 0, len(operations))
	for _, o := range operations {
		if name, ok := named[o.Name]; ok {
			out = append(out, oapi.Operation{Name: name, Allowed: o.Allowed, Code: optional(string(o.Code)), Reason: optional(o.Reason)})
		}
	}
	return out
}
