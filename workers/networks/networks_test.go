package networks_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/networkmapping"
	"farshore/domain/policy"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/workers/networks"
	"farshore/workers/workflow"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// yard is a log with a checker that is told of every event.
type yard struct {
	t       *testing.T
	store   eventstore.Store
	book    networks.Book
	items   workflow.Items
	ids     []string // of the items, as a read model knows them
	checker *networks.Checker
	told    eventstore.Position
}

func newYard(t *testing.T) *yard {
	t.Helper()
	codec, err := eventstore.NewCodec(eventstore.Types(site.Events()...), eventstore.Types(networkmapping.Events()...), eventstore.Types(protecteditem.Events()...))
	if err != nil {
		t.Fatal(err)
	}
	y := &yard{t: t, store: eventstore.NewMemory(codec, func() time.Time { return noon })}
	y.items = workflow.Items{Store: y.store, Category: protecteditem.Category, Decider: protecteditem.Decider}
	y.book = networks.Book{
		Sites:    networks.Sites{Store: y.store, Category: site.Category, Decider: site.Decider},
		Mappings: networks.Mappings{Store: y.store, Category: networkmapping.Category, Decider: networkmapping.Decider},
		Items:    y.at,
	}
	y.checker = &networks.Checker{Book: y.book, Items: y.items, Now: func() time.Time { return noon }, Logger: slog.New(slog.DiscardHandler)}
	return y
}

func (y *yard) at(ctx context.Context, vault, siteID string) ([]protecteditem.State, error) {
	var found []protecteditem.State
	for _, id := range y.ids {
		s, _, err := y.items.Load(ctx, vault+"."+id)
		if err != nil {
			return nil, err
		}
		if s.Protection != protecteditem.Unprotected && (siteID == "" || s.Site == siteID || s.Recovery.Site == siteID) {
			found = append(found, s)
		}
	}
	return found, nil
}

func do[C any, E domain.Event, S any](y *yard, repo eventstore.Repository[C, E, S], id string, cmd C) {
	y.t.Helper()
	if _, err := repo.Execute(y.t.Context(), id, cmd, eventstore.Execution{}); err != nil {
		y.t.Fatalf("%T: %v", cmd, err)
	}
	y.tell()
}

// tell tells the checker of everything that it has not heard of.
func (y *yard) tell() {
	y.t.Helper()
	for {
		events, err := y.store.Read(y.t.Context(), y.told, 100)
		if err != nil {
			y.t.Fatal(err)
		}
		if len(events) == 0 {
			return
		}
		for _, e := range events {
			y.told = e.Position
			if err := y.checker.Handle(y.t.Context(), string(e.Stream), e.Event.EventType()); err != nil {
				y.t.Fatal(err)
			}
		}
	}
}

func (y *yard) site(id string, known ...site.Network) {
	y.t.Helper()
	do(y, y.book.Sites, "acme."+id, site.Command(site.Register{Name: id, Kind: site.Local, At: noon}))
	do(y, y.book.Sites, "acme."+id, site.Command(site.LoadInventory{Networks: known, At: noon}))
}

func (y *yard) mapping(id, network string, how networkmapping.Addressing) {
	y.t.Helper()
	m := networkmapping.Mapping{
		ID: id, Site: "a", Network: network, NetworkName: network, RecoverySite: "b", RecoveryNetwork: "dr", RecoveryNetworkName: "dr", Addressing: how,
	}
	do(y, y.book.Mappings, "acme", networkmapping.Command(networkmapping.MapNetwork{Mapping: m, Subnets: []string{"10.2.0.0/24"}, At: noon}))
}

func (y *yard) item(id string, cmd protecteditem.Command) {
	y.t.Helper()
	do(y, y.items, "acme."+id, cmd)
}

func (y *yard) enable(id, network, ip string) {
	y.t.Helper()
	vm := site.VirtualMachine{
		ID: id, Name: id, Generation: 2, Disks: []site.Disk{{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: 2 << 30, OS: true}},
		NICs: []site.NIC{{Name: "eth0", Network: network, Address: &site.Address{Type: site.StaticAddress, IP: ip}}},
	}
	y.ids = append(y.ids, id)
	y.item(id, protecteditem.EnableProtection{
		JobID: "job-" + id, Vault: "acme", Item: id, Site: "a", Host: "h1", VM: vm, PolicyID: "p", Policy: policy.Defaults(),
		Store: protecteditem.StoreRef{ID: "store", Kind: protecteditem.DirectoryStore}, RecoverySite: "b", RecoveryHost: "h2", RecoveryVMName: id + "-dr", At: noon,
	})
}

// wrong checks what is known to be wrong with an item's networks.
func (y *yard) wrong(id string, want ...errorcatalog.Code) {
	y.t.Helper()
	s, _, err := y.items.Load(y.t.Context(), "acme."+id)
	if err != nil {
		y.t.Fatal(err)
	}
	var got []errorcatalog.Code
	for _, f := range s.NetworkFindings {
		got = append(got, f.Code)
	}
	if !slices.Equal(got, want) {
		y.t.Errorf("%s: %+v, want %v", id, s.NetworkFindings, want)
	}
}

func lan(cidr string) site.Network {
	return site.Network{ID: "lan", Name: "lan", Subnets: []site.Subnet{{CIDR: cidr}}}
}

func TestWhateverChangesWithNetworksIsLookedAt(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	do(y, y.book.Sites, "acme.b", site.Command(site.Register{Name: "b", Kind: site.Local, At: noon}))
	y.enable("web", "lan", "10.1.0.5")
	y.wrong("web") // of no site are the networks known
	y.site("a", lan("10.1.0.0/24"), site.Network{ID: "dmz", Name: "dmz"})
	y.wrong("web", errorcatalog.NetworkUnmapped)
	y.site("b", site.Network{ID: "dr", Name: "dr", Subnets: []site.Subnet{{CIDR: "10.2.0.0/24"}}})
	y.mapping("lan", "lan", networkmapping.KeepAddress)
	y.wrong("web", errorcatalog.StaticAddressOutsideSubnet)
	do(y, y.book.Mappings, "acme", networkmapping.Command(networkmapping.RemoveMapping{ID: "lan", At: noon}))
	y.wrong("web", errorcatalog.NetworkUnmapped)
	y.mapping("lan", "lan", networkmapping.TranslateAddress)
	y.wrong("web")
	y.site("b")
	y.wrong("web", errorcatalog.StaticAddressOutsideSubnet) // the subnet went with the network
	y.site("b", site.Network{ID: "other", Name: "other"})
	y.wrong("web", errorcatalog.RecoveryNetworkMissing)
	y.item("web", protecteditem.ChangeNetworkSettings{NICs: []protecteditem.NICSettings{{NIC: "eth0", Disconnected: true}}, At: noon})
	y.wrong("web")
}

func TestAdaptersDoNotReturnToTheirOwnNetworksByThemselves(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ told, forgotten func(y *yard) }{
		"the last mapping is removed": {
			func(y *yard) {
				y.site("a")
				y.site("b", site.Network{ID: "dr", Name: "dr"})
				y.mapping("lan", "lan", networkmapping.FromDHCP)
			},
			func(y *yard) {
				do(y, y.book.Mappings, "acme", networkmapping.Command(networkmapping.RemoveMapping{ID: "lan", At: noon}))
			},
		},
		"no network is loaded any more": {
			func(y *yard) { y.site("a", lan("10.1.0.0/24")); y.site("b") },
			func(y *yard) { y.site("a") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			tt.told(y)
			y.enable("web", "lan", "10.1.0.5")
			tt.forgotten(y)
			y.wrong("web", errorcatalog.NetworkUnmapped)
		})
	}
}

func TestAnAddressThatTwoItemsShareIsToldWithBoth(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.site("a", lan("10.1.0.0/24"), site.Network{ID: "dmz", Name: "dmz", Subnets: []site.Subnet{{CIDR: "10.9.0.0/24"}}})
	y.site("b", site.Network{ID: "dr", Name: "dr", Subnets: []site.Subnet{{CIDR: "10.2.0.0/24"}}})
	y.mapping("lan", "lan", networkmapping.TranslateAddress)
	y.mapping("dmz", "dmz", networkmapping.TranslateAddress)
	y.enable("web", "lan", "10.1.0.5")
	y.enable("db", "dmz", "10.9.0.5")
	y.enable("mail", "lan", "10.1.0.6")
	for _, id := range []string{"web", "db"} {
		y.wrong(id, errorcatalog.StaticAddressInUse)
	}
	y.wrong("mail")
	y.item("db", protecteditem.ChangeNetworkSettings{NICs: []protecteditem.NICSettings{{NIC: "eth0", Address: &site.Address{Type: site.StaticAddress, IP: "10.2.0.6"}}}, At: noon})
	y.wrong("web")
	y.wrong("db", errorcatalog.StaticAddressInUse)
	y.wrong("mail", errorcatalog.StaticAddressInUse)
	y.item("db", protecteditem.DisableProtection{JobID: "end", At: noon})
	y.item("db", protecteditem.CompleteDisable{JobID: "end", At: noon})
	y.wrong("mail")
	before := y.told
	y.item("mail", protecteditem.ChangeNetworkSettings{NICs: []protecteditem.NICSettings{{NIC: "eth0", Primary: true}}, At: noon})
	if y.told != before+1 {
		t.Errorf("what is in order was recorded %d times", y.told-before-1)
	}
}
