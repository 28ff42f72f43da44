package client

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"farshore/api/oapi"
)

// facts are the members of events that their sentences tell.
type facts struct {
	At          time.Time `json:"at"`
	Attempt     int       `json:"attempt"`
	ChainBroken bool      `json:"chainBroken"`
	Choice      string    `json:"choice"`
	Days        int       `json:"reminderDays"`
	Detail      string    `json:"detail"`
	Health      string    `json:"health"`
	LastTest    time.Time `json:"lastTestFailover"`
	Previous    string    `json:"previous"`
	Reasons     []fault   `json:"reasons"`
	Held        []any     `json:"held"`
	Mode        string    `json:"mode"`
	Network     string    `json:"network"`
	Notes       string    `json:"notes"`
	NICs        []struct {
		NIC     string `json:"nic"`
		Name    string `json:"name"`
		Network string `json:"network"`
	} `json:"nics"`
	Findings []struct {
		Detail string `json:"detail"`
	} `json:"findings"`
	PolicyID    string    `json:"policyId"`
	ShutDown    bool      `json:"shutDownSource"`
	Bytes       int64     `json:"bytes"`
	Cycle       int64     `json:"cycle"`
	Consistency string    `json:"consistency"`
	Cut         string    `json:"cut"`
	Disks       []string  `json:"disks"`
	Host        string    `json:"host"`
	IDs         []string  `json:"ids"`
	Instant     time.Time `json:"instant"`
	Kind        string    `json:"kind"`
	Logs        []any     `json:"logs"`
	NextRetryAt time.Time `json:"nextRetryAt"`
	Reason      string    `json:"reason"`
	RecoveryVM  string    `json:"recoveryVm"`
	Removed     []string  `json:"removedPoints"`
	ScheduledAt time.Time `json:"scheduledFor"`
	Site        string    `json:"site"`
	Task        string    `json:"task"`
	TotalBytes  int64     `json:"totalBytes"`
	Differing   int64     `json:"bytesDiffering"`
	Scanned     int64     `json:"bytesScanned"`
	Sent        int64     `json:"bytesSent"`
	Failure     *fault    `json:"failure"`
	Freeze      *struct {
		Milliseconds int64  `json:"milliseconds"`
		Failure      *fault `json:"failure"`
	} `json:"freeze"`
	Compared string `json:"compared"`
	Left     bool   `json:"left"`
	Target   struct {
		Site string `json:"site"`
		Host string `json:"host"`
		VM   string `json:"vmName"`
	} `json:"target"`
	Point json.RawMessage `json:"point"` // a recovery point, or the id of one
	VM    json.RawMessage `json:"vm"`    // a virtual machine, or the id of one
}

// fault is what an event says has failed.
type fault struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// restOf tells what a delta has asked of the guest's applications.
func restOf(f facts) string {
	var text string
	switch {
	case f.Consistency == string(oapi.ReplicateNowInputConsistencyAppConsistent):
		text = "; application-consistent"
		if f.Freeze != nil {
			text += fmt.Sprintf(", frozen for %s", time.Duration(f.Freeze.Milliseconds)*time.Millisecond)
		}
	case f.Freeze == nil:
		return ""
	case f.Freeze.Failure == nil:
		return "; the applications were thawed"
	default:
		text = "; crash-consistent only"
	}
	if f.Freeze != nil && f.Freeze.Failure != nil {
		text += fmt.Sprintf(": %s [%s]", f.Freeze.Failure.Detail, f.Freeze.Failure.Code)
	}
	return text
}

// healthOf tells what an item's health has become, and why.
func healthOf(f facts) string {
	text, between := fmt.Sprintf("health is %s, it was %s", f.Health, f.Previous), ": "
	if f.Health == f.Previous {
		text = "health is still " + f.Health
	}
	for _, r := range f.Reasons {
		text, between = text+between+r.Code, ", "
	}
	return text
}

// told maps events to what they say; the others are told by their data.
func told() map[string]func(f facts) string {
	stories := map[string]func(f facts) string{
		"protected_item.protection_enabling.v1": func(f facts) string {
			return fmt.Sprintf("protection cycle %d began: disks %s of a VM on %s/%s", f.Cycle, strings.Join(f.Disks, ", "), f.Site, f.Host)
		},
		"protected_item.relationship_created.v1": func(facts) string { return "the host tracks every write from here on" },
		"protected_item.initial_replication_started.v1": func(f facts) string {
			return "initial replication of " + size(f.TotalBytes) + " from a snapshot"
		},
		"protected_item.initial_replication_completed.v1": func(facts) string { return "initial replication is complete" },
		"protected_item.protection_finalized.v1":          func(facts) string { return "the VM is protected" },
		"protected_item.delta_shipped.v1": func(f facts) string {
			return fmt.Sprintf("%s in %d logs, the state of %s, is durable at the replica side%s", size(f.Bytes), len(f.Logs), clock(f.Instant), restOf(f))
		},
		"protected_item.recovery_point_created.v1": func(f facts) string {
			var p struct {
				ID          string    `json:"id"`
				Instant     time.Time `json:"instant"`
				Consistency string    `json:"consistency"`
			}
			_ = json.Unmarshal(f.Point, &p) // of another form: told with less
			return fmt.Sprintf("%s recovery point %s of %s", p.Consistency, p.ID, clock(p.Instant))
		},
		"protected_item.recovery_points_removed.v1": func(f facts) string {
			return fmt.Sprintf("%d recovery points given up: %s", len(f.IDs), f.Reason)
		},
		"protected_item.replication_failed.v1": func(f facts) string {
			next := "not tried again by itself"
			if !f.NextRetryAt.IsZero() {
				next = "tried again at " + clock(f.NextRetryAt)
			}
			return fmt.Sprintf("attempt %d failed, %s: %s", f.Attempt, next, failureText(f))
		},
		"protected_item.resynchronization_required.v1": func(f facts) string { return "the replica can no longer follow: " + f.Reason },
		"protected_item.resynchronization_completed.v1": func(f facts) string {
			return fmt.Sprintf("%s compared, %s differed, %s sent", size(f.Scanned), size(f.Differing), size(f.Sent))
		},
		"protected_item.planned_failover_started.v1": func(facts) string { return "planned failover began" },
		"protected_item.source_stopped.v1":           func(facts) string { return "the source VM is shut down" },
		"protected_item.planned_failover_completed.v1": func(f facts) string {
			return "the VM runs on the recovery side as " + f.RecoveryVM
		},
		"protected_item.planned_failover_failed.v1": func(f facts) string { return "planned failover failed: " + failureText(f) },
		"protected_item.failover_commit_started.v1": func(facts) string { return "the failover is being committed" },
		"protected_item.failover_committed.v1": func(f facts) string {
			return fmt.Sprintf("the failover is final; %d other recovery points were given up", len(f.Removed))
		},
		"protected_item.protection_disabling.v1": func(facts) string { return "protection is being ended" },
		"protected_item.protection_disabled.v1":  func(facts) string { return "protection has ended; the host is clean" },
		"job.started.v1":                         func(f facts) string { return f.Kind },
		"job.task_started.v1":                    func(f facts) string { return f.Task },
		"job.task_deferred.v1":                   func(f facts) string { return f.Task + " waits until there is room for it" },
		"job.task_completed.v1":                  func(f facts) string { return f.Task },
		"job.task_failed.v1":                     func(f facts) string { return f.Task + ": " + failureText(f) },
		"job.failed.v1":                          failureText,
	}
	for _, more := range []func() map[string]func(f facts) string{toldOfFailovers, toldOfFailbacks, toldOfTests, toldOfRequests, toldOfNetworks} {
		maps.Copy(stories, more())
	}
	return stories
}

func toldOfFailovers() map[string]func(f facts) string {
	runs := func(f facts) string {
		return fmt.Sprintf("the VM runs on the recovery side as %s, from recovery point %s", f.RecoveryVM, named(f.Point))
	}
	return map[string]func(f facts) string{
		"protected_item.unplanned_failover_started.v1": func(f facts) string {
			text := "unplanned failover began, to " + chosen(f)
			if f.ShutDown {
				text += ", with a try to stop the source first"
			}
			return text
		},
		"protected_item.failover_point_chosen.v1":        func(f facts) string { return "the failover is to recovery point " + named(f.Point) },
		"protected_item.unplanned_failover_completed.v1": runs,
		"protected_item.unplanned_failover_failed.v1":    func(f facts) string { return "unplanned failover failed: " + failureText(f) },
		"protected_item.failover_commit_failed.v1":       func(f facts) string { return "the failover was not committed: " + failureText(f) },
		"protected_item.background_copy_started.v1": func(f facts) string {
			return fmt.Sprintf("the VM runs from recovery point %s while its disks are copied", named(f.Point))
		},
		"protected_item.background_copy_completed.v1": func(f facts) string {
			return fmt.Sprintf("the VM's disks are there, %s copied; it needs the replica no more", size(f.Bytes))
		},
		"protected_item.recovery_point_change_started.v1": func(f facts) string {
			return fmt.Sprintf("the recovery VM makes way for one from recovery point %s; what it wrote is given up", named(f.Point))
		},
		"protected_item.recovery_point_change_completed.v1": runs,
		"protected_item.recovery_point_change_failed.v1":    func(f facts) string { return "the recovery point was not changed: " + failureText(f) },
		"protected_item.failover_cancel_started.v1":         func(facts) string { return "the failover is being taken back" },
		"protected_item.failover_canceled.v1": func(f facts) string {
			if f.ChainBroken {
				return "the failover was taken back; the replica is to be resynchronized"
			}
			return "the failover was taken back; replication goes on"
		},
		"protected_item.failover_cancel_failed.v1": func(f facts) string { return "the failover was not taken back: " + failureText(f) },
		"protected_item.source_found_running.v1": func(f facts) string {
			return strings.TrimSuffix("the source VM runs although the recovery side is active: "+f.Detail, ": ")
		},
		"protected_item.source_fenced.v1": func(f facts) string {
			return fmt.Sprintf("the source VM is kept off; %d of its logs were never replicated and are kept", len(f.Held))
		},
	}
}

func toldOfFailbacks() map[string]func(f facts) string {
	compared := func(f facts) string {
		return fmt.Sprintf("%s compared, %s differed, %s sent", size(f.Scanned), size(f.Differing), size(f.Sent))
	}
	left := func(f facts) string {
		if f.Left {
			return "; the new VM is removed when its host answers"
		}
		return ""
	}
	return map[string]func(f facts) string{
		"protected_item.failback_started.v1": func(f facts) string {
			began := "failback began"
			if t := f.Target; t.Host != "" {
				began = fmt.Sprintf("failback to a new VM %s on %s/%s began", t.VM, t.Site, t.Host)
			}
			if f.Mode == "fullDownload" {
				return began + ", with the recovery VM shut down first"
			}
			return began + ", while the recovery VM runs"
		},
		"protected_item.failback_synchronized.v1":       func(f facts) string { return "the primary side has caught up: " + compared(f) },
		"protected_item.failback_completion_started.v1": func(facts) string { return "the recovery VM makes way for the one on the primary side" },
		"protected_item.failback_restarted.v1":          func(facts) string { return "the failback compares anew" },
		"protected_item.failback_completed.v1": func(f facts) string {
			text := "the VM runs on the primary side again"
			if f.Scanned > 0 {
				text += "; last changes: " + compared(f)
			}
			if f.Compared != "" {
				text += "; all was compared, because " + f.Compared
			}
			return text
		},
		"protected_item.failback_failed.v1":         func(f facts) string { return "failback failed: " + failureText(f) + left(f) },
		"protected_item.failback_cancel_started.v1": func(facts) string { return "the failback is being taken back" },
		"protected_item.failback_canceled.v1":       func(f facts) string { return "the failback was taken back; the recovery VM goes on" + left(f) },
		"protected_item.failback_cancel_failed.v1":  func(f facts) string { return "the failback was not taken back: " + failureText(f) },
		"protected_item.failback_commit_started.v1": func(facts) string { return "the failback is being committed" },
		"protected_item.failback_committed.v1":      func(facts) string { return "the failback is final; the VM is not replicated yet" },
		"protected_item.left_behind_settled.v1": func(f facts) string {
			return fmt.Sprintf("the host %s/%s knows that the VM %s is no longer the item's", f.Site, f.Host, named(f.VM))
		},
		"protected_item.released_points_settled.v1":       func(f facts) string { return fmt.Sprintf("%d recovery points have left the store", len(f.IDs)) },
		"protected_item.reverse_replication_started.v1":   func(facts) string { return "the VM is being replicated again" },
		"protected_item.reverse_replication_completed.v1": func(f facts) string { return "the VM is protected again: " + compared(f) },
		"protected_item.reverse_replication_failed.v1":    func(f facts) string { return "the VM was not replicated again: " + failureText(f) },
	}
}

func toldOfTests() map[string]func(f facts) string {
	return map[string]func(f facts) string{
		"protected_item.test_failover_started.v1": func(f facts) string {
			text := "test failover began, to " + chosen(f)
			if f.Network != "" {
				text += ", in the network " + f.Network
			}
			return text
		},
		"protected_item.test_failover_point_chosen.v1": func(f facts) string { return "the test failover is to recovery point " + named(f.Point) },
		"protected_item.test_failover_completed.v1": func(f facts) string {
			return fmt.Sprintf("a copy of the VM runs as %s, from recovery point %s", named(f.VM), named(f.Point))
		},
		"protected_item.test_failover_failed.v1": func(f facts) string { return "test failover failed: " + failureText(f) },
		"protected_item.test_failover_cleanup_started.v1": func(f facts) string {
			return strings.TrimSuffix("the test failover is being cleaned up: "+f.Notes, ": ")
		},
		"protected_item.test_failover_cleaned_up.v1":     func(facts) string { return "nothing of the test failover is left" },
		"protected_item.test_failover_cleanup_failed.v1": func(f facts) string { return "the test failover was not cleaned up: " + failureText(f) },
	}
}

func toldOfRequests() map[string]func(f facts) string {
	return map[string]func(f facts) string{
		"protected_item.replication_paused.v1": func(f facts) string {
			return strings.TrimSuffix("replication is paused: "+f.Reason, ": ")
		},
		"protected_item.health_changed.v1": healthOf,
		"protected_item.test_failover_due.v1": func(f facts) string {
			if f.LastTest.IsZero() {
				return fmt.Sprintf("a test failover is due: none has come up, and %d days have passed", f.Days)
			}
			return fmt.Sprintf("a test failover is due: the last one came up on %s, more than %d days ago", f.LastTest.Local().Format(time.DateOnly), f.Days)
		},
		"protected_item.replication_resumed.v1": func(facts) string { return "replication goes on" },
		"protected_item.replication_requested.v1": func(f facts) string {
			if f.Consistency == string(oapi.ReplicateNowInputConsistencyAppConsistent) {
				return "an application-consistent delta is due now"
			}
			return "a delta is due now"
		},
		"protected_item.retry_requested.v1":             func(facts) string { return "what has failed is tried again now" },
		"protected_item.policy_changed.v1":              func(f facts) string { return "protected by policy " + f.PolicyID + " from here on" },
		"protected_item.resynchronization_requested.v1": func(facts) string { return "a resynchronization is due now" },
		"protected_item.resynchronization_started.v1":   func(facts) string { return "source and replica are being compared" },
		"protected_item.resynchronization_canceled.v1": func(facts) string {
			return "the resynchronization was stopped; it stays required until it is asked for again"
		},
	}
}

// named is what an event names by its id alone.
func named(raw json.RawMessage) string {
	var id string
	_ = json.Unmarshal(raw, &id) // of another form: not named
	return id
}

// chosen tells which recovery point was asked for.
func chosen(f facts) string {
	switch f.Choice {
	case "latest":
		return "the latest state that was shipped"
	case "latestProcessed":
		return "the newest recovery point"
	case "latestAppConsistent":
		return "the newest app-consistent recovery point"
	default:
		return "recovery point " + f.Choice
	}
}

func failureText(f facts) string {
	if f.Failure == nil {
		return ""
	}
	return fmt.Sprintf("%s [%s]", f.Failure.Detail, f.Failure.Code)
}

// sentence says in words what an event records.
func sentence(e oapi.Event) string {
	tell, ok := told()[e.Type]
	if !ok {
		return summary(e.Data)
	}
	var f facts
	text, err := json.Marshal(e.Data)
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		return summary(e.Data)
	}
	return tell(f)
}

// by names who caused an event, shortly.
func by(actor string) string {
	kind, id, ok := strings.Cut(actor, ":")
	if !ok || kind == "worker" {
		return kind
	}
	return kind + " …" + id[max(0, len(id)-7):]
}

func clock(t time.Time) string { return t.Local().Format("15:04:05") }

// step says whether an event is a step within a job, which only those who ask
// for everything want to read.
func step(e oapi.Event) bool {
	return e.Type == "job.task_started.v1" || e.Type == "job.task_completed.v1" || e.Type == "job.started.v1"
}
