package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"farshore/cmd/farshore/client"
	"farshore/eventstore/pgcluster"
	"farshore/eventstore/schema"
)

// database is where the log and the read models live.
type database struct {
	pool    *pgxpool.Pool
	cluster *pgcluster.Cluster // nil when the operator runs PostgreSQL
	logger  *slog.Logger
}

// databaseFile tells workers beside an embedded PostgreSQL where it is.
const databaseFile = "database.url"

// openDatabase connects to the operator's PostgreSQL, or starts a private one in
// the data directory, and brings its schema up to date.
func openDatabase(ctx context.Context, c config, logger *slog.Logger) (*database, error) {
	d := &database{logger: logger}
	runtime, owner := c.databaseURL, c.ownerDatabaseURL
	if runtime == "" {
		cluster, err := pgcluster.Start(ctx, pgcluster.Options{DataDir: filepath.Join(c.data, "postgres"), Logger: logger})
		if err != nil {
			return nil, fmt.Errorf("start the embedded PostgreSQL: %w", err)
		}
		d.cluster = cluster
		if err := schema.Provision(ctx, cluster.URL("postgres")); err != nil {
			return nil, errors.Join(err, d.close(ctx))
		}
		runtime, owner = cluster.URLFor(schema.RuntimeRole, schema.Database), cluster.URLFor(schema.OwnerRole, schema.Database)
		if err := os.WriteFile(filepath.Join(c.data, databaseFile), []byte(runtime+"\n"), 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("write down the database's address: %w", err), d.close(ctx))
		}
	}
	if err := d.connect(ctx, runtime, owner); err != nil {
		return nil, errors.Join(err, d.close(ctx))
	}
	return d, nil
}

func (d *database) connect(ctx context.Context, runtime, owner string) error {
	if owner != "" {
		done, err := schema.Migrate(ctx, owner)
		if err != nil {
			return fmt.Errorf("migrate the database: %w", err)
		}
		if done.Ahead() {
			d.logger.WarnContext(ctx, "the database belongs to a newer version of this program", "schema", done.To, "known", done.Newest)
		}
	}
	settings, err := pgxpool.ParseConfig(runtime)
	if err != nil {
		return fmt.Errorf("read the database's address: %w", err)
	}
	settings.MaxConns = max(settings.MaxConns, 24)
	if d.pool, err = pgxpool.NewWithConfig(ctx, settings); err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	version, _, err := schema.Current(ctx, d.pool)
	if err != nil {
		return fmt.Errorf("look at the database's schema: %w", err)
	}
	newest, err := schema.Newest()
	if err != nil {
		return fmt.Errorf("list the migrations: %w", err)
	}
	if version < newest {
		return fmt.Errorf("the database's schema is at version %d and this program needs %d: run `farshore migrate` with FARSHORE_OWNER_DATABASE_URL set", version, newest)
	}
	return nil
}

// superviseInterval is how long the embedded database stays away before it is
// started again.
const superviseInterval = time.Second

// supervise starts the embedded database again whenever it ends by itself.
func (d *database) supervise(ctx context.Context) error {
	for d.cluster != nil {
		select {
		case <-ctx.Done():
			return nil
		case <-d.cluster.Done():
		}
		if err := client.Pause(ctx, superviseInterval); err != nil {
			return nil //nolint:nilerr // the end of ctx is how it ends
		}
		d.logger.WarnContext(ctx, "the embedded PostgreSQL ended; starting it again")
		if err := d.cluster.Restart(ctx); err != nil && ctx.Err() == nil {
			d.logger.ErrorContext(ctx, "the embedded PostgreSQL does not start", "error", err)
		}
	}
	return nil
}

func (d *database) close(ctx context.Context) error {
	if d.pool != nil {
		d.pool.Close()
	}
	if d.cluster == nil {
		return nil
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	return d.cluster.Stop(ctx)
}

// migrateCommand brings an operator's PostgreSQL to the schema of this program.
func migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "migrate", Short: "Bring the database in FARSHORE_OWNER_DATABASE_URL to this program's schema",
		Args: cobra.NoArgs, PersistentPreRunE: client.Understood,
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := schema.Migrate(cmd.Context(), os.Getenv("FARSHORE_OWNER_DATABASE_URL"))
			if err != nil {
				return fmt.Errorf("migrate the database: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "schema: version %d, was %d\n", done.To, done.From)
			return err //nolint:wrapcheck // standard output
		},
	}
}
