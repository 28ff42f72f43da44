package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"farshore/api/oapi"
	"farshore/domain/protecteditem"
	"farshore/eventstore"
	"farshore/projections"
)

// ListEvents answers GET …/events: the log itself, from a position on.
func (s *Server) ListEvents(ctx context.Context, r oapi.ListEventsRequestObject) (oapi.ListEventsResponseObject, error) {
	p, err := pagerOf(ctx, r.Params.PageSize, nil)
	if err != nil {
		return nil, err
	}
	after := eventstore.Position(value(r.Params.After))
	filter := projections.EventFilter{Item: value(r.Params.Item), Job: value(r.Params.Job), Type: value(r.Params.Type)}
	rows, err := s.queries.Events(ctx, r.Vault, filter, after, p.page.Limit)
	if err != nil {
		return nil, err
	}
	more := len(rows) > p.size
	rows = rows[:min(len(rows), p.size)]
	body := oapi.EventPageJSONResponse{LastPosition: int64(after), Value: make([]oapi.Event, 0, len(rows))}
	for _, row := range rows {
		e, err := eventOf(row)
		if err != nil {
			return nil, err
		}
		body.Value, body.LastPosition = append(body.Value, e), e.Position
	}
	if more {
		body.NextLink = p.link("after", strconv.FormatInt(body.LastPosition, 10))
	}
	return oapi.ListEvents200JSONResponse{EventPageJSONResponse: body}, nil
}

func eventOf(row projections.StoredEvent) (oapi.Event, error) {
	e := oapi.Event{
		Position: int64(row.Position), ID: row.ID, Stream: row.Stream, Version: int64(row.Version), Type: row.Type, At: row.At,
		Actor: optional(row.Metadata.Actor), Job: optional(row.Metadata.Job), RequestID: optional(row.Metadata.Request),
	}
	if key, ok := strings.CutPrefix(row.Stream, protecteditem.Category+"-"); ok {
		_, item, _ := strings.Cut(key, ".")
		e.Item = optional(item)
	}
	if err := json.Unmarshal(row.Data, &e.Data); err != nil {
		return e, fmt.Errorf("decode event %d: %w", row.Position, err)
	}
	delete(e.Data, "secretHash") // of an API key: nobody who reads the feed needs it
	return e, nil
}

// The pace of event streams.
const (
	heartbeat   = 10 * time.Second
	streamBatch = 200
)

// StreamEvents answers GET …/events/stream.
func (s *Server) StreamEvents(ctx context.Context, r oapi.StreamEventsRequestObject) (oapi.StreamEventsResponseObject, error) {
	after := eventstore.Position(value(r.Params.After))
	switch {
	case r.Params.LastEventID != nil:
		after = eventstore.Position(*r.Params.LastEventID)
	case r.Params.After == nil: // from now on
		head, err := s.store.Head(ctx)
		if err != nil {
			return nil, err
		}
		after = head
	}
	filter := projections.EventFilter{Item: value(r.Params.Item), Job: value(r.Params.Job), Type: value(r.Params.Type)}
	return &eventStream{server: s, run: func(out sink) error { return s.follow(ctx, r.Vault, filter, after, out) }}, nil
}

// eventStream is written as events happen; the generated answer would need a
// pipe.
type eventStream struct {
	server *Server
	run    func(out sink) error
}

// sink is where a stream goes.
type sink struct {
	w     http.ResponseWriter
	flush func() error
}

func (s sink) send(format string, args ...any) error {
	if _, err := fmt.Fprintf(s.w, format, args...); err != nil {
		return fmt.Errorf("write event stream: %w", err)
	}
	return s.flush()
}

// VisitStreamEventsResponse implements oapi.StreamEventsResponseObject.
func (e *eventStream) VisitStreamEventsResponse(w http.ResponseWriter) error {
	e.server.metrics.streams.Inc()
	defer e.server.metrics.streams.Dec()
	control := http.NewResponseController(w)
	if err := control.SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("lift write deadline: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	out := sink{w: w, flush: func() error {
		if err := control.Flush(); err != nil {
			return fmt.Errorf("flush event stream: %w", err)
		}
		return nil
	}}
	if err := out.send(": farshore\n\n"); err != nil {
		return nil // the reader has gone
	}
	if err := e.run(out); err != nil {
		e.server.logger.Debug("event stream ended", "error", err)
	}
	return nil
}

// follow sends a vault's events until the reader goes or the log cannot be read;
// the reader comes back with Last-Event-ID.
func (s *Server) follow(ctx context.Context, vault string, f projections.EventFilter, after eventstore.Position, out sink) error {
	for {
		head, err := s.store.Head(ctx)
		if err != nil {
			return fmt.Errorf("follow log: %w", err)
		}
		rows, err := s.queries.Events(ctx, vault, f, after, streamBatch)
		if err != nil {
			return err
		}
		for _, row := range rows {
			e, err := eventOf(row)
			if err != nil {
				return err
			}
			data, err := json.Marshal(e)
			if err != nil {
				return fmt.Errorf("encode event %d: %w", row.Position, err)
			}
			if err := out.send("id: %d\nevent: %s\ndata: %s\n\n", row.Position, row.Type, data); err != nil {
				return err
			}
			after = row.Position
		}
		if len(rows) == streamBatch {
			continue
		}
		after = max(after, head) // the log holds more than this stream shows
		if err := s.awaitNews(ctx, after, out); err != nil {
			return err
		}
	}
}

// awaitNews waits for an event after a position, sending comments meanwhile so
// that nobody on the way takes the connection for dead.
func (s *Server) awaitNews(ctx context.Context, after eventstore.Position, out sink) error {
	for {
		wait, cancel := context.WithTimeout(ctx, heartbeat)
		err := s.store.Wait(wait, after)
		expired := wait.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("follow log: %w", context.Cause(ctx))
		case err == nil && !expired:
			return nil
		case err != nil && !expired:
			return fmt.Errorf("follow log: %w", err)
		}
		if err := out.send(": still here\n\n"); err != nil {
			return err
		}
	}
}
