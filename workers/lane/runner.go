package lane

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Lanes is what a Runner asks of the table of lanes.
type Lanes interface {
	Claim(ctx context.Context, req ClaimRequest) ([]Claim, error)
	Heartbeat(ctx context.Context, c Claim, lease time.Duration, checkpoint json.RawMessage) (canceled bool, err error)
	Release(ctx context.Context, c Claim, r Release) error
}

var _ Lanes = (*Postgres)(nil)

// Result is a handler's opinion on when its lane is due next.
type Result struct {
	DueAt   time.Time // zero: when an event says so
	Attempt int
}

// Handler does what is due on a lane. Its context ends with ErrFenced,
// ErrCanceled or the Runner's own end; it then stops at the next resumable place.
type Handler func(ctx context.Context, s *Session) (Result, error)

// Runner works on due lanes, a bounded number at a time.
type Runner struct {
	Lanes       Lanes
	Handle      Handler
	Owner       string        // unique to the process
	Concurrency int           // lanes held at once; 4 when zero
	Lease       time.Duration // 15 s when zero
	Beat        time.Duration // 400 ms when zero: an outranked transfer stops within a second
	Poll        time.Duration // the floor under wake-ups; 500 ms when zero
	Wake        <-chan struct{}
	Kinds       []Kind       // of the lanes it works on; nil: every kind
	Needs       func() Needs // what this worker reaches now; nil: everything
	Now         func() time.Time
	Logger      *slog.Logger

	mu   sync.Mutex
	held map[Key]bool
	away bool // the database did not answer the last claim
}

// releaseWithin bounds how long a stopping worker tries to give its lanes back;
// after that their leases run out by themselves.
const releaseWithin = 3 * time.Second

// faultPause keeps a lane whose handler has a fault from spinning.
const faultPause = 5 * time.Second

// Run claims and works until ctx ends, and returns once everything it started
// has stopped. While PostgreSQL is away it waits.
func (r *Runner) Run(ctx context.Context) error {
	r.defaults()
	var (
		running sync.WaitGroup
		slots   = make(chan struct{}, r.Concurrency)
		freed   = make(chan struct{}, 1)
	)
	defer running.Wait()
	for {
		asked := r.Now()
		claims, err := r.claim(ctx, r.Concurrency-len(slots))
		r.tell(ctx, err)
		for _, c := range claims {
			slots <- struct{}{}
			r.hold(c.Key)
			running.Go(func() {
				r.work(ctx, c, asked)
				r.letGo(c.Key)
				<-slots
				nudge(freed)
			})
		}
		if err := r.idle(ctx, freed); err != nil {
			return nil
		}
	}
}

func (r *Runner) defaults() {
	r.held = map[Key]bool{}
	if r.Concurrency == 0 {
		r.Concurrency = 4
	}
	if r.Lease == 0 {
		r.Lease = 15 * time.Second
	}
	if r.Beat == 0 {
		r.Beat = 400 * time.Millisecond
	}
	if r.Poll == 0 {
		r.Poll = 500 * time.Millisecond
	}
	if r.Logger == nil {
		r.Logger = slog.New(slog.DiscardHandler)
	}
}

// tell says once that lanes cannot be claimed, and once that they can be again.
func (r *Runner) tell(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil && !r.away:
		r.Logger.WarnContext(ctx, "lanes cannot be claimed; waiting", "error", err)
	case err == nil && r.away:
		r.Logger.InfoContext(ctx, "lanes can be claimed again")
	}
	r.away = err != nil
}

func (r *Runner) hold(k Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held[k] = true
}

func (r *Runner) letGo(k Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.held, k)
}

func (r *Runner) holds() []Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.held))
}

func (r *Runner) claim(ctx context.Context, limit int) ([]Claim, error) {
	if limit <= 0 {
		return nil, nil
	}
	req := ClaimRequest{Owner: r.Owner, Lease: r.Lease, Limit: limit, Kinds: r.Kinds, Held: r.holds()}
	if r.Needs != nil {
		req.Needs = r.Needs()
	}
	return r.Lanes.Claim(ctx, req)
}

// idle waits for a wake-up, a free slot or the next poll.
func (r *Runner) idle(ctx context.Context, freed <-chan struct{}) error {
	timer := time.NewTimer(r.Poll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.Wake:
	case <-freed:
	case <-timer.C:
	}
	return nil
}

// work does what is due on a lane whose lease was asked for at an instant.
func (r *Runner) work(parent context.Context, c Claim, asked time.Time) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	s := &Session{
		claim: c, lanes: r.Lanes, lease: r.Lease, every: r.Beat, now: r.Now, cancel: cancel, logger: r.Logger, checkpoint: c.Checkpoint, saved: true, renewed: asked,
	}

	var beating sync.WaitGroup
	beatCtx, stop := context.WithCancel(ctx)
	beating.Go(func() { s.keep(beatCtx) })
	res, err := r.Handle(ctx, s)
	stop()
	beating.Wait()

	if errors.Is(err, ErrFenced) || errors.Is(context.Cause(ctx), ErrFenced) {
		r.Logger.InfoContext(parent, "lane has passed to another worker", "lane", c.String(), "fence", c.Fence)
		return
	}
	rel := Release{DueAt: res.DueAt, Attempt: res.Attempt, Checkpoint: s.current()}
	if ctx.Err() != nil {
		rel.DueAt = r.Now() // stopped on the way: whoever claims it goes on at once
	} else if err != nil {
		r.Logger.ErrorContext(ctx, "lane has a fault", "lane", c.String(), "error", err)
		rel.DueAt, rel.Attempt = r.Now().Add(faultPause), c.Attempt+1
	}
	r.release(parent, c, rel)
}

// release insists, for a lane that is not given back is nobody's until its
// lease runs out.
func (r *Runner) release(parent context.Context, c Claim, rel Release) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(parent), releaseWithin)
	defer cancel()
	err := r.Lanes.Release(ctx, c, rel)
	for err != nil && !errors.Is(err, ErrFenced) && parent.Err() == nil {
		if r.idle(parent, nil) != nil {
			break
		}
		again, done := context.WithTimeout(context.WithoutCancel(parent), releaseWithin)
		err = r.Lanes.Release(again, c, rel)
		done()
	}
	if err != nil && !errors.Is(err, ErrFenced) {
		r.Logger.WarnContext(parent, "lane was not released", "lane", c.String(), "error", err)
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
