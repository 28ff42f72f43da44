package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farshore/eventstore"
	"farshore/eventstore/eventstoretest"
	"farshore/eventstore/pgtest"
)

// acknowledged are the appends that were answered with a position.
type acknowledged struct {
	mu    sync.Mutex
	notes map[eventstore.Position]string
}

func (a *acknowledged) add(p eventstore.Position, text string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notes[p] = text
	return len(a.notes)
}

func TestEveryAcknowledgedAppendSurvivesACrashOfTheDatabase(t *testing.T) {
	t.Parallel()
	server := pgtest.Durable(t)
	store := start(t, pgtest.Open(t, server.DB.URL))
	acked := acknowledged{notes: map[eventstore.Position]string{}}
	const lives = 3
	for life := range lives {
		writing, stop := context.WithCancel(t.Context())
		enough := make(chan struct{})
		var once sync.Once
		var writers sync.WaitGroup
		before := len(acked.notes)
		for w := range 16 {
			writers.Go(func() {
				write(writing, t, store, &acked, fmt.Sprintf("note-%d-%d", life, w), func(total int) {
					if total >= before+200 {
						once.Do(func() { close(enough) })
					}
				})
			})
		}
		<-enough
		server.Kill() // in the middle of it
		stop()
		writers.Wait()
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// Another reads it: connections that the last crash has cut off are the writers'.
	checkLog(t, start(t, pgtest.Open(t, server.DB.URL)), &acked)
}

// write appends to one stream until ctx ends or the database is away.
func write(ctx context.Context, t *testing.T, store *eventstore.Postgres, acked *acknowledged, stream string, progress func(int)) {
	t.Helper()
	for v := 0; ; v++ {
		text := fmt.Sprintf("%s/%d", stream, v)
		done, err := store.Append(ctx, oneNote(stream, eventstore.Version(v), text))
		switch {
		case err == nil:
			progress(acked.add(done.Position, text))
		case errors.Is(err, eventstore.ErrUnavailable), errors.Is(err, context.Canceled):
			return
		default:
			t.Errorf("append to %s at %d: %v", stream, v, err)
			return
		}
	}
}

// checkLog wants every acknowledged event where it was acknowledged, and no gaps.
func checkLog(t *testing.T, store eventstore.Reader, acked *acknowledged) {
	t.Helper()
	var last eventstore.Position
	for batch, err := range eventstore.Batches(t.Context(), store, 0, 1000) {
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range batch {
			if last++; rec.Position != last {
				t.Fatalf("position %d follows %d", rec.Position, last-1)
			}
			if text, ok := acked.notes[rec.Position]; ok {
				if got := fmt.Sprint(rec.Event); got != fmt.Sprint(eventstoretest.Noted{Text: text}) {
					t.Fatalf("position %d holds %s, acknowledged was %s", rec.Position, got, text)
				}
				delete(acked.notes, rec.Position)
			}
		}
	}
	if len(acked.notes) > 0 {
		t.Fatalf("%d acknowledged events are lost", len(acked.notes))
	}
}

func TestAppendsRecoverByThemselvesWhenTheDatabaseIsBack(t *testing.T) {
	t.Parallel()
	server := pgtest.Durable(t)
	store := start(t, pgtest.Open(t, server.DB.URL))
	if _, err := store.Append(t.Context(), oneNote("note-a", 0, "before")); err != nil {
		t.Fatal(err)
	}
	// A reader that waits all the while is woken by the first event afterwards.
	woken := make(chan error, 1)
	go func() { woken <- store.Wait(t.Context(), 1) }()

	if err := server.Halt(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := store.Append(t.Context(), oneNote("note-a", 1, "during")); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Fatalf("append without a database: %v", err)
		}
	}
	if _, err := store.Read(t.Context(), 0, 1); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Fatalf("read without a database: %v", err)
	}
	if _, _, err := store.Replayed(t.Context(), eventstore.Idempotency{Key: "k"}); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Fatalf("look up a key without a database: %v", err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(t.Context(), oneNote("note-a", 1, "after")); err != nil {
		t.Fatalf("append with the database back: %v", err)
	}
	if err := <-woken; err != nil {
		t.Fatal(err)
	}
}

func TestARetryAfterAnOutageIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	server := pgtest.Durable(t)
	store := start(t, pgtest.Open(t, server.DB.URL))
	var answered atomic.Int64
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for v := range 20 {
				a := oneNote(fmt.Sprintf("note-%d", w), eventstore.Version(v), "x")
				a.Idempotency = &eventstore.Idempotency{Key: fmt.Sprintf("%d-%d", w, v), Fingerprint: "f"}
				if insist(t, store, a) {
					answered.Add(1)
				}
			}
		})
	}
	server.Kill()
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	writers.Wait()
	if head, err := store.Head(t.Context()); err != nil || head != 160 || answered.Load() != 160 {
		t.Fatalf("%d appends answered, head %d, %v; want 160 of each", answered.Load(), head, err)
	}
}

// insist repeats an append until it is answered.
func insist(t *testing.T, store *eventstore.Postgres, a eventstore.Append) bool {
	t.Helper()
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for {
		_, err := store.Append(t.Context(), a)
		if err == nil {
			return true
		}
		if !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("append to %s at %d: %v", a.Stream, a.Expected, err)
			return false
		}
		select {
		case <-pause.C:
		case <-t.Context().Done():
			return false
		}
	}
}
