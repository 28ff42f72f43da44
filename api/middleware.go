package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"farshore/domain/errorcatalog"
)

// maxBody is the largest body that is read.
const maxBody = 1 << 20

// maxRequestID bounds an X-Request-Id that a client brings.
const maxRequestID = 100

// identify gives the request its id, answers it in X-Request-Id, and puts what
// handlers need to know into the context.
func (s *Server) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		id := r.Header.Get(echo.HeaderXRequestID)
		if !plainID(id) {
			id = s.newID()
		}
		h := c.Response().Header()
		h.Set(echo.HeaderXRequestID, id)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		ctx := withCall(r.Context(), call{requestID: id, base: c.Scheme() + "://" + r.Host, path: r.URL.Path, query: r.URL.RawQuery})
		c.SetRequest(r.WithContext(ctx))
		return next(c)
	}
}

func plainID(id string) bool {
	return id != "" && len(id) <= maxRequestID && !strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' })
}

// observe counts and times requests by operation, and turns a panic of a handler
// into an error.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		began := s.now()
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("handle %s %s: %v\n%s", c.Request().Method, c.Path(), r, debug.Stack())
			}
			if err != nil {
				s.writeProblem(err, c)
				err = nil
			}
			op, ok := s.contract.operationOf(c.Request().Method, c.Path())
			if !ok {
				op.id = "none"
			}
			s.metrics.requests.WithLabelValues(op.id, strconv.Itoa(c.Response().Status)).Inc()
			s.metrics.seconds.WithLabelValues(op.id).Observe(s.now().Sub(began).Seconds())
		}()
		return next(c)
	}
}

// validate refuses a request that does not follow the contract, before anything
// is done.
func (s *Server) validate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if _, ok := s.contract.operationOf(r.Method, c.Path()); !ok {
			return next(c)
		}
		body, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, maxBody))
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return echo.ErrStatusRequestEntityTooLarge
		}
		if err != nil {
			return refuse(http.StatusBadRequest, errorcatalog.MalformedJSON, "the body was cut off")
		}
		if err := s.checkBody(r, body); err != nil {
			return err
		}
		call := callOf(r.Context())
		call.fingerprint = fingerprintOf(r.Method, r.URL.RequestURI(), body)
		r = r.WithContext(withCall(r.Context(), call))
		r.Body = io.NopCloser(bytes.NewReader(body))
		if err := s.contract.check(r); err != nil {
			return err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		c.SetRequest(r)
		return next(c)
	}
}

func (s *Server) checkBody(r *http.Request, body []byte) error {
	if len(body) == 0 {
		return nil
	}
	if !isJSON(r.Header.Get(echo.HeaderContentType)) {
		return echo.ErrUnsupportedMediaType
	}
	if !json.Valid(body) {
		return refuse(http.StatusBadRequest, errorcatalog.MalformedJSON, "the body is not valid JSON")
	}
	return nil
}

// limit gives up requests that take too long; a stream of events has no end.
func (s *Server) limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if callOf(c.Request().Context()).operation == "streamEvents" {
			return next(c)
		}
		ctx, cancel := context.WithTimeout(c.Request().Context(), requestTimeout)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))
		return next(c)
	}
}

// requestTimeout bounds every request but a stream: a database that hangs is
// answered for with 503 while the client still listens.
const requestTimeout = 8 * time.Second
