package api

import (
	"context"
	"net/http"
	"strings"

	"farshore/api/oapi"
	"farshore/domain/apikey"
	"farshore/domain/errorcatalog"
	"farshore/projections"
)

// keyRow is an API key as its read model has it.
type keyRow = projections.Row[apikey.State]

// ListAPIKeys answers GET …/apiKeys.
func (s *Server) ListAPIKeys(ctx context.Context, r oapi.ListAPIKeysRequestObject) (oapi.ListAPIKeysResponseObject, error) {
	p, err := pagerOf(ctx, r.Params.PageSize, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.queries.APIKeys(ctx, r.Vault, p.page)
	if err != nil {
		return nil, err
	}
	var body oapi.APIKeyPageJSONResponse
	rows, body.NextLink = nextLink(p, rows, func(row keyRow) string { return row.ID })
	body.Value = each(rows, apiKeyOf)
	return oapi.ListAPIKeys200JSONResponse{APIKeyPageJSONResponse: body}, nil
}

// GetAPIKey answers GET …/apiKeys/{apiKey}.
func (s *Server) GetAPIKey(ctx context.Context, r oapi.GetAPIKeyRequestObject) (oapi.GetAPIKeyResponseObject, error) {
	row, err := s.apiKey(ctx, r.Vault, r.APIKey)
	if err != nil {
		return nil, err
	}
	body := apiKeyOf(row)
	return oapi.GetAPIKey200JSONResponse{APIKeyReadJSONResponse: oapi.APIKeyReadJSONResponse{
		Body: body, Headers: oapi.APIKeyReadResponseHeaders{ETag: &body.Etag},
	}}, nil
}

// IssueAPIKey answers POST …/apiKeys. The secret leaves the process in this
// answer only; a repeated request finds the key without it.
func (s *Server) IssueAPIKey(ctx context.Context, r oapi.IssueAPIKeyRequestObject) (oapi.IssueAPIKeyResponseObject, error) {
	scope := r.Vault
	if value(r.Body.AllVaults) {
		if callOf(ctx).principal.vault != everyVault {
			return nil, refuse(http.StatusForbidden, errorcatalog.Forbidden, "only a key for all vaults may issue one")
		}
		scope = apikey.AllVaults
	}
	first, ok, err := s.answered(ctx, callOf(ctx).idempotency(r.Vault, r.Params.IdempotencyKey))
	if err != nil {
		return nil, err
	}
	if ok {
		return s.issuedBefore(ctx, first)
	}
	id := s.newID()
	key, hash, err := MintKey(id, s.random)
	if err != nil {
		return nil, err
	}
	cmd := apikey.Issue{
		Vault: scope, Name: r.Body.Name, Role: apikey.Role(r.Body.Role), SecretHash: hash, ExpiresAt: value(r.Body.ExpiresAt).UTC(), At: s.now(),
	}
	d, state, err := execute(ctx, s, s.apiKeys, id, apikey.Command(cmd), request{vault: r.Vault, key: r.Params.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	if d.replayed {
		return s.issuedBefore(ctx, d)
	}
	row := keyRow{Vault: scope, ID: id, State: state, Version: d.version, CreatedAt: cmd.At}
	return issued(ctx, r.Vault, oapi.IssuedAPIKey{APIKey: apiKeyOf(row), Secret: &key}, d), nil
}

// issuedBefore answers a repeated request.
func (s *Server) issuedBefore(ctx context.Context, d done) (oapi.IssueAPIKeyResponseObject, error) {
	id := strings.TrimPrefix(string(d.stream), apikey.Category+"-")
	state, version, err := s.apiKeys.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	row := keyRow{Vault: state.Vault, ID: id, State: state, Version: version}
	return issued(ctx, state.Vault, oapi.IssuedAPIKey{APIKey: apiKeyOf(row)}, d), nil
}

func issued(ctx context.Context, vault string, body oapi.IssuedAPIKey, d done) oapi.IssueAPIKeyResponseObject {
	return oapi.IssueAPIKey201JSONResponse{APIKeyIssuedJSONResponse: oapi.APIKeyIssuedJSONResponse{
		Body: body, Headers: oapi.APIKeyIssuedResponseHeaders{
			ETag: &body.APIKey.Etag, XEventPosition: d.at(), CacheControl: new("no-store"),
			Location: new(callOf(ctx).base + "/v1/vaults/" + vault + "/apiKeys/" + body.APIKey.ID),
		},
	}}
}

// RevokeAPIKey answers DELETE …/apiKeys/{apiKey}.
func (s *Server) RevokeAPIKey(ctx context.Context, r oapi.RevokeAPIKeyRequestObject) (oapi.RevokeAPIKeyResponseObject, error) {
	if r.Params.IfMatch == nil {
		return nil, errUnconditional
	}
	state, version, err := s.apiKeys.Load(ctx, r.APIKey)
	if err != nil {
		return nil, err
	}
	if version == 0 || !s.mayManage(ctx, r.Vault, state.Vault) {
		return nil, missing(errorcatalog.APIKeyNotFound, "API key "+r.APIKey)
	}
	d, _, err := execute(ctx, s, s.apiKeys, r.APIKey, apikey.Command(apikey.Revoke{At: s.now()}), request{vault: r.Vault, ifMatch: r.Params.IfMatch})
	if err != nil {
		return nil, err
	}
	return oapi.RevokeAPIKey204Response{Headers: oapi.GoneResponseHeaders{XEventPosition: d.at()}}, nil
}

// apiKey reads a key of a vault, or one for all vaults when the caller's is one.
func (s *Server) apiKey(ctx context.Context, vault, id string) (keyRow, error) {
	row, err := s.queries.APIKey(ctx, vault, id)
	if err != nil && s.mayManage(ctx, vault, apikey.AllVaults) {
		row, err = s.queries.APIKey(ctx, apikey.AllVaults, id)
	}
	return found(row, err, errorcatalog.APIKeyNotFound, "API key "+id)
}

// mayManage says whether a caller at a vault may deal with a key of a scope.
func (s *Server) mayManage(ctx context.Context, vault, scope string) bool {
	return scope == vault || (scope == apikey.AllVaults && callOf(ctx).principal.vault == everyVault)
}

func apiKeyOf(row keyRow) oapi.APIKey {
	k := oapi.APIKey{
		ID: row.ID, Name: row.State.Name, Role: oapi.Role(row.State.Role), AllVaults: row.State.Vault == apikey.AllVaults,
		IssuedAt: at(row.CreatedAt), ExpiresAt: at(row.State.ExpiresAt), Revoked: !row.State.RevokedAt.IsZero(), Etag: etagOf(row.Version),
	}
	return k
}
