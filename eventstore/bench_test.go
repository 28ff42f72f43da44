package eventstore_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"farshore/domain"
	"farshore/eventstore"
	"farshore/eventstore/eventstoretest"
	"farshore/eventstore/pgtest"
)

const (
	rounds   = 5
	roundFor = 1500 * time.Millisecond
)

// BenchmarkAppendAgainstRawInsert compares appends, with their version check, key
// and leaf hash, with the plainest INSERT PostgreSQL can do: one row, no lock, 16
// connections. Both run in every round, on disk with fsync on, because the disk's
// speed changes from minute to minute; the ratio within a round is the figure.
func BenchmarkAppendAgainstRawInsert(b *testing.B) {
	server := pgtest.Durable(b)
	owner := pgtest.Open(b, server.DB.OwnerURL)
	if _, err := owner.Exec(b.Context(), `CREATE TABLE raw (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data jsonb NOT NULL, metadata jsonb NOT NULL)`); err != nil {
		b.Fatal(err)
	}
	raw := widePool(b, server.DB.URL, 16)
	store := startWith(b, widePool(b, server.DB.URL, 4), eventstore.PostgresConfig{})
	ours := &appender{store: store}
	for b.Loop() {
		var at16, at64, rawRates, rates16, rates64 []float64
		for range rounds {
			base := rate(b, 16, func(ctx context.Context, _, _ int) error { return insertRaw(ctx, raw) })
			of16 := rate(b, 16, ours.append)
			of64 := rate(b, 64, ours.append)
			rawRates, rates16, rates64 = append(rawRates, base), append(rates16, of16), append(rates64, of64)
			at16, at64 = append(at16, of16/base), append(at64, of64/base)
		}
		b.Logf("raw INSERT, 16 connections: %s rows/s", spread(rawRates, "%.0f"))
		b.Logf("append, 16 callers: %s events/s, ratio %s (target 0.6)", spread(rates16, "%.0f"), spread(at16, "%.2f"))
		b.Logf("append, 64 callers: %s events/s, ratio %s (target 0.9)", spread(rates64, "%.0f"), spread(at64, "%.2f"))
		b.ReportMetric(median(at16), "x-raw-at-16")
		b.ReportMetric(median(at64), "x-raw-at-64")
	}
	if head, err := store.Head(b.Context()); err != nil || int64(head) != ours.done.Load() {
		b.Fatalf("%d appends answered, head %d, %v", ours.done.Load(), head, err)
	}
}

// payload is about as large as a shipped delta's event.
var payload = eventstoretest.Noted{Text: strings.Repeat("0123456789abcdef", 19), Bytes: 1 << 40}

type appender struct {
	store *eventstore.Postgres
	run   atomic.Int64
	done  atomic.Int64
}

// append starts a stream of its own.
func (a *appender) append(ctx context.Context, caller, _ int) error {
	stream := fmt.Sprintf("note-%d-%d", a.run.Add(1), caller)
	_, err := a.store.Append(ctx, eventstore.Append{
		Stream: eventstore.StreamID(stream), Events: []domain.Event{payload},
		Metadata:    eventstore.Metadata{Actor: "worker:bench", Vault: "v1", Job: "0198f3a0-0000-7000-8000-000000000000", Request: "0198f3a0-0000-7000-8000-000000000001"},
		Idempotency: &eventstore.Idempotency{Key: stream, Fingerprint: "f"},
	})
	if err == nil {
		a.done.Add(1)
	}
	return err
}

func insertRaw(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, `INSERT INTO raw (data, metadata) VALUES ($1, $2)`, payload, map[string]string{
		"actor": "worker:bench", "vault": "v1", "job": "0198f3a0-0000-7000-8000-000000000000", "request": "0198f3a0-0000-7000-8000-000000000001",
	})
	return err
}

// rate is how many calls a second so many callers get through.
func rate(b *testing.B, callers int, call func(ctx context.Context, caller, n int) error) float64 {
	b.Helper()
	var (
		calls   atomic.Int64
		running sync.WaitGroup
	)
	began := time.Now()
	for caller := range callers {
		running.Go(func() {
			for n := 0; time.Since(began) < roundFor; n++ {
				if err := call(b.Context(), caller, n); err != nil {
					b.Errorf("caller %d: %v", caller, err)
					return
				}
				calls.Add(1)
			}
		})
	}
	running.Wait()
	return float64(calls.Load()) / time.Since(began).Seconds()
}

func widePool(b *testing.B, url string, connections int32) *pgxpool.Pool {
	b.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		b.Fatal(err)
	}
	config.MaxConns, config.MinConns = connections, connections
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return pool
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

func spread(of []float64, format string) string {
	return fmt.Sprintf(format+" ("+format+" to "+format+")", median(of), slices.Min(of), slices.Max(of))
}
