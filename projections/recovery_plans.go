package projections

import (
	"context"

	"github.com/jackc/pgx/v5"

	"farshore/domain/recoveryplan"
)

const recoveryPlansTable = "recovery_plans_v1"

// The words that recovery plans are listed by.
const (
	planIdle    = "Idle"
	planRunning = "Running"
	planDeleted = "Deleted"
)

// RecoveryPlans is the read model of recovery plans.
func RecoveryPlans() *Model[recoveryplan.Event, recoveryplan.State] {
	return &Model[recoveryplan.Event, recoveryplan.State]{
		name: RecoveryPlansName, version: 1, category: recoveryplan.Category, evolve: recoveryplan.Decider.Evolve,
		place: withinVault[recoveryplan.State],
		status: func(s recoveryplan.State) string {
			switch {
			case !s.Defined:
				return planDeleted
			case s.Run != nil:
				return planRunning
			default:
				return planIdle
			}
		},
	}
}

// RecoveryPlan reads one, ErrNotFound when the vault has none of that id.
func (q *Queries) RecoveryPlan(ctx context.Context, vault, id string) (Row[recoveryplan.State], error) {
	row, err := one[recoveryplan.State](ctx, q, recoveryPlansTable, vault, id)
	if err == nil && row.Status == planDeleted {
		return row, ErrNotFound
	}
	return row, err
}

// RecoveryPlans lists a vault's plans by id.
func (q *Queries) RecoveryPlans(ctx context.Context, vault string, page Page) ([]Row[recoveryplan.State], error) {
	var out []Row[recoveryplan.State]
	err := q.read(ctx, vault, recoveryPlansTable, func(tx pgx.Tx) error {
		var err error
		out, err = collect(ctx, tx, scanRow[recoveryplan.State], "SELECT "+rowColumns+` FROM recovery_plans_v1
			WHERE vault = $1 AND status <> 'Deleted' AND id > $2 ORDER BY id LIMIT $3`, vault, page.After, page.Limit)
		return err
	})
	return out, err
}
