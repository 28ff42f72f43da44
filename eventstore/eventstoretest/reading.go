package eventstoretest

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/google/uuid"

	"farshore/domain"
	"farshore/eventstore"
)

func readStream(t *testing.T, s Subject) {
	a := note("note-a", 0, "one")
	a.Events = append(a.Events, Noted{Text: "two"}, Noted{Text: "three"})
	mustAppend(t, s.Store, a)
	mustAppend(t, s.Store, note("note-b", 0, "other"))
	mustAppend(t, s.Store, note("note-a", 3, "four"))
	if got := texts(streamOf(t, s.Store, "note-a", 0)); got != "[one two three four]" {
		t.Fatalf("the stream holds %s", got)
	}
	if got := texts(streamOf(t, s.Store, "note-a", 2)); got != "[three four]" {
		t.Fatalf("behind version 2 the stream holds %s", got)
	}
	if got := streamOf(t, s.Store, "note-none", 0); len(got) != 0 {
		t.Fatalf("an empty stream holds %v", got)
	}
	for _, err := range s.Store.Stream(t.Context(), "note-a", 0) {
		if err != nil {
			t.Fatal(err)
		}
		break // whoever stops reading leaves nothing behind
	}
}

func readLog(t *testing.T, s Subject) {
	for i, text := range []string{"one", "two", "three"} {
		mustAppend(t, s.Store, note("note-a", eventstore.Version(i), text))
	}
	recs, err := s.Store.Read(t.Context(), 1, 1)
	if err != nil || texts(recs) != "[two]" {
		t.Fatalf("read %s, %v; want the second", texts(recs), err)
	}
	if recs, err = s.Store.Read(t.Context(), 3, 10); err != nil || len(recs) != 0 {
		t.Fatalf("behind the end: %v, %v", recs, err)
	}
	if head, err := s.Store.Head(t.Context()); err != nil || head != 3 {
		t.Fatalf("head %d, %v; want 3", head, err)
	}
}

func roundTrip(t *testing.T, s Subject) {
	a := note("note-a", 0, "<ü & \u2028 \"quoted\">")
	a.Metadata = eventstore.Metadata{Actor: "apikey:1", Vault: "v1", Job: "j", Request: "r", Causation: "c", Correlation: "x"}
	done := mustAppend(t, s.Store, a)
	got := readAll(t, s.Store)[0]
	if got.Stream != "note-a" || got.Version != 1 || got.Position != done.Position || got.Metadata != a.Metadata || got.Event != a.Events[0] {
		t.Fatalf("read %+v", got)
	}
	if id, err := uuid.Parse(got.ID); err != nil || id.Version() != 7 {
		t.Fatalf("id %q is not a UUID of version 7", got.ID)
	}
	if got.At.IsZero() || got.LeafHash == [32]byte{} {
		t.Fatalf("time %v, leaf hash %x", got.At, got.LeafHash)
	}
}

func bigInteger(t *testing.T, s Subject) {
	a := note("note-a", 0, "")
	a.Events = []domain.Event{Noted{Bytes: math.MaxInt64}}
	mustAppend(t, s.Store, a)
	if got := readAll(t, s.Store)[0].Event; got != a.Events[0] {
		t.Fatalf("read %+v", got)
	}
}

func bigNumber(t *testing.T, s Subject) {
	a := note("note-a", 0, "")
	a.Events = []domain.Event{Counted{Bytes: 1<<53 + 1}}
	if _, err := s.Store.Append(t.Context(), a); err == nil {
		t.Fatal("accepted, though its leaf hash could not tell it from 2^53")
	}
	a.Events = []domain.Event{Counted{Bytes: 1 << 53}}
	mustAppend(t, s.Store, a)
}

func nulText(t *testing.T, s Subject) {
	if _, err := s.Store.Append(t.Context(), note("note-a", 0, "a\x00b")); err == nil {
		t.Fatal("accepted")
	}
	mustAppend(t, s.Store, note("note-a", 0, "one"))
}

func cancelled(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Store.Append(ctx, note("note-a", 0, "one")); !errors.Is(err, context.Canceled) {
		t.Fatalf("append: %v", err)
	}
	if _, err := s.Store.Read(ctx, 0, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("read: %v", err)
	}
	if _, err := s.Store.Head(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("head: %v", err)
	}
	mustAppend(t, s.Store, note("note-a", 0, "one"))
}

func waitForEvent(t *testing.T, s Subject) {
	done := make(chan error, 1)
	go func() { done <- s.Store.Wait(t.Context(), 1) }()
	mustAppend(t, s.Store, note("note-a", 0, "one"))
	select {
	case err := <-done:
		t.Fatalf("woken by an event that was not waited for: %v", err)
	default:
	}
	mustAppend(t, s.Store, note("note-a", 1, "two"))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if recs, err := s.Store.Read(t.Context(), 1, 1); err != nil || len(recs) != 1 {
		t.Fatalf("woken before the event could be read: %v, %v", recs, err)
	}
}

func waitForPast(t *testing.T, s Subject) {
	mustAppend(t, s.Store, note("note-a", 0, "one"))
	if err := s.Store.Wait(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
}

func waitCancelled(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Store.Wait(ctx, 0) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func emptyHead(t *testing.T, s Subject) {
	if head, err := s.Store.Head(t.Context()); err != nil || head != 0 {
		t.Fatalf("head %d, %v", head, err)
	}
}
