package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain/protecteditem"
)

// TestFailover answers POST …/testFailover.
func (s *Server) TestFailover(ctx context.Context, r oapi.TestFailoverRequestObject) (oapi.TestFailoverResponseObject, error) {
	w := s.newWorkflow(r.Vault, r.Item, protecteditem.TestFailoverJob, r.Params.IfMatch, r.Params.IdempotencyKey)
	in := value(r.Body)
	cmd := protecteditem.StartTestFailover{JobID: w.job, Choice: choiceOf(in.RecoveryPoint), Network: value(in.Network), At: s.now()}
	if value(r.Params.ValidateOnly) {
		if err := s.tryItem(ctx, r.Vault, r.Item, cmd, r.Params.IfMatch); err != nil {
			return nil, err
		}
		without, err := s.withoutDisks(ctx, r.Vault, r.Item, cmd.Choice)
		return oapi.TestFailover200JSONResponse{ValidatedJSONResponse: validated(without)}, err
	}
	body, err := s.beginJob(ctx, cmd, w)
	return oapi.TestFailover202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// CleanUpTestFailover answers POST …/testFailoverCleanup.
func (s *Server) CleanUpTestFailover(ctx context.Context, r oapi.CleanUpTestFailoverRequestObject) (oapi.CleanUpTestFailoverResponseObject, error) {
	w := s.newWorkflow(r.Vault, r.Item, protecteditem.TestFailoverCleanupJob, r.Params.IfMatch, r.Params.IdempotencyKey)
	in := value(r.Body)
	cmd := protecteditem.CleanUpTestFailover{JobID: w.job, Notes: value(in.Notes), At: s.now()}
	body, err := s.beginJob(ctx, cmd, w)
	return oapi.CleanUpTestFailover202JSONResponse{JobAcceptedJSONResponse: body}, err
}
