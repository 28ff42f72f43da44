package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"farshore/api/oapi"
	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/eventstore"
)

// retryAfterSeconds is what clients are told to wait when the service cannot
// answer for the moment.
const retryAfterSeconds = 2

// RefusalError is the edge's refusal of a request, before any rule of the domain
// is asked.
type RefusalError struct {
	Status int
	Code   errorcatalog.Code
	Detail string
	Fields []oapi.FieldError
}

func (r *RefusalError) Error() string { return string(r.Code) + ": " + r.Detail }

func refuse(status int, code errorcatalog.Code, detail string) *RefusalError {
	return &RefusalError{Status: status, Code: code, Detail: detail}
}

// writeProblem answers an error. It is echo's HTTPErrorHandler and the only
// place where an error becomes a status.
func (s *Server) writeProblem(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := problemFor(err)
	p.RequestID = callOf(c.Request().Context()).requestID
	if p.Status >= http.StatusInternalServerError {
		level := slog.LevelError
		if p.Status == http.StatusServiceUnavailable {
			level = slog.LevelWarn
		}
		s.logger.Log(c.Request().Context(), level, "request failed", "error", err, "request_id", p.RequestID, "method", c.Request().Method, "path", c.Path())
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "application/problem+json")
	switch int(p.Status) {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.Itoa(retryAfterSeconds))
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="farshore"`)
	}
	body, _ := json.Marshal(p) // nothing in a problem can fail to encode
	c.Response().WriteHeader(int(p.Status))
	if c.Request().Method == http.MethodHead {
		return
	}
	if _, err := c.Response().Write(body); err != nil {
		s.logger.Debug("write problem", "error", err)
	}
}

func problemFor(err error) oapi.Problem {
	if r, ok := errors.AsType[*domain.RejectionError](err); ok {
		return rejected(r)
	}
	if r, ok := errors.AsType[*RefusalError](err); ok {
		p := newProblem(r.Status, r.Code, r.Detail)
		if len(r.Fields) > 0 {
			p.Errors = &r.Fields
		}
		return p
	}
	switch {
	case errors.Is(err, eventstore.ErrVersionConflict):
		return newProblem(http.StatusConflict, errorcatalog.ConcurrentUpdate, "the resource kept changing while the request was decided")
	case errors.Is(err, eventstore.ErrIdempotencyMismatch):
		return newProblem(http.StatusUnprocessableEntity, errorcatalog.IdempotencyKeyReused, "this Idempotency-Key was used for another request")
	case errors.Is(err, eventstore.ErrUnavailable):
		return newProblem(http.StatusServiceUnavailable, errorcatalog.DatabaseUnavailable, "the database cannot be reached")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return newProblem(http.StatusServiceUnavailable, errorcatalog.RequestTimeout, "the request was given up")
	}
	if h, ok := errors.AsType[*echo.HTTPError](err); ok {
		return unrouted(h)
	}
	return newProblem(http.StatusInternalServerError, errorcatalog.InternalError, "")
}

func rejected(r *domain.RejectionError) oapi.Problem {
	status := http.StatusConflict
	switch r.Kind {
	case domain.Invalid:
		status = http.StatusBadRequest
	case domain.NotFound:
		status = http.StatusNotFound
	case domain.Conflict:
	}
	p := newProblem(status, r.Code, r.Detail)
	if r.Field != "" {
		code := string(r.Code)
		p.Errors = &[]oapi.FieldError{{Pointer: r.Field, Code: &code, Detail: r.Detail}}
	}
	return p
}

// unrouted answers what echo itself refuses, and what the generated code cannot
// bind.
func unrouted(h *echo.HTTPError) oapi.Problem {
	switch h.Code {
	case http.StatusNotFound:
		return newProblem(h.Code, errorcatalog.RouteNotFound, "there is nothing at this path")
	case http.StatusMethodNotAllowed:
		return newProblem(h.Code, errorcatalog.MethodNotAllowed, "the resource does not offer this method")
	case http.StatusUnsupportedMediaType:
		return newProblem(h.Code, errorcatalog.UnsupportedMediaType, "the body must be application/json")
	case http.StatusRequestEntityTooLarge:
		return newProblem(h.Code, errorcatalog.RequestTooLarge, "the body is larger than 1 MiB")
	case http.StatusBadRequest:
		return newProblem(h.Code, errorcatalog.ValidationFailed, "the request cannot be read")
	}
	return newProblem(http.StatusInternalServerError, errorcatalog.InternalError, "")
}

func newProblem(status int, code errorcatalog.Code, detail string) oapi.Problem {
	p := oapi.Problem{
		Type:   "urn:farshore:error:" + string(code),
		Title:  http.StatusText(status),
		Status: int32(status), //nolint:gosec // an HTTP status has three digits
		Code:   string(code),
		Detail: optional(detail),
	}
	if e, ok := errorcatalog.Lookup(code); ok {
		p.Title, p.Remedy = e.Message, optional(e.Remedy)
	}
	return p
}
