// Package pgtest gives every test a PostgreSQL database of its own. One cluster,
// on a memory file system and without fsync, serves all tests that run on the
// machine at the same time: it is found through a lock file, started by the
// first test that needs it and taken down shortly after the last one has gone,
// even if that one was killed. A database is a clone of a template that the
// migrations made once.
//
// A PostgreSQL that is missing fails the test and names the command that
// installs it.
package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"farshore/eventstore/schema"
	"farshore/migrations"
)

// patience bounds every wait for the database: a loaded machine is slow, a
// hanging one must not hang the tests.
const patience = 90 * time.Second

// DB is a migrated database of its own.
type DB struct {
	URL      string // as the role the service runs as
	OwnerURL string // as the role that owns the schema
}

// New returns a pool on a fresh, migrated database, connected as the role that
// the service runs as.
func New(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	return Open(tb, Database(tb).URL)
}

// NewOwner is New with the role that owns the schema.
func NewOwner(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	return Open(tb, Database(tb).OwnerURL)
}

// Database returns the URLs of a fresh, migrated database, which goes when the
// test ends.
func Database(tb testing.TB) DB {
	tb.Helper()
	s := join(tb)
	template := s.template(tb)
	return s.create(tb, " TEMPLATE "+template)
}

// Empty returns the URLs of a fresh database without a schema.
func Empty(tb testing.TB) DB {
	tb.Helper()
	s := join(tb)
	s.template(tb) // with it come the roles
	return s.create(tb, "")
}

// Open returns a pool on url that is closed when the test ends.
func Open(tb testing.TB, url string) *pgxpool.Pool {
	tb.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		tb.Fatalf("read the database's URL: %v", err)
	}
	config.MaxConns = 10
	ctx, cancel := deadline()
	defer cancel()
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		tb.Fatalf("connect to the database: %v", err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

func (s *shared) create(tb testing.TB, from string) DB {
	tb.Helper()
	name := "t_" + strings.ToLower(rand.Text())
	s.exec(tb, "CREATE DATABASE "+name+from+" OWNER "+schema.OwnerRole)
	tb.Cleanup(func() { s.exec(tb, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return DB{URL: s.cluster.url(schema.RuntimeRole, name), OwnerURL: s.cluster.url(schema.OwnerRole, name)}
}

// template returns the name of the migrated database that clones are made of,
// making it if these migrations are new to the cluster.
func (s *shared) template(tb testing.TB) string {
	tb.Helper()
	name := "template_" + migrationsHash(tb)
	conn := s.connect(tb)
	ctx, cancel := deadline()
	defer cancel()
	defer func() { _ = conn.Close(ctx) }()
	// The session's lock goes with the connection: other processes wait for the
	// template instead of making it a second time.
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(1)`); err != nil {
		tb.Fatalf("lock the template database: %v", err)
	}
	var there bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&there); err != nil {
		tb.Fatalf("look for the template database: %v", err)
	}
	if there {
		return name
	}
	building := name + "_building"
	run := func(sql string) {
		tb.Helper()
		if _, err := conn.Exec(ctx, sql); err != nil {
			tb.Fatalf("make the template database: %v", err)
		}
	}
	if err := schema.ProvisionRoles(ctx, conn); err != nil {
		tb.Fatal(err)
	}
	run("DROP DATABASE IF EXISTS " + building + " WITH (FORCE)")
	run("CREATE DATABASE " + building + " OWNER " + schema.OwnerRole)
	if _, err := schema.Migrate(ctx, s.cluster.url(schema.OwnerRole, building)); err != nil {
		tb.Fatalf("migrate the template database: %v", err)
	}
	run("ALTER DATABASE " + building + " RENAME TO " + name)
	return name
}

func (s *shared) exec(tb testing.TB, sql string) {
	tb.Helper()
	ctx, cancel := deadline()
	defer cancel()
	conn := s.connect(tb)
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

func (s *shared) connect(tb testing.TB) *pgx.Conn {
	tb.Helper()
	ctx, cancel := deadline()
	defer cancel()
	conn, err := pgx.Connect(ctx, s.cluster.url("postgres", "postgres"))
	if err != nil {
		tb.Fatalf("reach the test database: %v", err)
	}
	return conn
}

func migrationsHash(tb testing.TB) string {
	tb.Helper()
	sum := sha256.New()
	err := fs.WalkDir(migrations.Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(migrations.Files, path)
		if err != nil {
			return fmt.Errorf("read migration %s: %w", path, err)
		}
		_, err = fmt.Fprintf(sum, "%s\n%d\n%s", path, len(text), text)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// deadline is a context of its own: databases are dropped after the test's has
// ended.
func deadline() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}
