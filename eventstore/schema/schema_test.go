package schema_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"farshore/eventstore/pgtest"
	"farshore/eventstore/schema"
)

func TestTheSchemaGoesUpDownAndUpAgain(t *testing.T) {
	t.Parallel()
	db := pgtest.Empty(t)
	owner := pgtest.Open(t, db.OwnerURL)
	result, err := schema.Migrate(t.Context(), db.OwnerURL)
	if err != nil || result.From != 0 || result.To != result.Newest || result.Newest == 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	first := describe(t, owner)
	if err := schema.Down(t.Context(), db.OwnerURL); err != nil {
		t.Fatal(err)
	}
	if left := describe(t, owner); strings.Contains(left, "events") || strings.Contains(left, "append_events") {
		t.Fatalf("left behind: %s", left)
	}
	if _, err := schema.Migrate(t.Context(), db.OwnerURL); err != nil {
		t.Fatal(err)
	}
	if second := describe(t, owner); second != first {
		t.Fatalf("the second time it is another schema:\n%s\n%s", first, second)
	}
	again, err := schema.Migrate(t.Context(), db.OwnerURL)
	if err != nil || again.From != again.To {
		t.Fatalf("with nothing to do: %+v, %v", again, err)
	}
}

// describe lists columns, indexes, functions and privileges.
func describe(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	const query = `
		SELECT coalesce(string_agg(line, E'\n' ORDER BY line), '') FROM (
			SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) AS line
				FROM information_schema.columns WHERE table_schema = 'public'
			UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
			UNION ALL SELECT format('%s(%s) %s', proname, pg_get_function_arguments(oid), proacl)
				FROM pg_proc WHERE pronamespace = 'public'::regnamespace
			UNION ALL SELECT format('%s %s', relname, relacl) FROM pg_class
				WHERE relnamespace = 'public'::regnamespace AND relname <> 'schema_migrations' AND relkind = 'r'
			UNION ALL SELECT format('default %s', defaclacl) FROM pg_default_acl
		) AS lines`
	var text string
	if err := pool.QueryRow(t.Context(), query).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestManyMigratorsAtOnceAreHarmless(t *testing.T) {
	t.Parallel()
	db := pgtest.Empty(t)
	var migrators sync.WaitGroup
	for range 4 {
		migrators.Go(func() {
			if _, err := schema.Migrate(t.Context(), db.OwnerURL); err != nil {
				t.Error(err)
			}
		})
	}
	migrators.Wait()
	newest, err := schema.Newest()
	if err != nil {
		t.Fatal(err)
	}
	version, dirty, err := schema.Current(t.Context(), pgtest.Open(t, db.URL))
	if err != nil || dirty || version != newest {
		t.Fatalf("at version %d, dirty %v, %v; want %d", version, dirty, err, newest)
	}
}

func TestAnOlderProgramStartsOnANewerSchema(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	set(t, db, `UPDATE schema_migrations SET version = 999999`)
	result, err := schema.Migrate(t.Context(), db.OwnerURL)
	if err != nil || !result.Ahead() || result.To != 999999 {
		t.Fatalf("%+v, %v", result, err)
	}
}

func TestADirtySchemaIsExplainedAndNotForced(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	newest, err := schema.Newest()
	if err != nil {
		t.Fatal(err)
	}
	set(t, db, `UPDATE schema_migrations SET dirty = true`)
	_, err = schema.Migrate(t.Context(), db.OwnerURL)
	dirty, ok := errors.AsType[*schema.DirtyError](err)
	if !ok || dirty.Version != newest {
		t.Fatalf("%v", err)
	}
	if remedy := fmt.Sprintf("SET version = %d, dirty = false", newest-1); !strings.Contains(err.Error(), remedy) {
		t.Errorf("the error does not name the remedy: %v", err)
	}
	if _, still, err := schema.Current(t.Context(), pgtest.Open(t, db.URL)); err != nil || !still {
		t.Fatalf("dirty %v, %v: it was forced", still, err)
	}
}

func set(t *testing.T, db pgtest.DB, sql string) {
	t.Helper()
	if _, err := pgtest.Open(t, db.OwnerURL).Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestLaterTablesBelongToTheService(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	set(t, db, `CREATE TABLE later (n bigint GENERATED ALWAYS AS IDENTITY, text text)`)
	service := pgtest.Open(t, db.URL)
	for _, sql := range []string{
		`INSERT INTO later (text) VALUES ('a')`, `UPDATE later SET text = 'b'`, `DELETE FROM later`, `TRUNCATE later`,
		`INSERT INTO checkpoints (name) VALUES ('a')`, `DELETE FROM snapshots`, `DELETE FROM transfer_progress`,
	} {
		if _, err := service.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
