package projections

import (
	"context"

	"github.com/jackc/pgx/v5"

	"farshore/domain/protecteditem"
)

const protectedItemsTable = "protected_items_v1"

// ProtectedItems is the read model of protected items and their recovery points.
func ProtectedItems() *Model[protecteditem.Event, protecteditem.State] {
	return &Model[protecteditem.Event, protecteditem.State]{
		name: ProtectedItemsName, version: 1, category: protecteditem.Category,
		evolve:  protecteditem.Decider.Evolve,
		place:   withinVault[protecteditem.State],
		status:  func(s protecteditem.State) string { return string(s.Protection) },
		derive:  deriveRecoveryPoints,
		derived: []string{recoveryPointsTable},
	}
}

// ProtectedItem reads one, ErrNotFound when the vault has none of that id.
func (q *Queries) ProtectedItem(ctx context.Context, vault, id string) (Row[protecteditem.State], error) {
	return one[protecteditem.State](ctx, q, protectedItemsTable, vault, id)
}

// ProtectedItems lists a vault's items by id, those in one state or, when it is
// empty, all.
func (q *Queries) ProtectedItems(ctx context.Context, vault string, state protecteditem.ProtectionState, page Page) ([]Row[protecteditem.State], error) {
	return list[protecteditem.State](ctx, q, protectedItemsTable, vault, string(state), page)
}

// ItemsAt lists the items, other than unprotected ones, that have a host of a
// site as their source or recovery side, or that fail back to it.
func (q *Queries) ItemsAt(ctx context.Context, vault, site, host string) ([]Row[protecteditem.State], error) {
	var out []Row[protecteditem.State]
	err := q.read(ctx, vault, protectedItemsTable, func(tx pgx.Tx) error {
		var err error
		out, err = collect(ctx, tx, scanRow[protecteditem.State], "SELECT "+rowColumns+` FROM protected_items_v1
			WHERE vault = $1 AND status <> 'Unprotected'
				AND ((state->>'Site' = $2 AND ($3 = '' OR state->>'Host' = $3))
					OR (state->'Recovery'->>'Site' = $2 AND ($3 = '' OR state->'Recovery'->>'Host' = $3))
					OR (state->'Failback'->'Target'->>'site' = $2 AND ($3 = '' OR state->'Failback'->'Target'->>'host' = $3)))
			ORDER BY id`, vault, site, host)
		return err
	})
	return out, err
}
