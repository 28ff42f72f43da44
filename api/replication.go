package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain/protecteditem"
)

// RepairReplication answers POST …/repairReplication.
func (s *Server) RepairReplication(ctx context.Context, r oapi.RepairReplicationRequestObject) (oapi.RepairReplicationResponseObject, error) {
	w := s.newWorkflow(r.Vault, r.Item, protecteditem.ResynchronizationJob, r.Params.IfMatch, r.Params.IdempotencyKey)
	cmd := protecteditem.RepairReplication{JobID: w.job, At: s.now()}
	body, err := s.beginJob(ctx, cmd, w)
	return oapi.RepairReplication202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// RetryNow answers POST …/retryNow.
func (s *Server) RetryNow(ctx context.Context, r oapi.RetryNowRequestObject) (oapi.RetryNowResponseObject, error) {
	cmd := protecteditem.RetryNow{At: s.now()}
	body, err := s.changeItem(ctx, r.Item, cmd, request{vault: r.Vault, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey})
	return oapi.RetryNow200JSONResponse{ProtectedItemChangedJSONResponse: body}, err
}

// ReplicateNow answers POST …/replicateNow.
func (s *Server) ReplicateNow(ctx context.Context, r oapi.ReplicateNowRequestObject) (oapi.ReplicateNowResponseObject, error) {
	cmd := protecteditem.ReplicateNow{Consistency: protecteditem.Consistency(value(value(r.Body).Consistency)), At: s.now()}
	d, _, err := execute(ctx, s, s.protectedItems, r.Vault+"."+r.Item, protecteditem.Command(cmd),
		request{vault: r.Vault, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	item, err := s.itemAfter(ctx, r.Vault, r.Item)
	if err != nil {
		return nil, err
	}
	return oapi.ReplicateNow202JSONResponse{ReplicationRequestedJSONResponse: oapi.ReplicationRequestedJSONResponse{
		Body:    item,
		Headers: oapi.ReplicationRequestedResponseHeaders{ETag: &item.Etag, RetryAfter: new(pollSeconds), XEventPosition: d.at()},
	}}, nil
}
