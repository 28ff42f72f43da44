package eventstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"farshore/domain"
	"farshore/eventstore"
	"farshore/eventstore/eventstoretest"
	"farshore/eventstore/pgtest"
)

func oneNote(stream string, expected eventstore.Version, text string) eventstore.Append {
	return eventstore.Append{
		Stream: eventstore.StreamID(stream), Expected: expected,
		Events: []domain.Event{eventstoretest.Noted{Text: text}},
	}
}

func TestTheLeafHashCanBeRecomputedFromTheStoredRow(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	store := start(t, pool)
	for i, text := range []string{"plain", "<ü&\u2028\"\\>", "\U0001F30A", "tab\tnewline\n"} {
		a := oneNote([]string{"note-a", "note-\"ü\\"}[i%2], eventstore.Version(i/2), text)
		a.Metadata = eventstore.Metadata{Actor: "system", Vault: "v1", Job: text, Request: "r", Causation: "c", Correlation: "x"}
		if _, err := store.Append(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := pool.Query(t.Context(), `SELECT stream, version, event_id::text, type, data, metadata, leaf_hash FROM events`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var (
			stream, id, eventType string
			version               int64
			data, metadata        json.RawMessage
			stored                []byte
		)
		if err := rows.Scan(&stream, &version, &id, &eventType, &data, &metadata, &stored); err != nil {
			t.Fatal(err)
		}
		// jsonb has reordered and respaced what was stored: the hash does not care.
		hash, err := eventstore.LeafHash(eventstore.StreamID(stream), eventstore.Version(version), id, eventType, data, metadata)
		if err != nil || string(hash[:]) != string(stored) {
			t.Errorf("version %d: recomputed %x, stored %x, %v", version, hash, stored, err)
		}
	}
	if rows.Err() != nil || n != 4 {
		t.Fatalf("%d rows, %v", n, rows.Err())
	}
}

func TestTheBatchGoesOnWhenACallerGivesUp(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	pool, blocker := pgtest.Open(t, db.URL), pgtest.Open(t, db.URL)
	store := start(t, pool)

	// Hold the append lock, so that the batch is inside the database for as long
	// as we like.
	tx, err := blocker.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT pg_advisory_xact_lock(7021933445087254)`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() {
		_, err := store.Append(ctx, oneNote("note-a", 0, "one"))
		gaveUp <- err
	}()
	untilBlocked(t, blocker)
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Fatalf("the caller that gave up: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Wait(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if head, err := store.Head(t.Context()); err != nil || head != 1 {
		t.Fatalf("head %d, %v; want the event of the caller that gave up", head, err)
	}
}

func untilBlocked(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	for blocked := false; !blocked; {
		err := pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&blocked)
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestConcurrentAppendsShareTransactions(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	store := start(t, pool)
	var callers sync.WaitGroup
	for c := range 32 {
		callers.Go(func() {
			for v := range 10 {
				if _, err := store.Append(t.Context(), oneNote(fmt.Sprintf("note-%d", c), eventstore.Version(v), "x")); err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	callers.Wait()
	var transactions int
	if err := pool.QueryRow(t.Context(), `SELECT count(DISTINCT xmin::text) FROM events`).Scan(&transactions); err != nil {
		t.Fatal(err)
	}
	if transactions > 160 {
		t.Fatalf("320 appends of 32 callers took %d transactions", transactions)
	}
}

func TestTwoProcessesShareOneGaplessLog(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	stores := []*eventstore.Postgres{start(t, pgtest.Open(t, db.URL)), start(t, pgtest.Open(t, db.URL))}
	var writers sync.WaitGroup
	for s, store := range stores {
		for w := range 4 {
			writers.Go(func() {
				for v := range 10 {
					if _, err := store.Append(t.Context(), oneNote(fmt.Sprintf("note-%d-%d", s, w), eventstore.Version(v), "x")); err != nil {
						t.Errorf("append: %v", err)
					}
				}
			})
		}
	}
	writers.Wait()
	recs, err := stores[0].Read(t.Context(), 0, 1000)
	if err != nil || len(recs) != 80 || recs[79].Position != 80 {
		t.Fatalf("%d events, %v", len(recs), err)
	}
}

func TestAnotherProcessIsWokenByTheNotification(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	writer := start(t, pgtest.Open(t, db.URL))
	// A poll that never comes: only the notification can wake this one.
	reader := startWith(t, pgtest.Open(t, db.URL), eventstore.PostgresConfig{PollInterval: time.Hour})
	for v := range 3 {
		woken := make(chan error, 1)
		go func() { woken <- reader.Wait(t.Context(), eventstore.Position(v)) }()
		if _, err := writer.Append(t.Context(), oneNote("note-a", eventstore.Version(v), "x")); err != nil {
			t.Fatal(err)
		}
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindNarrowsByVaultJobAndStream(t *testing.T) {
	t.Parallel()
	store := start(t, pgtest.New(t))
	for i, m := range []eventstore.Metadata{{Vault: "v1", Job: "j1"}, {Vault: "v1"}, {Vault: "v2", Job: "j1"}, {}} {
		a := oneNote(fmt.Sprintf("note-%d", i), 0, strconv.Itoa(i))
		a.Metadata = m
		if _, err := store.Append(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	for want, f := range map[string]eventstore.Filter{
		"[1 2]":     {Vault: "v1"},
		"[1]":       {Vault: "v1", Job: "j1"},
		"[3]":       {Stream: "note-2", Job: "j1"},
		"[]":        {Vault: "v3"},
		"[1 2 3 4]": {},
	} {
		recs, err := store.Find(t.Context(), f, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		positions := []eventstore.Position{}
		for _, r := range recs {
			positions = append(positions, r.Position)
		}
		if got := fmt.Sprint(positions); got != want {
			t.Errorf("%+v found %s, want %s", f, got, want)
		}
	}
}

func TestAStoppedStoreAnswersUnavailable(t *testing.T) {
	t.Parallel()
	store := eventstore.NewPostgres(pgtest.New(t), eventstoretest.Codec(t), eventstore.PostgresConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(t.Context(), oneNote("note-a", 0, "x")); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Fatal(err)
	}
}
