package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/projections"
	"farshore/workers/engine"
	"farshore/workers/inventory"
	"farshore/workers/lane"
	"farshore/workers/processmanager"
	"farshore/workers/workflow"
)

// manage adds what turns events into due work, and keeps the inventory.
func (s *service) manage(ctx context.Context, g *errgroup.Group) error {
	items := s.items()
	manager := &processmanager.Manager{Items: items, Lanes: &lane.Postgres{Pool: s.db.pool}, Now: now, Logger: s.logger, Wake: func() {
		for _, due := range []chan struct{}{s.due, s.planDue} {
			select {
			case due <- struct{}{}:
			default:
			}
		}
	}}
	events, err := eventstore.NewSubscriber(s.log, eventstore.SubscriberConfig{Group: processmanager.Group, Logger: s.logger})
	if err != nil {
		return fmt.Errorf("subscribe the process manager: %w", err)
	}
	poller := &inventory.Poller{
		Sites: repository(s.log, site.Category, site.Decider), Hosts: s.hosts, Targets: s.targets, Now: now, Logger: s.logger,
		Every: 2 * time.Second,
	}
	if err := s.checkNetworks(ctx, g); err != nil {
		return err
	}
	g.Go(func() error { return manager.Run(ctx, events) })
	g.Go(func() error { return poller.Run(ctx) })
	return nil
}

// work adds the workers, unless others do the work.
func (s *service) work(ctx context.Context, g *errgroup.Group) error {
	if s.workers == 0 {
		return nil
	}
	name := s.workerName()
	lanes := &lane.Postgres{Pool: s.db.pool}
	if s.alone {
		// What this server's last process was doing need not wait for its leases.
		if err := lanes.Abandon(ctx, name); err != nil {
			return fmt.Errorf("take up what was left: %w", err)
		}
	}
	e := engine.Engine{Plans: repository(s.log, recoveryplan.Category, recoveryplan.Decider), Scripts: s.scripts, Places: make(chan struct{}, s.scriptsAtOnce), Parts: workflow.Parts{
		Items: s.items(), Jobs: repository(s.log, job.Category, job.Decider),
		Hosts: s.hosts, Stores: s.stores, Backings: s.stores.Address, Zones: s.hosts.Zone,
		Networks: s.networks().Of, Progress: &lane.Progress{Pool: s.db.pool, Now: now}, Worker: name, Now: now, NewID: newID, Logger: s.logger,
	}}
	// Scripts of plans must not take the slots that the plans' items need.
	for _, runner := range []*lane.Runner{
		{Kinds: lane.ItemKinds(), Concurrency: s.workers, Wake: s.due},
		{Kinds: []lane.Kind{lane.Plan}, Concurrency: planSlots, Wake: s.planDue},
	} {
		runner.Lanes, runner.Handle, runner.Owner, runner.Now, runner.Logger = lanes, e.Handle, name, now, s.logger
		g.Go(func() error { return runner.Run(ctx) })
	}
	return nil
}

// planSlots is how many plans a process does something for at the same time. A
// script keeps its slot until it ends, so there are enough for those of many plans.
const planSlots = 64

// snapshotEvery bounds how many events are folded to load a protected item.
const snapshotEvery = 100

// items executes commands on protected items, whose streams grow long.
func (s *service) items() workflow.Items {
	items := repository(s.log, protecteditem.Category, protecteditem.Decider)
	items.Snapshots = eventstore.SnapshotPolicy{Keeper: s.log, Every: snapshotEvery, StateVersion: protecteditem.StateVersion}
	return items
}

// targets lists all hosts of all vaults.
func (s *service) targets(ctx context.Context) ([]inventory.Target, error) {
	var all []inventory.Target
	vaults, err := s.vaults(ctx)
	if err != nil {
		return nil, fmt.Errorf("list vaults: %w", err)
	}
	for _, vault := range vaults {
		_, err := everyRow(func(after string) ([]string, error) {
			rows, err := s.queries.Sites(ctx, vault, projections.Page{After: after, Limit: pageOfRows})
			for _, r := range rows {
				for _, h := range r.State.Hosts {
					all = append(all, inventory.Target{Vault: vault, Site: r.ID, Host: h.ID})
				}
			}
			return idsOf(rows), err
		})
		if err != nil {
			return nil, fmt.Errorf("list sites of vault %s: %w", vault, err)
		}
	}
	return all, nil
}

// vaults lists the ids of all vaults.
func (s *service) vaults(ctx context.Context) ([]string, error) {
	return everyRow(func(after string) ([]string, error) {
		rows, err := s.queries.Vaults(ctx, "*", projections.Page{After: after, Limit: pageOfRows})
		return idsOf(rows), err
	})
}

const pageOfRows = 200

// everyRow asks for page after page.
func everyRow(page func(after string) ([]string, error)) ([]string, error) {
	var all []string
	for after := ""; ; {
		ids, err := page(after)
		all = append(all, ids...)
		if err != nil || len(ids) < pageOfRows {
			return all, err
		}
		after = ids[len(ids)-1]
	}
}

func idsOf[S any](rows []projections.Row[S]) []string {
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	return ids
}

// workerName is what lanes are held under. A server keeps its name from process
// to process: its port and its data directory let only one of them live at once.
func (s *service) workerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if s.alone {
		sum := sha256.Sum256([]byte(s.data))
		return host + "-" + hex.EncodeToString(sum[:4])
	}
	return host + "-" + strconv.Itoa(os.Getpid())
}

func now() time.Time { return time.Now().UTC() }
