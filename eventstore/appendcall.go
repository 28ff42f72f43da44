package eventstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const appendEvents = `SELECT outcome, version, "position" FROM append_events(
	$1::text[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::bigint[],
	$8::text[]::uuid[], $9::text[], $10::text[], $11::text[], $12::bytea[])`

// arguments are the columns of one call of append_events.
type arguments struct {
	streams            []string
	expected           []int64
	counts             []int32
	keys, fingerprints []*string
	lanes              []*string
	tokens             []*int64
	ids, types         []string
	data, metadata     []string
	hashes             [][]byte
}

func argumentsOf(requests []*pending) arguments {
	var a arguments
	for _, p := range requests {
		a.streams = append(a.streams, string(p.request.Stream))
		a.expected = append(a.expected, int64(p.request.Expected))
		a.counts = append(a.counts, int32(len(p.rows))) //nolint:gosec // a handful
		var key, fingerprint, lane *string
		var token *int64
		if i := p.request.Idempotency; i != nil {
			key, fingerprint = &i.Key, &i.Fingerprint
		}
		if f := p.request.Fence; f != nil {
			lane, token = &f.Lane, &f.Token
		}
		a.keys, a.fingerprints = append(a.keys, key), append(a.fingerprints, fingerprint)
		a.lanes, a.tokens = append(a.lanes, lane), append(a.tokens, token)
		for _, r := range p.rows {
			a.ids, a.types = append(a.ids, r.id), append(a.types, r.eventType)
			a.data, a.metadata = append(a.data, string(r.data)), append(a.metadata, string(r.metadata))
			a.hashes = append(a.hashes, r.leafHash[:])
		}
	}
	return a
}

// call runs append_events once and returns the answer to each request.
func (p *Postgres) call(ctx context.Context, requests []*pending) ([]answer, error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.CallTimeout)
	defer cancel()
	answers, err := p.callOnce(ctx, requests)
	if err != nil && pgconn.SafeToRetry(err) {
		// Nothing was sent: a pooled connection had died since its last use.
		answers, err = p.callOnce(ctx, requests)
	}
	if err != nil {
		if ctx.Err() != nil { // the time limit is ours: to the callers the database is away
			return nil, fmt.Errorf("%w: no answer in %s", ErrUnavailable, p.config.CallTimeout)
		}
		return nil, Classify(ctx, err)
	}
	p.announce(answers)
	return answers, nil
}

func (p *Postgres) callOnce(ctx context.Context, requests []*pending) ([]answer, error) {
	a := argumentsOf(requests)
	rows, err := p.pool.Query(ctx, appendEvents, a.streams, a.expected, a.counts, a.keys, a.fingerprints,
		a.lanes, a.tokens, a.ids, a.types, a.data, a.metadata, a.hashes)
	if err != nil {
		return nil, err //nolint:wrapcheck // judged and wrapped by call
	}
	answers, err := pgx.CollectRows(rows, scanAnswer)
	if err != nil {
		return nil, err //nolint:wrapcheck // judged and wrapped by call
	}
	if len(answers) != len(requests) {
		return nil, fmt.Errorf("append_events answered %d of %d requests", len(answers), len(requests))
	}
	return answers, nil
}

func scanAnswer(r pgx.CollectableRow) (answer, error) {
	var (
		outcome string
		a       answer
	)
	if err := r.Scan(&outcome, &a.appended.Version, &a.appended.Position); err != nil {
		return answer{}, fmt.Errorf("read answer: %w", err)
	}
	switch outcome {
	case "ok":
	case "replayed":
		a.appended.Replayed = true
	case "conflict":
		a = answer{err: ErrVersionConflict}
	case "fenced":
		a = answer{err: ErrFenced}
	case "mismatch":
		a = answer{err: ErrIdempotencyMismatch}
	default:
		return answer{}, errors.New("append_events gave an outcome this program does not know: " + outcome)
	}
	return a, nil
}

// announce wakes the readers here at once and leaves the rest to the notifier.
func (p *Postgres) announce(answers []answer) {
	var newest Position
	for _, a := range answers {
		newest = max(newest, a.appended.Position)
	}
	if newest == 0 {
		return
	}
	p.grown.advance(newest)
	select {
	case <-p.tell: // an older one that has not gone out yet
	default:
	}
	select {
	case p.tell <- newest:
	default:
	}
}
