package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"farshore/domain/protecteditem"
)

const recoveryPointsTable = "recovery_points_v1"

// deriveRecoveryPoints brings the points of changed items to what their states
// say. A point itself never changes, so only new and vanished ones are written.
func deriveRecoveryPoints(ctx context.Context, tx pgx.Tx, changed []*Row[protecteditem.State]) error {
	var (
		vaults, items                 []string
		ofVault, ofItem, ids, encoded []string
		instants                      []time.Time
	)
	for _, row := range changed {
		vaults, items = append(vaults, row.Vault), append(items, row.ID)
		for _, p := range row.State.Points {
			state, err := json.Marshal(p)
			if err != nil {
				return fmt.Errorf("encode recovery point %s: %w", p.ID, err)
			}
			ofVault, ofItem = append(ofVault, row.Vault), append(ofItem, row.ID)
			ids, encoded, instants = append(ids, p.ID), append(encoded, string(state)), append(instants, p.Instant.Truncate(time.Microsecond))
		}
	}
	_, err := tx.Exec(ctx, `DELETE FROM recovery_points_v1 p
		USING unnest($1::text[], $2::text[]) AS c(vault, item)
		WHERE p.vault = c.vault AND p.item = c.item AND NOT EXISTS (
			SELECT FROM unnest($3::text[], $4::text[], $5::text[]) AS k(vault, item, id)
			WHERE k.vault = p.vault AND k.item = p.item AND k.id = p.id)`, vaults, items, ofVault, ofItem, ids)
	if err != nil {
		return fmt.Errorf("remove recovery points: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO recovery_points_v1 (vault, item, id, instant, state)
		SELECT v, i, p, t, s::jsonb FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[]) AS x(v, i, p, t, s)
		ON CONFLICT DO NOTHING`, ofVault, ofItem, ids, instants, encoded)
	if err != nil {
		return fmt.Errorf("add recovery points: %w", err)
	}
	return nil
}

// RecoveryPoints lists an item's points, newest first; After is the PointKey of
// the last one seen.
func (q *Queries) RecoveryPoints(ctx context.Context, vault, item string, page Page) ([]protecteditem.Point, error) {
	instant, id, err := parsePointKey(page.After)
	if err != nil {
		return nil, err
	}
	var out []protecteditem.Point
	err = q.read(ctx, vault, recoveryPointsTable, func(tx pgx.Tx) error {
		var err error
		out, err = collect(ctx, tx, scanState[protecteditem.Point], `SELECT state FROM recovery_points_v1
			WHERE vault = $1 AND item = $2 AND ($3::timestamptz IS NULL OR (instant, id) < ($3, $4))
			ORDER BY instant DESC, id DESC LIMIT $5`, vault, item, instant, id, page.Limit)
		return err
	})
	return out, err
}

// PointKey is a point's place in the list of recovery points. It holds good when
// the point itself has gone.
func PointKey(p protecteditem.Point) string {
	return p.Instant.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano) + "|" + p.ID
}

func parsePointKey(key string) (*time.Time, string, error) {
	if key == "" {
		return nil, "", nil
	}
	at, id, _ := strings.Cut(key, "|")
	instant, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return nil, "", fmt.Errorf("parse point key: %w", err)
	}
	return &instant, id, nil
}

// RecoveryPoint reads one, ErrNotFound when the item has none of that id.
func (q *Queries) RecoveryPoint(ctx context.Context, vault, item, id string) (protecteditem.Point, error) {
	var out protecteditem.Point
	err := q.read(ctx, vault, recoveryPointsTable, func(tx pgx.Tx) error {
		var err error
		out, err = single(ctx, tx, scanState[protecteditem.Point], "SELECT state FROM recovery_points_v1 WHERE vault = $1 AND item = $2 AND id = $3", vault, item, id)
		return err
	})
	return out, err
}

func scanState[S any](r pgx.CollectableRow) (S, error) {
	var (
		s   S
		raw []byte
	)
	if err := r.Scan(&raw); err != nil {
		return s, fmt.Errorf("scan state: %w", err)
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("decode state: %w", err)
	}
	return s, nil
}
