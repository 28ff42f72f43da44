// Package schema brings a database to the schema this program was built for, and
// no further: a database that is already ahead is left alone, because an older
// program must still start after a newer one has migrated, and one that an
// interrupted migration left dirty is explained and never forced.
package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/golang-migrate/migrate/v4"
	pgxmigrate "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"farshore/migrations"
)

// dirtyPatience is how long a dirty version may be another migrator at work: it
// marks the version dirty for as long as a file takes.
const dirtyPatience = 15 * time.Second

// Result says what Migrate found and did.
type Result struct {
	From, To uint // versions of the database before and after
	Newest   uint // version this program was built for
}

// Ahead reports that the database belongs to a newer program.
func (r Result) Ahead() bool { return r.To > r.Newest }

// DirtyError reports a migration that was interrupted half-way.
type DirtyError struct{ Version uint }

func (e *DirtyError) Error() string {
	return fmt.Sprintf("database schema is dirty at version %d: that migration was interrupted and nothing was forced. "+
		"Each file runs in one transaction, so its statements were most likely rolled back. Look whether any took effect and undo them; "+
		"then run, as the owner: UPDATE schema_migrations SET version = %d, dirty = false (or DELETE FROM schema_migrations when that is 0), and start again",
		e.Version, max(e.Version, 1)-1)
}

// Migrate applies what is missing in the database at url, as the role it names.
// That role becomes the owner of the tables and must not be the one the service
// runs as. Several migrators at once are harmless.
func Migrate(ctx context.Context, url string) (Result, error) {
	m, err := open(ctx, url)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = m.close() }()
	return m.up(ctx)
}

// Down takes every migration back: for development and tests.
func Down(ctx context.Context, url string) error {
	m, err := open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = m.close() }()
	if err := m.migrate.Down(); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return fmt.Errorf("take the schema down: %w", err)
	}
	return nil
}

// Newest is the version this program was built for.
func Newest() (uint, error) {
	src, err := iofs.New(migrations.Files, ".")
	if err != nil {
		return 0, fmt.Errorf("read the embedded migrations: %w", err)
	}
	defer func() { _ = src.Close() }()
	return newestOf(src)
}

// Current is the version a database is at, as seen by the service's role. It
// answers a readiness check: a version below Newest is not ready.
func Current(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
},
) (version uint, dirty bool, err error) {
	var v int64
	err = db.QueryRow(ctx, `SELECT version, dirty FROM schema_migrations`).Scan(&v, &dirty)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("read schema version: %w", err)
	}
	return uint(max(v, 0)), dirty, nil
}

type migrator struct {
	db      *sql.DB
	migrate *migrate.Migrate
	newest  uint
}

func open(ctx context.Context, url string) (*migrator, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the database's URL: %w", err)
	}
	src, err := iofs.New(migrations.Files, ".")
	if err != nil {
		return nil, fmt.Errorf("read the embedded migrations: %w", err)
	}
	newest, err := newestOf(src)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*config)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("reach the database: %w", err), db.Close())
	}
	driver, err := pgxmigrate.WithInstance(db, &pgxmigrate.Config{})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the database for migration: %w", err), db.Close())
	}
	m, err := migrate.NewWithInstance("iofs", src, "pgx5", driver)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up the migration: %w", err), db.Close())
	}
	return &migrator{db: db, migrate: m, newest: newest}, nil
}

// up compares versions first: asked to go up from a version it does not know,
// golang-migrate fails, and an older program would not start.
func (m *migrator) up(ctx context.Context) (Result, error) {
	from, err := m.settledVersion(ctx)
	if err != nil {
		return Result{}, err
	}
	if from >= m.newest {
		return Result{From: from, To: from, Newest: m.newest}, nil
	}
	if err := m.migrate.Up(); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return Result{}, fmt.Errorf("migrate the schema from version %d to %d: %w", from, m.newest, err)
	}
	to, err := m.settledVersion(ctx)
	return Result{From: from, To: to, Newest: m.newest}, err
}

// settledVersion reads the version once no other migrator is in the middle of it.
func (m *migrator) settledVersion(ctx context.Context) (uint, error) {
	patience := time.NewTimer(dirtyPatience)
	defer patience.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		version, dirty, err := m.migrate.Version()
		if errors.Is(err, migrate.ErrNilVersion) {
			return 0, nil
		}
		if err != nil {
			return 0, fmt.Errorf("read schema version: %w", err)
		}
		if !dirty {
			return version, nil
		}
		busy, err := m.lockHeld(ctx)
		if err != nil {
			return 0, err
		}
		if !busy {
			version, dirty, err = m.migrate.Version()
			if err == nil && dirty {
				return 0, &DirtyError{Version: version}
			}
			continue
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("wait for another migration: %w", context.Cause(ctx))
		case <-patience.C:
			return 0, &DirtyError{Version: version}
		case <-tick.C:
		}
	}
}

// lockHeld reports whether somebody holds an advisory lock on this database, as
// every migrator at work does.
func (m *migrator) lockHeld(ctx context.Context) (bool, error) {
	var held bool
	err := m.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&held)
	if err != nil {
		return false, fmt.Errorf("look for another migrator: %w", err)
	}
	return held, nil
}

func (m *migrator) close() error {
	srcErr, dbErr := m.migrate.Close()
	return errors.Join(srcErr, dbErr)
}

func newestOf(src source.Driver) (uint, error) {
	version, err := src.First()
	for err == nil {
		var next uint
		if next, err = src.Next(version); err == nil {
			version = next
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("list the embedded migrations: %w", err)
	}
	return version, nil
}
