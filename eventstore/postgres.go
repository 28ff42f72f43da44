package eventstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// streamPage is how many events of a stream are read at once; no connection is
	// held while they are handed out.
	streamPage = 500
	columns    = `stream, version, global_position, event_id::text, type, data, metadata, recorded_at, leaf_hash`
)

// PostgresConfig tunes a Postgres store. Its zero value is the default.
type PostgresConfig struct {
	Logger       *slog.Logger  // nil: none
	PollInterval time.Duration // floor of the wake-ups; default 1 s
	CallTimeout  time.Duration // longest wait for the database in one append; default 15 s
}

// Postgres is the Store that Farshore runs on. Run must be running for appends to
// be answered and readers to be woken.
type Postgres struct {
	pool    *pgxpool.Pool
	codec   *Codec
	config  PostgresConfig
	queue   chan *pending
	stopped chan struct{}
	inside  atomic.Int64 // callers that wait in Append
	grown   *wakeup
	tell    chan Position // newest commit not yet announced to other processes
}

var _ Store = (*Postgres)(nil)

// NewPostgres returns a store on a migrated database.
func NewPostgres(pool *pgxpool.Pool, codec *Codec, config PostgresConfig) *Postgres {
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.PollInterval <= 0 {
		config.PollInterval = time.Second
	}
	if config.CallTimeout <= 0 {
		config.CallTimeout = 15 * time.Second
	}
	return &Postgres{
		pool: pool, codec: codec, config: config,
		queue: make(chan *pending), stopped: make(chan struct{}),
		grown: newWakeup(), tell: make(chan Position, 1),
	}
}

// Codec is the codec the store reads and writes with.
func (p *Postgres) Codec() *Codec { return p.codec }

// Append implements Store. Appends of concurrent callers share one transaction.
func (p *Postgres) Append(ctx context.Context, a Append) (Appended, error) {
	if ctx.Err() != nil {
		return Appended{}, ctx.Err()
	}
	p.inside.Add(1)
	defer p.inside.Add(-1)
	rows, err := p.codec.rowsOf(a)
	if err != nil {
		return Appended{}, err
	}
	req := &pending{request: a, rows: rows, abandoned: ctx.Done(), answered: make(chan answer, 1)}
	select {
	case p.queue <- req:
	case <-ctx.Done():
		return Appended{}, ctx.Err()
	case <-p.stopped:
		return Appended{}, fmt.Errorf("append to %s: the store has stopped: %w", a.Stream, ErrUnavailable)
	}
	select {
	case done := <-req.answered:
		return done.appended, done.err
	case <-ctx.Done():
		return Appended{}, ctx.Err()
	case <-p.stopped: // the gatherer answers before it stops
		done := <-req.answered
		return done.appended, done.err
	}
}

// Replayed implements Store.
func (p *Postgres) Replayed(ctx context.Context, key Idempotency) (Appended, bool, error) {
	const query = `SELECT fingerprint, version, position FROM idempotency WHERE key = $1`
	var fingerprint string
	done := Appended{Replayed: true}
	err := p.pool.QueryRow(ctx, query, key.Key).Scan(&fingerprint, &done.Version, &done.Position)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Appended{}, false, nil
	case err != nil:
		return Appended{}, false, fmt.Errorf("look up idempotency key: %w", Classify(ctx, err))
	case fingerprint != key.Fingerprint:
		return Appended{}, false, ErrIdempotencyMismatch
	}
	return done, true, nil
}

// Stream implements Store.
func (p *Postgres) Stream(ctx context.Context, id StreamID, after Version) iter.Seq2[Recorded, error] {
	const query = `SELECT ` + columns + ` FROM events WHERE stream = $1 AND version > $2 ORDER BY version LIMIT $3`
	return func(yield func(Recorded, error) bool) {
		for {
			page, err := p.query(ctx, query, id, after, streamPage)
			if err != nil {
				yield(Recorded{}, fmt.Errorf("read stream %s: %w", id, err))
				return
			}
			for _, r := range page {
				rec, err := p.codec.record(r)
				if !yield(rec, err) || err != nil {
					return
				}
				after = rec.Version
			}
			if len(page) < streamPage {
				return
			}
		}
	}
}

// Read implements Store.
func (p *Postgres) Read(ctx context.Context, after Position, limit int) ([]Recorded, error) {
	const query = `SELECT ` + columns + ` FROM events WHERE global_position > $1 ORDER BY global_position LIMIT $2`
	return p.read(ctx, query, after, limit)
}

// Filter narrows what Find returns. Empty fields do not.
type Filter struct {
	Vault  string
	Job    string
	Stream StreamID
}

// Find returns up to limit events after a position that a filter lets through, in
// order.
func (p *Postgres) Find(ctx context.Context, f Filter, after Position, limit int) ([]Recorded, error) {
	// The indexes are on metadata->>'…' of events that have it: hence metadata ? '…'.
	query := `SELECT ` + columns + ` FROM events WHERE global_position > $1`
	args := []any{after, limit}
	where := func(condition string, value any) {
		args = append(args, value)
		query += fmt.Sprintf(condition, len(args))
	}
	if f.Vault != "" {
		where(` AND metadata ? 'vault' AND metadata->>'vault' = $%d`, f.Vault)
	}
	if f.Job != "" {
		where(` AND metadata ? 'job' AND metadata->>'job' = $%d`, f.Job)
	}
	if f.Stream != "" {
		where(` AND stream = $%d`, f.Stream)
	}
	return p.read(ctx, query+` ORDER BY global_position LIMIT $2`, args...)
}

// Head implements Store.
func (p *Postgres) Head(ctx context.Context) (Position, error) {
	var head Position
	err := p.pool.QueryRow(ctx, `SELECT coalesce(max(global_position), 0) FROM events`).Scan(&head)
	if err != nil {
		return 0, fmt.Errorf("read the log's head: %w", Classify(ctx, err))
	}
	p.grown.advance(head)
	return head, nil
}

// Wait implements Store.
func (p *Postgres) Wait(ctx context.Context, after Position) error {
	if seen, _ := p.grown.state(); seen > after {
		return nil
	}
	if _, err := p.Head(ctx); err != nil && !errors.Is(err, ErrUnavailable) {
		return err
	}
	return p.grown.wait(ctx, after) // a database that is away comes back, and the poll notices
}

func (p *Postgres) read(ctx context.Context, query string, args ...any) ([]Recorded, error) {
	rows, err := p.query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	recs := make([]Recorded, len(rows))
	for i, r := range rows {
		if recs[i], err = p.codec.record(r); err != nil {
			return nil, err
		}
	}
	return recs, nil
}

func (p *Postgres) query(ctx context.Context, query string, args ...any) ([]row, error) {
	rows, err := p.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, Classify(ctx, err)
	}
	found, err := pgx.CollectRows(rows, func(cr pgx.CollectableRow) (row, error) {
		var (
			r    row
			hash []byte
		)
		// As bytes: what the database hands out as JSON need not be parsed to be copied.
		err := cr.Scan(&r.stream, &r.version, &r.position, &r.id, &r.eventType, (*[]byte)(&r.data), (*[]byte)(&r.metadata), &r.at, &hash)
		copy(r.leafHash[:], hash)
		r.at = r.at.UTC()
		return r, err //nolint:wrapcheck // classified below
	})
	if err != nil {
		return nil, Classify(ctx, err)
	}
	return found, nil
}
