package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain/protecteditem"
)

// TestFailover answers POST …/testFailover.
func (s *Server) TestFailover(ctx context.Context, r oapi.TestFailoverRequestObject) (oapi.TestFailoverResponseObject, error) {
	id, in := s.newID(), value(r.Body)
	cmd := protecteditem.StartTestFailover{JobID: id, Choice: choiceOf(in.RecoveryPoint), Network: value(in.Network), At: s.now()}
	if value(r.Params.ValidateOnly) {
		return oapi.TestFailover200JSONResponse{ValidatedJSONResponse: oapi.ValidatedJSONResponse{Valid: true}}, s.tryItem(ctx, r.Vault, r.Item, cmd, r.Params.IfMatch)
	}
	body, err := s.beginJob(ctx, cmd, workflow{
		vault: r.Vault, item: r.Item, kind: protecteditem.TestFailoverJob, job: id, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
	})
	return oapi.TestFailover202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// CleanUpTestFailover answers POST …/testFailoverCleanup.
func (s *Server) CleanUpTestFailover(ctx context.Context, r oapi.CleanUpTestFailoverRequestObject) (oapi.CleanUpTestFailoverResponseObject, error) {
	id, in := s.newID(), value(r.Body)
	cmd := protecteditem.CleanUpTestFailover{JobID: id, Notes: value(in.Notes), At: s.now()}
	body, err := s.beginJob(ctx, cmd, workflow{
		vault: r.Vault, item: r.Item, kind: protecteditem.TestFailoverCleanupJob, job: id, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
	})
	return oapi.CleanUpTestFailover202JSONResponse{JobAcceptedJSONResponse: body}, err
}
