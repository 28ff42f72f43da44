package projections_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"farshore/domain"
	"farshore/eventstore"
	"farshore/eventstore/eventstoretest"
	"farshore/eventstore/pgtest"
	"farshore/projections"
)

// tally counts events by stream. It refuses the text "poison".
type tally struct {
	name    string
	version int
	cured   atomic.Bool
	largest atomic.Int64
}

func (p *tally) Name() string { return p.name }
func (p *tally) Version() int { return p.version }

func (p *tally) Apply(ctx context.Context, tx pgx.Tx, batch []eventstore.Recorded) error {
	p.largest.Store(max(p.largest.Load(), int64(len(batch))))
	counts := map[string]int64{}
	for _, rec := range batch {
		if n, ok := rec.Event.(eventstoretest.Noted); ok && n.Text == "poison" && !p.cured.Load() {
			return errors.New("poison")
		}
		counts[string(rec.Stream)]++
	}
	var streams []string
	var numbers []int64
	for s, n := range counts {
		streams, numbers = append(streams, s), append(numbers, n)
	}
	_, err := tx.Exec(ctx, `INSERT INTO `+p.name+` (stream, n) SELECT * FROM unnest($1::text[], $2::bigint[])
		ON CONFLICT (stream) DO UPDATE SET n = `+p.name+`.n + excluded.n`, streams, numbers)
	if err != nil {
		return fmt.Errorf("add counts: %w", err)
	}
	return nil
}

func (p *tally) Reset(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `DELETE FROM `+p.name)
	return err
}

// bench is a log, a pool and the tables of some tallies.
type bench struct {
	pool  *pgxpool.Pool
	store *eventstore.Postgres
}

func setUp(tb testing.TB, tables ...string) bench {
	tb.Helper()
	db := pgtest.Database(tb)
	owner := pgtest.Open(tb, db.OwnerURL)
	for _, name := range tables {
		if _, err := owner.Exec(tb.Context(), `CREATE TABLE `+name+` (stream text PRIMARY KEY, n bigint NOT NULL)`); err != nil {
			tb.Fatal(err)
		}
	}
	b := bench{pool: pgtest.Open(tb, db.URL)}
	b.store = eventstore.NewPostgres(b.pool, eventstoretest.Codec(tb), eventstore.PostgresConfig{})
	inBackground(tb, b.store.Run)
	return b
}

// inBackground runs something until the test ends.
func inBackground(tb testing.TB, run func(context.Context) error) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	var stopped atomic.Bool
	stop = func() {
		cancel()
		if stopped.CompareAndSwap(false, true) {
			if err := <-done; err != nil {
				tb.Errorf("run: %v", err)
			}
		}
	}
	tb.Cleanup(stop)
	return stop
}

func (b bench) add(tb testing.TB, stream string, from, n int, text string) eventstore.Position {
	tb.Helper()
	a := eventstore.Append{Stream: eventstore.StreamID(stream), Expected: eventstore.Version(from)}
	for range n {
		a.Events = append(a.Events, domain.Event(eventstoretest.Noted{Text: text}))
	}
	done, err := b.store.Append(tb.Context(), a)
	if err != nil {
		tb.Fatal(err)
	}
	return done.Position
}

func (b bench) total(tb testing.TB, table string) (n int) {
	tb.Helper()
	if err := b.pool.QueryRow(tb.Context(), `SELECT coalesce(sum(n), 0) FROM `+table).Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

func (b bench) runner(tb testing.TB, p ...projections.Projection) *projections.Runner {
	tb.Helper()
	r, err := projections.NewRunner(b.pool, b.store, nil, p...)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestABadEventStopsOnlyTheProjectionThatCannotApplyIt(t *testing.T) {
	t.Parallel()
	b := setUp(t, "well", "ill")
	well, ill := &tally{name: "well", version: 1}, &tally{name: "ill", version: 1}
	well.cured.Store(true)
	r := b.runner(t, well, ill)
	b.add(t, "note-a", 0, 3, "fine")
	b.add(t, "note-a", 3, 1, "poison")
	last := b.add(t, "note-a", 4, 2, "fine")
	inBackground(t, r.Run)

	if err := r.WaitFor(t.Context(), last, "well"); err != nil {
		t.Fatal(err)
	}
	if err := r.WaitFor(t.Context(), last, "ill"); !errors.Is(err, projections.ErrProjectionStopped) {
		t.Fatalf("wait for the stopped one: %v", err)
	}
	if n := b.total(t, "ill"); n != 3 {
		t.Fatalf("%d events before the bad one applied, want 3", n)
	}
	untilFailed(t, r, "ill")
	lags, err := r.Lags(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if l := lags[0]; l.Name != "ill" || l.Position != 3 || l.Behind != 3 || l.Age <= 0 || !strings.Contains(l.Failure, "position 4") || !strings.Contains(l.Failure, "poison") {
		t.Fatalf("lag of the stopped one: %+v", l)
	}
	if l := lags[1]; l.Behind != 0 || l.Failure != "" {
		t.Fatalf("lag of the other: %+v", l)
	}

	ill.cured.Store(true)
	if err := r.Rebuild(t.Context(), "ill"); err != nil {
		t.Fatal(err)
	}
	if err := r.WaitFor(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if n := b.total(t, "ill"); n != 6 {
		t.Fatalf("%d events after the rebuild, want 6", n)
	}
}

// untilFailed waits for the failure to be written down, which other processes read.
func untilFailed(t *testing.T, r *projections.Runner, name string) {
	t.Helper()
	for {
		lags, err := r.Lags(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lags {
			if l.Name == name && l.Failure != "" {
				return
			}
		}
	}
}

func TestTwoProjectorsApplyEveryEventOnce(t *testing.T) {
	t.Parallel()
	b := setUp(t, "shared")
	one, two := b.runner(t, &tally{name: "shared", version: 1}), b.runner(t, &tally{name: "shared", version: 1})
	inBackground(t, one.Run)
	inBackground(t, two.Run)
	var last eventstore.Position
	for i := range 50 {
		last = b.add(t, "note-a", i*3, 3, "fine")
	}
	for _, r := range []*projections.Runner{one, two} {
		if err := r.WaitFor(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.total(t, "shared"); n != 150 {
		t.Fatalf("%d events counted, want 150", n)
	}
}

func TestARestartGoesOnWhereTheLastRunStopped(t *testing.T) {
	t.Parallel()
	b := setUp(t, "kept")
	first := b.runner(t, &tally{name: "kept", version: 1})
	stop := inBackground(t, first.Run)
	if err := first.WaitFor(t.Context(), b.add(t, "note-a", 0, 5, "fine")); err != nil {
		t.Fatal(err)
	}
	stop()
	last := b.add(t, "note-a", 5, 5, "fine")
	second := b.runner(t, &tally{name: "kept", version: 1})
	inBackground(t, second.Run)
	if err := second.WaitFor(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if n := b.total(t, "kept"); n != 10 {
		t.Fatalf("%d events counted, want 10", n)
	}
}

func TestANewVersionIsBuiltFromTheStart(t *testing.T) {
	t.Parallel()
	b := setUp(t, "grown")
	last := b.add(t, "note-a", 0, 5, "fine")
	old := b.runner(t, &tally{name: "grown", version: 1})
	stop := inBackground(t, old.Run)
	if err := old.WaitFor(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	stop()
	newer := b.runner(t, &tally{name: "grown", version: 2})
	stop = inBackground(t, newer.Run)
	last = b.add(t, "note-a", 5, 1, "fine")
	if err := newer.WaitFor(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if n := b.total(t, "grown"); n != 6 {
		t.Fatalf("%d events counted, want 6", n)
	}
	stop()

	// The older program leaves the newer one's tables alone.
	inBackground(t, old.Run)
	last = b.add(t, "note-a", 6, 1, "fine")
	if err := old.WaitFor(t.Context(), last); !errors.Is(err, projections.ErrProjectionStopped) {
		t.Fatalf("the older program's projection: %v", err)
	}
	if n := b.total(t, "grown"); n != 6 {
		t.Fatalf("%d events counted, want the newer program's 6", n)
	}
}

func TestAnotherProcessCanBeWaitedFor(t *testing.T) {
	t.Parallel()
	b := setUp(t, "elsewhere")
	projector, reader := b.runner(t, &tally{name: "elsewhere", version: 1}), b.runner(t, &tally{name: "elsewhere", version: 1})
	inBackground(t, projector.Run)
	if err := reader.WaitFor(t.Context(), b.add(t, "note-a", 0, 1, "fine"), "elsewhere"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := reader.WaitFor(ctx, 1000); !errors.Is(err, context.Canceled) {
		t.Fatalf("a wait that is given up: %v", err)
	}
	if err := reader.WaitFor(t.Context(), 1, "nonesuch"); err == nil {
		t.Fatal("waiting for a projection that does not exist succeeded")
	}
}

func TestCatchUpWorksInLargeBatches(t *testing.T) {
	t.Parallel()
	b := setUp(t, "bulk")
	var last eventstore.Position
	for i := range 5 {
		last = b.add(t, fmt.Sprintf("note-%d", i), 0, 1000, "fine")
	}
	p := &tally{name: "bulk", version: 1}
	r := b.runner(t, p)
	inBackground(t, r.Run)
	if err := r.WaitFor(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if n := b.total(t, "bulk"); n != 5000 || p.largest.Load() != 2000 {
		t.Fatalf("%d events counted in batches of up to %d", n, p.largest.Load())
	}
}

// BenchmarkCatchUpAgainstOneByOne compares the runner's catch-up with a projector
// that gives every event a transaction of its own, in the same round, on disk and
// with fsync on.
func BenchmarkCatchUpAgainstOneByOne(b *testing.B) {
	const events, rounds, single = 100_000, 5, 400
	server := pgtest.Durable(b)
	owner := pgtest.Open(b, server.DB.OwnerURL)
	if _, err := owner.Exec(b.Context(), `CREATE TABLE counted (stream text PRIMARY KEY, n bigint NOT NULL)`); err != nil {
		b.Fatal(err)
	}
	on := bench{pool: pgtest.Open(b, server.DB.URL)}
	on.store = eventstore.NewPostgres(on.pool, eventstoretest.Codec(b), eventstore.PostgresConfig{})
	inBackground(b, on.store.Run)
	var last eventstore.Position
	for i := range events / 200 {
		last = on.add(b, fmt.Sprintf("note-%d", i), 0, 200, strings.Repeat("0123456789abcdef", 20))
	}
	p := &tally{name: "counted", version: 1}
	for b.Loop() {
		var slow, fast, ratios []float64
		for range rounds {
			s := oneByOne(b, on, p, single)
			f := catchUp(b, on, p, last)
			slow, fast, ratios = append(slow, s), append(fast, f), append(ratios, f/s)
		}
		b.Logf("one event per transaction: %s events/s", spread(slow))
		b.Logf("catch-up: %s events/s, ratio %s (target 50)", spread(fast), spread(ratios))
		b.ReportMetric(slices.Sorted(slices.Values(ratios))[rounds/2], "x-one-by-one")
	}
}

func oneByOne(b *testing.B, on bench, p *tally, n int) float64 {
	b.Helper()
	batch, err := on.store.Read(b.Context(), 0, n)
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	for i := range batch {
		err := pgx.BeginFunc(b.Context(), on.pool, func(tx pgx.Tx) error {
			if err := p.Apply(b.Context(), tx, batch[i:i+1]); err != nil {
				return err
			}
			_, err := tx.Exec(b.Context(), `INSERT INTO checkpoints (name, position) VALUES ('single', $1)
				ON CONFLICT (name) DO UPDATE SET position = excluded.position`, batch[i].Position)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return float64(n) / time.Since(began).Seconds()
}

func catchUp(b *testing.B, on bench, p *tally, last eventstore.Position) float64 {
	b.Helper()
	r := on.runner(b, p)
	if err := r.Rebuild(b.Context(), p.Name()); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	stop := inBackground(b, r.Run)
	defer stop()
	if err := r.WaitFor(b.Context(), last); err != nil {
		b.Fatal(err)
	}
	rate := float64(last) / time.Since(began).Seconds()
	if n := on.total(b, p.Name()); n != int(last) {
		b.Fatalf("%d events counted, want %d", n, last)
	}
	return rate
}

func spread(of []float64) string {
	sorted := slices.Sorted(slices.Values(of))
	return fmt.Sprintf("%.0f (%.0f to %.0f)", sorted[len(sorted)/2], sorted[0], sorted[len(sorted)-1])
}
