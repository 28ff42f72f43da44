package eventstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// maxBatch bounds how many requests share a transaction.
	maxBatch = 256
	// linger is how long a batch waits for the next of the callers that the one
	// before has just answered. Without it they would trickle in one by one, and
	// batches would alternate between full and nearly empty. A lone caller never
	// waits.
	linger = 300 * time.Microsecond
)

// pending is an append that waits for its answer.
type pending struct {
	request   Append
	rows      []row
	abandoned <-chan struct{} // closed when nobody waits any more
	answered  chan answer     // buffered: the gatherer never waits for a caller
}

type answer struct {
	appended Appended
	err      error
}

// gatherer merges waiting appends into calls of append_events. Positions are given
// out under one lock that is held to the end of the transaction; without merging,
// every append would wait for every other's disk flush.
type gatherer struct {
	store    *Postgres
	held     []*pending // their stream or key was taken in the batch before
	expected int        // callers that were inside Append at the last answer
}

// run gathers until ctx ends, then answers those that still wait.
func (g *gatherer) run(ctx context.Context) {
	for {
		batch := g.gather(ctx)
		if len(batch) == 0 {
			break
		}
		// Answers outlive ctx: what is in a transaction is seen to its end.
		g.commit(context.WithoutCancel(ctx), batch)
	}
	for _, p := range g.held {
		p.answered <- answer{err: fmt.Errorf("append to %s: the store is stopping: %w", p.request.Stream, ErrUnavailable)}
	}
}

// gather returns the next batch: at most one request for each stream and each
// idempotency key. It is empty when ctx has ended.
func (g *gatherer) gather(ctx context.Context) []*pending {
	b := batch{taken: map[string]bool{}}
	waiting := g.held
	g.held = nil
	for _, p := range waiting {
		g.admit(&b, p)
	}
	for len(b.requests) == 0 {
		select {
		case p := <-g.store.queue:
			g.admit(&b, p)
		case <-ctx.Done():
			return nil
		}
	}
	patience := time.NewTimer(linger)
	defer patience.Stop()
	for len(b.requests)+len(g.held) < maxBatch {
		select {
		case p := <-g.store.queue:
			g.admit(&b, p)
			continue
		default:
		}
		if len(b.requests)+len(g.held) >= g.expected {
			break
		}
		select {
		case p := <-g.store.queue:
			g.admit(&b, p)
			patience.Reset(linger)
			continue
		case <-patience.C:
		case <-ctx.Done():
		}
		break
	}
	return b.requests
}

type batch struct {
	requests []*pending
	taken    map[string]bool
}

func (g *gatherer) admit(b *batch, p *pending) {
	select {
	case <-p.abandoned: // not yet in a transaction, so it need not be
		p.answered <- answer{err: context.Canceled}
		return
	default:
	}
	stream, key := "s"+string(p.request.Stream), ""
	if p.request.Idempotency != nil {
		key = "k" + p.request.Idempotency.Key
	}
	if b.taken[stream] || (key != "" && b.taken[key]) {
		g.held = append(g.held, p)
		return
	}
	b.taken[stream] = true
	if key != "" {
		b.taken[key] = true
	}
	b.requests = append(b.requests, p)
}

// commit appends a batch and answers its callers. When the database refuses the
// whole call for what is in one request, each is tried by itself, so that the
// others do not suffer.
func (g *gatherer) commit(ctx context.Context, requests []*pending) {
	answers, err := g.store.call(ctx, requests)
	g.expected = int(g.store.inside.Load())
	if err != nil && len(requests) > 1 && refusedForContent(err) {
		for _, p := range requests {
			g.commit(ctx, []*pending{p})
		}
		return
	}
	for i, p := range requests {
		if err != nil {
			p.answered <- answer{err: fmt.Errorf("append to %s: %w", p.request.Stream, err)}
			continue
		}
		p.answered <- answers[i]
	}
}

// refusedForContent tells errors in the data (classes 22 and 23) from all others.
func refusedForContent(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (strings.HasPrefix(pgErr.Code, "22") || strings.HasPrefix(pgErr.Code, "23"))
}
