package lane_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farshore/eventstore/pgtest"
	"farshore/workers/lane"
)

// hands is a clock that a test sets.
type hands struct{ at atomic.Pointer[time.Time] }

func newHands() *hands {
	h := &hands{}
	h.set(time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC))
	return h
}

func (h *hands) set(t time.Time)             { h.at.Store(&t) }
func (h *hands) now() time.Time              { return *h.at.Load() }
func (h *hands) advance(d time.Duration)     { h.set(h.now().Add(d)) }
func key(item string) lane.Key               { return lane.Key{Item: item, Kind: lane.Replication} }
func due(item string, at time.Time) lane.Due { return lane.Due{Key: key(item), At: at} }

func open(t *testing.T) (*lane.Postgres, *hands) {
	t.Helper()
	h := newHands()
	return &lane.Postgres{Pool: pgtest.New(t), Now: h.now}, h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// claim takes what is due for an owner.
func claim(t *testing.T, p *lane.Postgres, owner string, needs lane.Needs) []lane.Claim {
	t.Helper()
	got, err := p.Claim(t.Context(), lane.ClaimRequest{Owner: owner, Lease: 10 * time.Second, Limit: 10, Needs: needs})
	must(t, err)
	return got
}

func one(t *testing.T, p *lane.Postgres, owner string) lane.Claim {
	t.Helper()
	got := claim(t, p, owner, lane.Needs{})
	if len(got) != 1 {
		t.Fatalf("%s got %d lanes, want one", owner, len(got))
	}
	return got[0]
}

func TestALaneIsClaimedWhenItIsDueAndByOneOnly(t *testing.T) {
	t.Parallel()
	p, h := open(t)
	must(t, p.Upsert(t.Context(), due("a", h.now().Add(time.Minute))))
	if got := claim(t, p, "early", lane.Needs{}); len(got) != 0 {
		t.Errorf("claimed %v before it was due", got)
	}
	h.advance(time.Minute)
	var all atomic.Int64
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			got, err := p.Claim(t.Context(), lane.ClaimRequest{Owner: "w", Lease: time.Minute, Limit: 1})
			if err != nil {
				t.Error(err)
			}
			all.Add(int64(len(got)))
		})
	}
	g.Wait()
	if all.Load() != 1 {
		t.Errorf("%d workers hold the lane", all.Load())
	}
}

func TestAnEarlierDueIsNotPostponedUnlessAsked(t *testing.T) {
	t.Parallel()
	p, h := open(t)
	must(t, p.Upsert(t.Context(), due("a", h.now())))
	must(t, p.Upsert(t.Context(), due("a", h.now().Add(time.Hour))))
	c := one(t, p, "w")
	must(t, p.Release(t.Context(), c, lane.Release{DueAt: h.now()}))
	late := due("a", h.now().Add(time.Hour))
	late.Postpone = true
	must(t, p.Upsert(t.Context(), late))
	if got := claim(t, p, "w", lane.Needs{}); len(got) != 0 {
		t.Errorf("claimed %v, which was postponed", got)
	}
}

func TestALaneMarkedWhileItIsHeldIsDueAfterwards(t *testing.T) {
	t.Parallel()
	p, h := open(t)
	must(t, p.Upsert(t.Context(), due("a", h.now())))
	c := one(t, p, "w")
	must(t, p.Upsert(t.Context(), due("a", h.now())))
	if got := claim(t, p, "other", lane.Needs{}); len(got) != 0 {
		t.Errorf("claimed %v, which is held", got)
	}
	must(t, p.Release(t.Context(), c, lane.Release{DueAt: h.now().Add(time.Hour), Checkpoint: json.RawMessage(`{"at":1}`)}))
	again := one(t, p, "other")
	if again.Fence != c.Fence+1 || string(again.Checkpoint) != `{"at": 1}` {
		t.Errorf("the next claim is %+v after fence %d", again, c.Fence)
	}
	must(t, p.Release(t.Context(), again, lane.Release{}))
	if got := claim(t, p, "w", lane.Needs{}); len(got) != 0 {
		t.Errorf("claimed %v, of which nothing is due", got)
	}
}

func TestALeaseThatRunsOutIsTakenAndItsHolderFenced(t *testing.T) {
	t.Parallel()
	p, h := open(t)
	must(t, p.Upsert(t.Context(), due("a", h.now())))
	dead := one(t, p, "dead")
	h.advance(5 * time.Second)
	if _, err := p.Heartbeat(t.Context(), dead, 10*time.Second, json.RawMessage(`7`)); err != nil {
		t.Fatal(err)
	}
	h.advance(9 * time.Second)
	if got := claim(t, p, "next", lane.Needs{}); len(got) != 0 {
		t.Errorf("claimed %v, whose lease was renewed", got)
	}
	h.advance(2 * time.Second)
	next := one(t, p, "next")
	if next.Fence <= dead.Fence || string(next.Checkpoint) != `7` {
		t.Errorf("the next holder has %+v after fence %d", next, dead.Fence)
	}
	if _, err := p.Heartbeat(t.Context(), dead, time.Minute, nil); !errors.Is(err, lane.ErrFenced) {
		t.Errorf("the dead holder's heartbeat: %v", err)
	}
	if err := p.Release(t.Context(), dead, lane.Release{}); !errors.Is(err, lane.ErrFenced) {
		t.Errorf("the dead holder's release: %v", err)
	}
}

func TestAbandonedLanesAreFreeAtOnce(t *testing.T) {
	t.Parallel()
	p, h := open(t)
	must(t, p.Upsert(t.Context(), due("a", h.now())))
	_ = one(t, p, "dead")
	must(t, p.Abandon(t.Context(), "dead"))
	_ = one(t, p, "next")
}

func TestAWorkerClaimsWhatItReaches(t *testing.T) {
	t.Parallel()
	p, h := open(t)
	far, near := due("far", h.now()), due("near", h.now())
	far.Host, far.Store = "h1", "s1"
	near.Host, near.Store = "h2", "s1"
	must(t, p.Upsert(t.Context(), far))
	must(t, p.Upsert(t.Context(), near))
	must(t, p.Upsert(t.Context(), due("anywhere", h.now())))
	got := claim(t, p, "w", lane.Needs{Hosts: []string{"h2"}, Stores: []string{"s1", "s2"}})
	if len(got) != 2 || got[0].Item == "far" || got[1].Item == "far" {
		t.Errorf("the worker that reaches h2 got %v", got)
	}
	if got := claim(t, p, "w", lane.Needs{Hosts: []string{}, Stores: []string{}}); len(got) != 0 {
		t.Errorf("the worker that reaches nothing got %v", got)
	}
}

// run starts a runner and returns how to stop it.
func run(t *testing.T, p *lane.Postgres, handle lane.Handler) func() {
	t.Helper()
	r := &lane.Runner{
		Lanes: p, Handle: handle, Owner: t.Name(), Concurrency: 2, Lease: 2 * time.Second, Beat: 20 * time.Millisecond,
		Poll: 20 * time.Millisecond, Now: p.Now, Logger: slog.New(slog.DiscardHandler),
	}
	if r.Now == nil {
		r.Now = time.Now
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

func TestARestoredDatabaseHandsOutNoFenceThatHasBeen(t *testing.T) {
	t.Parallel()
	p, h := open(t)
	must(t, p.Upsert(t.Context(), due("a", h.now())))
	var last lane.Claim
	for range 3 {
		last = one(t, p, "w")
		must(t, p.Release(t.Context(), last, lane.Release{DueAt: h.now()}))
	}
	_, err := p.Pool.Exec(t.Context(), `UPDATE lanes SET fence = 0`) // as a backup had it
	must(t, err)
	h.advance(time.Minute)
	if restored := one(t, p, "w"); restored.Fence <= last.Fence {
		t.Errorf("fence %d comes after %d", restored.Fence, last.Fence)
	}
}

func TestAnOutrankedHolderStopsWithinASecond(t *testing.T) {
	t.Parallel()
	p := &lane.Postgres{Pool: pgtest.New(t)}
	began, ended := make(chan struct{}, 9), make(chan error, 9)
	var turns atomic.Int64
	run(t, p, func(ctx context.Context, _ *lane.Session) (lane.Result, error) {
		began <- struct{}{}
		if turns.Add(1) > 1 {
			return lane.Result{}, nil
		}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return lane.Result{}, ctx.Err()
	})
	must(t, p.Upsert(t.Context(), due("a", time.Now())))
	<-began
	asked := time.Now()
	d := due("a", time.Now())
	d.Interrupt = true
	must(t, p.Upsert(t.Context(), d))
	if cause := <-ended; !errors.Is(cause, lane.ErrCanceled) || time.Since(asked) > time.Second {
		t.Errorf("stopped by %v after %s", cause, time.Since(asked))
	}
	<-began // the lane is taken again for what outranked it
}

func TestACheckpointReachesTheNextHolder(t *testing.T) {
	t.Parallel()
	p := &lane.Postgres{Pool: pgtest.New(t)}
	var restored atomic.Int64
	saved, done := make(chan struct{}), make(chan struct{})
	stop := run(t, p, func(ctx context.Context, s *lane.Session) (lane.Result, error) {
		must(t, s.Checkpoint(41))
		close(saved)
		<-ctx.Done()
		must(t, s.Checkpoint(42))
		return lane.Result{}, ctx.Err()
	})
	must(t, p.Upsert(t.Context(), due("a", time.Now())))
	<-saved
	stop()
	run(t, p, func(_ context.Context, s *lane.Session) (lane.Result, error) {
		var v int64
		_, err := s.Restore(&v)
		must(t, err)
		restored.Store(v)
		close(done)
		return lane.Result{}, nil
	})
	<-done
	if restored.Load() != 42 {
		t.Errorf("the next holder restored %d", restored.Load())
	}
}

func TestASavedCheckpointIsDurableWhenItReturns(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	p := &lane.Postgres{Pool: pool}
	done := make(chan string)
	run(t, p, func(ctx context.Context, s *lane.Session) (lane.Result, error) {
		must(t, s.Checkpoint(41))
		must(t, s.Save(ctx, 42))
		var text string
		must(t, pool.QueryRow(ctx, `SELECT checkpoint::text FROM lanes`).Scan(&text))
		done <- text
		return lane.Result{}, nil
	})
	must(t, p.Upsert(t.Context(), due("a", time.Now())))
	if got := <-done; got != "42" {
		t.Errorf("the lane's checkpoint is %s", got)
	}
}

func TestASaveOfALaneThatHasPassedOnFails(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	p := &lane.Postgres{Pool: pool}
	failed := make(chan error, 1)
	stop := run(t, p, func(ctx context.Context, s *lane.Session) (lane.Result, error) {
		_, err := pool.Exec(ctx, `UPDATE lanes SET fence = fence + 1`)
		must(t, err)
		failed <- s.Save(ctx, 1)
		<-ctx.Done()
		return lane.Result{}, ctx.Err()
	})
	must(t, p.Upsert(t.Context(), due("a", time.Now())))
	if err := <-failed; !errors.Is(err, lane.ErrFenced) {
		t.Errorf("saved: %v", err)
	}
	stop()
}

func TestARunnerStaysWithinItsNumber(t *testing.T) {
	t.Parallel()
	p := &lane.Postgres{Pool: pgtest.New(t)}
	var now, most atomic.Int64
	var all sync.WaitGroup
	all.Add(6)
	run(t, p, func(context.Context, *lane.Session) (lane.Result, error) {
		n := now.Add(1)
		m := most.Load()
		for n > m && !most.CompareAndSwap(m, n) {
			m = most.Load()
		}
		<-time.After(30 * time.Millisecond)
		now.Add(-1)
		all.Done()
		return lane.Result{}, nil
	})
	for _, item := range []string{"a", "b", "c", "d", "e", "f"} {
		must(t, p.Upsert(t.Context(), due(item, time.Now().Add(-time.Second))))
	}
	all.Wait()
	if most.Load() > 2 {
		t.Errorf("%d lanes were held at once", most.Load())
	}
}

func TestLanesOfPlansAreForWhoeverAsksForThem(t *testing.T) {
	t.Parallel()
	p, h := open(t)
	plan := lane.Due{Key: lane.Key{Item: "v.shop", Kind: lane.Plan}, At: h.now()}
	must(t, p.Upsert(t.Context(), plan))
	must(t, p.Upsert(t.Context(), due("v.web", h.now())))
	for _, tt := range []struct {
		kinds []lane.Kind
		want  string
	}{{lane.ItemKinds(), "v.web"}, {[]lane.Kind{lane.Plan}, "v.shop"}, {nil, ""}} {
		got, err := p.Claim(t.Context(), lane.ClaimRequest{Owner: "w", Lease: time.Minute, Limit: 9, Kinds: tt.kinds})
		must(t, err)
		if len(got) > 1 || len(got) == 1 && got[0].Item != tt.want || len(got) == 0 && tt.want != "" {
			t.Errorf("of %v claimed %+v, want %s", tt.kinds, got, tt.want)
		}
	}
}

// cutOff is a table of lanes whose holder is cut off from it at some time.
type cutOff struct {
	lane.Lanes
	at chan struct{}
}

func (c cutOff) Heartbeat(ctx context.Context, held lane.Claim, lease time.Duration, checkpoint json.RawMessage) (bool, error) {
	select {
	case <-c.at:
		<-ctx.Done() // as on a line on which nothing comes back
		return false, ctx.Err()
	default:
		return c.Lanes.Heartbeat(ctx, held, lease, checkpoint)
	}
}

func TestWhatIsLeasedEndsBeforeAnotherCanHoldTheLane(t *testing.T) {
	t.Parallel()
	const lease = 3 * time.Second
	p := &lane.Postgres{Pool: pgtest.New(t)}
	lanes := cutOff{p, make(chan struct{})}
	ended := make(chan error, 1)
	r := &lane.Runner{
		Lanes: lanes, Owner: "w", Lease: lease, Beat: 20 * time.Millisecond, Poll: 20 * time.Millisecond, Now: time.Now,
		Handle: func(ctx context.Context, s *lane.Session) (lane.Result, error) {
			leased, done := s.Leased(ctx)
			defer done()
			// As long as the lease is renewed, it goes on for longer than one.
			var left time.Duration
			for began := time.Now(); time.Since(began) < lease && leased.Err() == nil; {
				must(t, p.Pool.QueryRow(ctx, `SELECT lease_until - clock_timestamp() FROM lanes`).Scan(&left))
			}
			if leased.Err() != nil || left < lease/2 {
				t.Errorf("what is renewed has ended by %v, %s before its lease does", context.Cause(leased), left)
			}
			close(lanes.at)
			<-leased.Done()
			must(t, p.Pool.QueryRow(ctx, `SELECT lease_until - clock_timestamp() FROM lanes`).Scan(&left))
			if left <= 0 || left > lease/2 {
				t.Errorf("it has ended %s before its lease does", left)
			}
			ended <- context.Cause(leased)
			return lane.Result{}, ctx.Err()
		},
	}
	must(t, p.Upsert(t.Context(), due("a", time.Now())))
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- r.Run(ctx) }()
	if cause := <-ended; !errors.Is(cause, lane.ErrLapsed) {
		t.Errorf("ended by %v", cause)
	}
	stop()
	must(t, <-stopped)
}
