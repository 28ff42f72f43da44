package api

import (
	"farshore/api/oapi"
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
