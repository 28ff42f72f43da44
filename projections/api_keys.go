package projections

import (
	"context"

	"farshore/domain/apikey"
)

const apiKeysTable = "api_keys_v1"

// APIKeys is the read model of API keys. It is for looking at them: whether one
// is good is asked of the log.
func APIKeys() *Model[apikey.Event, apikey.State] {
	return &Model[apikey.Event, apikey.State]{
		name: APIKeysName, version: 1, category: apikey.Category, evolve: apikey.Decider.Evolve,
		place: func(key string, s apikey.State) (string, string) { return s.Vault, key },
	}
}

// APIKey reads one, ErrNotFound when the scope has none of that id. The scope is
// a vault's id, or "*" for the keys of all vaults.
func (q *Queries) APIKey(ctx context.Context, scope, id string) (Row[apikey.State], error) {
	return one[apikey.State](ctx, q, apiKeysTable, scope, id)
}

// APIKeys lists a vault's keys by id; those for all vaults belong to the scope
// "*".
func (q *Queries) APIKeys(ctx context.Context, vault string, page Page) ([]Row[apikey.State], error) {
	return list[apikey.State](ctx, q, apiKeysTable, vault, "", page)
}
