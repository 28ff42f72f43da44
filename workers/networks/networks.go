// Package networks knows the networks around protected items, and looks whenever
// they change for adapters that a failover would not connect.
package networks

import (
	"context"
	"fmt"

	"farshore/domain/networkmapping"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore"
)

// Sites reads sites.
type Sites = eventstore.Repository[site.Command, site.Event, site.State]

// Mappings reads the network mappings of vaults.
type Mappings = eventstore.Repository[networkmapping.Command, networkmapping.Event, networkmapping.State]

// Book is what is known of networks: the log of sites and mappings, and a list of
// the items of a site.
type Book struct {
	Sites    Sites
	Mappings Mappings
	// Items lists the items that have a site as their own or their recovery side; all
	// of the vault if none is named.
	// Those that were enabled a moment ago may be missing.
	Items func(ctx context.Context, vault, site string) ([]protecteditem.State, error)
}

// Of returns what is known of the networks around an item. Which addresses other
// items take is looked up for one that has static addresses.
func (b Book) Of(ctx context.Context, s protecteditem.State) (protecteditem.Networks, error) {
	return b.read().of(ctx, s)
}

// reading is a look at the book, in which each page is turned to once.
type reading struct {
	Book
	sites    map[string]site.State
	mappings map[string]networkmapping.State
	items    map[string][]protecteditem.State
	taken    map[string][]protecteditem.TakenAddress // by recovery site
}

func (b Book) read() *reading {
	return &reading{
		Book: b, sites: map[string]site.State{}, mappings: map[string]networkmapping.State{}, items: map[string][]protecteditem.State{},
		taken: map[string][]protecteditem.TakenAddress{},
	}
}

func (r *reading) of(ctx context.Context, s protecteditem.State) (protecteditem.Networks, error) {
	known, err := r.around(ctx, s)
	if err != nil || len(protecteditem.TakenBy(s, protecteditem.PlanNetworks(s, known))) == 0 {
		return known, err
	}
	taken, err := r.takenAt(ctx, s.Vault, s.Recovery.Site)
	if err != nil {
		return known, err
	}
	for _, t := range taken {
		if t.Item != s.Item {
			known.Taken = append(known.Taken, t)
		}
	}
	return known, nil
}

// takenAt lists the static addresses that the items of a recovery site have there.
func (r *reading) takenAt(ctx context.Context, vault, recoverySite string) ([]protecteditem.TakenAddress, error) {
	key := vault + "." + recoverySite
	if taken, ok := r.taken[key]; ok {
		return taken, nil
	}
	items, err := r.at(ctx, vault, recoverySite)
	if err != nil {
		return nil, err
	}
	var taken []protecteditem.TakenAddress
	for _, s := range items {
		if s.Recovery.Site != recoverySite {
			continue
		}
		around, err := r.around(ctx, s)
		if err != nil {
			return nil, err
		}
		taken = append(taken, protecteditem.TakenBy(s, protecteditem.PlanNetworks(s, around))...)
	}
	r.taken[key] = taken
	return taken, nil
}

// around is what the sites and the mappings tell.
func (r *reading) around(ctx context.Context, s protecteditem.State) (protecteditem.Networks, error) {
	var known protecteditem.Networks
	source, err := r.site(ctx, s.Vault, s.Site)
	if err != nil {
		return known, err
	}
	recovery, err := r.site(ctx, s.Vault, s.Recovery.Site)
	if err != nil {
		return known, err
	}
	mapped, ok := r.mappings[s.Vault]
	if !ok {
		if mapped, _, err = r.Mappings.Load(ctx, s.Vault); err != nil {
			return known, fmt.Errorf("load network mappings of vault %s: %w", s.Vault, err)
		}
		r.mappings[s.Vault] = mapped
	}
	var led []site.Network
	for _, e := range mapped.Entries {
		if e.RecoverySite == s.Recovery.Site {
			led = append(led, site.Network{ID: e.RecoveryNetwork, Name: e.RecoveryNetworkName})
		}
	}
	return protecteditem.Networks{
		Led: led, Told: source.Inventoried || mapped.Ever(s.Site, s.Recovery.Site), Loaded: source.NetworksLoaded(), Source: source.KnownNetworks(),
		RecoveryLoaded: recovery.NetworksLoaded(), Recovery: recovery.KnownNetworks(),
		Mappings: mapped.Between(s.Site, s.Recovery.Site),
	}, nil
}

func (r *reading) site(ctx context.Context, vault, id string) (site.State, error) {
	key := vault + "." + id
	if state, ok := r.sites[key]; ok {
		return state, nil
	}
	state, _, err := r.Sites.Load(ctx, key)
	if err != nil {
		return state, fmt.Errorf("load site %s: %w", id, err)
	}
	r.sites[key] = state
	return state, nil
}

func (r *reading) at(ctx context.Context, vault, site string) ([]protecteditem.State, error) {
	key := vault + "." + site
	if found, ok := r.items[key]; ok {
		return found, nil
	}
	found, err := r.Items(ctx, vault, site)
	if err != nil {
		return nil, fmt.Errorf("list items of site %s: %w", site, err)
	}
	r.items[key] = found
	return found, nil
}
