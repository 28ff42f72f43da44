package protecteditem

import (
	"slices"

	"farshore/domain/errorcatalog"
	"farshore/domain/networkmapping"
	"farshore/domain/site"
)

// Networks is what is known of the networks on both sides of an item. Where those
// of its site were neither loaded nor mapped, adapters keep the network they have.
type Networks struct {
	Loaded         bool // the networks of the item's site were loaded
	RecoveryLoaded bool // those of its recovery site were: what is not among them is gone
	Source         []site.Network
	Recovery       []site.Network
	Mappings       []networkmapping.Mapping // from the item's site to its recovery site
	Taken          []TakenAddress
}

// TakenAddress is a static address that another item has on the recovery side.
type TakenAddress struct {
	Item    string
	Network string // its name
	IP      string
}

// Known says whether enough is known to tell that a network was forgotten.
func (n Networks) Known() bool { return n.Loaded || len(n.Mappings) > 0 }

// NetworkFinding is something about an adapter that its operator should know
// before a failover.
type NetworkFinding struct {
	Code   errorcatalog.Code `json:"code"`
	NIC    string            `json:"nic"`
	Detail string            `json:"detail"`
}

// unconnected says whether the adapter comes up without a network because of it.
func (f NetworkFinding) unconnected() bool {
	return f.Code == errorcatalog.NetworkUnmapped || f.Code == errorcatalog.RecoveryNetworkMissing
}

// NetworkPlan says how the adapters of a recovery VM are connected.
type NetworkPlan struct {
	NICs     []PlannedNIC
	Findings []NetworkFinding
}

// PlannedNIC is an adapter as the recovery VM has it.
type PlannedNIC struct {
	site.NIC
	Mapping    string // the id of the mapping that leads there, if one does
	Overridden bool   // its own settings do
}

// Adapters returns the adapters as the recovery VM is described with them.
func (p NetworkPlan) Adapters() []site.NIC {
	nics := make([]site.NIC, 0, len(p.NICs))
	for _, n := range p.NICs {
		nics = append(nics, n.NIC)
	}
	return nics
}

// PlanNetworks works out how a failover of the item would connect its VM. Nothing
// in it depends on the time.
func PlanNetworks(s State, n Networks) NetworkPlan {
	var p NetworkPlan
	primary := slices.ContainsFunc(s.NICs, func(set NICSettings) bool { return set.Primary })
	for _, nic := range s.VM.NICs {
		set := s.settingsOf(nic.Name)
		planned, network := p.connect(nic, set, n)
		if planned.Network != "" {
			p.address(&planned, nic, set, network, n)
		}
		if primary {
			planned.Primary = set.Primary
		}
		p.NICs = append(p.NICs, planned)
	}
	return p
}

// settingsOf returns what was set for an adapter; nothing is, unless it was.
func (s State) settingsOf(nic string) NICSettings {
	i := slices.IndexFunc(s.NICs, func(set NICSettings) bool { return set.NIC == nic })
	if i < 0 {
		return NICSettings{NIC: nic}
	}
	return s.NICs[i]
}

// target is the network that an adapter is to be connected to.
type target struct {
	site.Network
	mapping networkmapping.Mapping
}

// connect finds the network of an adapter.
func (p *NetworkPlan) connect(nic site.NIC, set NICSettings, n Networks) (PlannedNIC, target) {
	planned := PlannedNIC{NIC: site.NIC{Name: nic.Name, MACAddress: nic.MACAddress, Primary: nic.Primary}}
	switch {
	case set.Disconnected:
		return planned, target{}
	case set.Network != "":
		planned.Overridden = true
		network, ok := p.there(nic, set.Network, set.NetworkName, n)
		if ok {
			planned.Network = network.Name
		}
		return planned, target{Network: network}
	case nic.Network == "":
		return planned, target{}
	case !n.Known():
		planned.Network = nic.Network
		return planned, target{Network: site.Network{Name: nic.Network}, mapping: networkmapping.Mapping{Addressing: networkmapping.KeepAddress}}
	}
	return p.mapped(planned, nic, n)
}

func (p *NetworkPlan) mapped(planned PlannedNIC, nic site.NIC, n Networks) (PlannedNIC, target) {
	source, ok := site.FindNetwork(n.Source, nic.Network)
	if !ok {
		p.find(errorcatalog.NetworkUnmapped, nic.Name, "network "+nic.Network+" is not known in the site")
		return planned, target{}
	}
	i := slices.IndexFunc(n.Mappings, func(m networkmapping.Mapping) bool { return m.Network == source.ID })
	if i < 0 {
		p.find(errorcatalog.NetworkUnmapped, nic.Name, "network "+source.Name+" is not mapped")
		return planned, target{}
	}
	m := n.Mappings[i]
	planned.Mapping = m.ID
	network, ok := p.there(nic, m.RecoveryNetwork, m.RecoveryNetworkName, n)
	if ok {
		planned.Network = network.Name
	}
	return planned, target{Network: network, mapping: m}
}

// there finds a network of the recovery site. One that only the adapters of VMs
// have named may have gone with them, and is taken for what it was.
func (p *NetworkPlan) there(nic site.NIC, id, name string, n Networks) (site.Network, bool) {
	i := slices.IndexFunc(n.Recovery, func(o site.Network) bool { return o.ID == id })
	switch {
	case i >= 0:
		return n.Recovery[i], true
	case n.RecoveryLoaded:
		p.find(errorcatalog.RecoveryNetworkMissing, nic.Name, "network "+name+" is gone from the recovery site")
		return site.Network{}, false
	default:
		return site.Network{ID: id, Name: name}, true
	}
}

func (p *NetworkPlan) find(code errorcatalog.Code, nic, detail string) {
	p.Findings = append(p.Findings, NetworkFinding{Code: code, NIC: nic, Detail: nic + ": " + detail})
}
