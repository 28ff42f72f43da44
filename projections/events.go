package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"farshore/eventstore"
)

// StoredEvent is an event as the log holds it.
type StoredEvent struct {
	Position eventstore.Position
	ID       string
	Stream   string
	Version  eventstore.Version
	Type     string
	At       time.Time
	Metadata eventstore.Metadata
	Data     json.RawMessage
}

// EventFilter chooses events of a vault; empty fields choose all.
type EventFilter struct {
	Item string
	Job  string
	Type string
}

// Events reads a vault's events after a position, in order. Those of an item
// are its own and those of the jobs that worked on it.
func (q *Queries) Events(ctx context.Context, vault string, f EventFilter, after eventstore.Position, limit int) ([]StoredEvent, error) {
	var out []StoredEvent
	err := q.read(ctx, vault, "events", func(tx pgx.Tx) error {
		var err error
		out, err = collect(ctx, tx, scanEvent, `SELECT global_position, event_id::text, stream, version, type, recorded_at, metadata, data
			FROM events e
			WHERE metadata->>'vault' = $1 AND metadata ? 'vault' AND global_position > $2
				AND ($3 = '' OR stream = 'protected_item-' || $1 || '.' || $3
					OR stream IN (SELECT j.stream FROM `+jobsTable+` j WHERE j.vault = $1 AND j.state->>'Subject' = $1 || '.' || $3))
				AND ($4 = '' OR stream = 'job-' || $4 OR metadata->>'job' = $4)
				AND ($5 = '' OR type = $5)
			ORDER BY global_position LIMIT $6`, vault, after, f.Item, f.Job, f.Type, limit)
		return err
	})
	return out, err
}

func scanEvent(r pgx.CollectableRow) (StoredEvent, error) {
	var (
		e        StoredEvent
		metadata []byte
	)
	if err := r.Scan(&e.Position, &e.ID, &e.Stream, &e.Version, &e.Type, &e.At, &metadata, &e.Data); err != nil {
		return e, fmt.Errorf("scan event: %w", err)
	}
	if err := json.Unmarshal(metadata, &e.Metadata); err != nil {
		return e, fmt.Errorf("decode metadata of event %d: %w", e.Position, err)
	}
	e.At = e.At.UTC()
	return e, nil
}
