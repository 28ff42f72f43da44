// Package api serves the contract, openapi.yaml: requests become commands and
// queries, outcomes become answers. There is a file per resource; problem.go is
// the only place where an error becomes a status. The clock and new ids enter
// here, at the edge.
package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"farshore/api/oapi"
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
)

// Positions knows how far the read models have got; projections.Runner does.
type Positions interface {
	WaitFor(ctx context.Context, position eventstore.Position, models ...string) error
}

// Config is what a Server is made of.
type Config struct {
	Store     eventstore.Store
	Queries   *projections.Queries
	Positions Positions
	Now       func() time.Time
	NewID     func() string // UUIDv7
	Registry  *prometheus.Registry
	Logger    *slog.Logger
	// Ready says why the service cannot serve for the moment, nil if it can. The
	// database is asked besides.
	Ready func() error
	// Snapshots bounds what is folded to load a protected item; it may be left out.
	Snapshots eventstore.SnapshotPolicy
	// LagTimeout bounds the wait for minPosition; 5 seconds when zero.
	LagTimeout time.Duration
	// Networks is what is known of the networks around an item; it may be left out.
	Networks func(ctx context.Context, s protecteditem.State) (protecteditem.Networks, error)
	// PlanLimits bounds recovery plans; the defaults when zero.
	PlanLimits recoveryplan.Limits
	// FindScript says why a script that a recovery plan names cannot be run; it may
	// be left out.
	FindScript func(name string) error
	// Random is where secrets come from; the system's source when nil.
	Random io.Reader
}

// Server answers requests.
type Server struct {
	vaults          eventstore.Repository[vault.Command, vault.Event, vault.State]
	policies        eventstore.Repository[policy.Command, policy.Event, policy.State]
	sites           eventstore.Repository[site.Command, site.Event, site.State]
	storageAccounts eventstore.Repository[storageaccount.Command, storageaccount.Event, storageaccount.State]
	protectedItems  eventstore.Repository[protecteditem.Command, protecteditem.Event, protecteditem.State]
	jobs            eventstore.Repository[job.Command, job.Event, job.State]
	apiKeys         eventstore.Repository[apikey.Command, apikey.Event, apikey.State]
	networkMappings eventstore.Repository[networkmapping.Command, networkmapping.Event, networkmapping.State]
	plans           eventstore.Repository[recoveryplan.Command, recoveryplan.Event, recoveryplan.State]

	store      eventstore.Store
	queries    *projections.Queries
	positions  Positions
	now        func() time.Time
	newID      func() string
	random     io.Reader
	logger     *slog.Logger
	ready      func() error
	networks   func(ctx context.Context, s protecteditem.State) (protecteditem.Networks, error)
	lagTimeout time.Duration
	planLimits recoveryplan.Limits
	findScript func(name string) error
	contract   *contract
	metrics    *metrics
	registry   *prometheus.Registry
	vaultSeen  sync.Map
}

var _ oapi.StrictServerInterface = (*Server)(nil)

// defaultLagTimeout is how long a query waits for minPosition.
const defaultLagTimeout = 5 * time.Second

// New returns a server; its contract is compiled once, here.
func New(c Config) (*Server, error) {
	if c.Store == nil || c.Queries == nil || c.Positions == nil || c.Now == nil || c.NewID == nil || c.Registry == nil || c.Logger == nil {
		return nil, errors.New("api needs a store, queries, positions, a clock, ids, a registry and a logger")
	}
	compiled, err := loadContract()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(c.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	s := &Server{
		store: c.Store, queries: c.Queries, positions: c.Positions, now: c.Now, newID: c.NewID, logger: c.Logger, ready: c.Ready,
		networks: c.Networks, planLimits: c.PlanLimits, findScript: c.FindScript, random: c.Random, lagTimeout: c.LagTimeout,
		contract: compiled, metrics: m, registry: c.Registry,
	}
	if s.planLimits == (recoveryplan.Limits{}) {
		s.planLimits = recoveryplan.DefaultLimits()
	}
	if s.random == nil {
		s.random = rand.Reader
	}
	if s.lagTimeout == 0 {
		s.lagTimeout = defaultLagTimeout
	}
	s.vaults = repository(c.Store, vault.Category, vault.Decider)
	s.policies = repository(c.Store, policy.Category, policy.Decider)
	s.sites = repository(c.Store, site.Category, site.Decider)
	s.storageAccounts = repository(c.Store, storageaccount.Category, storageaccount.Decider)
	s.protectedItems = repository(c.Store, protecteditem.Category, protecteditem.Decider)
	s.protectedItems.Snapshots = c.Snapshots
	s.jobs = repository(c.Store, job.Category, job.Decider)
	s.plans = repository(c.Store, recoveryplan.Category, recoveryplan.Decider)
	s.apiKeys = repository(c.Store, apikey.Category, apikey.Decider)
	s.networkMappings = repository(c.Store, networkmapping.Category, networkmapping.Decider)
	return s, nil
}

// Handler returns the HTTP handler of all routes.
func (s *Server) Handler() http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Binder = jsonBinder{}
	e.HTTPErrorHandler = s.writeProblem
	e.Use(s.identify, s.observe, s.limit, s.authenticate, s.validate, s.await)
	oapi.RegisterHandlers(e, oapi.NewStrictHandler(s, nil))
	return e
}
