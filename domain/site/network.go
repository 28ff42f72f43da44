package site

import (
	"net/netip"
	"slices"
	"strings"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// Network is a network that a site's VMs can be attached to: a VM network of VMM,
// or what the adapters of its VMs name.
type Network struct {
	ID             string   `json:"id"`
	Name           string   `json:"name"`                     // as the adapters of VMs name it
	LogicalNetwork string   `json:"logicalNetwork,omitempty"` // the id of the one it lies on
	Subnets        []Subnet `json:"subnets,omitempty"`
}

// Subnet is a range of addresses of a network.
type Subnet struct {
	Name    string        `json:"name,omitempty"`
	CIDR    string        `json:"cidr"`
	Gateway string        `json:"gateway,omitempty"`
	DNS     []string      `json:"dns,omitempty"`
	Pools   []AddressPool `json:"pools,omitempty"`
}

// AddressPool is a part of a subnet from which static addresses are given out.
type AddressPool struct {
	First string `json:"first"`
	Last  string `json:"last"`
}

// LogicalNetwork is what VM networks of VMM lie on.
type LogicalNetwork struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Server is the VMM server of a site.
type Server struct {
	Name             string `json:"name"`
	Version          string `json:"version,omitempty"`
	ConnectionStatus string `json:"connectionStatus,omitempty"` // Connected or Disconnected
}

// Cloud groups hosts of a VMM site.
type Cloud struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Hosts []string `json:"hosts,omitempty"` // ids of hosts of the site
}

// Equal says whether two networks are described alike.
func (n Network) Equal(o Network) bool {
	return n.ID == o.ID && n.Name == o.Name && n.LogicalNetwork == o.LogicalNetwork && slices.EqualFunc(n.Subnets, o.Subnets, Subnet.Equal)
}

// Equal says whether two subnets are described alike.
func (s Subnet) Equal(o Subnet) bool {
	return s.Name == o.Name && s.CIDR == o.CIDR && s.Gateway == o.Gateway && slices.Equal(s.DNS, o.DNS) && slices.Equal(s.Pools, o.Pools)
}

// Equal says whether two clouds are described alike.
func (c Cloud) Equal(o Cloud) bool {
	return c.ID == o.ID && c.Name == o.Name && slices.Equal(c.Hosts, o.Hosts)
}

// Holds says whether an address lies in the subnet.
func (s Subnet) Holds(ip string) bool {
	prefix, err := netip.ParsePrefix(s.CIDR)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(ip)
	return err == nil && prefix.Contains(addr)
}

// FindNetwork finds the network that a reference means: its id or its name.
func FindNetwork(networks []Network, ref string) (Network, bool) {
	for _, same := range []func(Network) bool{
		func(n Network) bool { return n.ID == ref },
		func(n Network) bool { return n.Name == ref },
	} {
		if i := slices.IndexFunc(networks, same); ref != "" && i >= 0 {
			return networks[i], true
		}
	}
	return Network{}, false
}

// NetworksLoaded says whether the site's networks were loaded: otherwise only what
// the adapters of its VMs name is known.
func (s State) NetworksLoaded() bool { return len(s.Networks) > 0 }

// KnownNetworks returns the networks of the site by id: those that were loaded, or
// else those that the adapters of its VMs name.
func (s State) KnownNetworks() []Network {
	known := slices.Clone(s.Networks)
	if len(known) == 0 {
		for _, h := range s.Hosts {
			for _, vm := range h.VirtualMachines {
				for _, nic := range vm.NICs {
					if _, seen := FindNetwork(known, nic.Network); nic.Network != "" && !seen {
						known = append(known, Network{ID: networkID(nic.Network), Name: nic.Network})
					}
				}
			}
		}
	}
	slices.SortFunc(known, func(a, b Network) int { return strings.Compare(a.ID, b.ID) })
	return known
}

// CloudsByID returns the clouds of the site by id.
func (s State) CloudsByID() []Cloud {
	return slices.SortedFunc(slices.Values(s.Clouds), func(a, b Cloud) int { return strings.Compare(a.ID, b.ID) })
}

// RequireCloud refuses a host of a VMM site that belongs to no cloud: VMM does not
// manage it.
func (s State) RequireCloud(host string) *domain.RejectionError {
	if _, clouded := s.CloudOf(host); s.Kind != VMM || clouded {
		return nil
	}
	return domain.Reject(domain.Conflict, errorcatalog.HostWithoutCloud, "host %q belongs to no cloud of the VMM site %q", host, s.Name)
}

// CloudOf returns the cloud that a host belongs to.
func (s State) CloudOf(host string) (Cloud, bool) {
	i := slices.IndexFunc(s.Clouds, func(c Cloud) bool { return slices.Contains(c.Hosts, host) })
	if i < 0 {
		return Cloud{}, false
	}
	return s.Clouds[i], true
}

// networkID makes an id of a name that is none. It depends on the name alone, so
// that what refers to it stays right whatever other networks are found.
func networkID(name string) string {
	if domain.ValidSlug(name) {
		return name
	}
	const longest = 54
	var b strings.Builder
	sum := uint32(2166136261) // FNV-1a
	for _, c := range []byte(name) {
		sum = (sum ^ uint32(c)) * 16777619
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			c = '-'
		}
		if b.Len() < longest {
			b.WriteByte(c)
		}
	}
	const digits = "0123456789abcdef"
	hash := make([]byte, 0, 8)
	for shift := 28; shift >= 0; shift -= 4 {
		hash = append(hash, digits[sum>>shift&0xf])
	}
	return strings.Trim(strings.Trim(b.String(), "-")+"-"+string(hash), "-")
}
