package client

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"farshore/api/oapi"
)

// facts are the members of events that their sentences tell.
type facts struct {
	At          time.Time `json:"at"`
	Attempt     int       `json:"attempt"`
	Bytes       int64     `json:"bytes"`
	Cycle       int64     `json:"cycle"`
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
	Failure     *struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	} `json:"failure"`
	Point json.RawMessage `json:"point"`
}

// told maps events to what they say; the others are told by their data.
func told() map[string]func(f facts) string {
	return map[string]func(f facts) string{
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
			return fmt.Sprintf("%s in %d logs, the state of %s, is durable at the replica side", size(f.Bytes), len(f.Logs), clock(f.Instant))
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
		"job.task_completed.v1":                  func(f facts) string { return f.Task },
		"job.task_failed.v1":                     func(f facts) string { return f.Task + ": " + failureText(f) },
		"job.failed.v1":                          failureText,
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
