package inventory_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/workers/host"
	"farshore/workers/inventory"
)

func now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

var errAway = errors.New("away")

// hosts is a house of hosts of which some do not answer.
type hosts map[string]*machine

// Host implements workflow.Hosts.
func (h hosts) Host(_ context.Context, _, _, name string) (host.Host, error) {
	switch m, ok := h[name]; {
	case ok && m == nil:
		return nil, errorcatalog.Fail(errorcatalog.HostDirectoryUnusable, "directory /vms/2")
	case ok:
		return m, nil
	}
	return nil, errAway
}

// machine is a host that can only tell what it holds.
type machine struct {
	host.Host
	vms []site.VirtualMachine
}

// VirtualMachines implements host.Inventory.
func (m *machine) VirtualMachines(context.Context) ([]site.VirtualMachine, error) { return m.vms, nil }

func TestAHostThatIsAwayKeepsNoOtherFromBeingAsked(t *testing.T) {
	t.Parallel()
	codec, err := eventstore.NewCodec(eventstore.Types(site.Events()...))
	if err != nil {
		t.Fatal(err)
	}
	sites := inventory.Sites{Store: eventstore.NewMemory(codec, now), Category: site.Category, Decider: site.Decider}
	for _, cmd := range []site.Command{
		site.Register{Name: "main", Kind: site.Local, At: now()},
		site.AddHost{Host: "h1", Directory: "/vms/1", At: now()},
		site.AddHost{Host: "h2", Directory: "/vms/2", At: now()},
	} {
		if _, err := sites.Execute(t.Context(), "v.s1", cmd, eventstore.Execution{}); err != nil {
			t.Fatal(err)
		}
	}
	there := &machine{vms: []site.VirtualMachine{{ID: "web", Name: "web"}}}
	p := &inventory.Poller{
		Sites: sites, Hosts: hosts{"h2": there}, Now: now, Logger: slog.New(slog.DiscardHandler),
		Targets: func(context.Context) ([]inventory.Target, error) {
			return []inventory.Target{{Vault: "v", Site: "s1", Host: "h1"}, {Vault: "v", Site: "s1", Host: "h2"}}, nil
		},
	}
	if err := p.Poll(t.Context()); !errors.Is(err, errAway) {
		t.Errorf("the poll ended with %v", err)
	}
	state, version, err := sites.Load(t.Context(), "v.s1")
	if h, _ := state.Host("h2"); err != nil || len(h.VirtualMachines) != 1 {
		t.Errorf("host h2 holds %v, %v", h.VirtualMachines, err)
	}
	// Nothing new, no event.
	_ = p.Poll(t.Context())
	if _, again, _ := sites.Load(t.Context(), "v.s1"); again != version {
		t.Errorf("asking again added %d events", again-version)
	}
	// A volume that is not mounted has not lost its VMs.
	p.Hosts = hosts{"h2": nil}
	_ = p.Poll(t.Context())
	state, _, err = sites.Load(t.Context(), "v.s1")
	h, _ := state.Host("h2")
	if err != nil || len(h.VirtualMachines) != 1 || len(h.Problems) != 1 || h.Problems[0].Failure.Code != errorcatalog.HostDirectoryUnusable {
		t.Errorf("without its directory, host h2 holds %v with the problems %v, %v", h.VirtualMachines, h.Problems, err)
	}
	p.Hosts = hosts{"h2": there}
	_ = p.Poll(t.Context())
	state, _, err = sites.Load(t.Context(), "v.s1")
	if h, _ := state.Host("h2"); err != nil || len(h.Problems) != 0 {
		t.Errorf("mounted again, host h2 has the problems %v, %v", h.Problems, err)
	}
}
