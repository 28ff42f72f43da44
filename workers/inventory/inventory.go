// Package inventory keeps the vault's picture of its hosts: it asks each host
// what VMs it holds and records the differences.
package inventory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/workers/host"
	"farshore/workers/workflow"
)

// Target is a host to ask.
type Target struct{ Vault, Site, Host string }

// Sites executes commands on sites.
type Sites = eventstore.Repository[site.Command, site.Event, site.State]

// Poller asks hosts for their inventory.
type Poller struct {
	Sites   Sites
	Hosts   workflow.Hosts
	Targets func(ctx context.Context) ([]Target, error) // all hosts of all sites
	Every   time.Duration                               // 5 s when zero
	Now     func() time.Time
	Logger  *slog.Logger
}

// The measures of polling.
const (
	defaultEvery = 5 * time.Second
	// patience is how long one host may take; a host that hangs holds up no other.
	patience = 10 * time.Second
	atOnce   = 8
)

// Run polls until ctx ends. A host that cannot be asked is asked again; its VMs
// stay as they were, for nothing says that they are gone.
func (p *Poller) Run(ctx context.Context) error {
	every := p.Every
	if every == 0 {
		every = defaultEvery
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if err := p.Poll(ctx); err != nil && ctx.Err() == nil {
			p.Logger.WarnContext(ctx, "inventory is incomplete", "error", err)
		}
		timer.Reset(every)
	}
}

// Poll asks every host once.
func (p *Poller) Poll(ctx context.Context) error {
	targets, err := p.Targets(ctx)
	if err != nil {
		return fmt.Errorf("list hosts: %w", err)
	}
	errs := make([]error, len(targets))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, t := range targets {
		g.Go(func() error {
			errs[i] = p.Refresh(ctx, t)
			return nil
		})
	}
	_ = g.Wait() // every host has an error of its own
	return errors.Join(errs...)
}

// Refresh asks one host and records what has changed on it.
func (p *Poller) Refresh(ctx context.Context, t Target) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	h, err := p.Hosts.Host(ctx, t.Vault, t.Site, t.Host)
	if f, ok := errors.AsType[*errorcatalog.Failure](err); ok && f.Code == errorcatalog.HostDirectoryUnusable {
		return p.record(ctx, t, site.RecordUnusable{Host: t.Host, Failure: errorcatalog.Failure{Code: f.Code, Detail: f.Detail}, At: p.Now()})
	}
	if err != nil {
		return fmt.Errorf("find host %s: %w", t.Host, err)
	}
	vms, err := h.VirtualMachines(ctx)
	if err != nil {
		return fmt.Errorf("list vms of host %s: %w", t.Host, err)
	}
	problems, err := problemsOf(ctx, h)
	if err != nil {
		return fmt.Errorf("list problems of host %s: %w", t.Host, err)
	}
	return p.record(ctx, t, site.RecordInventory{Host: t.Host, VMs: vms, Problems: problems, At: p.Now()})
}

func (p *Poller) record(ctx context.Context, t Target, cmd site.Command) error {
	how := eventstore.Execution{Metadata: eventstore.Metadata{Actor: "worker:inventory", Vault: t.Vault}}
	_, err := p.Sites.Execute(ctx, t.Vault+"."+t.Site, cmd, how)
	if _, refused := errors.AsType[*domain.RejectionError](err); refused {
		return nil // the host was removed while it was asked
	}
	if err != nil {
		return fmt.Errorf("record inventory of host %s: %w", t.Host, err)
	}
	return nil
}

// problemsOf asks hosts that tell what they cannot describe.
func problemsOf(ctx context.Context, h host.Inventory) ([]site.Problem, error) {
	lister, ok := h.(host.ProblemLister)
	if !ok {
		return nil, nil
	}
	found, err := lister.Problems(ctx)
	if err != nil {
		return nil, err
	}
	var out []site.Problem
	for _, f := range found {
		out = append(out, site.Problem{Subject: f.VM, Failure: errorcatalog.Failure{Code: f.Code, Detail: f.Detail}})
	}
	// In an order of its own: a list that only comes in another order is the same.
	slices.SortFunc(out, func(a, b site.Problem) int {
		if a.Subject != b.Subject {
			if a.Subject < b.Subject {
				return -1
			}
			return 1
		}
		return 0
	})
	return out, nil
}
