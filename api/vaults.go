package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/vault"
	"farshore/eventstore"
	"farshore/projections"
)

// ListVaults answers GET /v1/vaults with those the caller may see.
func (s *Server) ListVaults(ctx context.Context, r oapi.ListVaultsRequestObject) (oapi.ListVaultsResponseObject, error) {
	p, err := pagerOf(ctx, r.Params.PageSize, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.queries.Vaults(ctx, callOf(ctx).principal.vault, p.page)
	if err != nil {
		return nil, err
	}
	var body oapi.VaultPageJSONResponse
	rows, body.NextLink = nextLink(p, rows, func(row projections.Row[vault.State]) string { return row.ID })
	body.Value = each(rows, vaultOf)
	return oapi.ListVaults200JSONResponse{VaultPageJSONResponse: body}, nil
}

// GetVault answers GET /v1/vaults/{vault}.
func (s *Server) GetVault(ctx context.Context, r oapi.GetVaultRequestObject) (oapi.GetVaultResponseObject, error) {
	row, err := s.queries.Vault(ctx, r.Vault)
	if row, err = found(row, err, errorcatalog.VaultNotFound, "vault "+r.Vault); err != nil {
		return nil, err
	}
	body := vaultOf(row)
	return oapi.GetVault200JSONResponse{VaultReadJSONResponse: oapi.VaultReadJSONResponse{
		Body: body, Headers: oapi.VaultReadResponseHeaders{ETag: &body.Etag},
	}}, nil
}

// PutVault answers PUT /v1/vaults/{vault}.
func (s *Server) PutVault(ctx context.Context, r oapi.PutVaultRequestObject) (oapi.PutVaultResponseObject, error) {
	d, state, err := execute(ctx, s, s.vaults, r.Vault, vault.Command(vault.Create{Name: r.Body.Name, At: s.now()}),
		request{vault: r.Vault, ifMatch: r.Params.IfMatch})
	if err != nil {
		return nil, err
	}
	body := oapi.Vault{ID: r.Vault, Name: state.Name, Etag: etagOf(d.version)}
	if d.created() {
		return oapi.PutVault201JSONResponse{Body: body, Headers: oapi.PutVault201ResponseHeaders{ETag: d.etag(), XEventPosition: d.at()}}, nil
	}
	return oapi.PutVault200JSONResponse{VaultReadJSONResponse: oapi.VaultReadJSONResponse{
		Body: body, Headers: oapi.VaultReadResponseHeaders{ETag: d.etag(), XEventPosition: d.at()},
	}}, nil
}

func vaultOf(row projections.Row[vault.State]) oapi.Vault {
	return oapi.Vault{ID: row.ID, Name: row.State.Name, CreatedAt: at(row.CreatedAt), Etag: etagOf(row.Version)}
}

// created says whether the command began its stream.
func (d done) created() bool {
	return !d.unchanged && !d.replayed && d.version == eventstore.Version(1)
}
