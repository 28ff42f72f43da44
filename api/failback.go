package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain/protecteditem"
)

// StartFailback answers POST …/failback.
func (s *Server) StartFailback(ctx context.Context, r oapi.StartFailbackRequestObject) (oapi.StartFailbackResponseObject, error) {
	id := s.newID()
	cmd := protecteditem.StartFailback{JobID: id, Mode: protecteditem.FailbackMode(r.Body.Mode), At: s.now()}
	body, err := s.beginJob(ctx, cmd, workflow{
		vault: r.Vault, item: r.Item, kind: protecteditem.FailbackJob, job: id, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
	})
	return oapi.StartFailback202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// CompleteFailback answers POST …/completeFailback with the job that goes on.
func (s *Server) CompleteFailback(ctx context.Context, r oapi.CompleteFailbackRequestObject) (oapi.CompleteFailbackResponseObject, error) {
	state, _, err := s.protectedItems.Load(ctx, r.Vault+"."+r.Item)
	if err != nil {
		return nil, err
	}
	id := ""
	if state.Job != nil && state.Job.Kind == protecteditem.FailbackJob {
		id = state.Job.ID
	}
	body, err := s.beginJob(ctx, protecteditem.CompleteFailback{JobID: id, At: s.now()}, workflow{
		vault: r.Vault, item: r.Item, kind: protecteditem.FailbackJob, job: id, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
	})
	return oapi.CompleteFailback202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// CancelFailback answers POST …/failbackCancel.
func (s *Server) CancelFailback(ctx context.Context, r oapi.CancelFailbackRequestObject) (oapi.CancelFailbackResponseObject, error) {
	id := s.newID()
	cmd := protecteditem.CancelFailback{JobID: id, At: s.now()}
	body, err := s.beginJob(ctx, cmd, workflow{
		vault: r.Vault, item: r.Item, kind: protecteditem.FailbackCancelJob, job: id, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
	})
	return oapi.CancelFailback202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// CommitFailback answers POST …/failbackCommit.
func (s *Server) CommitFailback(ctx context.Context, r oapi.CommitFailbackRequestObject) (oapi.CommitFailbackResponseObject, error) {
	id := s.newID()
	cmd := protecteditem.CommitFailback{JobID: id, At: s.now()}
	body, err := s.beginJob(ctx, cmd, workflow{
		vault: r.Vault, item: r.Item, kind: protecteditem.FailbackCommitJob, job: id, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
	})
	return oapi.CommitFailback202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// ReProtect answers POST …/reProtect.
func (s *Server) ReProtect(ctx context.Context, r oapi.ReProtectRequestObject) (oapi.ReProtectResponseObject, error) {
	id := s.newID()
	cmd := protecteditem.ReProtect{JobID: id, At: s.now()}
	body, err := s.beginJob(ctx, cmd, workflow{
		vault: r.Vault, item: r.Item, kind: protecteditem.ReverseReplicationJob, job: id, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
	})
	return oapi.ReProtect202JSONResponse{JobAcceptedJSONResponse: body}, err
}
