package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

// ChangePolicy answers POST …/changePolicy. The policy's settings are copied into
// the command, as when protection is enabled.
func (s *Server) ChangePolicy(ctx context.Context, r oapi.ChangePolicyRequestObject) (oapi.ChangePolicyResponseObject, error) {
	state, version, err := s.policies.Load(ctx, r.Vault+"."+r.Body.Policy)
	if err != nil {
		return nil, err
	}
	if version == 0 {
		return nil, unknown(errorcatalog.PolicyNotFound, "/policy", "there is no policy %q", r.Body.Policy)
	}
	cmd := protecteditem.ChangePolicy{PolicyID: r.Body.Policy, Settings: state.Settings, At: s.now()}
	body, err := s.changeItem(ctx, r.Item, cmd, request{vault: r.Vault, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey})
	return oapi.ChangePolicy200JSONResponse{ProtectedItemChangedJSONResponse: body}, err
}
