package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"farshore/eventstore"
)

// WaitFor returns once the named projections, or all when none is named, show the
// event at a position. ErrProjectionStopped says that one never will.
func (r *Runner) WaitFor(ctx context.Context, position eventstore.Position, names ...string) error {
	if len(names) == 0 {
		names = r.Names()
	}
	for _, name := range names {
		t, ok := r.names[name]
		if !ok {
			return fmt.Errorf("wait for projection %s: there is none; there are %v", name, r.Names())
		}
		if err := r.waitForOne(ctx, t, position); err != nil {
			return fmt.Errorf("wait for projection %s: %w", name, err)
		}
	}
	return nil
}

func (r *Runner) waitForOne(ctx context.Context, t *track, position eventstore.Position) error {
	for {
		now, failure, moved := t.state()
		if now >= position {
			return nil
		}
		var look <-chan time.Time
		if !r.active.Load() { // run by another process: its checkpoint tells
			c, err := r.checkpoint(ctx, t.Name())
			if err != nil {
				return err
			}
			if c.position >= position {
				return nil
			}
			failure = c.failure
			look = time.NewTimer(otherCheck).C
		}
		if failure != "" {
			return fmt.Errorf("%w: %s", ErrProjectionStopped, failure)
		}
		select {
		case <-moved:
		case <-look:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Lag says how far a projection is behind the log.
type Lag struct {
	Name     string
	Version  int
	Position eventstore.Position
	Behind   int64         // events
	Age      time.Duration // of the oldest event not yet applied
	Failure  string        // why it has stopped; empty while it runs
}

// Lags returns the lag of every projection, whichever process runs it.
func (r *Runner) Lags(ctx context.Context) ([]Lag, error) {
	const query = `SELECT n.name, coalesce(c.version, 0), coalesce(c.position, 0), head.position - coalesce(c.position, 0),
			coalesce(extract(epoch FROM clock_timestamp() - e.recorded_at), 0)::float8, coalesce(c.error, '')
		FROM unnest($1::text[]) AS n(name)
		CROSS JOIN (SELECT coalesce(max(global_position), 0) AS position FROM events) AS head
		LEFT JOIN checkpoints c ON c.name = n.name
		LEFT JOIN events e ON e.global_position = coalesce(c.position, 0) + 1
		ORDER BY n.name`
	rows, err := r.pool.Query(ctx, query, r.Names())
	if err != nil {
		return nil, fmt.Errorf("read the projections' lags: %w", eventstore.Classify(ctx, err))
	}
	lags, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Lag, error) {
		var (
			l       Lag
			seconds float64
		)
		err := row.Scan(&l.Name, &l.Version, &l.Position, &l.Behind, &seconds, &l.Failure)
		l.Age = time.Duration(max(seconds, 0) * float64(time.Second))
		return l, err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return nil, fmt.Errorf("read the projections' lags: %w", eventstore.Classify(ctx, err))
	}
	return lags, nil
}
