package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
)

// ListErrors answers GET /v1/errors with the catalogue.
func (s *Server) ListErrors(context.Context, oapi.ListErrorsRequestObject) (oapi.ListErrorsResponseObject, error) {
	var body oapi.ErrorCatalogue
	for _, e := range errorcatalog.All() {
		body.Value = append(body.Value, oapi.ErrorEntry{
			Code: string(e.Code), Class: oapi.ErrorClass(e.Class), Message: e.Message, Causes: e.Causes, Remedy: e.Remedy,
		})
	}
	return oapi.ListErrors200JSONResponse{ErrorCatalogueJSONResponse: oapi.ErrorCatalogueJSONResponse(body)}, nil
}
