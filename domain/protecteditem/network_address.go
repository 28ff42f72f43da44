package protecteditem

import (
	"net/netip"
	"slices"

	"farshore/domain/errorcatalog"
	"farshore/domain/networkmapping"
	"farshore/domain/site"
)

// address gives an adapter that is connected its address, and tells what is wrong
// with it.
func (p *planning) address(planned *PlannedNIC, nic site.NIC, set NICSettings, to target) {
	switch {
	case set.Address != nil:
		planned.Address = new(*set.Address)
	case nic.Address == nil || nic.Address.Type != site.StaticAddress:
		planned.Address = nic.Address
		return
	case planned.Overridden || to.mapping.Addressing == networkmapping.FromDHCP:
		planned.Address = &site.Address{Type: site.DynamicHost}
		return
	case to.mapping.Addressing == networkmapping.TranslateAddress:
		ip, ok := translated(*nic.Address, to, p.known.Source, nic.Network)
		if !ok {
			p.find(errorcatalog.StaticAddressOutsideSubnet, nic.Name, "%s cannot be translated to network %s", nic.Address.IP, to.Name)
			planned.Address = &site.Address{Type: site.DynamicHost}
			return
		}
		planned.Address = &site.Address{Type: site.StaticAddress, IP: ip}
	case len(to.Subnets) == 0:
		planned.Address = nic.Address
	default:
		planned.Address = &site.Address{Type: site.StaticAddress, IP: nic.Address.IP}
	}
	if planned.Address.Type == site.StaticAddress {
		p.settle(planned, to)
	}
}

// settle completes a static address by what is known of its subnet, and holds it
// against the network and against those that are taken.
func (p *planning) settle(planned *PlannedNIC, to target) {
	a := planned.Address
	subnets := to.subnets()
	if i := slices.IndexFunc(subnets, func(s site.Subnet) bool { return s.Holds(a.IP) }); i >= 0 {
		complete(a, subnets[i])
	} else if len(subnets) > 0 {
		p.find(errorcatalog.StaticAddressOutsideSubnet, planned.Name, "%s lies in no subnet of network %s", a.IP, to.Name)
	}
	for _, o := range p.known.Taken {
		if o.Network == planned.Network && sameIP(o.IP, a.IP) {
			p.find(errorcatalog.StaticAddressInUse, planned.Name, "%s in network %s is meant for item %s, too", a.IP, to.Name, o.Item)
		}
	}
	for _, o := range p.plan.NICs {
		if o.Network == planned.Network && o.Address != nil && sameIP(o.Address.IP, a.IP) {
			p.find(errorcatalog.StaticAddressInUse, planned.Name, "%s in network %s is meant for adapter %s, too", a.IP, to.Name, o.Name)
		}
	}
}

// complete adds what was left open. What was said of another subnet stands alone.
func complete(a *site.Address, s site.Subnet) {
	if a.Subnet == "" {
		a.Subnet = s.CIDR
	}
	if a.Subnet != s.CIDR {
		return
	}
	if a.Gateway == "" {
		a.Gateway = s.Gateway
	}
	if len(a.DNS) == 0 {
		a.DNS = s.DNS
	}
}

// subnets are those that an address may lie in.
func (t target) subnets() []site.Subnet {
	i := slices.IndexFunc(t.Subnets, func(s site.Subnet) bool { return s.CIDR == t.mapping.RecoverySubnet })
	if i < 0 {
		return t.Subnets
	}
	return t.Subnets[i : i+1]
}

// translated puts the host part of an address into the subnet that it is mapped
// to, which must be at least as large as its own.
func translated(a site.Address, to target, source []site.Network, network string) (string, bool) {
	subnets := to.subnets()
	ip, err := netip.ParseAddr(a.IP)
	own := prefixOf(a, source, network)
	if err != nil || len(subnets) == 0 || !own.IsValid() || !own.Contains(ip) {
		return "", false
	}
	there, err := netip.ParsePrefix(subnets[0].CIDR)
	if err != nil || there.Addr().BitLen() != ip.BitLen() || there.Bits() > own.Bits() {
		return "", false
	}
	host, net := ip.AsSlice(), there.Masked().Addr().AsSlice()
	for i := range host {
		kept := max(0, min(8, own.Bits()-8*i)) // bits of this byte that are the network's
		net[i] |= host[i] & (0xff >> kept)
	}
	moved, ok := netip.AddrFromSlice(net)
	return moved.String(), ok
}

// prefixOf is the subnet that an adapter's address lies in at its source.
func prefixOf(a site.Address, source []site.Network, network string) netip.Prefix {
	if p, err := netip.ParsePrefix(a.Subnet); err == nil {
		return p
	}
	n, _ := site.FindNetwork(source, network)
	for _, s := range n.Subnets {
		if p, err := netip.ParsePrefix(s.CIDR); err == nil && s.Holds(a.IP) {
			return p
		}
	}
	return netip.Prefix{}
}

func sameIP(a, b string) bool {
	one, err := netip.ParseAddr(a)
	if err != nil {
		return false
	}
	other, err := netip.ParseAddr(b)
	return err == nil && one == other
}

// TakenBy lists the static addresses that an item has on the recovery side by its
// plan.
func TakenBy(s State, p NetworkPlan) []TakenAddress {
	var taken []TakenAddress
	for _, nic := range p.NICs {
		if nic.Address != nil && nic.Address.Type == site.StaticAddress {
			taken = append(taken, TakenAddress{Item: s.Item, Network: nic.Network, IP: nic.Address.IP})
		}
	}
	return taken
}
