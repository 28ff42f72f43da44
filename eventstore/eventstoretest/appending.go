package eventstoretest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"farshore/domain"
	"farshore/eventstore"
)

func staleVersion(t *testing.T, s Subject) {
	mustAppend(t, s.Store, note("note-a", 0, "one"))
	wantError(t, s.Store, note("note-a", 0, "again"), eventstore.ErrVersionConflict)
	wantLog(t, s.Store, "[one]")
}

func pastTheEnd(t *testing.T, s Subject) {
	mustAppend(t, s.Store, note("note-a", 0, "one"))
	wantError(t, s.Store, note("note-a", 2, "three"), eventstore.ErrVersionConflict)
	wantError(t, s.Store, note("note-b", 1, "two"), eventstore.ErrVersionConflict)
	wantLog(t, s.Store, "[one]")
}

func noEvents(t *testing.T, s Subject) {
	if _, err := s.Store.Append(t.Context(), eventstore.Append{Stream: "note-a"}); err == nil {
		t.Fatal("accepted")
	}
	wantLog(t, s.Store, "[]")
}

type stranger struct{}

// EventType implements domain.Event.
func (stranger) EventType() string { return "stranger.came.v1" }

func unknownType(t *testing.T, s Subject) {
	a := note("note-a", 0, "")
	a.Events = []domain.Event{stranger{}}
	wantError(t, s.Store, a, eventstore.ErrUnknownType)
	wantLog(t, s.Store, "[]")
}

func race(t *testing.T, s Subject) {
	var (
		won, lost atomic.Int64
		racers    sync.WaitGroup
	)
	for i := range 16 {
		racers.Go(func() {
			_, err := s.Store.Append(t.Context(), note("note-a", 0, strconv.Itoa(i)))
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, eventstore.ErrVersionConflict):
				lost.Add(1)
			default:
				t.Errorf("racer %d: %v", i, err)
			}
		})
	}
	racers.Wait()
	if won.Load() != 1 || lost.Load() != 15 {
		t.Fatalf("%d won and %d lost; want 1 and 15", won.Load(), lost.Load())
	}
}

func gapless(t *testing.T, s Subject) {
	const writers, each = 8, 20
	reading, stop := context.WithCancel(t.Context())
	defer stop()
	var seen []eventstore.Position
	reader := make(chan error, 1)
	go func() { reader <- follow(reading, s.Store, writers*each*2, &seen) }()

	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			stream := fmt.Sprintf("note-%d", w)
			for i := range each {
				a := note(stream, eventstore.Version(2*i), "x")
				a.Events = append(a.Events, Noted{Text: "y"})
				if _, err := s.Store.Append(t.Context(), a); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				_, _ = s.Store.Append(t.Context(), note(stream, 0, "a conflict takes no position"))
			}
		})
	}
	writing.Wait()
	if t.Failed() {
		return
	}
	if err := <-reader; err != nil {
		t.Fatal(err)
	}
	// The reader ran beside the writers and kept one integer: a position that
	// became visible late would be missing here.
	for i, p := range seen {
		if p != eventstore.Position(i+1) {
			t.Fatalf("event %d has position %d", i+1, p)
		}
	}
}

func follow(ctx context.Context, s eventstore.Store, want int, seen *[]eventstore.Position) error {
	var after eventstore.Position
	for len(*seen) < want {
		if err := s.Wait(ctx, after); err != nil {
			return fmt.Errorf("wait: %w", err)
		}
		batch, err := s.Read(ctx, after, 50)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		for _, rec := range batch {
			*seen = append(*seen, rec.Position)
			after = rec.Position
		}
	}
	return nil
}

func replay(t *testing.T, s Subject) {
	a := note("note-a", 0, "one")
	a.Idempotency = &eventstore.Idempotency{Key: "k1", Fingerprint: "f1"}
	first := mustAppend(t, s.Store, a)
	if first.Replayed {
		t.Fatal("the first answer claims to be a repeated one")
	}
	second := mustAppend(t, s.Store, a)
	if want := (eventstore.Appended{Version: first.Version, Position: first.Position, Replayed: true}); second != want {
		t.Fatalf("got %+v, want %+v", second, want)
	}
	kept, ok, err := s.Store.Replayed(t.Context(), *a.Idempotency)
	if err != nil || !ok || kept != second {
		t.Fatalf("looked up: %+v, %v, %v; want %+v", kept, ok, err, second)
	}
	wantLog(t, s.Store, "[one]")
}

func replayStale(t *testing.T, s Subject) {
	a := note("note-a", 0, "one")
	a.Idempotency = &eventstore.Idempotency{Key: "k1", Fingerprint: "f1"}
	first := mustAppend(t, s.Store, a)
	mustAppend(t, s.Store, note("note-a", 1, "two"))
	a.Expected = 2
	if second := mustAppend(t, s.Store, a); second.Position != first.Position || second.Version != 1 {
		t.Fatalf("got %+v, want the first answer %+v", second, first)
	}
	wantLog(t, s.Store, "[one two]")
}

func mismatch(t *testing.T, s Subject) {
	a := note("note-a", 0, "one")
	a.Idempotency = &eventstore.Idempotency{Key: "k1", Fingerprint: "f1"}
	mustAppend(t, s.Store, a)
	other := note("note-b", 0, "two")
	other.Idempotency = &eventstore.Idempotency{Key: "k1", Fingerprint: "f2"}
	wantError(t, s.Store, other, eventstore.ErrIdempotencyMismatch)
	if _, _, err := s.Store.Replayed(t.Context(), *other.Idempotency); !errors.Is(err, eventstore.ErrIdempotencyMismatch) {
		t.Fatalf("looked up: %v", err)
	}
	if _, ok, err := s.Store.Replayed(t.Context(), eventstore.Idempotency{Key: "unused"}); ok || err != nil {
		t.Fatalf("an unused key: %v, %v", ok, err)
	}
	wantLog(t, s.Store, "[one]")
}

func keyAfterConflict(t *testing.T, s Subject) {
	mustAppend(t, s.Store, note("note-a", 0, "one"))
	a := note("note-a", 0, "two")
	a.Idempotency = &eventstore.Idempotency{Key: "k1", Fingerprint: "f1"}
	wantError(t, s.Store, a, eventstore.ErrVersionConflict)
	a.Expected = 1
	if done := mustAppend(t, s.Store, a); done.Replayed {
		t.Fatal("a conflict was kept as the answer")
	}
}

func unknownLane(t *testing.T, s Subject) {
	a := note("note-a", 0, "one")
	a.Fence = &eventstore.Fence{Lane: "v1.web/replication", Token: 1}
	wantError(t, s.Store, a, eventstore.ErrFenced)
	wantLog(t, s.Store, "[]")
}

func fencedOff(t *testing.T, s Subject) {
	s.SetFence(t, "v1.web", "replication", 3)
	a := note("note-a", 0, "one")
	a.Fence = &eventstore.Fence{Lane: "v1.web/replication", Token: 3}
	mustAppend(t, s.Store, a)
	s.SetFence(t, "v1.web", "replication", 4)
	b := note("note-a", 1, "two")
	b.Fence = a.Fence
	wantError(t, s.Store, b, eventstore.ErrFenced)
	b.Fence = &eventstore.Fence{Lane: "v1.web/replication", Token: 4}
	mustAppend(t, s.Store, b)
	wantLog(t, s.Store, "[one two]")
}

func wantError(t *testing.T, s eventstore.Store, a eventstore.Append, want error) {
	t.Helper()
	if _, err := s.Append(t.Context(), a); !errors.Is(err, want) {
		t.Fatalf("append to %s at %d: %v; want %v", a.Stream, a.Expected, err, want)
	}
}

func wantLog(t *testing.T, s eventstore.Store, want string) {
	t.Helper()
	if got := texts(readAll(t, s)); got != want {
		t.Fatalf("the log holds %s, want %s", got, want)
	}
}
