package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"farshore/domain"
	"farshore/eventstore"
)

// Row is an aggregate as a read model shows it: its folded state and where that
// state stands.
type Row[S any] struct {
	Vault     string
	ID        string
	Status    string // the word that lists are filtered by; empty if there is none
	State     S
	Version   eventstore.Version
	Position  eventstore.Position
	CreatedAt time.Time
	UpdatedAt time.Time

	stream string
}

// Model is a read model with one row per aggregate of a category. It folds a
// batch in memory and writes each aggregate that changed once.
type Model[E domain.Event, S any] struct {
	name     string
	version  int
	category string
	evolve   func(S, E) S
	// place says where an aggregate belongs: its vault and its id there.
	place func(key string, s S) (vault, id string)
	// status picks the word to filter by; nil: none.
	status func(S) string
	// announced finds in another stream's event what it says about rows, mostly of
	// those whose own stream has not begun; nil: nothing.
	announced func(rec eventstore.Recorded) []announcement[S]
	// derive writes what else follows from the changed rows; nil: nothing.
	derive func(ctx context.Context, tx pgx.Tx, changed []*Row[S]) error
	// derived are the tables that derive writes.
	derived []string
}

// announcement is what a foreign event says about a row.
type announcement[S any] struct {
	id     string
	change func(S) S
	always bool // also when the row's own stream has begun
}

// Name names the read model.
func (m *Model[E, S]) Name() string { return m.name }

// Version says which form the rows have; another one is built afresh.
func (m *Model[E, S]) Version() int { return m.version }

// Apply folds a batch into the rows.
func (m *Model[E, S]) Apply(ctx context.Context, tx pgx.Tx, batch []eventstore.Recorded) error {
	steps := m.steps(batch)
	if len(steps) == 0 {
		return nil
	}
	if err := asProjector(ctx, tx); err != nil {
		return err
	}
	rows, err := m.load(ctx, tx, steps)
	if err != nil {
		return err
	}
	var changed []*Row[S]
	touched := map[string]bool{}
	for _, step := range steps {
		row, ok := rows[step.stream]
		if !ok {
			row = &Row[S]{stream: step.stream, CreatedAt: step.rec.At}
			rows[step.stream] = row
		}
		if !m.fold(row, step) || touched[step.stream] {
			continue
		}
		touched[step.stream] = true
		changed = append(changed, row)
	}
	if err := m.save(ctx, tx, changed); err != nil {
		return err
	}
	if m.derive == nil || len(changed) == 0 {
		return nil
	}
	return m.derive(ctx, tx, changed)
}

// Reset empties the read model.
func (m *Model[E, S]) Reset(ctx context.Context, tx pgx.Tx) error {
	for _, table := range append([]string{m.table()}, m.derived...) {
		if _, err := tx.Exec(ctx, "TRUNCATE "+pgx.Identifier{table}.Sanitize()); err != nil {
			return fmt.Errorf("empty %s: %w", table, err)
		}
	}
	return nil
}

func (m *Model[E, S]) table() string { return tableOf(m.name, m.version) }

// step is what one event does to one row.
type step[S any] struct {
	stream string
	rec    eventstore.Recorded
	change func(S) S // of a row whose own stream has not begun; nil: the event is the row's own
	always bool      // whether or not it has
}

func (m *Model[E, S]) steps(batch []eventstore.Recorded) []step[S] {
	var out []step[S]
	for _, rec := range batch {
		if strings.HasPrefix(string(rec.Stream), m.category+"-") {
			out = append(out, step[S]{stream: string(rec.Stream), rec: rec})
		}
		if m.announced != nil {
			for _, a := range m.announced(rec) {
				out = append(out, step[S]{stream: m.category + "-" + a.id, rec: rec, change: a.change, always: a.always})
			}
		}
	}
	return out
}

// fold applies a step to its row and reports whether that changed it.
func (m *Model[E, S]) fold(row *Row[S], step step[S]) bool {
	rec := step.rec
	e, own := rec.Event.(E)
	switch {
	case step.change != nil && (row.Version == 0 || step.always):
		row.State = step.change(row.State)
	case step.change == nil && own && rec.Version > row.Version:
		row.State, row.Version = m.evolve(row.State, e), rec.Version
	default:
		return false
	}
	row.Vault, row.ID = m.place(strings.TrimPrefix(row.stream, m.category+"-"), row.State)
	row.Position, row.UpdatedAt = rec.Position, rec.At
	if m.status != nil {
		row.Status = m.status(row.State)
	}
	return true
}

func (m *Model[E, S]) load(ctx context.Context, tx pgx.Tx, steps []step[S]) (map[string]*Row[S], error) {
	streams := make([]string, 0, len(steps))
	for _, step := range steps {
		streams = append(streams, step.stream)
	}
	found, err := tx.Query(ctx, "SELECT "+rowColumns+" FROM "+m.table()+" WHERE stream = ANY($1)", streams)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", m.table(), err)
	}
	rows := map[string]*Row[S]{}
	_, err = pgx.CollectRows(found, func(r pgx.CollectableRow) (struct{}, error) {
		row, err := scanRow[S](r)
		rows[row.stream] = &row
		return struct{}{}, err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", m.table(), err)
	}
	return rows, nil
}

func (m *Model[E, S]) save(ctx context.Context, tx pgx.Tx, rows []*Row[S]) error {
	if len(rows) == 0 {
		return nil
	}
	var c columns
	for _, row := range rows {
		state, err := json.Marshal(row.State)
		if err != nil {
			return fmt.Errorf("encode state of %s: %w", row.stream, err)
		}
		add(&c, row, string(state))
	}
	_, err := tx.Exec(ctx, `INSERT INTO `+m.table()+` (stream, vault, id, status, state, version, position, created_at, updated_at)
		SELECT s, v, i, t, j::jsonb, n, p, c, u
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::timestamptz[], $9::timestamptz[])
			AS x(s, v, i, t, j, n, p, c, u)
		ON CONFLICT (stream) DO UPDATE SET vault = excluded.vault, status = excluded.status, state = excluded.state,
			version = excluded.version, position = excluded.position, updated_at = excluded.updated_at`, c.args()...)
	if err != nil {
		return fmt.Errorf("write %s: %w", m.table(), err)
	}
	return nil
}
