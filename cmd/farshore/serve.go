package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"farshore/api"
	"farshore/cmd/farshore/client"
	"farshore/domain"
	"farshore/domain/apikey"
	"farshore/domain/job"
	"farshore/domain/networkmapping"
	"farshore/domain/policy"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
	"farshore/domain/site"
	"farshore/domain/storageaccount"
	"farshore/domain/vault"
	"farshore/eventstore"
	"farshore/projections"
	"farshore/workers/planrun"
)

func serveCommand() *cobra.Command {
	var c config
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the server: API, read models and workers",
		Long: "Run the server: API, read models and workers.",
		Args: cobra.NoArgs, PersistentPreRunE: client.Understood,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), c, ownLogger(cmd.ErrOrStderr()))
		},
	}
	c.serverFlags(cmd)
	return cmd
}

// workerCommand adds workers to a server on this or another machine.
func workerCommand() *cobra.Command {
	c := config{}
	cmd := &cobra.Command{
		Use: "worker", Short: "Run workers for a server that runs elsewhere",
		Long: "Run workers for a server: they must reach its database, its hosts and its replica stores.",
		Args: cobra.NoArgs, PersistentPreRunE: client.Understood,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return work(cmd.Context(), c, ownLogger(cmd.ErrOrStderr()))
		},
	}
	c.workerFlags(cmd)
	return cmd
}

// work is a process that only does what is due.
func work(ctx context.Context, c config, logger *slog.Logger) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.databaseURL == "" {
		text, err := os.ReadFile(filepath.Join(c.data, databaseFile))
		if err != nil {
			return fmt.Errorf("find the server's database (set DATABASE_URL, or --data to the folder of a running server): %w", err)
		}
		c.databaseURL = strings.TrimSpace(string(text))
	}
	c.ownerDatabaseURL = "" // the server migrates
	db, err := openDatabase(ctx, c, logger)
	if err != nil {
		return err
	}
	defer db.close(ctx) //nolint:errcheck // it is not this process's to stop
	s, err := newService(c, db, logger)
	if err != nil {
		return err
	}
	return s.logged(ctx, func(ctx context.Context, g *errgroup.Group) error {
		s.logger.InfoContext(ctx, "farshore works", "workers", s.workers, "version", version)
		return s.work(ctx, g)
	})
}

// service is the server and what it is made of.
type service struct {
	config
	logger  *slog.Logger
	db      *database
	log     *eventstore.Postgres
	models  *projections.Runner
	queries *projections.Queries
	hosts   *hosts
	stores  *stores
	due     chan struct{} // wakes the workers of this process
	planDue chan struct{} // and those at recovery plans
	alone   bool          // no other process works in the name of this data directory
}

func serve(ctx context.Context, c config, logger *slog.Logger) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	if c.data, err = absolute(c.data); err != nil {
		return err
	}
	if err := os.MkdirAll(c.data, 0o755); err != nil { //nolint:gosec // the database's own user passes through it
		return fmt.Errorf("make the data directory: %w", err)
	}
	unlock, err := lockData(c.data)
	if err != nil {
		return err
	}
	defer unlock()
	// The port first: a second server should say so before it starts a database.
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.listen)
	if err != nil {
		return fmt.Errorf("listen for the API: %w", err)
	}
	defer l.Close() //nolint:errcheck // closed by the HTTP server before
	db, err := openDatabase(ctx, c, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close(ctx)) }()
	s, err := newService(c, db, logger)
	if err != nil {
		return err
	}
	s.alone = true
	return s.run(ctx, l)
}

// lockData makes this process the only server of a data directory.
func lockData(data string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(data, "serve.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the data directory's lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another server runs on %s; stop it or name another folder with --data: %w", data, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // the lock goes with it
}

func newService(c config, db *database, logger *slog.Logger) (*service, error) {
	codec, err := eventstore.NewCodec(
		eventstore.Types(vault.Events()...), eventstore.Types(policy.Events()...), eventstore.Types(site.Events()...),
		eventstore.Types(storageaccount.Events()...), eventstore.Types(apikey.Events()...), eventstore.Types(job.Events()...),
		eventstore.Types(protecteditem.Events()...), eventstore.Types(networkmapping.Events()...), eventstore.Types(recoveryplan.Events()...),
	)
	if err != nil {
		return nil, fmt.Errorf("register the events: %w", err)
	}
	if c.scripts == "" {
		c.scripts = filepath.Join(c.data, "scripts")
	}
	s := &service{config: c, logger: logger, db: db, due: make(chan struct{}, 1), planDue: make(chan struct{}, 1), log: eventstore.NewPostgres(db.pool, codec, eventstore.PostgresConfig{Logger: logger})}
	if s.models, err = projections.NewRunner(db.pool, s.log, logger, projections.All()...); err != nil {
		return nil, fmt.Errorf("register the read models: %w", err)
	}
	s.queries = &projections.Queries{Pool: db.pool}
	s.hosts = &hosts{sites: repository(s.log, site.Category, site.Decider)}
	s.stores = &stores{accounts: repository(s.log, storageaccount.Category, storageaccount.Decider)}
	return s, nil
}

func repository[C any, E domain.Event, S any](log eventstore.Store, category string, d domain.Decider[C, E, S]) eventstore.Repository[C, E, S] {
	return eventstore.Repository[C, E, S]{Store: log, Category: category, Decider: d}
}

// run keeps all parts going until ctx ends or one of them fails.
func (s *service) run(ctx context.Context, l net.Listener) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newGauges(s), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	server, err := api.New(api.Config{
		Store: s.log, Queries: s.queries, Positions: s.models, Snapshots: s.items().Snapshots, Networks: s.networks().Of, Now: now, NewID: newID, Registry: registry, Logger: s.logger,
		PlanLimits: s.planLimits, FindScript: func(name string) error {
			_, err := planrun.FindScript(s.scripts, name)
			return err
		},
	})
	if err != nil {
		return fmt.Errorf("set the API up: %w", err)
	}
	return s.logged(ctx, func(ctx context.Context, g *errgroup.Group) error {
		g.Go(func() error { return s.db.supervise(ctx) })
		g.Go(func() error { return s.models.Run(ctx) })
		if err := s.furnish(ctx); err != nil {
			return fmt.Errorf("prepare the first start: %w", err)
		}
		g.Go(func() error { return serveHTTP(ctx, l, server.Handler()) })
		if err := s.manage(ctx, g); err != nil {
			return err
		}
		s.logger.InfoContext(ctx, "farshore serves", "url", "http://"+l.Addr().String(), "data", s.data, "version", version)
		return s.work(ctx, g)
	})
}

// logged runs parts until ctx ends or one of them fails, with a log that outlives
// everything that may still append to it.
func (s *service) logged(ctx context.Context, start func(ctx context.Context, g *errgroup.Group) error) error {
	ended := make(chan error, 1)
	logCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	go func() { ended <- s.log.Run(logCtx) }()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return start(gctx, g) })
	err := g.Wait()
	end()
	return errors.Join(err, <-ended)
}

// shutdownPatience is how long requests may take once the server is to end.
const shutdownPatience = 5 * time.Second

func serveHTTP(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the API: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownPatience)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		_ = server.Close()
	}
	<-ended //nolint:errcheck // http.ErrServerClosed
	return nil
}

const (
	firstVault  = "default"
	firstPolicy = "default"
)

// furnish makes what a new server begins with: a vault, a policy, and the first
// admin key, in a file that only its owner can read.
func (s *service) furnish(ctx context.Context) error {
	how := eventstore.Execution{Metadata: eventstore.Metadata{Actor: "system", Vault: firstVault}}
	vaults := repository(s.log, vault.Category, vault.Decider)
	if state, _, err := vaults.Load(ctx, firstVault); err != nil {
		return err
	} else if state == (vault.State{}) {
		if _, err := vaults.Execute(ctx, firstVault, vault.Create{Name: firstVault, At: now()}, how); err != nil {
			return err
		}
		define := policy.Define{Name: firstPolicy, Settings: policy.Defaults(), At: now()}
		if _, err := repository(s.log, policy.Category, policy.Decider).Execute(ctx, firstVault+"."+firstPolicy, define, how); err != nil {
			return err
		}
	}
	return s.firstKey(ctx)
}

// firstKey issues the admin key unless its file is there. The file comes first:
// a key that nobody knows is worth nothing, and one that is not issued yet is
// issued at the next start.
func (s *service) firstKey(ctx context.Context) error {
	path := filepath.Join(s.data, "admin.key")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		key, _, err := api.MintKey(newID(), rand.Reader)
		if err != nil {
			return err
		}
		text = []byte(key + "\n")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return fmt.Errorf("write the admin key: %w", err)
		}
		s.logger.InfoContext(ctx, "the first admin key was made", "file", path)
	} else if err != nil {
		return fmt.Errorf("read the admin key: %w", err)
	}
	id, hash, err := api.ReadKey(string(text))
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	keys := repository(s.log, apikey.Category, apikey.Decider)
	if state, _, err := keys.Load(ctx, id); err != nil || state.Issued {
		return err
	}
	issue := apikey.Issue{Vault: apikey.AllVaults, Name: "first admin key", Role: apikey.VaultAdmin, SecretHash: hash, At: now()}
	_, err = keys.Execute(ctx, id, issue, eventstore.Execution{Metadata: eventstore.Metadata{Actor: "system"}})
	return err
}
