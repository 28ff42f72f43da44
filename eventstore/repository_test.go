package eventstore_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"farshore/domain"
	"farshore/eventstore"
	"farshore/eventstore/eventstoretest"
	"farshore/eventstore/pgtest"
)

// A notebook takes notes up to a limit; "" is a note that changes nothing.
type (
	takeNote string
	notebook struct{ Notes int }
)

var errFull = errors.New("the notebook is full")

func notebooks(store eventstore.Store) eventstore.Repository[takeNote, eventstoretest.Noted, notebook] {
	return eventstore.Repository[takeNote, eventstoretest.Noted, notebook]{
		Store: store, Category: "note",
		Decider: domain.Decider[takeNote, eventstoretest.Noted, notebook]{
			Decide: func(s notebook, c takeNote) ([]eventstoretest.Noted, error) {
				if s.Notes >= 3 {
					return nil, errFull
				}
				if c == "" {
					return nil, nil
				}
				return []eventstoretest.Noted{{Text: string(c)}}, nil
			},
			Evolve: func(s notebook, _ eventstoretest.Noted) notebook { return notebook{Notes: s.Notes + 1} },
		},
	}
}

func memory(t *testing.T) *eventstore.Memory {
	t.Helper()
	return eventstore.NewMemory(eventstoretest.Codec(t), time.Now)
}

func TestARepeatedCommandIsAnsweredBeforeItIsDecided(t *testing.T) {
	t.Parallel()
	notes := notebooks(memory(t))
	once := eventstore.Execution{Idempotency: &eventstore.Idempotency{Key: "k", Fingerprint: "f"}, IfVersion: 2}
	for _, text := range []takeNote{"one", "two"} {
		if _, err := notes.Execute(t.Context(), "a", text, eventstore.Execution{}); err != nil {
			t.Fatal(err)
		}
	}
	first, err := notes.Execute(t.Context(), "a", "three", once)
	if err != nil || first.State.Notes != 3 || len(first.Events) != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	// Decided again it would be refused twice over: the notebook is full and the
	// version is another.
	second, err := notes.Execute(t.Context(), "a", "three", once)
	if err != nil || !second.Replayed || second.Position != first.Position || second.State.Notes != 3 {
		t.Fatalf("%+v, %v", second, err)
	}
	once.Idempotency = &eventstore.Idempotency{Key: "k", Fingerprint: "other"}
	if _, err := notes.Execute(t.Context(), "a", "three", once); !errors.Is(err, eventstore.ErrIdempotencyMismatch) {
		t.Fatalf("the key with another request: %v", err)
	}
}

func TestACommandThatLosesARaceIsDecidedAfresh(t *testing.T) {
	t.Parallel()
	notes := notebooks(memory(t))
	var refused, taken int
	var mu sync.Mutex
	var racers sync.WaitGroup
	for range 5 {
		racers.Go(func() {
			_, err := notes.Execute(t.Context(), "a", "note", eventstore.Execution{})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				taken++
			case errors.Is(err, errFull):
				refused++
			default:
				t.Errorf("execute: %v", err)
			}
		})
	}
	racers.Wait()
	if taken != 3 || refused != 2 {
		t.Fatalf("%d taken, %d refused; want 3 and 2", taken, refused)
	}
}

func TestAConditionOnTheVersionIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	notes := notebooks(memory(t))
	if _, err := notes.Execute(t.Context(), "a", "one", eventstore.Execution{IfVersion: 4}); !errors.Is(err, eventstore.ErrVersionConflict) {
		t.Fatal(err)
	}
	out, err := notes.Execute(t.Context(), "a", "", eventstore.Execution{})
	if err != nil || out.Events != nil || out.Version != 0 {
		t.Fatalf("a command that changes nothing: %+v, %v", out, err)
	}
	if _, err := notes.Execute(t.Context(), "new", "one", eventstore.Execution{IfNew: true}); err != nil {
		t.Errorf("the first of a stream: %v", err)
	}
	if _, err := notes.Execute(t.Context(), "new", "one", eventstore.Execution{IfNew: true}); !errors.Is(err, eventstore.ErrVersionConflict) {
		t.Errorf("a stream that has begun was taken for new: %v", err)
	}
}

func TestASnapshotSavesTheReplayAndNothingElse(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	store := start(t, pool)
	notes := notebooks(store)
	notes.Snapshots = eventstore.SnapshotPolicy{Keeper: store, Every: 2, StateVersion: 1}
	for _, text := range []takeNote{"one", "two", "three"} {
		if _, err := notes.Execute(t.Context(), "a", text, eventstore.Execution{}); err != nil {
			t.Fatal(err)
		}
	}
	kept, ok, err := store.LoadSnapshot(t.Context(), "note-a", 1)
	if err != nil || !ok || kept.Version != 2 {
		t.Fatalf("kept %+v, %v, %v; want one at version 2", kept, ok, err)
	}
	// Prove that it is used, by making it wrong.
	if _, err := pool.Exec(t.Context(), `UPDATE snapshots SET state = '{"Notes": 40}'`); err != nil {
		t.Fatal(err)
	}
	if state, version, err := notes.Load(t.Context(), "a"); err != nil || state.Notes != 41 || version != 3 {
		t.Fatalf("with a snapshot: %+v, %d, %v", state, version, err)
	}
	notes.Snapshots.StateVersion = 2
	if state, version, err := notes.Load(t.Context(), "a"); err != nil || state.Notes != 3 || version != 3 {
		t.Fatalf("after the state's form changed: %+v, %d, %v", state, version, err)
	}
	if _, ok, err := store.LoadSnapshot(t.Context(), "note-a", 1); ok || err != nil {
		t.Fatalf("the old snapshot is still there: %v, %v", ok, err)
	}
}
