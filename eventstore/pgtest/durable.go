package pgtest

import (
	"os"
	"path/filepath"
	"testing"

	"farshore/eventstore/pgcluster"
	"farshore/eventstore/schema"
)

// Server is a cluster of one test's own, with fsync on and on disk, that the
// test may kill and restart.
type Server struct {
	*pgcluster.Cluster
	DB DB
}

// Durable starts a Server with one migrated database.
func Durable(tb testing.TB) *Server {
	tb.Helper()
	// Not t.TempDir: the database's user has to be able to pass through.
	dir, err := os.MkdirTemp("", "farshore-durable-") //nolint:usetesting // see above
	if err != nil {
		tb.Fatalf("make the cluster's folder: %v", err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		tb.Fatalf("open the cluster's folder: %v", err)
	}
	ctx, cancel := deadline()
	defer cancel()
	cluster, err := pgcluster.Start(ctx, pgcluster.Options{DataDir: filepath.Join(dir, "data")})
	if err != nil {
		tb.Fatalf("start a durable cluster: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := deadline()
		defer cancel()
		if err := cluster.Stop(ctx); err != nil {
			tb.Errorf("stop the durable cluster: %v", err)
		}
	})
	if err := schema.Provision(ctx, cluster.URL("postgres")); err != nil {
		tb.Fatal(err)
	}
	db := DB{URL: cluster.URLFor(schema.RuntimeRole, schema.Database), OwnerURL: cluster.URLFor(schema.OwnerRole, schema.Database)}
	if _, err := schema.Migrate(ctx, db.OwnerURL); err != nil {
		tb.Fatal(err)
	}
	return &Server{Cluster: cluster, DB: db}
}
