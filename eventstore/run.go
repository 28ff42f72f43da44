package eventstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	channel       = "farshore_events"
	notifyPause   = 10 * time.Millisecond // at most one NOTIFY in this time
	shortestPause = 100 * time.Millisecond
	longestPause  = 5 * time.Second
)

// Run gathers appends and passes wake-ups between processes until ctx ends, and
// returns when all of that has. It may be called once.
func (p *Postgres) Run(ctx context.Context) error {
	// The gatherer ends last: appends that are inside are answered.
	var helpers sync.WaitGroup
	helpers.Go(func() { p.keepConnected(ctx, "listen", p.listen) })
	helpers.Go(func() { p.keepConnected(ctx, "notify", p.notify) })
	helpers.Go(func() { p.poll(ctx) })
	g := gatherer{store: p}
	g.run(ctx)
	close(p.stopped)
	helpers.Wait()
	return nil
}

// keepConnected runs work on a connection of its own, again and again, with
// growing pauses while the database is away. The poll covers for it meanwhile.
func (p *Postgres) keepConnected(ctx context.Context, name string, work func(context.Context, *pgx.Conn) error) {
	pause := shortestPause
	for ctx.Err() == nil {
		err := p.withConnection(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			pause = shortestPause
			return work(ctx, conn)
		})
		if ctx.Err() != nil {
			return
		}
		p.config.Logger.DebugContext(ctx, "event store lost a connection", "use", name, "error", err)
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, longestPause)
	}
}

func (p *Postgres) withConnection(ctx context.Context, work func(context.Context, *pgx.Conn) error) error {
	conn, err := pgx.ConnectConfig(ctx, p.pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	err = work(ctx, conn)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return errors.Join(err, conn.Close(closing))
}

// listen hears of other processes' commits.
func (p *Postgres) listen(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if _, err := p.Head(ctx); err != nil { // what was committed while nobody listened
		return err
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("wait for notification: %w", err)
		}
		if position, err := strconv.ParseInt(n.Payload, 10, 64); err == nil {
			p.grown.advance(Position(position))
		}
	}
}

// notify tells other processes of our commits, many at once. It has a connection
// of its own because a NOTIFY inside an append would make all appends of the
// cluster commit one after the other.
func (p *Postgres) notify(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "SET synchronous_commit = off"); err != nil {
		return fmt.Errorf("set up notifications: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case position := <-p.tell:
			if _, err := conn.Exec(ctx, "SELECT pg_notify($1, $2)", channel, strconv.FormatInt(int64(position), 10)); err != nil {
				return fmt.Errorf("notify: %w", err)
			}
		}
		if !sleep(ctx, notifyPause) {
			return ctx.Err()
		}
	}
}

// poll is the floor under the wake-ups: a lost message delays a reader by no more
// than its interval.
func (p *Postgres) poll(ctx context.Context) {
	for sleep(ctx, p.config.PollInterval) {
		if p.grown.waiting.Load() == 0 {
			continue
		}
		if _, err := p.Head(ctx); err != nil {
			p.config.Logger.DebugContext(ctx, "event store cannot be polled", "error", err)
		}
	}
}

// sleep pauses and reports whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
