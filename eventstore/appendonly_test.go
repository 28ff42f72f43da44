package eventstore_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"farshore/eventstore/pgtest"
)

func TestTheServiceCanOnlyAddToTheLog(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	pool := pgtest.Open(t, db.URL)
	if _, err := start(t, pool).Append(t.Context(), oneNote("note-a", 0, "one")); err != nil {
		t.Fatal(err)
	}
	const denied, notOwner = "42501", "42501"
	for sql, code := range map[string]string{
		`INSERT INTO events SELECT 2, stream, 2, gen_random_uuid(), type, data, metadata, recorded_at, leaf_hash FROM events`: denied,
		`UPDATE events SET type = 'x'`:              denied,
		`DELETE FROM events`:                        denied,
		`TRUNCATE events`:                           denied,
		`UPDATE heads SET version = 0`:              denied,
		`DELETE FROM idempotency`:                   denied,
		`ALTER TABLE events DISABLE TRIGGER ALL`:    notOwner,
		`DROP TABLE events`:                         notOwner,
		`CREATE TABLE public.events2 (n int)`:       denied,
		`UPDATE schema_migrations SET dirty = true`: denied,
	} {
		_, err := pool.Exec(t.Context(), sql)
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != code {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func TestNotEvenTheOwnerChangesTheLogByMistake(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	if _, err := start(t, pgtest.Open(t, db.URL)).Append(t.Context(), oneNote("note-a", 0, "one")); err != nil {
		t.Fatal(err)
	}
	owner := pgtest.Open(t, db.OwnerURL)
	for _, sql := range []string{
		`UPDATE events SET type = 'x'`, `DELETE FROM events`, `TRUNCATE events`,
		`INSERT INTO events SELECT * FROM events ON CONFLICT (global_position) DO UPDATE SET type = 'x'`,
	} {
		if _, err := owner.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s: accepted", sql)
		}
	}
}

func TestAnAppendFunctionCallOutsideReadCommittedIsRefused(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT append_events('{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}')`); err == nil {
		t.Fatal("accepted: its snapshot may be older than the lock")
	}
}
