package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain/protecteditem"
)

// PlannedFailover answers POST …/plannedFailover.
func (s *Server) PlannedFailover(ctx context.Context, r oapi.PlannedFailoverRequestObject) (oapi.PlannedFailoverResponseObject, error) {
	id := s.newID()
	cmd := protecteditem.StartPlannedFailover{JobID: id, At: s.now()}
	if value(r.Params.ValidateOnly) {
		return oapi.PlannedFailover200JSONResponse{ValidatedJSONResponse: oapi.ValidatedJSONResponse{Valid: true}}, s.tryItem(ctx, r.Vault, r.Item, cmd, r.Params.IfMatch)
	}
	body, err := s.beginJob(ctx, cmd, workflow{
		vault: r.Vault, item: r.Item, kind: protecteditem.PlannedFailoverJob, job: id, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
	})
	return oapi.PlannedFailover202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// CommitFailover answers POST …/failoverCommit.
func (s *Server) CommitFailover(ctx context.Context, r oapi.CommitFailoverRequestObject) (oapi.CommitFailoverResponseObject, error) {
	id := s.newID()
	cmd := protecteditem.CommitFailover{JobID: id, At: s.now()}
	body, err := s.beginJob(ctx, cmd, workflow{
		vault: r.Vault, item: r.Item, kind: protecteditem.FailoverCommitJob, job: id, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
	})
	return oapi.CommitFailover202JSONResponse{JobAcceptedJSONResponse: body}, err
}
