package api

import (
	"context"
	"errors"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/projections"
)

// pollSeconds is how long a client is asked to wait before it looks at a job.
const pollSeconds int32 = 1

// valid answers validateOnly when nothing stands against the request.
var valid = oapi.ValidatedJSONResponse{Valid: true}

// beginJob runs a command that begins a workflow of an item, and answers the job
// it runs under.
func (s *Server) beginJob(ctx context.Context, vault, item string, cmd protecteditem.Command, kind, id string, ifMatch, key *string) (oapi.JobAcceptedJSONResponse, error) {
	d, state, err := execute(ctx, s, s.protectedItems, vault+"."+item, cmd, request{vault: vault, job: id, ifMatch: ifMatch, key: key})
	if err != nil {
		return oapi.JobAcceptedJSONResponse{}, err
	}
	switch {
	case d.replayed:
		id = d.job
	case state.Job != nil && state.Job.Kind == kind: // it was under way already
		id = state.Job.ID
	case d.unchanged && state.Ended.ID != "": // it was done already
		id = state.Ended.ID
	}
	return s.accepted(ctx, vault, item, kind, id, d)
}

// accepted answers 202 with the job as far as it is known.
func (s *Server) accepted(ctx context.Context, vault, item, kind, id string, d done) (oapi.JobAcceptedJSONResponse, error) {
	body := oapi.Job{
		ID: id, Kind: oapi.JobKind(kind), Status: oapi.NotStarted, Item: item, Tasks: []oapi.Task{}, CreatedAt: ptr(s.now()), Etag: etagOf(0),
	}
	row, err := s.queries.Job(ctx, vault, id)
	switch {
	case err == nil:
		if body, err = s.jobOf(ctx, row); err != nil {
			return oapi.JobAcceptedJSONResponse{}, err
		}
	case !errors.Is(err, projections.ErrNotFound):
		return oapi.JobAcceptedJSONResponse{}, err
	}
	return oapi.JobAcceptedJSONResponse{Body: body, Headers: oapi.JobAcceptedResponseHeaders{
		OperationLocation: ptr(callOf(ctx).base + "/v1/vaults/" + vault + "/jobs/" + id + d.minPosition()),
		RetryAfter:        ptr(pollSeconds),
		XEventPosition:    d.at(),
	}}, nil
}

// tryItem decides a command and records nothing.
func (s *Server) tryItem(ctx context.Context, vault, item string, cmd protecteditem.Command, ifMatch *string) error {
	state, version, err := s.protectedItems.Load(ctx, vault+"."+item)
	if err != nil {
		return err
	}
	cond, err := conditionOf(ifMatch)
	if err != nil {
		return err
	}
	if cond.version != 0 && cond.version != version {
		return errStale
	}
	events, err := protecteditem.Decider.Decide(state, cmd)
	if err == nil && len(events) == 0 {
		return refuse(409, errorcatalog.NothingToDo, "it is under way or done already")
	}
	return err
}
