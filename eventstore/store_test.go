package eventstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"farshore/eventstore"
	"farshore/eventstore/eventstoretest"
	"farshore/eventstore/pgtest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, func(t *testing.T) eventstoretest.Subject {
		t.Helper()
		m := eventstore.NewMemory(eventstoretest.Codec(t), time.Now)
		return eventstoretest.Subject{Store: m, SetFence: func(_ testing.TB, item, kind string, token int64) {
			m.SetFence(item+"/"+kind, token)
		}}
	})
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, func(t *testing.T) eventstoretest.Subject {
		t.Helper()
		pool := pgtest.New(t)
		return eventstoretest.Subject{Store: start(t, pool), SetFence: func(tb testing.TB, item, kind string, token int64) {
			tb.Helper()
			_, err := pool.Exec(tb.Context(), `INSERT INTO lanes (item, kind, fence) VALUES ($1, $2, $3)
				ON CONFLICT (item, kind) DO UPDATE SET fence = excluded.fence`, item, kind, token)
			if err != nil {
				tb.Fatal(err)
			}
		}}
	})
}

// start runs a store until the test ends.
func start(tb testing.TB, pool *pgxpool.Pool) *eventstore.Postgres {
	tb.Helper()
	return startWith(tb, pool, eventstore.PostgresConfig{})
}

func startWith(tb testing.TB, pool *pgxpool.Pool, config eventstore.PostgresConfig) *eventstore.Postgres {
	tb.Helper()
	store := eventstore.NewPostgres(pool, eventstoretest.Codec(tb), config)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- store.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("run the store: %v", err)
		}
	})
	return store
}
