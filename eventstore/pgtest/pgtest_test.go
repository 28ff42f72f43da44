package pgtest_test

import (
	"testing"

	"farshore/eventstore/pgtest"
)

func TestEveryTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	one, two := pgtest.New(t), pgtest.New(t)
	const sql = `INSERT INTO lanes (item, kind) VALUES ('v.i', 'upkeep')`
	if _, err := one.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Exec(t.Context(), sql); err != nil {
		t.Fatalf("the second database knows the first one's row: %v", err)
	}
}

func TestTheServiceRoleIsNotTheOwner(t *testing.T) {
	t.Parallel()
	var service, owner string
	if err := pgtest.New(t).QueryRow(t.Context(), `SELECT current_user`).Scan(&service); err != nil {
		t.Fatal(err)
	}
	if err := pgtest.NewOwner(t).QueryRow(t.Context(), `SELECT current_user`).Scan(&owner); err != nil {
		t.Fatal(err)
	}
	if service == owner {
		t.Fatalf("both are %s", owner)
	}
}

func TestADurableClusterComesBackAfterACrash(t *testing.T) {
	t.Parallel()
	s := pgtest.Durable(t)
	pool := pgtest.Open(t, s.DB.URL)
	if _, err := pool.Exec(t.Context(), `INSERT INTO lanes (item, kind) VALUES ('v.i', 'upkeep')`); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	var rows int
	err := pgtest.Open(t, s.DB.URL).QueryRow(t.Context(), `SELECT count(*) FROM lanes`).Scan(&rows)
	if err != nil || rows != 1 {
		t.Fatalf("%d rows, %v; want the committed one", rows, err)
	}
}
