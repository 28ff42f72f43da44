package api

import (
	"context"
	"errors"

	"farshore/api/oapi"
	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
)

// ResumeJob answers POST …/jobs/{job}/resume with the job that goes on.
func (s *Server) ResumeJob(ctx context.Context, r oapi.ResumeJobRequestObject) (oapi.ResumeJobResponseObject, error) {
	row, err := s.queries.Job(ctx, r.Vault, r.Job)
	if row, err = found(row, err, errorcatalog.JobNotFound, "job "+r.Job); err != nil {
		return nil, err
	}
	in := value(r.Body)
	cmd := job.Resume{By: callOf(ctx).actor(), Task: value(in.Task), Comments: value(in.Comments), At: s.now()}
	var body oapi.JobAcceptedJSONResponse
	if row.State.Kind == job.Failback {
		body, err = s.resumeFailback(ctx, r, row, cmd)
	} else {
		body, err = s.resumeJob(ctx, r, row, cmd)
	}
	return oapi.ResumeJob202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// resumeFailback completes a failback that waits. The comments come first: what
// was asked for is on record whatever becomes of it.
func (s *Server) resumeFailback(ctx context.Context, r oapi.ResumeJobRequestObject, row jobRow, cmd job.Resume) (oapi.JobAcceptedJSONResponse, error) {
	state, _, err := s.protectedItems.Load(ctx, row.State.Subject)
	if err != nil {
		return oapi.JobAcceptedJSONResponse{}, err
	}
	complete := protecteditem.CompleteFailback{JobID: r.Job, At: s.now()}
	events, err := protecteditem.Decider.Decide(state, complete)
	if waits := len(events) > 0; waits {
		cmd.Awaited = true
		err = s.ledByNoPlan(ctx, r.Job)
	} else if refused := s.waitsForNobody(state, r.Job, err); refused != nil {
		err = refused
	}
	if _, again, errAnswered := s.answered(ctx, callOf(ctx).idempotency(r.Vault, r.Params.IdempotencyKey)); again || errAnswered != nil {
		err = errAnswered
	}
	if err != nil {
		return oapi.JobAcceptedJSONResponse{}, err
	}
	if _, err := s.resumeJob(ctx, r, row, cmd); err != nil {
		return oapi.JobAcceptedJSONResponse{}, err
	}
	_, item, _ := cutKey(row.State.Subject)
	return s.beginJob(ctx, complete, workflow{vault: r.Vault, item: item, kind: protecteditem.FailbackJob, job: r.Job})
}

// waitsForNobody says why a failback is not to be completed under a job, in the
// words of jobs.
func (s *Server) waitsForNobody(state protecteditem.State, id string, refused error) error {
	if state.Job != nil && state.Job.ID == id && state.Protection == protecteditem.FailbackAwaitingCompletion {
		return refused
	}
	return domain.Reject(domain.Conflict, errorcatalog.JobNotWaiting, "the failback does not wait (%s)", state.Protection)
}

// resumeJob records an operator's word for a job.
func (s *Server) resumeJob(ctx context.Context, r oapi.ResumeJobRequestObject, row jobRow, cmd job.Resume) (oapi.JobAcceptedJSONResponse, error) {
	d, _, err := execute(ctx, s, s.jobs, r.Job, job.Command(cmd), request{vault: r.Vault, job: r.Job, key: r.Params.IdempotencyKey})
	if refused, ok := errors.AsType[*domain.RejectionError](err); ok && refused.Kind == domain.NotFound {
		// The read model knows it from its item; no worker has taken it up.
		err = domain.Reject(domain.Conflict, errorcatalog.JobNotWaiting, "the job has not been started yet")
	}
	if err != nil {
		return oapi.JobAcceptedJSONResponse{}, err
	}
	w := workflow{vault: r.Vault, kind: string(row.State.Kind), job: r.Job}
	if _, w.item, _ = cutKey(row.State.Subject); row.State.Kind.OfPlan() {
		w.item, w.plan = "", w.item
	}
	return s.accepted(ctx, w, d)
}
