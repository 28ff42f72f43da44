package engine_test

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"farshore/domain/job"
	"farshore/domain/networkmapping"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/engine"
	"farshore/workers/host"
	"farshore/workers/lane"
	"farshore/workers/planrun"
	"farshore/workers/processmanager"
	"farshore/workers/replica"
	"farshore/workers/replica/directory"
	"farshore/workers/replica/pageblob"
	"farshore/workers/workflow"
)

// worker is a control plane's worker part, wired as a server wires it.
type worker struct {
	config
	pool  *pgxpool.Pool
	codec *eventstore.Codec
	store *eventstore.Postgres
	items workflow.Items
	jobs  eventstore.Repository[job.Command, job.Event, job.State]
	plans planrun.Plans
	lanes *lane.Postgres
	wake  chan struct{}
	now   func() time.Time
	log   *slog.Logger

	replica replica.Store
	damage  func(item, name string) // of an object that was put; may be nil
	sent    *atomic.Int64           // what is written to replica disks, in bytes; may be nil
	outage  *outage                 // of the replica store; may be nil
}

func newWorker(ctx context.Context, c config, log *slog.Logger) (*worker, error) {
	pooled, err := pgxpool.ParseConfig(c.Database)
	if err != nil {
		return nil, err
	}
	pooled.ConnConfig.RuntimeParams["application_name"] = c.Owner
	pool, err := pgxpool.NewWithConfig(ctx, pooled)
	if err != nil {
		return nil, err
	}
	codec, err := eventstore.NewCodec(eventstore.Types(protecteditem.Events()...), eventstore.Types(job.Events()...),
		eventstore.Types(site.Events()...), eventstore.Types(networkmapping.Events()...), eventstore.Types(recoveryplan.Events()...))
	if err != nil {
		return nil, err
	}
	w := &worker{config: c, pool: pool, codec: codec, wake: make(chan struct{}, 1), now: clock(c.Speed), log: log}
	w.store = eventstore.NewPostgres(pool, codec, eventstore.PostgresConfig{Logger: log})
	w.items = workflow.Items{Store: w.store, Category: protecteditem.Category, Decider: protecteditem.Decider}
	w.jobs = eventstore.Repository[job.Command, job.Event, job.State]{Store: w.store, Category: job.Category, Decider: job.Decider}
	w.plans = planrun.Plans{Store: w.store, Category: recoveryplan.Category, Decider: recoveryplan.Decider}
	w.lanes = &lane.Postgres{Pool: pool, Now: w.now}
	w.replica, err = openStore(c.storeAddress(), w.now)
	return w, err
}

func (c config) storeAddress() host.StoreAddress {
	if c.Blobs.Kind != "" {
		return c.Blobs
	}
	return host.StoreAddress{Kind: string(replica.Directory), Directory: c.Store}
}

// openStore opens a store as a server does, and a host process.
func openStore(at host.StoreAddress, now func() time.Time) (replica.Store, error) {
	if at.Kind == string(replica.Directory) {
		return directory.Open(at.Directory, now), nil
	}
	secret, err := os.ReadFile(strings.TrimPrefix(at.Credential, "file:"))
	if err != nil {
		return nil, err
	}
	credential, err := pageblob.ParseCredential(string(secret), at.Endpoint)
	if err != nil {
		return nil, err
	}
	return pageblob.New(pageblob.Options{ServiceURL: at.Endpoint, Container: at.Container, Credential: credential, Now: now})
}

func (w *worker) Store(context.Context, string, string) (replica.Store, error) {
	if w.outage != nil {
		return failingStore{Store: w.replica, outage: w.outage}, nil
	}
	if w.sent != nil {
		return countingStore{Store: w.replica, written: w.sent}, nil
	}
	return &slowStore{Store: w.replica, pause: w.Slow, read: w.SlowRead, trace: w.Trace, hold: w.Hold, only: w.Only, damage: w.damage}, nil
}

func (w *worker) address(context.Context, string, string) (host.StoreAddress, bool, error) {
	return w.storeAddress(), !w.Copied, nil
}

// openBacking opens a recovery point for a host.
func openBacking(ctx context.Context, b host.Backing) (disk.Reader, error) {
	store, err := openStore(b.Store, time.Now)
	if err != nil {
		return nil, err
	}
	return checksum.OpenVerified(ctx, store, b.Item, b.Point, b.Disk, b.Root)
}

// start does what is due.
func (w *worker) start(ctx context.Context, parts *sync.WaitGroup, errs chan<- error) error {
	sub, err := eventstore.NewSubscriber(w.store, eventstore.SubscriberConfig{Group: processmanager.Group, Takeover: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	e := engine.Engine{Plans: w.plans, Scripts: w.Scripts, Parts: workflow.Parts{
		Items: w.items, Jobs: w.jobs, Hosts: w.config, Stores: w, Progress: &lane.Progress{Pool: w.pool, Now: w.now},
		Worker: w.Owner, Networks: w.book().Of, Stretch: w.Stretch, Backings: w.address, Now: w.now, NewID: newID, Logger: w.log,
	}}
	runner := &lane.Runner{
		Lanes: w.lanes, Handle: e.Handle, Owner: w.Owner, Lease: cmp.Or(w.Lease, 2*time.Second) * time.Duration(max(1, w.Speed)),
		Beat: 100 * time.Millisecond, Poll: 100 * time.Millisecond, Wake: w.wake, Now: w.now, Logger: w.log,
	}
	manager := &processmanager.Manager{Items: w.items, Lanes: w.lanes, Now: w.now, Logger: slog.New(slog.DiscardHandler), Wake: func() {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}}
	parts.Go(func() { errs <- manager.Run(ctx, sub) })
	parts.Go(func() { errs <- runner.Run(ctx) })
	return nil
}

// run serves the log until ctx ends, and what start starts.
func (w *worker) run(ctx context.Context, start func(context.Context, *sync.WaitGroup, chan<- error) error) error {
	defer w.pool.Close()
	if c, ok := w.replica.(io.Closer); ok {
		defer c.Close() //nolint:errcheck // it is read no more
	}
	var parts sync.WaitGroup
	storeCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var storing sync.WaitGroup
	storing.Go(func() { _ = w.store.Run(storeCtx) })
	defer storing.Wait()
	defer stop()
	errs := make(chan error, 2)
	if start != nil {
		if err := start(ctx, &parts, errs); err != nil {
			return err
		}
	}
	parts.Wait()
	<-ctx.Done()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// childWorker is a worker in a process of its own, to be killed.
func childWorker(text string) error {
	var c config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	w, err := newWorker(ctx, c, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	return w.run(ctx, w.start)
}
