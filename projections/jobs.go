package projections

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"farshore/domain"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
	"farshore/eventstore"
)

const jobsTable = "jobs_v1"

// Jobs is the read model of jobs. A job is there, NotStarted, as soon as an event
// of its item names it; its own stream begins when a worker takes it up.
func Jobs() *Model[job.Event, job.State] {
	return &Model[job.Event, job.State]{
		name: JobsName, version: 1, category: job.Category, evolve: job.Decider.Evolve,
		place:     func(key string, s job.State) (string, string) { return s.Vault, key },
		status:    func(s job.State) string { return string(s.Status) },
		announced: announcedJobs,
	}
}

// announcedJobs finds the job that an item's event begins, and those that it
// ends before any worker has taken them up.
func announcedJobs(rec eventstore.Recorded) []announcement[job.State] {
	if id, ok := strings.CutPrefix(string(rec.Stream), job.Category+"-"); ok {
		return begunAnew(id, rec.Event)
	}
	if key, ok := strings.CutPrefix(string(rec.Stream), recoveryplan.Category+"-"); ok {
		return begunByPlan(key, rec.Event)
	}
	key, ok := strings.CutPrefix(string(rec.Stream), protecteditem.Category+"-")
	if !ok {
		return nil
	}
	vault, _, _ := strings.Cut(key, ".")
	var out []announcement[job.State]
	if id, kind := begun(rec.Event); id != "" {
		out = append(out, announcement[job.State]{id: id, change: func(s job.State) job.State {
			if s.Status == "" {
				s = job.State{Status: job.NotStarted, Vault: vault, Kind: kind, Subject: key}
			}
			return s
		}})
	}
	if id, status := attended(rec.Event); id != "" {
		out = append(out, announcement[job.State]{id: id, always: true, change: func(s job.State) job.State {
			if !s.Status.Ended() {
				s.Vault, s.Subject, s.Status = vault, key, status
			}
			return s
		}})
	}
	ids, at := overtaken(rec.Event)
	for _, id := range ids {
		if id == "" {
			continue
		}
		out = append(out, announcement[job.State]{id: id, change: func(s job.State) job.State {
			s.Vault, s.Subject, s.Status, s.EndedAt = vault, key, job.Canceled, at
			return s
		}})
	}
	return out
}

// begunAnew tells the job that begins a failed one anew of that one.
func begunAnew(failed string, event domain.Event) []announcement[job.State] {
	e, ok := event.(job.JobRestarted)
	if !ok {
		return nil
	}
	return []announcement[job.State]{{id: e.Job, always: true, change: func(s job.State) job.State {
		s.RestartOf = failed
		return s
	}}}
}

// begunByPlan is the job under which a recovery plan is run.
func begunByPlan(key string, event domain.Event) []announcement[job.State] {
	e, ok := event.(recoveryplan.RunStarted)
	if !ok {
		return nil
	}
	vault, _, _ := strings.Cut(key, ".")
	return []announcement[job.State]{{id: e.JobID, change: func(s job.State) job.State {
		if s.Status == "" {
			s.Status, s.Vault, s.Kind, s.Subject = job.NotStarted, vault, job.PlanKind(string(e.Operation)), key
		}
		return s
	}}}
}

// begun is the job that an event begins.
func begun(event domain.Event) (string, job.Kind) {
	switch e := event.(type) {
	case protecteditem.ProtectionEnabling:
		return e.JobID, job.EnableProtection
	case protecteditem.InitialReplicationStarted:
		return e.JobID, job.InitialReplication
	case protecteditem.InitialReplicationCompleted:
		return e.FinalizeJobID, job.FinalizeProtection
	case protecteditem.ResynchronizationRequested:
		return e.JobID, job.Resynchronization
	case protecteditem.ResynchronizationStarted:
		return e.JobID, job.Resynchronization
	case protecteditem.ResynchronizationCompleted:
		return e.FinalizeJobID, job.FinalizeProtection
	case protecteditem.DisksAdding:
		return e.JobID, job.DiskReplication
	case protecteditem.DiskGrown:
		return e.JobID, job.DiskReplication
	case protecteditem.TestFailoverStarted:
		return e.JobID, job.TestFailover
	case protecteditem.TestFailoverCleanupStarted:
		return e.JobID, job.TestFailoverCleanup
	case protecteditem.ProtectionDisabling:
		return e.JobID, job.DisableProtection
	default:
		return begunByFailover(event)
	}
}

// begunByFailover is the job that an event of a failover or a failback begins.
func begunByFailover(event domain.Event) (string, job.Kind) {
	switch e := event.(type) {
	case protecteditem.PlannedFailoverStarted:
		return e.JobID, job.PlannedFailover
	case protecteditem.UnplannedFailoverStarted:
		return e.JobID, job.UnplannedFailover
	case protecteditem.BackgroundCopyStarted:
		return e.JobID, job.BackgroundCopy
	case protecteditem.RecoveryPointChangeStarted:
		return e.JobID, job.ApplyRecoveryPoint
	case protecteditem.FailoverCancelStarted:
		return e.JobID, job.FailoverCancel
	case protecteditem.FailoverCommitStarted:
		return e.JobID, job.FailoverCommit
	case protecteditem.FailbackStarted:
		return e.JobID, job.Failback
	case protecteditem.FailbackCancelStarted:
		return e.JobID, job.FailbackCancel
	case protecteditem.FailbackCommitStarted:
		return e.JobID, job.FailbackCommit
	case protecteditem.ReverseReplicationStarted:
		return e.JobID, job.ReverseReplication
	default:
		return "", ""
	}
}

// attended is the job that an event makes wait for an operator, or lets go on.
func attended(event domain.Event) (string, job.Status) {
	switch e := event.(type) {
	case protecteditem.FailbackSynchronized:
		return e.JobID, job.WaitingForInput
	case protecteditem.FailbackCompletionStarted:
		return e.JobID, job.Running
	case protecteditem.FailbackRestarted:
		return e.JobID, job.Running
	default:
		return "", ""
	}
}

// overtaken are the jobs that an event ends because something else takes their
// place.
func overtaken(event domain.Event) ([]string, time.Time) {
	switch e := event.(type) {
	case protecteditem.ResynchronizationRequired:
		return []string{e.OvertakenJobID}, e.At
	case protecteditem.ResynchronizationCanceled:
		return []string{e.JobID}, e.At
	case protecteditem.UnplannedFailoverStarted:
		return []string{e.OvertakenJobID, e.OvertakenDiskJobID}, e.At
	case protecteditem.FailbackCancelStarted:
		return []string{e.OvertakenJobID}, e.At
	case protecteditem.ProtectionDisabling:
		return []string{e.OvertakenJobID, e.OvertakenTestJobID, e.OvertakenDiskJobID}, e.At
	default:
		return nil, time.Time{}
	}
}

// Job reads one, ErrNotFound when the vault has none of that id.
func (q *Queries) Job(ctx context.Context, vault, id string) (Row[job.State], error) {
	return one[job.State](ctx, q, jobsTable, vault, id)
}

// JobFilter chooses jobs; empty fields choose all.
type JobFilter struct {
	Status string
	Kind   string
	Item   string
	Plan   string    // those that run this recovery plan
	Parent string    // those that are parts of this job
	Since  time.Time // created then or later
	Until  time.Time // created before
}

// Jobs lists a vault's jobs, the newest first: their ids grow with time.
func (q *Queries) Jobs(ctx context.Context, vault string, f JobFilter, page Page) ([]Row[job.State], error) {
	subject := ""
	if id := cmp.Or(f.Plan, f.Item); id != "" {
		subject = vault + "." + id
	}
	var out []Row[job.State]
	err := q.read(ctx, vault, jobsTable, func(tx pgx.Tx) error {
		var err error
		out, err = collect(ctx, tx, scanRow[job.State], "SELECT "+rowColumns+` FROM jobs_v1
			WHERE vault = $1 AND ($2 = '' OR status = $2) AND ($3 = '' OR state->>'Kind' = $3) AND ($4 = '' OR state->>'Subject' = $4 AND (state->>'Kind' LIKE 'RecoveryPlan%') = $9)
				AND ($10 = '' OR state->>'Parent' = $10)
				AND ($5 = '' OR id < $5)
				AND ($7::timestamptz IS NULL OR created_at >= $7) AND ($8::timestamptz IS NULL OR created_at < $8)
			ORDER BY id DESC LIMIT $6`, vault, f.Status, f.Kind, subject, page.After, page.Limit, instant(f.Since), instant(f.Until),
			f.Plan != "", f.Parent)
		return err
	})
	return out, err
}

// JobsOf lists the jobs that are parts of another one, by what they are about.
func (q *Queries) JobsOf(ctx context.Context, vault, parent string) ([]Row[job.State], error) {
	var out []Row[job.State]
	err := q.read(ctx, vault, jobsTable, func(tx pgx.Tx) error {
		var err error
		out, err = collect(ctx, tx, scanRow[job.State], "SELECT "+rowColumns+` FROM jobs_v1
			WHERE vault = $1 AND state->>'Parent' = $2 AND state->>'Parent' <> '' ORDER BY state->>'Subject'`, vault, parent)
		return err
	})
	return out, err
}

// instant is an SQL parameter: null stands for none.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
