package site_test

import (
	"slices"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
)

func lan() site.Network {
	return site.Network{
		ID: "vm-lan", Name: "LAN", LogicalNetwork: "corp",
		Subnets: []site.Subnet{{
			Name: "office", CIDR: "10.1.0.0/24", Gateway: "10.1.0.1", DNS: []string{"10.1.0.2"}, Pools: []site.AddressPool{{First: "10.1.0.100", Last: "10.1.0.199"}},
		}},
	}
}

func dmz() site.Network { return site.Network{ID: "vm-dmz", Name: "DMZ"} }

func grown() site.Network {
	n := lan()
	n.Subnets = append(n.Subnets, site.Subnet{CIDR: "10.1.1.0/24"})
	return n
}

var (
	vmm         = site.Registered{Name: "Vienna", Kind: site.VMM, TimeZone: "Europe/Vienna", At: noon}
	server      = site.VMMServerChanged{Server: site.Server{Name: "vmm.corp", Version: "10.22", ConnectionStatus: "Connected"}, At: noon}
	clouded     = site.CloudsChanged{Clouds: []site.Cloud{{ID: "prod", Name: "Production", Hosts: []string{"hv-1"}}}, At: noon}
	logical     = site.LogicalNetworksChanged{LogicalNetworks: []site.LogicalNetwork{{ID: "corp", Name: "Corporate"}}, At: noon}
	lanAdded    = site.NetworkAdded{Network: lan(), At: noon}
	lanChanged  = site.NetworkChanged{Network: grown(), At: noon}
	lanRemoved  = site.NetworkRemoved{Network: "vm-lan", Name: "LAN", At: noon}
	dmzAdded    = site.NetworkAdded{Network: dmz(), At: noon}
	anotherHost = site.HostAdded{Host: "hv-2", Directory: "/srv/more", At: noon}
)

func storedNetworks() []site.Event {
	return []site.Event{server, clouded, logical, lanAdded, lanChanged, lanRemoved}
}

// document is an inventory that is in order, changed as a row wants it.
func document(change func(*site.LoadInventory)) site.LoadInventory {
	c := site.LoadInventory{
		Server: new(server.Server), Clouds: []site.Cloud{{ID: "prod", Name: "Production", Hosts: []string{"hv-1"}}},
		LogicalNetworks: []site.LogicalNetwork{{ID: "corp", Name: "Corporate"}}, Networks: []site.Network{lan()}, At: noon,
	}
	if change != nil {
		change(&c)
	}
	return c
}

func TestAnInventoryIsLoaded(t *testing.T) {
	t.Parallel()
	type events = []site.Event
	ready, plain := events{vmm, added}, events{registered, added}
	loaded := slices.Concat(ready, events{server, clouded, logical, lanAdded})
	networks := func(n ...site.Network) func(*site.LoadInventory) {
		return func(c *site.LoadInventory) { c.Networks = n }
	}
	onlyNetworks := func(n ...site.Network) site.LoadInventory { return site.LoadInventory{Networks: n, At: noon} }
	run(t, map[string]scenario{
		"all of it becomes known":        {Given: ready, When: document(nil), Then: events{server, clouded, logical, lanAdded}},
		"the same again changes nothing": {Given: loaded, When: document(nil)},
		"a network is added":             {Given: loaded, When: document(networks(lan(), dmz())), Then: events{dmzAdded}},
		"a network changes":              {Given: loaded, When: document(networks(grown())), Then: events{lanChanged}},
		"a network is removed":           {Given: loaded, When: document(networks(dmz())), Then: events{dmzAdded, lanRemoved}},
		"a plain site has networks, too": {Given: plain, When: onlyNetworks(dmz()), Then: events{dmzAdded}},
		"they can all go":                {Given: slices.Concat(plain, events{dmzAdded}), When: onlyNetworks(), Then: events{site.NetworkRemoved{Network: "vm-dmz", Name: "DMZ", At: noon}}},
		"an inventory needs a site":      {When: document(nil), Refused: errorcatalog.SiteNotFound},
		"a plain site has no VMM server": {Given: plain, When: document(nil), Refused: errorcatalog.ValidationFailed, Field: "/server"},
		"a plain site has no clouds":     {Given: plain, When: document(func(c *site.LoadInventory) { c.Server = nil }), Refused: errorcatalog.ValidationFailed, Field: "/clouds"},
		"a VMM site has a server":        {Given: ready, When: onlyNetworks(), Refused: errorcatalog.ValidationFailed, Field: "/server"},
		"the server has a name":          {Given: ready, When: document(func(c *site.LoadInventory) { c.Server = &site.Server{} }), Refused: errorcatalog.ValidationFailed, Field: "/server/name"},
		"the server is connected or not": {Given: ready, When: document(func(c *site.LoadInventory) { c.Server = &site.Server{Name: "vmm", ConnectionStatus: "Odd"} }), Refused: errorcatalog.ValidationFailed, Field: "/server/connectionStatus"},
		"a cloud's hosts are the site's": {Given: ready, When: document(func(c *site.LoadInventory) { c.Clouds[0].Hosts = []string{"hv-1", "hv-9"} }), Refused: errorcatalog.HostNotFound, Field: "/clouds/0/hosts/1"},
		"a host belongs to one cloud": {Given: ready, When: document(func(c *site.LoadInventory) {
			c.Clouds = append(c.Clouds, site.Cloud{ID: "test", Name: "Test", Hosts: []string{"hv-1"}})
		}), Refused: errorcatalog.ValidationFailed, Field: "/clouds/1/hosts/0"},
		"clouds have ids of their own":           {Given: ready, When: document(func(c *site.LoadInventory) { c.Clouds = append(c.Clouds, site.Cloud{ID: "prod", Name: "Test"}) }), Refused: errorcatalog.ValidationFailed, Field: "/clouds/1/id"},
		"a cloud has a name":                     {Given: ready, When: document(func(c *site.LoadInventory) { c.Clouds[0].Name = "" }), Refused: errorcatalog.ValidationFailed, Field: "/clouds/0/name"},
		"logical networks have ids of their own": {Given: ready, When: document(func(c *site.LoadInventory) { c.LogicalNetworks = append(c.LogicalNetworks, c.LogicalNetworks[0]) }), Refused: errorcatalog.ValidationFailed, Field: "/logicalNetworks/1/id"},
		"a logical network's id is a slug":       {Given: ready, When: document(func(c *site.LoadInventory) { c.LogicalNetworks[0].ID = "Corp Net" }), Refused: errorcatalog.ValidationFailed, Field: "/logicalNetworks/0/id"},
		"a network lies on one that is there":    {Given: ready, When: document(func(c *site.LoadInventory) { c.LogicalNetworks = nil }), Refused: errorcatalog.ValidationFailed, Field: "/vmNetworks/0/logicalNetwork"},
		"networks have ids of their own":         {Given: ready, When: document(networks(dmz(), dmz())), Refused: errorcatalog.ValidationFailed, Field: "/vmNetworks/1/id"},
		"networks have names of their own":       {Given: ready, When: document(networks(dmz(), site.Network{ID: "x", Name: "DMZ"})), Refused: errorcatalog.ValidationFailed, Field: "/vmNetworks/1/name"},
		"a network's id is a slug":               {Given: ready, When: document(networks(site.Network{ID: "VM 1", Name: "x"})), Refused: errorcatalog.ValidationFailed, Field: "/vmNetworks/0/id"},
		"a subnet is one":                        {Given: ready, When: document(func(c *site.LoadInventory) { c.Networks[0].Subnets[0].CIDR = "10.1.0.7/24" }), Refused: errorcatalog.ValidationFailed, Field: "/vmNetworks/0/subnets/0/cidr"},
		"subnets do not overlap": {Given: ready, When: document(func(c *site.LoadInventory) {
			c.Networks[0].Subnets = append(c.Networks[0].Subnets, site.Subnet{CIDR: "10.1.0.0/16"})
		}), Refused: errorcatalog.ValidationFailed, Field: "/vmNetworks/0/subnets/1/cidr"},
		"a gateway lies in its subnet":                {Given: ready, When: document(func(c *site.LoadInventory) { c.Networks[0].Subnets[0].Gateway = "10.9.0.1" }), Refused: errorcatalog.ValidationFailed, Field: "/vmNetworks/0/subnets/0/gateway"},
		"a DNS server has an address":                 {Given: ready, When: document(func(c *site.LoadInventory) { c.Networks[0].Subnets[0].DNS = []string{"10.1.0.2", "ns1"} }), Refused: errorcatalog.ValidationFailed, Field: "/vmNetworks/0/subnets/0/dns/1"},
		"a pool begins in its subnet":                 {Given: ready, When: document(func(c *site.LoadInventory) { c.Networks[0].Subnets[0].Pools[0].First = "10.0.0.1" }), Refused: errorcatalog.ValidationFailed, Field: "/vmNetworks/0/subnets/0/pools/0/first"},
		"a pool ends in its subnet":                   {Given: ready, When: document(func(c *site.LoadInventory) { c.Networks[0].Subnets[0].Pools[0].Last = "x" }), Refused: errorcatalog.ValidationFailed, Field: "/vmNetworks/0/subnets/0/pools/0/last"},
		"a pool ends behind its beginning":            {Given: ready, When: document(func(c *site.LoadInventory) { c.Networks[0].Subnets[0].Pools[0].Last = "10.1.0.99" }), Refused: errorcatalog.ValidationFailed, Field: "/vmNetworks/0/subnets/0/pools/0/last"},
		"clouds change with their hosts":              {Given: slices.Concat(loaded, events{anotherHost}), When: document(func(c *site.LoadInventory) { c.Clouds[0].Hosts = []string{"hv-1", "hv-2"} }), Then: events{site.CloudsChanged{Clouds: []site.Cloud{{ID: "prod", Name: "Production", Hosts: []string{"hv-1", "hv-2"}}}, At: noon}}},
		"a host that was removed is in no cloud more": {Given: slices.Concat(loaded, events{removed}), When: document(func(c *site.LoadInventory) { c.Clouds[0].Hosts = nil }), Then: nil},
	})
}

func TestASiteKnowsItsNetworks(t *testing.T) {
	t.Parallel()
	d := site.Decider
	named := func(networks ...string) site.Event {
		vm := sql()
		vm.NICs = nil
		for _, n := range networks {
			vm.NICs = append(vm.NICs, site.NIC{Name: "eth", Network: n})
		}
		return site.VirtualMachineDiscovered{Host: "hv-1", VM: vm, At: noon}
	}
	found := d.Fold(site.State{}, registered, added, named("production", "", "VM Network", "production"))
	known := found.KnownNetworks()
	if len(known) != 2 || known[0].ID != "production" || found.NetworksLoaded() {
		t.Fatalf("networks = %+v", known)
	}
	if id := known[1].ID; id == "vm-network" || len(id) != len("vm-network-00000000") {
		t.Errorf("VM Network has the id %q, which another name could have", id)
	}
	if n, ok := site.FindNetwork(known, "VM Network"); !ok || n.ID != known[1].ID {
		t.Errorf("found by name: %+v", n)
	}
	loaded := d.Fold(found, lanAdded)
	if known := loaded.KnownNetworks(); len(known) != 1 || known[0].ID != "vm-lan" || !loaded.NetworksLoaded() {
		t.Errorf("networks = %+v", known)
	}
	if _, ok := site.FindNetwork(loaded.KnownNetworks(), ""); ok {
		t.Error("no name is the name of a network")
	}
	cloudy := d.Fold(loaded, clouded)
	if c, ok := cloudy.CloudOf("hv-1"); !ok || c.ID != "prod" {
		t.Errorf("cloud = %+v", c)
	}
	if _, ok := d.Fold(cloudy, removed).CloudOf("hv-1"); ok {
		t.Error("a removed host is still in its cloud")
	}
	if _, ok := cloudy.CloudOf("hv-1"); !ok {
		t.Error("folding changed an earlier state")
	}
}

func TestAnAddressThatIsWrongSaysWhere(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		address site.Address
		field   string
	}{
		"DHCP":                       {site.Address{Type: site.DynamicHost}, ""},
		"DHCP with an address":       {site.Address{Type: site.DynamicHost, IP: "10.0.0.1"}, "/type"},
		"an unknown type":            {site.Address{Type: "bootp"}, "/type"},
		"a static one":               {site.Address{Type: site.StaticAddress, IP: "10.0.0.9", Subnet: "10.0.0.0/24", Gateway: "10.0.0.1", DNS: []string{"10.0.0.2", "fd00::2"}}, ""},
		"a static one alone":         {site.Address{Type: site.StaticAddress, IP: "fd00::9"}, ""},
		"no address":                 {site.Address{Type: site.StaticAddress}, "/ip"},
		"a subnet with host bits":    {site.Address{Type: site.StaticAddress, IP: "10.0.0.9", Subnet: "10.0.0.7/24"}, "/subnet"},
		"an address of other nets":   {site.Address{Type: site.StaticAddress, IP: "10.1.0.9", Subnet: "10.0.0.0/24"}, "/ip"},
		"a gateway that is none":     {site.Address{Type: site.StaticAddress, IP: "10.0.0.9", Gateway: "gw"}, "/gateway"},
		"a gateway of another net":   {site.Address{Type: site.StaticAddress, IP: "10.0.0.9", Subnet: "10.0.0.0/24", Gateway: "10.1.0.1"}, "/gateway"},
		"a name in place of servers": {site.Address{Type: site.StaticAddress, IP: "10.0.0.9", DNS: []string{"10.0.0.2", "ns"}}, "/dns/1"},
	} {
		if field, why := tt.address.Check(); field != tt.field || (why == "") != (field == "") {
			t.Errorf("%s: %q %q, want %q", name, field, why, tt.field)
		}
	}
}
