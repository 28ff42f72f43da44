package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const rowColumns = "stream, vault, id, status, state, version, position, created_at, updated_at"

// columns gathers rows for one INSERT … SELECT FROM unnest.
type columns struct {
	streams, vaults, ids, statuses, states []string
	versions, positions                    []int64
	created, updated                       []time.Time
}

func add[S any](c *columns, row *Row[S], state string) {
	c.streams, c.vaults, c.ids = append(c.streams, row.stream), append(c.vaults, row.Vault), append(c.ids, row.ID)
	c.statuses, c.states = append(c.statuses, row.Status), append(c.states, state)
	c.versions, c.positions = append(c.versions, int64(row.Version)), append(c.positions, int64(row.Position))
	c.created, c.updated = append(c.created, row.CreatedAt), append(c.updated, row.UpdatedAt)
}

func (c *columns) args() []any {
	return []any{c.streams, c.vaults, c.ids, c.statuses, c.states, c.versions, c.positions, c.created, c.updated}
}

func scanRow[S any](r pgx.CollectableRow) (Row[S], error) {
	var (
		row   Row[S]
		state []byte
	)
	err := r.Scan(&row.stream, &row.Vault, &row.ID, &row.Status, &state, &row.Version, &row.Position, &row.CreatedAt, &row.UpdatedAt)
	if err != nil {
		return row, fmt.Errorf("scan row: %w", err)
	}
	if err := json.Unmarshal(state, &row.State); err != nil {
		return row, fmt.Errorf("decode state of %s: %w", row.stream, err)
	}
	row.CreatedAt, row.UpdatedAt = row.CreatedAt.UTC(), row.UpdatedAt.UTC()
	return row, nil
}

func tableOf(name string, version int) string { return name + "_v" + strconv.Itoa(version) }

// withinVault places an aggregate whose key is "<vault>.<id>".
func withinVault[S any](key string, _ S) (vault, id string) {
	vault, id, _ = strings.Cut(key, ".")
	return vault, id
}

// asProjector lets the transaction see and write the rows of every vault.
func asProjector(ctx context.Context, tx pgx.Tx) error { return inVault(ctx, tx, everyVault) }

// everyVault is the scope that row-level security lets see all rows.
const everyVault = "*"

func inVault(ctx context.Context, tx pgx.Tx, vault string) error {
	if _, err := tx.Exec(ctx, "SELECT set_config('farshore.vault', $1, true)", vault); err != nil {
		return fmt.Errorf("enter vault %s: %w", vault, err)
	}
	return nil
}
