package projections

import (
	"context"

	"farshore/domain/storageaccount"
)

const storageAccountsTable = "storage_accounts_v1"

// StorageAccounts is the read model of storage accounts.
func StorageAccounts() *Model[storageaccount.Event, storageaccount.State] {
	return &Model[storageaccount.Event, storageaccount.State]{
		name: StorageAccountsName, version: 1, category: storageaccount.Category,
		evolve: storageaccount.Decider.Evolve, place: withinVault[storageaccount.State],
	}
}

// StorageAccount reads one, ErrNotFound when the vault has none of that id.
func (q *Queries) StorageAccount(ctx context.Context, vault, id string) (Row[storageaccount.State], error) {
	return one[storageaccount.State](ctx, q, storageAccountsTable, vault, id)
}

// StorageAccounts lists a vault's storage accounts by id.
func (q *Queries) StorageAccounts(ctx context.Context, vault string, page Page) ([]Row[storageaccount.State], error) {
	return list[storageaccount.State](ctx, q, storageAccountsTable, vault, "", page)
}
