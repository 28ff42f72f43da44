package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"farshore/domain"
)

// conflictRetries bounds how often a command is decided afresh after losing a
// race for its stream.
const conflictRetries = 5

// Repository executes commands against the streams of one aggregate type.
type Repository[C any, E domain.Event, S any] struct {
	Store    Store
	Category string // stream name prefix: "protected_item"
	Decider  domain.Decider[C, E, S]
	// Snapshots bounds the replay of long streams; the zero value takes none.
	Snapshots SnapshotPolicy
}

// SnapshotPolicy says whether and when the folded state of a stream is kept. The
// state must survive a round trip through JSON.
type SnapshotPolicy struct {
	Keeper SnapshotKeeper
	Every  Version // a snapshot each so many events
	// StateVersion names the form of the state. Raise it with every change of the
	// state's fields or of what evolve makes of an event: older snapshots are then
	// thrown away.
	StateVersion int
}

// Execution says on whose behalf and under which conditions a command runs.
type Execution struct {
	Metadata    Metadata
	IfVersion   Version // refuse unless the stream is at it; 0: whatever it is at
	IfNew       bool    // refuse unless the stream has no event yet
	Idempotency *Idempotency
	Fence       *Fence
}

// Outcome is what a command led to.
type Outcome[E, S any] struct {
	Appended
	Events []E // nil when the command changed nothing or the answer was replayed
	State  S   // after them
}

// Execute decides cmd on the aggregate's present state and records the outcome.
// With IfVersion or IfNew set, a stream at another version is ErrVersionConflict;
// otherwise a lost race is decided afresh.
func (r Repository[C, E, S]) Execute(ctx context.Context, id string, cmd C, how Execution) (Outcome[E, S], error) {
	for range conflictRetries {
		out, err := r.attempt(ctx, id, cmd, how)
		if how.IfVersion != 0 || how.IfNew || !errors.Is(err, ErrVersionConflict) {
			return out, err
		}
	}
	return Outcome[E, S]{}, fmt.Errorf("execute %T on %s: %w", cmd, r.StreamOf(id), ErrVersionConflict)
}

// Load folds the aggregate's events into its state.
func (r Repository[C, E, S]) Load(ctx context.Context, id string) (S, Version, error) {
	stream := r.StreamOf(id)
	state, version, err := r.loadSnapshot(ctx, stream)
	if err != nil {
		return state, 0, fmt.Errorf("load %s: %w", stream, err)
	}
	for rec, err := range r.Store.Stream(ctx, stream, version) {
		if err != nil {
			return state, 0, fmt.Errorf("load %s: %w", stream, err)
		}
		e, ok := rec.Event.(E)
		if !ok {
			return state, 0, fmt.Errorf("load %s: foreign event %T at version %d", stream, rec.Event, rec.Version)
		}
		state, version = r.Decider.Evolve(state, e), rec.Version
	}
	return state, version, nil
}

// StreamOf names the stream of an aggregate.
func (r Repository[C, E, S]) StreamOf(id string) StreamID {
	return StreamID(r.Category + "-" + id)
}

func (r Repository[C, E, S]) attempt(ctx context.Context, id string, cmd C, how Execution) (Outcome[E, S], error) {
	// A repeated request gets its first answer whatever has become of the
	// aggregate since: deciding it again could only refuse what was once accepted.
	if out, done, err := r.replay(ctx, id, how); done || err != nil {
		return out, err
	}
	state, version, err := r.Load(ctx, id)
	if err != nil {
		return Outcome[E, S]{}, err
	}
	if (how.IfVersion != 0 && how.IfVersion != version) || (how.IfNew && version != 0) {
		return Outcome[E, S]{State: state}, ErrVersionConflict
	}
	events, err := r.Decider.Decide(state, cmd)
	if err != nil || len(events) == 0 {
		// The first of two equal requests may have come in between.
		if out, done, replayErr := r.replay(ctx, id, how); done || replayErr != nil {
			return out, replayErr
		}
		return Outcome[E, S]{Appended: Appended{Version: version}, State: state}, err
	}
	facts := make([]domain.Event, len(events))
	for i, e := range events {
		facts[i] = e
	}
	done, err := r.Store.Append(ctx, Append{
		Stream: r.StreamOf(id), Expected: version, Events: facts,
		Metadata: how.Metadata, Idempotency: how.Idempotency, Fence: how.Fence,
	})
	if err != nil || done.Replayed {
		return Outcome[E, S]{Appended: done, State: state}, err
	}
	state = r.Decider.Fold(state, events...)
	r.keepSnapshot(ctx, id, state, version, done.Version)
	return Outcome[E, S]{Appended: done, Events: events, State: state}, nil
}

// replay answers a request whose idempotency key has been used before.
func (r Repository[C, E, S]) replay(ctx context.Context, id string, how Execution) (Outcome[E, S], bool, error) {
	if how.Idempotency == nil {
		return Outcome[E, S]{}, false, nil
	}
	done, ok, err := r.Store.Replayed(ctx, *how.Idempotency)
	if err != nil || !ok {
		return Outcome[E, S]{}, false, err
	}
	state, _, err := r.Load(ctx, id)
	return Outcome[E, S]{Appended: done, State: state}, true, err
}

// loadSnapshot returns the kept state of a stream, or an empty one.
func (r Repository[C, E, S]) loadSnapshot(ctx context.Context, stream StreamID) (S, Version, error) {
	var state S
	if r.Snapshots.Keeper == nil {
		return state, 0, nil
	}
	kept, ok, err := r.Snapshots.Keeper.LoadSnapshot(ctx, stream, r.Snapshots.StateVersion)
	if err != nil || !ok {
		return state, 0, err
	}
	if err := json.Unmarshal(kept.State, &state); err != nil {
		var empty S
		return empty, 0, nil //nolint:nilerr // a snapshot saves work and nothing else: without it, all events are read
	}
	return state, kept.Version, nil
}

// keepSnapshot keeps the state when its stream has passed a multiple of Every. A
// failure costs only the work that the snapshot would have saved.
func (r Repository[C, E, S]) keepSnapshot(ctx context.Context, id string, state S, before, after Version) {
	every := r.Snapshots.Every
	if r.Snapshots.Keeper == nil || every <= 0 || before/every == after/every {
		return
	}
	text, err := json.Marshal(state)
	if err != nil {
		return
	}
	_ = r.Snapshots.Keeper.SaveSnapshot(ctx, r.StreamOf(id), Snapshot{
		StateVersion: r.Snapshots.StateVersion, Version: after, State: text,
	})
}
