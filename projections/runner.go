package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"farshore/eventstore"
)

const (
	batchSize  = 2000
	idleCheck  = 2 * time.Second        // how soon a rebuild asked for elsewhere is noticed
	retryPause = 500 * time.Millisecond // while the database is away
	otherCheck = 25 * time.Millisecond  // WaitFor's look at projections run by another process
)

// ErrProjectionStopped reports a projection that has met an event it cannot apply.
var ErrProjectionStopped = errors.New("projection has stopped")

// Projection is a read model: tables that are folded from the log and can be
// rebuilt from it at will.
type Projection interface {
	// Name is the projection's key in the table checkpoints.
	Name() string
	// Version grows with every change of what Apply makes of an event. A stored
	// state of a lower version is thrown away and built anew.
	Version() int
	// Apply folds a batch into the tables, best with few statements. Checkpoint and
	// rows are committed together, so no event is applied twice.
	Apply(ctx context.Context, tx pgx.Tx, batch []eventstore.Recorded) error
	// Reset empties the tables.
	Reset(ctx context.Context, tx pgx.Tx) error
}

// Runner keeps projections up to date. Any number of processes may run the same
// ones: the row lock on the checkpoint lets one at a time work.
type Runner struct {
	pool   *pgxpool.Pool
	log    eventstore.Reader
	logger *slog.Logger
	tracks []*track
	names  map[string]*track
	active atomic.Bool // Run is running here
}

// track is one projection and how far it has come.
type track struct {
	Projection
	nudge chan struct{} // a rebuild was asked for

	mu       sync.Mutex
	position eventstore.Position
	failure  string
	wake     context.CancelFunc // ends the present rest; nil while at work
	moved    chan struct{}      // closed and replaced when position or failure change
}

// NewRunner returns a runner. A nil logger logs nothing.
func NewRunner(pool *pgxpool.Pool, log eventstore.Reader, logger *slog.Logger, projections ...Projection) (*Runner, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	r := &Runner{pool: pool, log: log, logger: logger, names: map[string]*track{}}
	for _, p := range projections {
		if _, taken := r.names[p.Name()]; taken {
			return nil, fmt.Errorf("register projection %s: the name is taken", p.Name())
		}
		t := &track{Projection: p, nudge: make(chan struct{}, 1), moved: make(chan struct{})}
		r.tracks, r.names[p.Name()] = append(r.tracks, t), t
	}
	return r, nil
}

// Run keeps all projections up to date until ctx ends. A projection that fails
// stops alone, with the reason in its checkpoint; it is tried again by Rebuild
// and by the next Run.
func (r *Runner) Run(ctx context.Context) error {
	r.active.Store(true)
	defer r.active.Store(false)
	var all sync.WaitGroup
	for _, t := range r.tracks {
		all.Go(func() { r.follow(ctx, t) })
	}
	all.Wait()
	return nil
}

// follow keeps one projection up to date.
func (r *Runner) follow(ctx context.Context, t *track) {
	if c, err := r.checkpoint(ctx, t.Name()); err == nil {
		t.set(c.position, "")
	}
	for ctx.Err() == nil {
		more, err := r.advance(ctx, t, batchSize)
		if err == nil && !more {
			err = r.rest(ctx, t)
		}
		switch {
		case err == nil, ctx.Err() != nil:
		case transient(ctx, err):
			r.logger.DebugContext(ctx, "projection waits for the database", "projection", t.Name(), "error", err)
			pause(ctx, retryPause, nil)
		default:
			r.isolate(ctx, t)
		}
	}
}

// rest returns when there may be something to do.
func (r *Runner) rest(ctx context.Context, t *track) error {
	waiting, cancel := context.WithTimeout(ctx, idleCheck)
	defer cancel()
	t.setWake(cancel)
	defer t.setWake(nil)
	select {
	case <-t.nudge:
		return nil
	default:
	}
	err := r.log.Wait(waiting, t.at()) // blocks outside of any transaction
	if waiting.Err() != nil {
		return nil
	}
	return err
}

// isolate goes through a batch that failed event by event, so that what precedes
// the bad one is applied, records the failure and waits for a rebuild.
func (r *Runner) isolate(ctx context.Context, t *track) {
	for ctx.Err() == nil {
		more, err := r.advance(ctx, t, 1)
		switch {
		case err == nil && more:
		case err == nil:
			return // it went well this time
		case transient(ctx, err):
			pause(ctx, retryPause, nil)
		default:
			r.halt(ctx, t, err)
			return
		}
	}
}

// halt records why a projection has stopped and returns once it has been rebuilt.
func (r *Runner) halt(ctx context.Context, t *track, cause error) {
	if ctx.Err() != nil {
		return
	}
	text := fmt.Sprintf("position %d: %v", t.at()+1, cause)
	r.logger.ErrorContext(ctx, "projection stopped", "projection", t.Name(), "position", t.at()+1, "error", cause)
	t.set(t.at(), text)
	for recorded := false; ctx.Err() == nil; {
		if !recorded {
			recorded = r.recordFailure(ctx, t, text) == nil
		} else if c, err := r.checkpoint(ctx, t.Name()); err == nil && c.failure == "" && c.version <= t.Version() {
			return // rebuilt by another process
		}
		if pause(ctx, idleCheck, t.nudge) {
			return
		}
	}
}

// advance applies the next batch and reports whether there may be more.
func (r *Runner) advance(ctx context.Context, t *track, limit int) (bool, error) {
	batch, err := r.log.Read(ctx, t.at(), limit)
	if err != nil {
		return false, fmt.Errorf("read events for %s: %w", t.Name(), err)
	}
	var now eventstore.Position
	err = pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		from, err := r.lock(ctx, tx, t)
		if err != nil {
			return err
		}
		if now = from; from != t.at() {
			return nil // another process has worked on it, or it was reset: read from there
		}
		if len(batch) == 0 {
			return nil
		}
		if err := t.Apply(ctx, tx, batch); err != nil {
			return fmt.Errorf("apply to %s: %w", t.Name(), err)
		}
		now = batch[len(batch)-1].Position
		return r.move(ctx, tx, t, now)
	})
	if err != nil {
		return false, err //nolint:wrapcheck // wrapped inside
	}
	more := now != t.at()
	t.set(now, "")
	return more, nil
}

// lock takes the checkpoint's row, which makes us the only projector, and resets
// a projection of a lower version.
func (r *Runner) lock(ctx context.Context, tx pgx.Tx, t *track) (eventstore.Position, error) {
	const (
		insert = `INSERT INTO checkpoints (name, version) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`
		take   = `SELECT position, version FROM checkpoints WHERE name = $1 FOR UPDATE`
	)
	var (
		position eventstore.Position
		version  int
	)
	err := tx.QueryRow(ctx, take, t.Name()).Scan(&position, &version)
	if errors.Is(err, pgx.ErrNoRows) {
		if _, err := tx.Exec(ctx, insert, t.Name(), t.Version()); err != nil {
			return 0, fmt.Errorf("make checkpoint of %s: %w", t.Name(), err)
		}
		err = tx.QueryRow(ctx, take, t.Name()).Scan(&position, &version)
	}
	if err != nil {
		return 0, fmt.Errorf("lock checkpoint of %s: %w", t.Name(), err)
	}
	if version > t.Version() {
		return 0, fmt.Errorf("project %s at version %d: a newer program has brought it to %d", t.Name(), t.Version(), version)
	}
	if version < t.Version() {
		return 0, r.reset(ctx, tx, t)
	}
	return position, nil
}

func (r *Runner) reset(ctx context.Context, tx pgx.Tx, t *track) error {
	const update = `UPDATE checkpoints SET position = 0, version = $2, error = NULL, updated_at = now() WHERE name = $1`
	if err := t.Reset(ctx, tx); err != nil {
		return fmt.Errorf("reset %s: %w", t.Name(), err)
	}
	if _, err := tx.Exec(ctx, update, t.Name(), t.Version()); err != nil {
		return fmt.Errorf("reset checkpoint of %s: %w", t.Name(), err)
	}
	return nil
}

func (r *Runner) move(ctx context.Context, tx pgx.Tx, t *track, to eventstore.Position) error {
	const update = `UPDATE checkpoints SET position = $2, error = NULL, updated_at = now() WHERE name = $1`
	if _, err := tx.Exec(ctx, update, t.Name(), to); err != nil {
		return fmt.Errorf("move checkpoint of %s: %w", t.Name(), err)
	}
	return nil
}

func (r *Runner) recordFailure(ctx context.Context, t *track, text string) error {
	const upsert = `INSERT INTO checkpoints (name, version, error) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET error = excluded.error, updated_at = now()
		WHERE checkpoints.version <= excluded.version`
	if _, err := r.pool.Exec(ctx, upsert, t.Name(), t.Version(), text); err != nil {
		return fmt.Errorf("record failure of %s: %w", t.Name(), err)
	}
	return nil
}

// checkpoint is what another process sees of a projection.
type checkpoint struct {
	position eventstore.Position
	version  int
	failure  string
}

func (r *Runner) checkpoint(ctx context.Context, name string) (checkpoint, error) {
	const query = `SELECT position, version, coalesce(error, '') FROM checkpoints WHERE name = $1`
	var c checkpoint
	err := r.pool.QueryRow(ctx, query, name).Scan(&c.position, &c.version, &c.failure)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return c, fmt.Errorf("read checkpoint of %s: %w", name, eventstore.Classify(ctx, err))
	}
	return c, nil
}

// Rebuild empties a projection and folds the log into it anew. It returns once
// the projection is empty; a Run, in this process or another, fills it.
func (r *Runner) Rebuild(ctx context.Context, name string) error {
	t, ok := r.names[name]
	if !ok {
		return fmt.Errorf("rebuild %s: no such projection; there are %v", name, r.Names())
	}
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := r.lock(ctx, tx, t); err != nil {
			return err
		}
		return r.reset(ctx, tx, t)
	})
	if err != nil {
		return fmt.Errorf("rebuild %s: %w", name, err)
	}
	t.set(0, "")
	t.rouse()
	return nil
}

// Names lists the projections.
func (r *Runner) Names() []string {
	names := make([]string, 0, len(r.tracks))
	for _, t := range r.tracks {
		names = append(names, t.Name())
	}
	slices.Sort(names)
	return names
}

func (t *track) at() eventstore.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.position
}

func (t *track) set(position eventstore.Position, failure string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.position == position && t.failure == failure {
		return
	}
	t.position, t.failure = position, failure
	close(t.moved)
	t.moved = make(chan struct{})
}

func (t *track) state() (eventstore.Position, string, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.position, t.failure, t.moved
}

func (t *track) setWake(wake context.CancelFunc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wake = wake
}

// rouse makes a resting or stopped projection look again.
func (t *track) rouse() {
	select {
	case t.nudge <- struct{}{}:
	default:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wake != nil {
		t.wake()
	}
}

// transient tells errors that go away by themselves from those of the projection.
func transient(ctx context.Context, err error) bool {
	if errors.Is(eventstore.Classify(context.WithoutCancel(ctx), err), eventstore.ErrUnavailable) {
		return true
	}
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pgErr.Code == "40001" || pgErr.Code == "40P01" || pgErr.Code == "55P03")
}

// pause waits and reports whether it was cut short by a nudge.
func pause(ctx context.Context, d time.Duration, nudge <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-nudge:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}
