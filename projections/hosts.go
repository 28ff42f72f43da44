package projections

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"farshore/domain/site"
	"farshore/eventstore"
)

// storedVM is a VM as its row keeps it, with what its host says against it.
type storedVM struct {
	VM       site.VirtualMachine `json:"vm"`
	Problems []site.Problem      `json:"problems,omitempty"`
}

// deriveHosts brings the hosts and VMs of changed sites to what their states
// say. A row changes only when what it shows does, so that its version is that of
// its last change.
func deriveHosts(ctx context.Context, tx pgx.Tx, changed []*Row[site.State]) error {
	for _, row := range changed {
		hosts, vms := inventoryOf(row.State)
		if err := hosts.write(ctx, tx, row.Vault, row.ID, row.Version); err != nil {
			return err
		}
		if err := vms.write(ctx, tx, row.Vault, row.ID, row.Version); err != nil {
			return err
		}
	}
	return nil
}

// hostRows are the hosts of a site.
type hostRows struct{ ids, states []string }

// vmRows are the VMs of a site.
type vmRows struct{ hosts, ids, states []string }

func inventoryOf(s site.State) (hostRows, vmRows) {
	var (
		hosts hostRows
		vms   vmRows
	)
	for _, h := range s.Hosts {
		state, _ := json.Marshal(FoundHost{ID: h.ID, Directory: h.Directory, VirtualMachines: len(h.VirtualMachines), Problems: h.Problems}) // nothing in it can fail to encode
		hosts.ids, hosts.states = append(hosts.ids, h.ID), append(hosts.states, string(state))
		for _, v := range h.VirtualMachines {
			state, _ := json.Marshal(storedVM{VM: v, Problems: problemsOf(h, v.ID)}) // nothing in it can fail to encode
			vms.hosts, vms.ids, vms.states = append(vms.hosts, h.ID), append(vms.ids, v.ID), append(vms.states, string(state))
		}
	}
	return hosts, vms
}

func problemsOf(h site.Host, vm string) []site.Problem {
	var out []site.Problem
	for _, p := range h.Problems {
		if p.Subject == vm {
			out = append(out, p)
		}
	}
	return out
}

func (h hostRows) write(ctx context.Context, tx pgx.Tx, vault, siteID string, version eventstore.Version) error {
	_, err := tx.Exec(ctx, "DELETE FROM hosts_v1 WHERE vault = $1 AND site = $2 AND id <> ALL($3::text[])", vault, siteID, orEmpty(h.ids))
	if err != nil {
		return fmt.Errorf("remove hosts: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO hosts_v1 (vault, site, id, state, version)
		SELECT $1, $2, i, s::jsonb, $5 FROM unnest($3::text[], $4::text[]) AS x(i, s)
		ON CONFLICT (vault, site, id) DO UPDATE SET state = excluded.state, version = excluded.version
		WHERE hosts_v1.state IS DISTINCT FROM excluded.state`, vault, siteID, h.ids, h.states, version)
	if err != nil {
		return fmt.Errorf("write hosts: %w", err)
	}
	return nil
}

func (v vmRows) write(ctx context.Context, tx pgx.Tx, vault, siteID string, version eventstore.Version) error {
	_, err := tx.Exec(ctx, `DELETE FROM virtual_machines_v1 m WHERE vault = $1 AND site = $2 AND NOT EXISTS (
		SELECT FROM unnest($3::text[], $4::text[]) AS k(host, id) WHERE k.host = m.host AND k.id = m.id)`, vault, siteID, v.hosts, v.ids)
	if err != nil {
		return fmt.Errorf("remove virtual machines: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO virtual_machines_v1 (vault, site, host, id, state, version)
		SELECT $1, $2, h, i, s::jsonb, $6 FROM unnest($3::text[], $4::text[], $5::text[]) AS x(h, i, s)
		ON CONFLICT (vault, site, host, id) DO UPDATE SET state = excluded.state, version = excluded.version
		WHERE virtual_machines_v1.state IS DISTINCT FROM excluded.state`, vault, siteID, v.hosts, v.ids, v.states, version)
	if err != nil {
		return fmt.Errorf("write virtual machines: %w", err)
	}
	return nil
}

// orEmpty makes of nil an empty list: to the database, nil is unknown.
func orEmpty(ids []string) []string {
	if ids == nil {
		return []string{}
	}
	return ids
}
