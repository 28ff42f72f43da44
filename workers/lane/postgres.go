package lane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"farshore/eventstore"
)

// Postgres keeps lanes in a table.
type Postgres struct {
	Pool *pgxpool.Pool
	Now  func() time.Time // nil: the database's clock, which all workers share
}

// now is an SQL parameter: null stands for the database's clock.
func (p *Postgres) now() *time.Time {
	if p.Now == nil {
		return nil
	}
	t := p.Now()
	return &t
}

const upsert = `
	INSERT INTO lanes AS l (item, kind, due_at, host, store, updated_at)
	VALUES ($1, $2, $3, nullif($4, ''), nullif($5, ''), coalesce($8::timestamptz, clock_timestamp()))
	ON CONFLICT (item, kind) DO UPDATE SET
		due_at = CASE WHEN $6 THEN excluded.due_at ELSE least(l.due_at, excluded.due_at) END,
		host = coalesce(excluded.host, l.host),
		store = coalesce(excluded.store, l.store),
		cancel_requested = l.cancel_requested OR ($7 AND l.owner IS NOT NULL),
		updated_at = excluded.updated_at`

// Upsert makes a lane due. It never postpones one that is due earlier unless d
// asks for that. A lane that is held is marked due again: the mark counts once
// its holder lets go.
func (p *Postgres) Upsert(ctx context.Context, d Due) error {
	_, err := p.Pool.Exec(ctx, upsert, d.Item, d.Kind, d.At, d.Host, d.Store, d.Postpone, d.Interrupt, p.now())
	if err != nil {
		return fmt.Errorf("make lane %s due: %w", d.Key, classify(ctx, err))
	}
	return nil
}

// A holder takes the due mark with the lane, so that a mark found at its release
// was set while it worked. A lane whose lease ran out is claimed whatever its mark. Fences
// are no less than the time in seconds: stores and hosts remember them, and a database that
// is restored from a backup must not hand out lower ones. Finer ones would not fit the 53
// bits in which Azurite keeps a page blob's sequence number.
const claim = `
	WITH clock AS (SELECT coalesce($1::timestamptz, clock_timestamp()) AS t),
	due AS (
		SELECT item, kind FROM lanes, clock
		WHERE ((owner IS NULL AND due_at <= t) OR (owner IS NOT NULL AND lease_until < t))
			AND ($5::text[] IS NULL OR host IS NULL OR host = ANY ($5))
			AND ($6::text[] IS NULL OR store IS NULL OR store = ANY ($6))
			AND item || '/' || kind <> ALL ($7::text[])
			AND ($8::text[] IS NULL OR kind = ANY ($8))
		ORDER BY due_at NULLS FIRST LIMIT $4
		FOR UPDATE OF lanes SKIP LOCKED)
	UPDATE lanes l SET owner = $2, lease_until = t + $3::interval,
		fence = greatest(l.fence + 1, extract(epoch FROM t)::bigint),
		due_at = NULL, cancel_requested = false, updated_at = t
	FROM due, clock WHERE l.item = due.item AND l.kind = due.kind
	RETURNING l.item, l.kind, l.fence, l.attempt, l.checkpoint, coalesce(l.host, ''), coalesce(l.store, '')`

// Claim takes up to req.Limit lanes that are due or whose holder's lease has run
// out. Two workers never get the same one.
func (p *Postgres) Claim(ctx context.Context, req ClaimRequest) ([]Claim, error) {
	held := make([]string, len(req.Held))
	for i, k := range req.Held {
		held[i] = k.String()
	}
	rows, err := p.Pool.Query(ctx, claim, p.now(), req.Owner, req.Lease, req.Limit, req.Needs.Hosts, req.Needs.Stores, held, req.Kinds)
	if err != nil {
		return nil, fmt.Errorf("claim lanes: %w", classify(ctx, err))
	}
	claims, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Claim, error) {
		c := Claim{Owner: req.Owner}
		err := row.Scan(&c.Item, &c.Kind, &c.Fence, &c.Attempt, &c.Checkpoint, &c.Host, &c.Store)
		return c, err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return nil, fmt.Errorf("claim lanes: %w", classify(ctx, err))
	}
	return claims, nil
}

const heartbeat = `
	WITH clock AS (SELECT coalesce($1::timestamptz, clock_timestamp()) AS t)
	UPDATE lanes SET lease_until = t + $5::interval, checkpoint = coalesce($6, checkpoint), updated_at = t
	FROM clock WHERE item = $2 AND kind = $3 AND fence = $4 AND owner IS NOT NULL
	RETURNING cancel_requested`

// Heartbeat renews the lease and saves the checkpoint, unless that is nil. It
// returns whether the work was outranked, and ErrFenced once the lane has passed
// to somebody else. A lease that ran out unnoticed is simply renewed.
func (p *Postgres) Heartbeat(ctx context.Context, c Claim, lease time.Duration, checkpoint json.RawMessage) (canceled bool, err error) {
	err = p.Pool.QueryRow(ctx, heartbeat, p.now(), c.Item, c.Kind, c.Fence, lease, nullable(checkpoint)).Scan(&canceled)
	if err != nil {
		return false, fmt.Errorf("renew lane %s: %w", c.Key, classify(ctx, err))
	}
	return canceled, nil
}

const release = `
	WITH clock AS (SELECT coalesce($1::timestamptz, clock_timestamp()) AS t)
	UPDATE lanes SET owner = NULL, lease_until = NULL, cancel_requested = false, updated_at = t,
		due_at = least(due_at, $5::timestamptz), attempt = $6, checkpoint = $7
	FROM clock WHERE item = $2 AND kind = $3 AND fence = $4 AND owner IS NOT NULL`

// Release gives the lane back. A mark set meanwhile stays if it is the earlier
// one. Releasing a lane that has passed to somebody else is ErrFenced.
func (p *Postgres) Release(ctx context.Context, c Claim, r Release) error {
	var due *time.Time
	if !r.DueAt.IsZero() {
		due = &r.DueAt
	}
	tag, err := p.Pool.Exec(ctx, release, p.now(), c.Item, c.Kind, c.Fence, due, r.Attempt, nullable(r.Checkpoint))
	if err == nil && tag.RowsAffected() == 0 {
		err = pgx.ErrNoRows
	}
	if err != nil {
		return fmt.Errorf("release lane %s: %w", c.Key, classify(ctx, err))
	}
	return nil
}

// Cancel makes the lane's present holder stop. A lane that nobody holds is left
// as it is.
func (p *Postgres) Cancel(ctx context.Context, k Key) error {
	_, err := p.Pool.Exec(ctx, `UPDATE lanes SET cancel_requested = true WHERE item = $1 AND kind = $2 AND owner IS NOT NULL`, k.Item, k.Kind)
	if err != nil {
		return fmt.Errorf("cancel lane %s: %w", k, classify(ctx, err))
	}
	return nil
}

// Abandon lets go of every lane of an owner that is known to be dead, so that
// nobody need wait for its leases to run out.
func (p *Postgres) Abandon(ctx context.Context, owner string) error {
	_, err := p.Pool.Exec(ctx, `UPDATE lanes SET lease_until = '-infinity' WHERE owner = $1`, owner)
	if err != nil {
		return fmt.Errorf("abandon lanes of %s: %w", owner, classify(ctx, err))
	}
	return nil
}

// nullable keeps an absent checkpoint from becoming the JSON word null.
func nullable(checkpoint json.RawMessage) any {
	if len(checkpoint) == 0 {
		return nil
	}
	return string(checkpoint)
}

// classify tells an unreachable database, which is waited for, from a lane that
// was lost and from a fault.
func classify(ctx context.Context, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrFenced
	}
	return eventstore.Classify(ctx, err)
}
