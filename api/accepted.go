package api

import (
	"context"
	"errors"
	"net/http"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/projections"
)

// pollSeconds is how long a client is asked to wait before it looks at a job.
const pollSeconds int32 = 1

// workflow is a request that begins a workflow of an item.
type workflow struct {
	vault, item  string
	plan         string // instead of the item: the recovery plan that is run
	kind, job    string // the job it would run under
	ifMatch, key *string
}

// newWorkflow is a request that would begin a workflow under a new job.
func (s *Server) newWorkflow(vault, item, kind string, ifMatch, key *string) workflow {
	return workflow{vault: vault, item: item, kind: kind, job: s.newID(), ifMatch: ifMatch, key: key}
}

// beginJob runs a command that begins a workflow, and answers the job it runs
// under.
func (s *Server) beginJob(ctx context.Context, cmd protecteditem.Command, w workflow) (oapi.JobAcceptedJSONResponse, error) {
	d, state, err := execute(ctx, s, s.protectedItems, w.vault+"."+w.item, cmd, request{vault: w.vault, job: w.job, ifMatch: w.ifMatch, key: w.key})
	if err != nil {
		return oapi.JobAcceptedJSONResponse{}, err
	}
	switch {
	case d.replayed:
		w.job = d.job
	case state.Job != nil && state.Job.Kind == w.kind: // it was under way already
		w.job = state.Job.ID
	case d.unchanged && state.Ended.ID != "": // it was done already
		w.job = state.Ended.ID
	}
	return s.accepted(ctx, w, d)
}

// accepted answers 202 with the job as far as it is known.
func (s *Server) accepted(ctx context.Context, w workflow, d done) (oapi.JobAcceptedJSONResponse, error) {
	body := oapi.Job{
		ID: w.job, Kind: oapi.JobKind(w.kind), Status: oapi.JobStatusNotStarted, Item: w.item, RecoveryPlan: optional(w.plan), Tasks: []oapi.Task{}, CreatedAt: new(s.now()), Etag: etagOf(0),
	}
	row, err := s.queries.Job(ctx, w.vault, w.job)
	switch {
	case err == nil:
		if body, err = s.jobOf(ctx, row); err != nil {
			return oapi.JobAcceptedJSONResponse{}, err
		}
	case !errors.Is(err, projections.ErrNotFound):
		return oapi.JobAcceptedJSONResponse{}, err
	}
	return oapi.JobAcceptedJSONResponse{Body: body, Headers: oapi.JobAcceptedResponseHeaders{
		OperationLocation: new(callOf(ctx).base + "/v1/vaults/" + w.vault + "/jobs/" + w.job + d.minPosition()),
		RetryAfter:        new(pollSeconds),
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
		return refuse(http.StatusConflict, errorcatalog.NothingToDo, "it is under way or done already")
	}
	return err
}
