package projections

import (
	"context"

	"farshore/domain/policy"
)

const policiesTable = "policies_v1"

// Policies is the read model of replication policies.
func Policies() *Model[policy.Event, policy.State] {
	return &Model[policy.Event, policy.State]{
		name: PoliciesName, version: 1, category: policy.Category, evolve: policy.Decider.Evolve, place: withinVault[policy.State],
	}
}

// Policy reads one, ErrNotFound when the vault has none of that id.
func (q *Queries) Policy(ctx context.Context, vault, id string) (Row[policy.State], error) {
	return one[policy.State](ctx, q, policiesTable, vault, id)
}

// Policies lists a vault's policies by id.
func (q *Queries) Policies(ctx context.Context, vault string, page Page) ([]Row[policy.State], error) {
	return list[policy.State](ctx, q, policiesTable, vault, "", page)
}
