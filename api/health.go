package api

import (
	"context"
	"net/http"
	"strings"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
)

// Livez answers GET /livez: a process that can answer is alive.
func (s *Server) Livez(context.Context, oapi.LivezRequestObject) (oapi.LivezResponseObject, error) {
	return oapi.Livez200TextResponse("ok\n"), nil
}

// Readyz answers GET /readyz: ready means that commands would be taken.
func (s *Server) Readyz(ctx context.Context, _ oapi.ReadyzRequestObject) (oapi.ReadyzResponseObject, error) {
	if err := s.queries.Ping(ctx); err != nil {
		return nil, err
	}
	if s.ready != nil {
		if err := s.ready(); err != nil {
			return nil, refuse(http.StatusServiceUnavailable, errorcatalog.DatabaseUnavailable, strings.TrimSpace(err.Error()))
		}
	}
	return oapi.Readyz200TextResponse("ok\n"), nil
}
