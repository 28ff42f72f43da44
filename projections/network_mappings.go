package projections

import (
	"context"
	"errors"

	"farshore/domain/networkmapping"
)

const networkMappingsTable = "network_mappings_v1"

// NetworkMappings is the read model of network mappings, with a row for all of a
// vault.
func NetworkMappings() *Model[networkmapping.Event, networkmapping.State] {
	return &Model[networkmapping.Event, networkmapping.State]{
		name: NetworkMappingsName, version: 1, category: networkmapping.Category, evolve: networkmapping.Decider.Evolve,
		place: withinVault[networkmapping.State],
	}
}

// NetworkMappings reads a vault's mappings, by id; there may be none.
func (q *Queries) NetworkMappings(ctx context.Context, vault string) ([]networkmapping.Entry, error) {
	row, err := one[networkmapping.State](ctx, q, networkMappingsTable, vault, "")
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return row.State.Entries, err
}
