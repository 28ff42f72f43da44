package eventstore

import (
	"context"
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
}

// Execution says on whose behalf and under which conditions a command runs.
type Execution struct {
	Metadata    Metadata
	IfVersion   Version // refuse unless the stream is at it; 0: whatever it is at
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
// With IfVersion set, a stream at another version is ErrVersionConflict at once;
// otherwise a lost race is decided afresh.
func (r Repository[C, E, S]) Execute(ctx context.Context, id string, cmd C, how Execution) (Outcome[E, S], error) {
	for range conflictRetries {
		out, err := r.attempt(ctx, id, cmd, how)
		if how.IfVersion != 0 || !errors.Is(err, ErrVersionConflict) {
			return out, err
		}
	}
	return Outcome[E, S]{}, fmt.Errorf("execute %T on %s: %w", cmd, r.StreamOf(id), ErrVersionConflict)
}

// Load folds the aggregate's events into its state.
func (r Repository[C, E, S]) Load(ctx context.Context, id string) (S, Version, error) {
	var (
		state   S
		version Version
	)
	for rec, err := range r.Store.Stream(ctx, r.StreamOf(id), 0) {
		if err != nil {
			return state, 0, fmt.Errorf("load %s: %w", r.StreamOf(id), err)
		}
		e, ok := rec.Event.(E)
		if !ok {
			return state, 0, fmt.Errorf("load %s: foreign event %T at version %d", r.StreamOf(id), rec.Event, rec.Version)
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
	state, version, err := r.Load(ctx, id)
	if err != nil {
		return Outcome[E, S]{}, err
	}
	if how.IfVersion != 0 && how.IfVersion != version {
		return Outcome[E, S]{State: state}, ErrVersionConflict
	}
	events, err := r.Decider.Decide(state, cmd)
	if err != nil || len(events) == 0 {
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
	return Outcome[E, S]{Appended: done, Events: events, State: r.Decider.Fold(state, events...)}, nil
}
