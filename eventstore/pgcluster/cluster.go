// Package pgcluster runs a private PostgreSQL: one cluster in one data
// directory, reachable through a unix socket in a private folder. It is the
// database of a Farshore that was given none, and the one the tests run on.
//
// A cluster belongs to the process that started it: a lock beside the data
// directory keeps others out, and on Linux the kernel stops the database when
// its owner dies, however that happens. A database left over all the same is
// found by its pid file and stopped before a new one starts. As root, the
// database runs under the user postgres or nobody; when that user cannot reach
// the data directory it goes to /var/lib/farshore, and the log says so.
package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Superuser is the role every cluster is made with.
const Superuser = "postgres"

// ErrInUse reports that another living process owns the data directory.
var ErrInUse = errors.New("the database's folder is in use by another process")

// Options says where and how a cluster runs. Only DataDir is needed.
type Options struct {
	DataDir  string
	NoSync   bool              // fsync=off and its like: for tests alone
	Settings map[string]string // further lines of postgresql.conf
	Detached bool              // outlives its starter, who answers for stopping it
	Logger   *slog.Logger      // nil: none
}

// Cluster is a running PostgreSQL.
type Cluster struct {
	options Options
	logger  *slog.Logger
	account *account
	bin     string
	dataDir string
	socket  string
	lock    *os.File

	mu  sync.Mutex
	run *run // nil when stopped
}

// Start brings up the cluster in o.DataDir, making it first if need be, and
// returns once it answers.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c, err := prepare(o)
	if err != nil {
		return nil, err
	}
	if err := c.bringUp(ctx); err != nil {
		return nil, errors.Join(err, c.unlock())
	}
	return c, nil
}

// URL is the connection string of a database, as superuser.
func (c *Cluster) URL(db string) string { return c.URLFor(Superuser, db) }

// URLFor is the connection string of a database for one role.
func (c *Cluster) URLFor(role, db string) string {
	u := url.URL{Scheme: "postgres", User: url.User(role), Path: "/" + db}
	u.RawQuery = url.Values{"host": {c.socket}, "sslmode": {"disable"}}.Encode()
	return u.String()
}

// DataDir is where the cluster really lies; see the package comment.
func (c *Cluster) DataDir() string { return c.dataDir }

// Done is closed when the database has ended, asked to or not.
func (c *Cluster) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run == nil {
		ended := make(chan struct{})
		close(ended)
		return ended
	}
	return c.run.done
}

// Stop ends the database in good order and gives up the data directory. When ctx
// ends first, the database is made to end at once; it recovers at its next start.
func (c *Cluster) Stop(ctx context.Context) error {
	err := c.Halt(ctx)
	if rmErr := os.RemoveAll(c.socket); rmErr != nil && err == nil {
		err = fmt.Errorf("remove the database's socket: %w", rmErr)
	}
	return errors.Join(err, c.unlock())
}

// Halt ends the database in good order and keeps the data directory, so that
// Restart can bring it back under the same URL.
func (c *Cluster) Halt(ctx context.Context) error {
	r := c.take()
	if r == nil {
		return nil
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		if err := r.signal(sig); err != nil {
			break // it has ended
		}
		select {
		case <-r.done:
			return nil
		case <-ctx.Done():
		}
	}
	grace := time.NewTimer(5 * time.Second)
	defer grace.Stop()
	select {
	case <-r.done:
	case <-grace.C:
		r.kill()
	}
	return nil
}

// Kill ends the database and all its processes with SIGKILL, as a crash would.
func (c *Cluster) Kill() {
	if r := c.take(); r != nil {
		r.kill()
	}
}

// Restart brings the database back after Halt, Kill or a crash of its own, under
// the same URL.
func (c *Cluster) Restart(ctx context.Context) error {
	if err := c.Halt(ctx); err != nil {
		return err
	}
	return c.bringUp(ctx)
}

func (c *Cluster) take() *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.run
	c.run = nil
	return r
}

func (c *Cluster) bringUp(ctx context.Context) error {
	if err := c.stopLeftOver(ctx); err != nil {
		return err
	}
	retry := time.NewTicker(100 * time.Millisecond)
	defer retry.Stop()
	const tries = 100 // 10 s
	for n := 1; ; n++ {
		err := c.launchOnce(ctx)
		if !errors.Is(err, errStillInUse) || n == tries {
			return err
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return err
		}
	}
}

// errStillInUse says that processes of a crashed database are on their way out.
var errStillInUse = errors.New("processes of an earlier run have not ended yet")

func (c *Cluster) launchOnce(ctx context.Context) error {
	r, err := c.launch()
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.run = r
	c.mu.Unlock()
	if err := c.awaitReady(ctx, r); err != nil {
		c.Kill()
		return err
	}
	return nil
}

// awaitReady returns once the database answers a query.
func (c *Cluster) awaitReady(ctx context.Context, r *run) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if Answers(ctx, c.URL("postgres")) {
			return nil
		}
		select {
		case <-r.done:
			tail := c.logTail()
			if strings.Contains(tail[strings.LastIndex(tail, "FATAL")+1:], "pre-existing shared memory block") {
				return errStillInUse
			}
			return fmt.Errorf("start the database in %s: %w\n%s", c.dataDir, r.err, tail)
		case <-ctx.Done():
			return fmt.Errorf("wait for the database in %s: %w\n%s", c.dataDir, context.Cause(ctx), c.logTail())
		case <-tick.C:
		}
	}
}

// Answers reports whether a database at this URL answers a query.
func Answers(ctx context.Context, databaseURL string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close(ctx) }()
	return conn.Ping(ctx) == nil
}

// logTail is the end of the database's own log, for error messages.
func (c *Cluster) logTail() string {
	text, err := os.ReadFile(c.logFile())
	if err != nil {
		return ""
	}
	const enough = 2000
	return string(text[max(0, len(text)-enough):])
}

func (c *Cluster) logFile() string { return filepath.Join(c.dataDir, "farshore.log") }

func (c *Cluster) unlock() error {
	if c.lock == nil {
		return nil
	}
	err := c.lock.Close()
	c.lock = nil
	if err != nil {
		return fmt.Errorf("release the lock of %s: %w", c.dataDir, err)
	}
	return nil
}

// SocketDir is the folder of the cluster's socket.
func (c *Cluster) SocketDir() string { return c.socket }
