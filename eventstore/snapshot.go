package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Snapshot is the state that a stream's events up to a version fold into.
type Snapshot struct {
	StateVersion int
	Version      Version
	State        json.RawMessage
}

// SnapshotKeeper keeps one snapshot for each stream.
type SnapshotKeeper interface {
	// LoadSnapshot returns a stream's snapshot and whether there is one of this
	// state version. One of another is thrown away.
	LoadSnapshot(ctx context.Context, stream StreamID, stateVersion int) (Snapshot, bool, error)
	// SaveSnapshot keeps a snapshot unless a newer one of the same state version is
	// there.
	SaveSnapshot(ctx context.Context, stream StreamID, s Snapshot) error
}

var _ SnapshotKeeper = (*Postgres)(nil)

// LoadSnapshot implements SnapshotKeeper.
func (p *Postgres) LoadSnapshot(ctx context.Context, stream StreamID, stateVersion int) (Snapshot, bool, error) {
	const query = `SELECT state_version, version, state FROM snapshots WHERE stream = $1`
	var s Snapshot
	err := p.pool.QueryRow(ctx, query, stream).Scan(&s.StateVersion, &s.Version, &s.State)
	if errors.Is(err, pgx.ErrNoRows) {
		return Snapshot{}, false, nil
	}
	if err != nil {
		return Snapshot{}, false, fmt.Errorf("load snapshot of %s: %w", stream, Classify(ctx, err))
	}
	if s.StateVersion != stateVersion {
		// Newer ones stay: during an upgrade both programs run, and the older one
		// must not undo the work of the newer.
		const drop = `DELETE FROM snapshots WHERE stream = $1 AND state_version < $2`
		if _, err := p.pool.Exec(ctx, drop, stream, stateVersion); err != nil {
			return Snapshot{}, false, fmt.Errorf("drop snapshot of %s: %w", stream, Classify(ctx, err))
		}
		return Snapshot{}, false, nil
	}
	return s, true, nil
}

// SaveSnapshot implements SnapshotKeeper.
func (p *Postgres) SaveSnapshot(ctx context.Context, stream StreamID, s Snapshot) error {
	const upsert = `INSERT INTO snapshots (stream, state_version, version, state) VALUES ($1, $2, $3, $4)
		ON CONFLICT (stream) DO UPDATE SET state_version = excluded.state_version, version = excluded.version,
			state = excluded.state, updated_at = now()
		WHERE (snapshots.state_version, snapshots.version) < (excluded.state_version, excluded.version)`
	if _, err := p.pool.Exec(ctx, upsert, stream, s.StateVersion, s.Version, s.State); err != nil {
		return fmt.Errorf("save snapshot of %s: %w", stream, Classify(ctx, err))
	}
	return nil
}
