package protecteditem_test

import (
	"reflect"
	"slices"
	"testing"

	"farshore/domain/domaintest"
	"farshore/domain/errorcatalog"
	"farshore/domain/networkmapping"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
)

func static(ip string) *site.Address { return &site.Address{Type: site.StaticAddress, IP: ip} }

// wired is a VM with two adapters, the first of which has a static address.
func wired() site.VirtualMachine {
	v := vm()
	v.NICs = []site.NIC{
		{Name: "eth0", MACAddress: "00:15:5d:00:00:01", Network: "LAN", Primary: true, Address: static("10.1.0.25")},
		{Name: "eth1", Network: "vm-dmz"},
	}
	return v
}

// networks is what is known when eth0's network is mapped and eth1's is not.
func networks(change func(*protecteditem.Networks)) protecteditem.Networks {
	n := protecteditem.Networks{
		Loaded: true, RecoveryLoaded: true,
		Source: []site.Network{{ID: "vm-lan", Name: "LAN", Subnets: []site.Subnet{{CIDR: "10.1.0.0/24"}}}, {ID: "vm-dmz", Name: "DMZ"}},
		Recovery: []site.Network{
			{ID: "dr-lan", Name: "DR LAN", Subnets: []site.Subnet{{CIDR: "10.2.0.0/24", Gateway: "10.2.0.1", DNS: []string{"10.2.0.2"}}, {CIDR: "10.3.0.0/16"}}},
			{ID: "dr-dmz", Name: "DR DMZ"},
		},
		Mappings: []networkmapping.Mapping{{ID: "lan", Network: "vm-lan", RecoveryNetwork: "dr-lan", RecoveryNetworkName: "DR LAN", Addressing: networkmapping.FromDHCP}},
	}
	if change != nil {
		change(&n)
	}
	return n
}

func addressing(a networkmapping.Addressing, subnet string) func(*protecteditem.Networks) {
	return func(n *protecteditem.Networks) { n.Mappings[0].Addressing, n.Mappings[0].RecoverySubnet = a, subnet }
}

func TestAdaptersLandWhereTheirNetworksAreMapped(t *testing.T) {
	t.Parallel()
	type set = protecteditem.NICSettings
	inDR := site.Address{Type: site.StaticAddress, IP: "10.2.0.25", Subnet: "10.2.0.0/24", Gateway: "10.2.0.1", DNS: []string{"10.2.0.2"}}
	mapDMZ := func(n *protecteditem.Networks) {
		n.Mappings = append(n.Mappings, networkmapping.Mapping{ID: "dmz", Network: "vm-dmz", RecoveryNetwork: "dr-dmz", Addressing: networkmapping.FromDHCP})
	}
	unmapped := "eth1 network_unmapped"
	for name, tt := range map[string]struct {
		set      []set
		change   func(*protecteditem.Networks)
		eth0     string
		address  *site.Address // of eth0
		eth1     string
		findings []string
	}{
		"one is mapped, one is not":      {nil, nil, "DR LAN", &site.Address{Type: site.DynamicHost}, "", []string{unmapped}},
		"both are mapped":                {nil, mapDMZ, "DR LAN", &site.Address{Type: site.DynamicHost}, "DR DMZ", nil},
		"nothing is known of networks":   {nil, func(n *protecteditem.Networks) { *n = protecteditem.Networks{} }, "LAN", static("10.1.0.25"), "vm-dmz", nil},
		"only what VMs name is known":    {nil, func(n *protecteditem.Networks) { n.Loaded, n.Mappings = false, nil }, "LAN", static("10.1.0.25"), "vm-dmz", nil},
		"the last mapping was removed":   {nil, func(n *protecteditem.Networks) { n.Told, n.Loaded, n.Mappings = true, false, nil }, "", nil, "", []string{"eth0 network_unmapped", unmapped}},
		"one of what VMs name is mapped": {nil, func(n *protecteditem.Networks) { n.Loaded = false }, "DR LAN", &site.Address{Type: site.DynamicHost}, "", []string{unmapped}},
		"a mapped network went with its VM": {nil, func(n *protecteditem.Networks) {
			n.Loaded, n.Source, n.Mappings[0].NetworkName = false, nil, "LAN"
		}, "DR LAN", &site.Address{Type: site.DynamicHost}, "", []string{unmapped}},
		"one mapped by its id did": {nil, func(n *protecteditem.Networks) {
			n.Loaded, n.Source = false, nil
			n.Mappings = append(n.Mappings, networkmapping.Mapping{ID: "dmz", Network: "vm-dmz", RecoveryNetwork: "dr-dmz", Addressing: networkmapping.FromDHCP})
		}, "", nil, "DR DMZ", []string{"eth0 network_unmapped"}},
		"a network is not the site's":        {nil, func(n *protecteditem.Networks) { n.Source = n.Source[:1] }, "DR LAN", &site.Address{Type: site.DynamicHost}, "", []string{unmapped}},
		"a recovery network is gone":         {nil, func(n *protecteditem.Networks) { n.Recovery = n.Recovery[1:] }, "", nil, "", []string{"eth0 recovery_network_missing", unmapped}},
		"a VM's network went with it":        {nil, func(n *protecteditem.Networks) { n.RecoveryLoaded, n.Recovery = false, nil }, "DR LAN", &site.Address{Type: site.DynamicHost}, "", []string{unmapped}},
		"the address is translated":          {nil, addressing(networkmapping.TranslateAddress, ""), "DR LAN", &inDR, "", []string{unmapped}},
		"it is translated to another subnet": {nil, addressing(networkmapping.TranslateAddress, "10.3.0.0/16"), "DR LAN", &site.Address{Type: site.StaticAddress, IP: "10.3.0.25", Subnet: "10.3.0.0/16"}, "", []string{unmapped}},
		"it cannot be translated": {nil, func(n *protecteditem.Networks) {
			addressing(networkmapping.TranslateAddress, "")(n)
			n.Source[0].Subnets[0].CIDR = "10.1.0.0/16"
		}, "DR LAN", &site.Address{Type: site.DynamicHost}, "", []string{"eth0 static_address_outside_subnet", unmapped}},
		"it is kept outside of every subnet": {nil, addressing(networkmapping.KeepAddress, ""), "DR LAN", static("10.1.0.25"), "", []string{"eth0 static_address_outside_subnet", unmapped}},
		"it is kept, which fits": {nil, func(n *protecteditem.Networks) {
			addressing(networkmapping.KeepAddress, "")(n)
			n.Recovery[0].Subnets[0].CIDR = "10.1.0.0/24"
		}, "DR LAN", &site.Address{Type: site.StaticAddress, IP: "10.1.0.25", Subnet: "10.1.0.0/24", Gateway: "10.2.0.1", DNS: []string{"10.2.0.2"}}, "", []string{unmapped}},
		"an address is set":                    {[]set{{NIC: "eth0", Address: static("10.2.0.25")}}, nil, "DR LAN", &inDR, "", []string{unmapped}},
		"an address is set elsewhere":          {[]set{{NIC: "eth0", Address: static("10.9.0.25")}}, nil, "DR LAN", static("10.9.0.25"), "", []string{"eth0 static_address_outside_subnet", unmapped}},
		"an address is set outside its subnet": {[]set{{NIC: "eth0", Address: static("10.3.0.25")}}, addressing(networkmapping.FromDHCP, "10.2.0.0/24"), "DR LAN", static("10.3.0.25"), "", []string{"eth0 static_address_outside_subnet", unmapped}},
		"an address is taken": {[]set{{NIC: "eth0", Address: static("10.2.0.25")}}, func(n *protecteditem.Networks) {
			n.Taken = []protecteditem.TakenAddress{{Item: "db", Network: "DR LAN", IP: "10.2.0.25"}}
		}, "DR LAN", &inDR, "", []string{"eth0 static_address_in_use", unmapped}},
		"an address is set twice":           {[]set{{NIC: "eth0", Address: static("10.2.0.25")}, {NIC: "eth1", Network: "dr-lan", NetworkName: "DR LAN", Address: static("10.2.0.25")}}, nil, "DR LAN", &inDR, "DR LAN", []string{"eth1 static_address_in_use"}},
		"an adapter is led elsewhere":       {[]set{{NIC: "eth0", Network: "dr-dmz", NetworkName: "DR DMZ"}}, nil, "DR DMZ", &site.Address{Type: site.DynamicHost}, "", []string{unmapped}},
		"it is led to what is gone":         {[]set{{NIC: "eth0", Network: "dr-old", NetworkName: "Old"}}, mapDMZ, "", nil, "DR DMZ", []string{"eth0 recovery_network_missing"}},
		"an adapter is not to be connected": {[]set{{NIC: "eth1", Disconnected: true}}, nil, "DR LAN", &site.Address{Type: site.DynamicHost}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := protecteditem.State{VM: wired(), NICs: tt.set}
			p := protecteditem.PlanNetworks(s, networks(tt.change))
			eth0, eth1 := p.NICs[0], p.NICs[1]
			if eth0.Network != tt.eth0 || !eth0.Address.Equal(tt.address) || eth1.Network != tt.eth1 || eth0.MACAddress != "00:15:5d:00:00:01" {
				t.Errorf("adapters = %+v %+v, %+v", eth0, eth0.Address, eth1)
			}
			var found []string
			for _, f := range p.Findings {
				found = append(found, f.NIC+" "+string(f.Code))
				if e, ok := errorcatalog.Lookup(f.Code); !ok || e.Class != errorcatalog.NonRecoverable || f.Detail == "" {
					t.Errorf("finding = %+v", f)
				}
			}
			if !slices.Equal(found, tt.findings) {
				t.Errorf("findings = %v, want %v", p.Findings, tt.findings)
			}
			if again := protecteditem.PlanNetworks(s, networks(tt.change)); !reflect.DeepEqual(again, p) {
				t.Errorf("planned again: %+v", again)
			}
		})
	}
}

func TestWithinASiteNetworksStandForThemselves(t *testing.T) {
	t.Parallel()
	s := protecteditem.State{VM: wired(), Site: "vienna", Recovery: protecteditem.RecoveryTarget{Site: "vienna"}}
	known := networks(func(n *protecteditem.Networks) { n.Recovery = append(n.Recovery, n.Source...) })
	p := protecteditem.PlanNetworks(s, known)
	if p.NICs[0].Network != "DR LAN" || p.NICs[1].Network != "DMZ" || p.NICs[1].Mapping != "" || len(p.Findings) > 0 {
		t.Errorf("plan = %+v", p)
	}
	gone := networks(func(n *protecteditem.Networks) {
		n.Loaded, n.RecoveryLoaded, n.Source, n.Recovery = false, false, nil, nil
	})
	if p := protecteditem.PlanNetworks(s, gone); p.NICs[1].Network != "vm-dmz" || len(p.Findings) > 0 {
		t.Errorf("plan = %+v", p)
	}
	known.Mappings = nil
	if p := protecteditem.PlanNetworks(s, known); p.NICs[0].Network != "LAN" || p.NICs[0].Address.IP != "10.1.0.25" || len(p.Findings) > 0 {
		t.Errorf("plan = %+v", p)
	}
}

func TestAFailbackToANewVMLeavesNoAdapterInANetworkOfThatName(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		target     string
		known      protecteditem.Networks
		eth0, eth1 string
		findings   int
	}{
		"its own site":                {target: "vienna", eth0: "LAN", eth1: "vm-dmz"},
		"another site":                {target: "linz", known: networks(nil), eth0: "DR LAN", findings: 1},
		"a site of which none is led": {target: "linz", known: networks(func(n *protecteditem.Networks) { n.Mappings = nil }), findings: 2},
		"nothing is known":            {target: "linz", findings: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := protecteditem.State{Site: "vienna", VM: wired(), NICs: []protecteditem.NICSettings{{NIC: "eth1", Network: "dr-dmz"}}}
			s.Failback.Target = protecteditem.FailbackTarget{Site: tt.target, Host: "hv-3", VMName: "web-new"}
			p := protecteditem.PlanFailbackNetworks(s, tt.known)
			if nics := p.Adapters(); nics[0].Network != tt.eth0 || nics[1].Network != tt.eth1 || len(p.Findings) != tt.findings {
				t.Errorf("connected as %+v, found %+v", nics, p.Findings)
			}
		})
	}
}

func TestAnotherAdapterIsMadeThePrimaryOne(t *testing.T) {
	t.Parallel()
	s := protecteditem.State{Item: "sql", VM: wired(), NICs: []protecteditem.NICSettings{{NIC: "eth1", Primary: true}, {NIC: "eth0", Address: static("10.2.0.7")}}}
	p := protecteditem.PlanNetworks(s, networks(nil))
	if p.NICs[0].Primary || !p.NICs[1].Primary || p.NICs[0].Mapping != "lan" {
		t.Errorf("adapters = %+v", p.NICs)
	}
	want := []protecteditem.TakenAddress{{Item: "sql", Network: "DR LAN", IP: "10.2.0.7"}}
	if taken := protecteditem.TakenBy(s, p); !slices.Equal(taken, want) {
		t.Errorf("taken = %+v", taken)
	}
}

var (
	unmappedFinding = protecteditem.NetworkFinding{Code: errorcatalog.NetworkUnmapped, NIC: "eth1", Detail: "eth1: network DMZ is not mapped"}
	inUseFinding    = protecteditem.NetworkFinding{Code: errorcatalog.StaticAddressInUse, NIC: "eth0", Detail: "eth0: 10.2.0.25 is meant for item db, too"}
	nicSettings     = []protecteditem.NICSettings{
		{NIC: "eth0", Network: "dr-lan", NetworkName: "DR LAN", Address: &site.Address{Type: site.StaticAddress, IP: "10.2.0.25", Subnet: "10.2.0.0/24", Gateway: "10.2.0.1", DNS: []string{"10.2.0.2"}}, Primary: true},
		{NIC: "eth1", Disconnected: true},
	}
	settingsChanged = protecteditem.NetworkSettingsChanged{NICs: nicSettings, At: noon}
	checked         = protecteditem.NetworksChecked{Findings: []protecteditem.NetworkFinding{unmappedFinding}, At: noon}
	decided         = protecteditem.ConnectionsDecided{JobID: "job-fail", NICs: plan().Adapters(), Findings: []protecteditem.NetworkFinding{unmappedFinding}, At: noon}
)

func plan() protecteditem.NetworkPlan {
	return protecteditem.NetworkPlan{
		NICs:     []protecteditem.PlannedNIC{{NIC: site.NIC{Name: "eth0", Network: "DR LAN", Address: static("10.2.0.25")}, Mapping: "lan"}, {NIC: site.NIC{Name: "eth1"}}},
		Findings: []protecteditem.NetworkFinding{unmappedFinding},
	}
}

// withNICs is a history of an item whose VM has adapters.
func withNICs(given []protecteditem.Event) []protecteditem.Event {
	first := enabled()
	first.VM = wired()
	return history(first, given[1:])
}

func TestNetworkSettings(t *testing.T) {
	t.Parallel()
	type events = []protecteditem.Event
	change := func(nics ...protecteditem.NICSettings) protecteditem.ChangeNetworkSettings {
		return protecteditem.ChangeNetworkSettings{NICs: nics, At: noon}
	}
	set := func(n protecteditem.NICSettings) protecteditem.ChangeNetworkSettings {
		n.NIC = "eth0"
		return change(n)
	}
	enabling := func(nics ...protecteditem.NICSettings) protecteditem.EnableProtection {
		c := enable()
		c.VM, c.NICs = wired(), nics
		return c
	}
	started := enabled()
	started.VM, started.NICs = wired(), nicSettings
	ready := withNICs(following)
	domaintest.Decide(t, protecteditem.Decider, map[string]scenario{
		"adapters are set":                                {Given: ready, When: change(nicSettings...), Then: events{settingsChanged}},
		"they are set when protection is enabled":         {When: enabling(nicSettings...), Then: events{started}},
		"setting them again changes nothing":              {Given: history(ready, settingsChanged), When: change(nicSettings...)},
		"they are left to the mappings again":             {Given: history(ready, settingsChanged), When: change(), Then: events{protecteditem.NetworkSettingsChanged{At: noon}}},
		"they can be set while the VM is failed over":     {Given: withNICs(uncommitted), When: change(nicSettings...), Then: events{settingsChanged}},
		"nothing is set of what was never protected":      {When: change(), Refused: errorcatalog.ProtectedItemNotFound},
		"nothing is set while protection is being ended":  {Given: withNICs(ending), When: change(), Refused: errorcatalog.NotProtected},
		"nothing is set of what is protected no more":     {Given: withNICs(ended), When: change(), Refused: errorcatalog.NotProtected},
		"an adapter is one of the VM's":                   {Given: ready, When: change(nicSettings[0], protecteditem.NICSettings{NIC: "eth9"}), Refused: errorcatalog.NICNotFound, Field: "/nics/1/nic"},
		"also when protection is enabled":                 {When: enabling(protecteditem.NICSettings{NIC: "eth9"}), Refused: errorcatalog.NICNotFound, Field: "/nics/0/nic"},
		"an adapter is set once":                          {Given: ready, When: change(nicSettings[0], nicSettings[0]), Refused: errorcatalog.ValidationFailed, Field: "/nics/1/nic"},
		"one adapter is primary":                          {Given: ready, When: change(nicSettings[0], protecteditem.NICSettings{NIC: "eth1", Primary: true}), Refused: errorcatalog.ValidationFailed, Field: "/nics/1/primary"},
		"an adapter is led to a network that is there":    {Given: ready, When: set(protecteditem.NICSettings{Network: "gone"}), Refused: errorcatalog.NetworkNotFound, Field: "/nics/0/network"},
		"one that is not connected has no network":        {Given: ready, When: set(protecteditem.NICSettings{Disconnected: true, Network: "dr-lan", NetworkName: "DR LAN"}), Refused: errorcatalog.ValidationFailed, Field: "/nics/0/network"},
		"one that is not connected has no address":        {Given: ready, When: set(protecteditem.NICSettings{Disconnected: true, Address: static("10.2.0.25")}), Refused: errorcatalog.ValidationFailed, Field: "/nics/0/address"},
		"an address is one":                               {Given: ready, When: set(protecteditem.NICSettings{Address: static("10.2.0.256")}), Refused: errorcatalog.ValidationFailed, Field: "/nics/0/address/ip"},
		"what was found is recorded":                      {Given: ready, When: protecteditem.RecordNetworkCheck{Findings: checked.Findings, At: noon}, Then: events{checked}},
		"the same found again is not":                     {Given: history(ready, checked), When: protecteditem.RecordNetworkCheck{Findings: checked.Findings, At: noon}},
		"that it is in order is":                          {Given: history(ready, checked), When: protecteditem.RecordNetworkCheck{At: noon}, Then: events{protecteditem.NetworksChecked{At: noon}}},
		"what is being ended is not looked after":         {Given: withNICs(ending), When: protecteditem.RecordNetworkCheck{Findings: checked.Findings, At: noon}},
		"nor is what was never protected":                 {When: protecteditem.RecordNetworkCheck{At: noon}, Refused: errorcatalog.ProtectedItemNotFound},
		"nor what is protected no more":                   {Given: withNICs(ended), When: protecteditem.RecordNetworkCheck{At: noon}, Refused: errorcatalog.NotProtected},
		"a planned failover needs its networks":           {Given: history(ready, checked), When: protecteditem.StartPlannedFailover{JobID: "job-fail", At: noon}, Refused: errorcatalog.NetworksUnmapped},
		"as they are known now":                           {Given: ready, When: protecteditem.StartPlannedFailover{JobID: "job-fail", Networks: new(plan()), At: noon}, Refused: errorcatalog.NetworksUnmapped},
		"even if they were found otherwise":               {Given: history(ready, checked), When: protecteditem.StartPlannedFailover{JobID: "job-fail", Networks: &protecteditem.NetworkPlan{}, At: noon}, Then: events{failingOver}},
		"unless it is allowed to go without":              {Given: history(ready, checked), When: protecteditem.StartPlannedFailover{JobID: "job-fail", AllowUnmappedNetworks: true, At: noon}, Then: events{protecteditem.PlannedFailoverStarted{JobID: "job-fail", AllowUnmappedNetworks: true, At: noon}}},
		"an address that is taken does not hold it up":    {Given: history(ready, protecteditem.NetworksChecked{Findings: []protecteditem.NetworkFinding{inUseFinding}}), When: protecteditem.StartPlannedFailover{JobID: "job-fail", At: noon}, Then: events{failingOver}},
		"an unplanned failover goes on without":           {Given: history(ready, checked), When: protecteditem.StartUnplannedFailover{JobID: "job-crash", Choice: protecteditem.LatestProcessed, At: noon}, Then: events{protecteditem.UnplannedFailoverStarted{JobID: "job-crash", Choice: protecteditem.LatestProcessed, Point: "cut-2", At: noon}}},
		"how the VM is connected is decided":              {Given: history(ready, crashing), When: protecteditem.RecordConnections{JobID: "job-crash", Plan: plan(), At: noon}, Then: events{protecteditem.ConnectionsDecided{JobID: "job-crash", NICs: plan().Adapters(), Findings: plan().Findings, At: noon}}},
		"a planned failover decides nothing incomplete":   {Given: history(ready, failingOver), When: protecteditem.RecordConnections{JobID: "job-fail", Plan: plan(), At: noon}, Refused: errorcatalog.NetworksUnmapped},
		"unless it was allowed to":                        {Given: history(ready, protecteditem.PlannedFailoverStarted{JobID: "job-fail", AllowUnmappedNetworks: true}), When: protecteditem.RecordConnections{JobID: "job-fail", Plan: plan(), At: noon}, Then: events{decided}},
		"what is decided stays so under the same job":     {Given: history(ready, failingOver, decided), When: protecteditem.RecordConnections{JobID: "job-fail", Plan: protecteditem.NetworkPlan{}, At: noon}},
		"another job decides anew":                        {Given: history(withNICs(uncommitted), decided, changing), When: protecteditem.RecordConnections{JobID: "job-change", Plan: plan(), At: noon}, Then: events{protecteditem.ConnectionsDecided{JobID: "job-change", NICs: plan().Adapters(), Findings: plan().Findings, At: noon}}},
		"a job that has been overtaken decides nothing":   {Given: history(ready, crashing), When: protecteditem.RecordConnections{JobID: "job-old", Plan: plan(), At: noon}, Refused: errorcatalog.StaleJob},
		"a job that has ended repeats itself in vain":     {Given: withNICs(uncommitted), When: protecteditem.RecordConnections{JobID: "job-fail", Plan: plan(), At: noon}},
		"nothing is decided while nothing is failed over": {Given: withNICs(ending), When: protecteditem.RecordConnections{JobID: "job-disable", Plan: plan(), At: noon}, Refused: errorcatalog.NotProtected},
	})
}

func TestWhatIsWrongWithItsNetworksIsInAnItemsHealth(t *testing.T) {
	t.Parallel()
	s := after(withNICs(following))
	if nics := s.RecoveryNICs(); len(nics) != 2 || nics[0].Network != "LAN" {
		t.Errorf("adapters = %+v", nics)
	}
	s = protecteditem.Decider.Fold(s, checked)
	health, reasons := protecteditem.HealthOf(s, noon)
	if health != protecteditem.Warning || len(reasons) != 1 || reasons[0].Code != errorcatalog.NetworkUnmapped || reasons[0].Detail != unmappedFinding.Detail || !reasons[0].Since.Equal(noon) {
		t.Errorf("health = %s %+v", health, reasons)
	}
	if f := s.Unconnected(plan()); f == nil || f.Code != errorcatalog.NetworkUnmapped {
		t.Errorf("failure = %v", f)
	}
	allowed := protecteditem.Decider.Fold(s, protecteditem.PlannedFailoverStarted{JobID: "job-fail", AllowUnmappedNetworks: true}, decided)
	if f := allowed.Unconnected(plan()); f != nil {
		t.Errorf("failure = %v", f)
	}
	if nics := allowed.RecoveryNICs(); len(nics) != 2 || nics[0].Network != "DR LAN" {
		t.Errorf("adapters = %+v", nics)
	}
	if f := s.Unconnected(protecteditem.NetworkPlan{Findings: []protecteditem.NetworkFinding{inUseFinding}}); f != nil {
		t.Errorf("failure = %v", f)
	}
}

func TestAPlannedFailoverBegunAnewMayStillGoWithoutNetworks(t *testing.T) {
	t.Parallel()
	begun := protecteditem.PlannedFailoverStarted{JobID: "old", AllowUnmappedNetworks: true, At: noon}
	got, err := protecteditem.Restart(protecteditem.PlannedFailoverJob, begun, "new", noon)
	if want := (protecteditem.StartPlannedFailover{JobID: "new", AllowUnmappedNetworks: true, At: noon}); err != nil || got != protecteditem.Command(want) {
		t.Errorf("%+v, %v", got, err)
	}
}
