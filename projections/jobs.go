package projections

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"farshore/domain/job"
	"farshore/domain/protecteditem"
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

// announcedJobs finds the jobs that an item's event begins, and the one that it
// ends before any worker has taken it up.
func announcedJobs(rec eventstore.Recorded) []announcement[job.State] {
	key, ok := strings.CutPrefix(string(rec.Stream), protecteditem.Category+"-")
	if !ok {
		return nil
	}
	begin := func(id string, kind job.Kind) []announcement[job.State] {
		if id == "" {
			return nil
		}
		vault, _, _ := strings.Cut(key, ".")
		return []announcement[job.State]{{id: id, change: func(s job.State) job.State {
			if s.Status == "" {
				s = job.State{Status: job.NotStarted, Vault: vault, Kind: kind, Subject: key}
			}
			return s
		}}}
	}
	switch e := rec.Event.(type) {
	case protecteditem.ProtectionEnabling:
		return begin(e.JobID, job.EnableProtection)
	case protecteditem.InitialReplicationStarted:
		return begin(e.JobID, job.InitialReplication)
	case protecteditem.InitialReplicationCompleted:
		return begin(e.FinalizeJobID, job.FinalizeProtection)
	case protecteditem.ResynchronizationRequested:
		return begin(e.JobID, job.Resynchronization)
	case protecteditem.ResynchronizationRequired:
		return overtaken(key, e.At, e.OvertakenJobID)
	case protecteditem.ResynchronizationCanceled:
		return overtaken(key, e.At, e.JobID)
	case protecteditem.ResynchronizationStarted:
		return begin(e.JobID, job.Resynchronization)
	case protecteditem.ResynchronizationCompleted:
		return begin(e.FinalizeJobID, job.FinalizeProtection)
	case protecteditem.PlannedFailoverStarted:
		return begin(e.JobID, job.PlannedFailover)
	case protecteditem.FailoverCommitStarted:
		return begin(e.JobID, job.FailoverCommit)
	case protecteditem.UnplannedFailoverStarted:
		return append(begin(e.JobID, job.UnplannedFailover), overtaken(key, e.At, e.OvertakenJobID)...)
	case protecteditem.RecoveryPointChangeStarted:
		return begin(e.JobID, job.ApplyRecoveryPoint)
	case protecteditem.FailoverCancelStarted:
		return begin(e.JobID, job.FailoverCancel)
	case protecteditem.TestFailoverStarted:
		return begin(e.JobID, job.TestFailover)
	case protecteditem.TestFailoverCleanupStarted:
		return begin(e.JobID, job.TestFailoverCleanup)
	case protecteditem.ProtectionDisabling:
		return append(begin(e.JobID, job.DisableProtection), overtaken(key, e.At, e.OvertakenJobID, e.OvertakenTestJobID)...)
	}
	return nil
}

// overtaken ends the jobs that another one takes the place of.
func overtaken(key string, at time.Time, ids ...string) []announcement[job.State] {
	var out []announcement[job.State]
	vault, _, _ := strings.Cut(key, ".")
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

// Job reads one, ErrNotFound when the vault has none of that id.
func (q *Queries) Job(ctx context.Context, vault, id string) (Row[job.State], error) {
	return one[job.State](ctx, q, jobsTable, vault, id)
}

// JobFilter chooses jobs; empty fields choose all.
type JobFilter struct {
	Status string
	Kind   string
	Item   string
}

// Jobs lists a vault's jobs, the newest first: their ids grow with time.
func (q *Queries) Jobs(ctx context.Context, vault string, f JobFilter, page Page) ([]Row[job.State], error) {
	subject := ""
	if f.Item != "" {
		subject = vault + "." + f.Item
	}
	var out []Row[job.State]
	err := q.read(ctx, vault, jobsTable, func(tx pgx.Tx) error {
		var err error
		out, err = collect(ctx, tx, scanRow[job.State], "SELECT "+rowColumns+` FROM jobs_v1
			WHERE vault = $1 AND ($2 = '' OR status = $2) AND ($3 = '' OR state->>'Kind' = $3) AND ($4 = '' OR state->>'Subject' = $4)
				AND ($5 = '' OR id < $5)
			ORDER BY id DESC LIMIT $6`, vault, f.Status, f.Kind, subject, page.After, page.Limit)
		return err
	})
	return out, err
}
