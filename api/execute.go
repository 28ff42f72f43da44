package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/eventstore"
	"farshore/projections"
)

// request is the part of a command's execution that comes from the HTTP request.
type request struct {
	vault   string
	job     string // the job it begins; empty: none
	ifMatch *string
	ifNew   bool    // only as the first of its stream
	key     *string // Idempotency-Key
}

// done is where the log stands after a command.
type done struct {
	version   eventstore.Version
	position  eventstore.Position
	job       string              // of the first answer, when this one repeats it
	stream    eventstore.StreamID // likewise
	replayed  bool
	unchanged bool // the command asked for what is so already
}

// repository names an aggregate's streams.
func repository[C any, E domain.Event, S any](store eventstore.Store, category string, d domain.Decider[C, E, S]) eventstore.Repository[C, E, S] {
	return eventstore.Repository[C, E, S]{Store: store, Category: category, Decider: d}
}

// execute runs a command on behalf of a request.
func execute[C any, E domain.Event, S any](ctx context.Context, s *Server, repo eventstore.Repository[C, E, S], id string, cmd C, r request) (done, S, error) {
	var none S
	how, err := executionOf(ctx, r)
	if err != nil {
		return done{}, none, err
	}
	out, err := repo.Execute(ctx, id, cmd, how)
	switch {
	case errors.Is(err, eventstore.ErrVersionConflict) && (how.IfVersion != 0 || how.IfNew):
		return done{}, none, errStale
	case err != nil:
		return done{}, none, err
	}
	if out.Replayed {
		d, err := s.firstAnswer(ctx, out.Appended)
		return d, out.State, err
	}
	d := done{version: out.Version, position: out.Position}
	if d.position == 0 { // nothing changed, and what is so is in the log by now
		d.unchanged = true
		if d.position, err = s.store.Head(ctx); err != nil {
			return done{}, none, err
		}
	}
	return d, out.State, nil
}

func executionOf(ctx context.Context, r request) (eventstore.Execution, error) {
	c := callOf(ctx)
	cond, err := conditionOf(r.ifMatch)
	if err != nil {
		return eventstore.Execution{}, err
	}
	return eventstore.Execution{
		Metadata: c.metadata(r.vault, r.job), IfVersion: cond.version, IfNew: r.ifNew, Idempotency: c.idempotency(r.vault, r.key),
	}, nil
}

// answered looks for the first answer to a request, for handlers that must know
// before they ask what has changed since.
func (s *Server) answered(ctx context.Context, key *eventstore.Idempotency) (done, bool, error) {
	if key == nil {
		return done{}, false, nil
	}
	out, ok, err := s.store.Replayed(ctx, *key)
	if err != nil || !ok {
		return done{}, false, err
	}
	d, err := s.firstAnswer(ctx, out)
	return d, true, err
}

// firstAnswer finds out which stream and job the first answer was about.
func (s *Server) firstAnswer(ctx context.Context, out eventstore.Appended) (done, error) {
	d := done{version: out.Version, position: out.Position, replayed: true}
	events, err := s.store.Read(ctx, out.Position-1, 1)
	if err != nil {
		return d, fmt.Errorf("read first answer: %w", err)
	}
	for _, e := range events {
		d.job, d.stream = e.Metadata.Job, e.Stream
	}
	return d, nil
}

// headers of a command's answer.
func (d done) etag() *string       { return new(etagOf(d.version)) }
func (d done) at() *int64          { return new(int64(d.position)) }
func (d done) minPosition() string { return "?minPosition=" + strconv.FormatInt(int64(d.position), 10) }

// found turns a query's ErrNotFound into the refusal that names what is missing.
func found[T any](row T, err error, code errorcatalog.Code, what string) (T, error) {
	if errors.Is(err, projections.ErrNotFound) {
		return row, missing(code, what)
	}
	return row, err
}

func missing(code errorcatalog.Code, what string) error {
	return domain.Reject(domain.NotFound, code, "there is no %s", what)
}
