package projections

import (
	"context"
	"fmt"

	"farshore/eventstore"
)

// fault wraps what the database said. A database that cannot be reached becomes
// eventstore.ErrUnavailable, which callers answer by asking again later.
func fault(ctx context.Context, what string, err error) error {
	return fmt.Errorf("%s: %w", what, eventstore.Classify(ctx, err))
}
