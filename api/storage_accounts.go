package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/storageaccount"
	"farshore/projections"
)

// ListStorageAccounts answers GET …/storageAccounts.
func (s *Server) ListStorageAccounts(ctx context.Context, r oapi.ListStorageAccountsRequestObject) (oapi.ListStorageAccountsResponseObject, error) {
	p, err := pagerOf(ctx, r.Params.PageSize, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.queries.StorageAccounts(ctx, r.Vault, p.page)
	if err != nil {
		return nil, err
	}
	var body oapi.StorageAccountPageJSONResponse
	rows, body.NextLink = nextLink(p, rows, func(row projections.Row[storageaccount.State]) string { return row.ID })
	body.Value = each(rows, func(row projections.Row[storageaccount.State]) oapi.StorageAccount {
		return storageAccountOf(row.ID, row.State, etagOf(row.Version))
	})
	return oapi.ListStorageAccounts200JSONResponse{StorageAccountPageJSONResponse: body}, nil
}

// GetStorageAccount answers GET …/storageAccounts/{storageAccount}.
func (s *Server) GetStorageAccount(ctx context.Context, r oapi.GetStorageAccountRequestObject) (oapi.GetStorageAccountResponseObject, error) {
	row, err := s.queries.StorageAccount(ctx, r.Vault, r.StorageAccount)
	if row, err = found(row, err, errorcatalog.StorageAccountNotFound, "storage account "+r.StorageAccount); err != nil {
		return nil, err
	}
	body := storageAccountOf(row.ID, row.State, etagOf(row.Version))
	return oapi.GetStorageAccount200JSONResponse{StorageAccountReadJSONResponse: oapi.StorageAccountReadJSONResponse{
		Body: body, Headers: oapi.StorageAccountReadResponseHeaders{ETag: &body.Etag},
	}}, nil
}

// PutStorageAccount answers PUT …/storageAccounts/{storageAccount}.
func (s *Server) PutStorageAccount(ctx context.Context, r oapi.PutStorageAccountRequestObject) (oapi.PutStorageAccountResponseObject, error) {
	cmd := storageaccount.Register{
		Name: r.Body.Name, Kind: storageaccount.Kind(r.Body.Kind), Directory: value(r.Body.Directory), Endpoint: value(r.Body.Endpoint),
		Container: value(r.Body.Container), Credential: value(r.Body.Credential), At: s.now(),
	}
	d, state, err := execute(ctx, s, s.storageAccounts, r.Vault+"."+r.StorageAccount, storageaccount.Command(cmd), request{vault: r.Vault, ifMatch: r.Params.IfMatch})
	if err != nil {
		return nil, err
	}
	body := storageAccountOf(r.StorageAccount, state, etagOf(d.version))
	if d.created() {
		return oapi.PutStorageAccount201JSONResponse{
			Body: body, Headers: oapi.PutStorageAccount201ResponseHeaders{ETag: d.etag(), XEventPosition: d.at()},
		}, nil
	}
	return oapi.PutStorageAccount200JSONResponse{StorageAccountReadJSONResponse: oapi.StorageAccountReadJSONResponse{
		Body: body, Headers: oapi.StorageAccountReadResponseHeaders{ETag: d.etag(), XEventPosition: d.at()},
	}}, nil
}

func storageAccountOf(id string, state storageaccount.State, etag string) oapi.StorageAccount {
	return oapi.StorageAccount{
		ID: id, Name: state.Name, Kind: oapi.StorageAccountKind(state.Settings.Kind), Directory: optional(state.Settings.Directory),
		Endpoint: optional(state.Settings.Endpoint), Container: optional(state.Settings.Container),
		Credential: optional(state.Settings.Credential), Etag: etag,
	}
}
