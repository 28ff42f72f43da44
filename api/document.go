package api

import (
	"context"
	"fmt"
	"net/http"

	"farshore/api/oapi"
)

// document is the contract as it is served.
type document []byte

// VisitGetContractResponse implements oapi.GetContractResponseObject.
func (d document) VisitGetContractResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(d); err != nil {
		return fmt.Errorf("write contract: %w", err)
	}
	return nil
}

// GetContract answers GET /v1/openapi.json.
func (s *Server) GetContract(context.Context, oapi.GetContractRequestObject) (oapi.GetContractResponseObject, error) {
	return document(s.contract.json), nil
}
