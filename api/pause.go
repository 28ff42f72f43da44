package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain/protecteditem"
)

// PauseReplication answers POST …/pause.
func (s *Server) PauseReplication(ctx context.Context, r oapi.PauseReplicationRequestObject) (oapi.PauseReplicationResponseObject, error) {
	cmd := protecteditem.PauseReplication{Reason: value(value(r.Body).Reason), By: callOf(ctx).actor(), At: s.now()}
	body, err := s.changeItem(ctx, r.Item, cmd, request{vault: r.Vault, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey})
	return oapi.PauseReplication200JSONResponse{ProtectedItemChangedJSONResponse: body}, err
}

// ResumeReplication answers POST …/resume.
func (s *Server) ResumeReplication(ctx context.Context, r oapi.ResumeReplicationRequestObject) (oapi.ResumeReplicationResponseObject, error) {
	cmd := protecteditem.ResumeReplication{By: callOf(ctx).actor(), At: s.now()}
	body, err := s.changeItem(ctx, r.Item, cmd, request{vault: r.Vault, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey})
	return oapi.ResumeReplication200JSONResponse{ProtectedItemChangedJSONResponse: body}, err
}

// changeItem runs a command that is done at once, and answers the item as the log
// has it: the read model may not have got that far.
func (s *Server) changeItem(ctx context.Context, item string, cmd protecteditem.Command, r request) (oapi.ProtectedItemChangedJSONResponse, error) {
	d, _, err := execute(ctx, s, s.protectedItems, r.vault+"."+item, cmd, r)
	if err != nil {
		return oapi.ProtectedItemChangedJSONResponse{}, err
	}
	body, err := s.itemNow(ctx, r.vault, item)
	body.Headers.XEventPosition = d.at()
	return body, err
}

// itemNow answers an item as the log has it.
func (s *Server) itemNow(ctx context.Context, vault, item string) (oapi.ProtectedItemChangedJSONResponse, error) {
	state, version, err := s.protectedItems.Load(ctx, vault+"."+item)
	if err != nil {
		return oapi.ProtectedItemChangedJSONResponse{}, err
	}
	items, err := s.shown(ctx, itemRow{Vault: vault, ID: item, State: state, Version: version})
	if err != nil {
		return oapi.ProtectedItemChangedJSONResponse{}, err
	}
	return oapi.ProtectedItemChangedJSONResponse{
		Body:    items[0],
		Headers: oapi.ProtectedItemChangedResponseHeaders{ETag: &items[0].Etag},
	}, nil
}
