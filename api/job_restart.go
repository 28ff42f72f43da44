package api

import (
	"context"
	"strings"

	"farshore/api/oapi"
	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/eventstore"
	"farshore/projections"
)

// RestartJob answers POST …/jobs/{job}/restart.
func (s *Server) RestartJob(ctx context.Context, r oapi.RestartJobRequestObject) (oapi.RestartJobResponseObject, error) {
	row, err := s.queries.Job(ctx, r.Vault, r.Job)
	if row, err = found(row, err, errorcatalog.JobNotFound, "job "+r.Job); err != nil {
		return nil, err
	}
	var body oapi.JobAcceptedJSONResponse
	switch {
	case row.State.Kind.OfPlan():
		body, err = s.restartPlan(ctx, r, row)
	case row.State.Status == job.Failed:
		body, err = s.beginAnew(ctx, r, row)
	default:
		body, err = s.tryStepAgain(ctx, r, row)
	}
	return oapi.RestartJob202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// tryStepAgain makes a job that waits after a failed step try it at once.
func (s *Server) tryStepAgain(ctx context.Context, r oapi.RestartJobRequestObject, row jobRow) (oapi.JobAcceptedJSONResponse, error) {
	var none oapi.JobAcceptedJSONResponse
	state, _, err := s.protectedItems.Load(ctx, row.State.Subject)
	if err != nil {
		return none, err
	}
	_, again, err := s.answered(ctx, callOf(ctx).idempotency(r.Vault, r.Params.IdempotencyKey))
	if err != nil {
		return none, err
	}
	if tries, ok := protecteditem.Attempts(state, r.Job); !again && (!ok || tries.Failure == nil) {
		return none, domain.Reject(domain.Conflict, errorcatalog.JobNotFailed, "the job is %s and waits after no failed step", row.Status)
	}
	d, _, err := execute(ctx, s, s.protectedItems, row.State.Subject, protecteditem.Command(protecteditem.RetryNow{At: s.now()}),
		request{vault: r.Vault, job: r.Job, key: r.Params.IdempotencyKey})
	if err != nil {
		return none, err
	}
	_, item, _ := cutKey(row.State.Subject)
	return s.accepted(ctx, workflow{vault: r.Vault, item: item, kind: string(row.State.Kind), job: r.Job}, d)
}

// beginAnew starts the operation of a job that has failed under a new job. The item's
// event comes first: a link without a job would lead nowhere.
func (s *Server) beginAnew(ctx context.Context, r oapi.RestartJobRequestObject, row jobRow) (oapi.JobAcceptedJSONResponse, error) {
	var none oapi.JobAcceptedJSONResponse
	id := s.newID()
	begun, err := s.beginning(ctx, r.Vault, r.Job)
	if err != nil {
		return none, err
	}
	cmd, err := protecteditem.Restart(string(row.State.Kind), begun, id, s.now())
	if err != nil {
		return none, err
	}
	_, again, err := s.answered(ctx, callOf(ctx).idempotency(r.Vault, r.Params.IdempotencyKey))
	if err != nil {
		return none, err
	}
	if !again {
		if err := s.mayBeginAnew(ctx, r.Job, id); err != nil {
			return none, err
		}
	}
	_, item, _ := cutKey(row.State.Subject)
	body, err := s.beginJob(ctx, cmd, workflow{vault: r.Vault, item: item, kind: string(row.State.Kind), job: id, key: r.Params.IdempotencyKey})
	if err != nil {
		return none, err
	}
	return body, s.recordRestart(ctx, r.Vault, r.Job, body.Body.ID)
}

// mayBeginAnew refuses a second restart before the item is asked.
func (s *Server) mayBeginAnew(ctx context.Context, failed, id string) error {
	state, _, err := s.jobs.Load(ctx, failed)
	if err != nil {
		return err
	}
	_, err = job.Decider.Decide(state, job.Restart{Job: id, At: s.now()})
	return err
}

// recordRestart makes a failed job name the one that begins it anew.
func (s *Server) recordRestart(ctx context.Context, vault, failed, id string) error {
	_, _, err := execute(ctx, s, s.jobs, failed, job.Command(job.Restart{Job: id, By: callOf(ctx).actor(), At: s.now()}), request{vault: vault, job: failed})
	return err
}

// beginnings is how many of a job's events are searched for the one that began it,
// which is the first.
const beginnings = 8

// beginning finds the event of its item that began a job; nil when it cannot be
// told.
func (s *Server) beginning(ctx context.Context, vault, id string) (protecteditem.Event, error) {
	rows, err := s.queries.Events(ctx, vault, projections.EventFilter{Job: id}, 0, beginnings)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if !strings.HasPrefix(row.Stream, protecteditem.Category+"-") {
			continue
		}
		found, err := s.eventAt(ctx, row.Position)
		if err != nil {
			return nil, err
		}
		for _, ref := range protecteditem.BegunJobs(found) {
			if ref.ID == id {
				return found, nil
			}
		}
	}
	return nil, nil
}

func (s *Server) eventAt(ctx context.Context, position eventstore.Position) (protecteditem.Event, error) {
	events, err := s.store.Read(ctx, position-1, 1)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	e, _ := events[0].Event.(protecteditem.Event)
	return e, nil
}

// cutKey splits the key of what a job is about.
func cutKey(subject string) (vault, id string, ok bool) { return strings.Cut(subject, ".") }
