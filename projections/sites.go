package projections

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"farshore/domain/site"
	"farshore/eventstore"
)

const sitesTable = "sites_v1"

// Sites is the read model of sites, their hosts and the VMs found on them.
func Sites() *Model[site.Event, site.State] {
	return &Model[site.Event, site.State]{
		name: SitesName, version: 1, category: site.Category, evolve: site.Decider.Evolve, place: withinVault[site.State],
		derive: deriveHosts, derived: []string{"hosts_v1", "virtual_machines_v1"},
	}
}

// Site reads one, ErrNotFound when the vault has none of that id.
func (q *Queries) Site(ctx context.Context, vault, id string) (Row[site.State], error) {
	return one[site.State](ctx, q, sitesTable, vault, id)
}

// Sites lists a vault's sites by id.
func (q *Queries) Sites(ctx context.Context, vault string, page Page) ([]Row[site.State], error) {
	return list[site.State](ctx, q, sitesTable, vault, "", page)
}

// FoundVM is a VM with the host it was found on.
type FoundVM struct {
	Host     string
	VM       site.VirtualMachine
	Problems []site.Problem
	Version  eventstore.Version // of the site's stream when it last changed
}

// VirtualMachineKey is a VM's place in the list of a site's VMs.
func VirtualMachineKey(v FoundVM) string { return v.Host + "/" + v.VM.ID }

// VirtualMachines lists the VMs found in a site, by host and id; those of one
// host or, when it is empty, of all.
func (q *Queries) VirtualMachines(ctx context.Context, vault, siteID, host string, page Page) ([]FoundVM, error) {
	return q.foundVMs(ctx, vault, `WHERE vault = $1 AND site = $2 AND ($3 = '' OR host = $3) AND host || '/' || id > $4
		ORDER BY host || '/' || id LIMIT $5`, vault, siteID, host, page.After, page.Limit)
}

// VirtualMachine reads the VM of an id; the first one when several hosts have it
// and none is named.
func (q *Queries) VirtualMachine(ctx context.Context, vault, siteID, host, id string) (FoundVM, error) {
	found, err := q.foundVMs(ctx, vault, "WHERE vault = $1 AND site = $2 AND ($3 = '' OR host = $3) AND id = $4 ORDER BY host LIMIT 1", vault, siteID, host, id)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return FoundVM{}, err
	}
	return found[0], nil
}

func (q *Queries) foundVMs(ctx context.Context, vault, where string, args ...any) ([]FoundVM, error) {
	var out []FoundVM
	err := q.read(ctx, vault, "virtual_machines_v1", func(tx pgx.Tx) error {
		var err error
		out, err = collect(ctx, tx, scanVM, "SELECT host, state, version FROM virtual_machines_v1 "+where, args...)
		return err
	})
	return out, err
}

func scanVM(r pgx.CollectableRow) (FoundVM, error) {
	var (
		v   FoundVM
		raw []byte
		s   storedVM
	)
	if err := r.Scan(&v.Host, &raw, &v.Version); err != nil {
		return v, fmt.Errorf("scan virtual machine: %w", err)
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return v, fmt.Errorf("decode virtual machine: %w", err)
	}
	v.VM, v.Problems = s.VM, s.Problems
	return v, nil
}

// FoundHost is a host of a site.
type FoundHost struct {
	ID              string             `json:"id"`
	Directory       string             `json:"directory"`
	VirtualMachines int                `json:"virtualMachines"` // how many
	Problems        []site.Problem     `json:"problems"`
	Version         eventstore.Version `json:"-"` // of the site's stream when it last changed
}

// Hosts lists the hosts of a site by id; only the one of the given id unless it
// is empty.
func (q *Queries) Hosts(ctx context.Context, vault, siteID, id string, page Page) ([]FoundHost, error) {
	var out []FoundHost
	err := q.read(ctx, vault, "hosts_v1", func(tx pgx.Tx) error {
		var err error
		out, err = collect(ctx, tx, scanHost, `SELECT state, version FROM hosts_v1
			WHERE vault = $1 AND site = $2 AND ($3 = '' OR id = $3) AND id > $4 ORDER BY id LIMIT $5`, vault, siteID, id, page.After, page.Limit)
		return err
	})
	return out, err
}

func scanHost(r pgx.CollectableRow) (FoundHost, error) {
	var (
		h   FoundHost
		raw []byte
	)
	if err := r.Scan(&raw, &h.Version); err != nil {
		return h, fmt.Errorf("scan host: %w", err)
	}
	if err := json.Unmarshal(raw, &h); err != nil {
		return h, fmt.Errorf("decode host: %w", err)
	}
	return h, nil
}
