package protecteditem

import (
	"fmt"
	"slices"

	"farshore/domain/errorcatalog"
	"farshore/domain/networkmapping"
	"farshore/domain/site"
)

// Networks is what is known of the networks on both sides of an item. Where those
// of its site were never loaded nor mapped, adapters keep the network they have.
type Networks struct {
	Told           bool // those of the item's site were loaded or mapped once, whatever is left of that
	Loaded         bool // the networks of the item's site were loaded
	RecoveryLoaded bool // those of its recovery site were: what is not among them is gone
	Source         []site.Network
	Recovery       []site.Network
	Mappings       []networkmapping.Mapping // from the item's site to its recovery site
	Led            []site.Network           // of the recovery site, which any mapping or adapter's settings lead to
	Taken          []TakenAddress
}

// TakenAddress is a static address that another item has on the recovery side.
type TakenAddress struct {
	Item    string
	Network string // its name
	IP      string
}

// Known says whether enough is known to tell that a network was forgotten. It stays
// so: who removes the last mapping has not asked for the source's own networks.
func (n Networks) Known() bool { return n.Told || n.Loaded || len(n.Mappings) > 0 }

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
	var nics []site.NIC // none, as a description without adapters has none
	for _, n := range p.NICs {
		nics = append(nics, n.NIC)
	}
	return nics
}

// PlanNetworks works out how a failover of the item would connect its VM. Nothing
// in it depends on the time.
func PlanNetworks(s State, known Networks) NetworkPlan {
	p := planning{known: known, within: s.Site != "" && s.Site == s.Recovery.Site}
	primary := slices.ContainsFunc(s.NICs, func(set NICSettings) bool { return set.Primary })
	for _, nic := range s.VM.NICs {
		set := s.settingsOf(nic.Name)
		planned, network := p.connect(nic, set)
		if planned.Network != "" {
			p.address(&planned, nic, set, network)
		}
		if primary {
			planned.Primary = set.Primary
		}
		p.plan.NICs = append(p.plan.NICs, planned)
	}
	return p.plan
}

// TowardTarget is the item as if it failed over to the site of the new VM that it fails
// back to: that is how it is connected there. What was set for adapters is for another
// site.
func (s State) TowardTarget() State {
	s.Recovery.Site, s.NICs = s.Failback.Target.Site, nil
	return s
}

// PlanFailbackNetworks works out how a failback to a new VM connects it. On the item's
// own site it keeps the networks that it has. Those of another site are not the item's,
// whatever their names: there, what is not mapped is left unconnected.
func PlanFailbackNetworks(s State, known Networks) NetworkPlan {
	if s.Failback.Target.Site != s.Site {
		known.Told = true
		return PlanNetworks(s.TowardTarget(), known)
	}
	var p NetworkPlan
	for _, nic := range s.VM.NICs {
		p.NICs = append(p.NICs, PlannedNIC{NIC: nic})
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

// planning is a plan in the making.
type planning struct {
	known  Networks
	within bool // one site, whose networks stand for themselves unless they are mapped
	plan   NetworkPlan
}

// target is the network that an adapter is to be connected to.
type target struct {
	site.Network
	mapping networkmapping.Mapping
}

// connect finds the network of an adapter.
func (p *planning) connect(nic site.NIC, set NICSettings) (PlannedNIC, target) {
	planned := PlannedNIC{NIC: site.NIC{Name: nic.Name, MACAddress: nic.MACAddress, Primary: nic.Primary}}
	switch {
	case set.Disconnected:
		return planned, target{}
	case set.Network != "":
		planned.Overridden = true
		network := p.there(nic, set.Network, set.NetworkName)
		planned.Network = network.Name
		return planned, target{Network: network}
	case nic.Network == "":
		return planned, target{}
	case !p.known.Known():
		planned.Network = nic.Network
		return planned, target{Network: site.Network{Name: nic.Network}, mapping: networkmapping.Mapping{Addressing: networkmapping.KeepAddress}}
	}
	m, mapped := p.mappingOf(nic)
	if !mapped {
		return planned, target{}
	}
	network := p.there(nic, m.RecoveryNetwork, m.RecoveryNetworkName)
	planned.Mapping, planned.Network = m.ID, network.Name
	return planned, target{Network: network, mapping: m}
}

func (p *planning) mappingOf(nic site.NIC) (networkmapping.Mapping, bool) {
	source, ok := p.sourceOf(nic)
	if !ok {
		p.find(errorcatalog.NetworkUnmapped, nic.Name, "network %s is not known in the site", nic.Network)
		return networkmapping.Mapping{}, false
	}
	i := slices.IndexFunc(p.known.Mappings, func(m networkmapping.Mapping) bool { return m.Network == source.ID })
	if i < 0 && p.within {
		return networkmapping.Mapping{RecoveryNetwork: source.ID, RecoveryNetworkName: source.Name, Addressing: networkmapping.KeepAddress}, true
	}
	if i < 0 {
		p.find(errorcatalog.NetworkUnmapped, nic.Name, "network %s is not mapped", source.Name)
		return networkmapping.Mapping{}, false
	}
	return p.known.Mappings[i], true
}

// sourceOf finds the network that an adapter names. One that only the adapters of VMs
// have named may have gone with them, and is taken for what was mapped by that name.
func (p *planning) sourceOf(nic site.NIC) (site.Network, bool) {
	source, ok := site.FindNetwork(p.known.Source, nic.Network)
	if ok || p.known.Loaded {
		return source, ok
	}
	for _, m := range p.known.Mappings {
		if m.Network == nic.Network || m.NetworkName == nic.Network {
			return site.Network{ID: m.Network, Name: m.NetworkName}, true
		}
	}
	return site.Network{ID: nic.Network, Name: nic.Network}, true
}

// there finds a network of the recovery site; one without a name if it is gone. One
// that only the adapters of VMs have named may have gone with them, and is taken
// for what it was.
func (p *planning) there(nic site.NIC, id, name string) site.Network {
	i := slices.IndexFunc(p.known.Recovery, func(o site.Network) bool { return o.ID == id })
	switch {
	case i >= 0:
		return p.known.Recovery[i]
	case p.known.RecoveryLoaded:
		p.find(errorcatalog.RecoveryNetworkMissing, nic.Name, "network %s is gone from the recovery site", name)
		return site.Network{}
	default:
		return site.Network{ID: id, Name: name}
	}
}

func (p *planning) find(code errorcatalog.Code, nic, format string, args ...any) {
	p.plan.Findings = append(p.plan.Findings, NetworkFinding{Code: code, NIC: nic, Detail: nic + ": " + fmt.Sprintf(format, args...)})
}
