package projections

import (
	"context"

	"farshore/domain/vault"
)

const vaultsTable = "vaults_v1"

// Vaults is the read model of vaults.
func Vaults() *Model[vault.Event, vault.State] {
	return &Model[vault.Event, vault.State]{
		name: VaultsName, version: 1, category: vault.Category, evolve: vault.Decider.Evolve,
		place: func(key string, _ vault.State) (string, string) { return key, key },
	}
}

// Vault reads one, ErrNotFound when there is none of that id.
func (q *Queries) Vault(ctx context.Context, id string) (Row[vault.State], error) {
	return one[vault.State](ctx, q, vaultsTable, id, id)
}

// Vaults lists the vaults that a scope covers, by id: one vault's id, or "*".
func (q *Queries) Vaults(ctx context.Context, scope string, page Page) ([]Row[vault.State], error) {
	return list[vault.State](ctx, q, vaultsTable, scope, "", page)
}
