package site

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// LoadInventory replaces what is known of a site's networks and, on a VMM site, of
// its server and clouds. Only differences become events; a document that is wrong
// anywhere changes nothing.
type LoadInventory struct {
	Server          *Server // of a VMM site, and of no other
	Clouds          []Cloud // likewise
	LogicalNetworks []LogicalNetwork
	Networks        []Network
	At              time.Time
}

func (c LoadInventory) decide(s State) ([]Event, error) {
	if !s.Registered {
		return nil, domain.Reject(domain.NotFound, errorcatalog.SiteNotFound, "the site is not registered")
	}
	if err := c.validate(s); err != nil {
		return nil, err
	}
	var events []Event
	if c.Server != nil && (s.Server == nil || *s.Server != *c.Server) {
		events = append(events, VMMServerChanged{Server: *c.Server, At: c.At})
	}
	if !slices.EqualFunc(s.Clouds, c.Clouds, Cloud.Equal) {
		events = append(events, CloudsChanged{Clouds: c.Clouds, At: c.At})
	}
	if !slices.Equal(s.LogicalNetworks, c.LogicalNetworks) {
		events = append(events, LogicalNetworksChanged{LogicalNetworks: c.LogicalNetworks, At: c.At})
	}
	for _, n := range c.Networks {
		switch i := slices.IndexFunc(s.Networks, func(o Network) bool { return o.ID == n.ID }); {
		case i < 0:
			events = append(events, NetworkAdded{Network: n, At: c.At})
		case !s.Networks[i].Equal(n):
			events = append(events, NetworkChanged{Network: n, At: c.At})
		}
	}
	for _, o := range s.Networks {
		if !slices.ContainsFunc(c.Networks, func(n Network) bool { return n.ID == o.ID }) {
			events = append(events, NetworkRemoved{Network: o.ID, Name: o.Name, At: c.At})
		}
	}
	return events, nil
}

func (c LoadInventory) validate(s State) error {
	if s.Kind != VMM {
		if c.Server != nil {
			return invalid("/server", "a site of the kind %s has no VMM server", s.Kind)
		}
		if len(c.Clouds) > 0 {
			return invalid("/clouds", "a site of the kind %s has no clouds", s.Kind)
		}
	} else if err := c.validateServer(); err != nil {
		return err
	}
	if err := c.validateClouds(s); err != nil {
		return err
	}
	for i, l := range c.LogicalNetworks {
		at := fmt.Sprintf("/logicalNetworks/%d", i)
		if err := checkNamed(at, l.ID, l.Name); err != nil {
			return err
		}
		if slices.ContainsFunc(c.LogicalNetworks[:i], func(o LogicalNetwork) bool { return o.ID == l.ID }) {
			return invalid(at+"/id", "logical network %q is there twice", l.ID)
		}
	}
	for i := range c.Networks {
		if err := c.validateNetwork(i); err != nil {
			return err
		}
	}
	return nil
}

func (c LoadInventory) validateServer() error {
	if c.Server == nil {
		return invalid("/server", "a VMM site has a VMM server")
	}
	if err := domain.CheckName("/server/name", c.Server.Name); err != nil {
		return err
	}
	switch c.Server.ConnectionStatus {
	case "", "Connected", "Disconnected":
		return nil
	default:
		return invalid("/server/connectionStatus", "%q is neither Connected nor Disconnected", c.Server.ConnectionStatus)
	}
}

func (c LoadInventory) validateClouds(s State) error {
	owner := map[string]string{}
	for i, cloud := range c.Clouds {
		at := fmt.Sprintf("/clouds/%d", i)
		if err := checkNamed(at, cloud.ID, cloud.Name); err != nil {
			return err
		}
		if slices.ContainsFunc(c.Clouds[:i], func(o Cloud) bool { return o.ID == cloud.ID }) {
			return invalid(at+"/id", "cloud %q is there twice", cloud.ID)
		}
		for n, host := range cloud.Hosts {
			field := fmt.Sprintf("%s/hosts/%d", at, n)
			if _, known := s.Host(host); !known {
				return domain.Reject(domain.Invalid, errorcatalog.HostNotFound, "host %q is not registered with the site", host).At(field)
			}
			if other, taken := owner[host]; taken {
				return invalid(field, "host %q is in cloud %q already", host, other)
			}
			owner[host] = cloud.ID
		}
	}
	return nil
}

func (c LoadInventory) validateNetwork(i int) error {
	n, at := c.Networks[i], fmt.Sprintf("/vmNetworks/%d", i)
	if err := checkNamed(at, n.ID, n.Name); err != nil {
		return err
	}
	for _, o := range c.Networks[:i] {
		if o.ID == n.ID || o.Name == n.ID {
			return invalid(at+"/id", "network %q is there twice", n.ID)
		}
		if o.Name == n.Name || o.ID == n.Name {
			return invalid(at+"/name", "two networks are called %q", n.Name)
		}
	}
	if n.LogicalNetwork != "" && !slices.ContainsFunc(c.LogicalNetworks, func(l LogicalNetwork) bool { return l.ID == n.LogicalNetwork }) {
		return invalid(at+"/logicalNetwork", "there is no logical network %q", n.LogicalNetwork)
	}
	var before []netip.Prefix
	for k, subnet := range n.Subnets {
		field := fmt.Sprintf("%s/subnets/%d", at, k)
		prefix, err := subnet.validate(field)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(before, prefix.Overlaps) {
			return invalid(field+"/cidr", "%s overlaps another subnet of the network", subnet.CIDR)
		}
		before = append(before, prefix)
	}
	return nil
}

func (s Subnet) validate(at string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s.CIDR)
	if err != nil || prefix != prefix.Masked() {
		return prefix, invalid(at+"/cidr", notASubnet, s.CIDR)
	}
	if s.Gateway != "" && !s.Holds(s.Gateway) {
		return prefix, invalid(at+"/gateway", notInTheSubnet, s.Gateway, s.CIDR)
	}
	for i, server := range s.DNS {
		if _, err := netip.ParseAddr(server); err != nil {
			return prefix, invalid(fmt.Sprintf("%s/dns/%d", at, i), notAnAddress, server)
		}
	}
	for i, p := range s.Pools {
		field := fmt.Sprintf("%s/pools/%d", at, i)
		if !s.Holds(p.First) {
			return prefix, invalid(field+"/first", notInTheSubnet, p.First, s.CIDR)
		}
		if !s.Holds(p.Last) {
			return prefix, invalid(field+"/last", notInTheSubnet, p.Last, s.CIDR)
		}
		if first, last := netip.MustParseAddr(p.First), netip.MustParseAddr(p.Last); last.Less(first) {
			return prefix, invalid(field+"/last", "%s comes before %s", p.Last, p.First)
		}
	}
	return prefix, nil
}

func checkNamed(at, id, name string) error {
	if err := domain.CheckSlug(at+"/id", id); err != nil {
		return err
	}
	return domain.CheckName(at+"/name", name)
}

// VMMServerChanged replaces what is known of the site's VMM server.
type VMMServerChanged struct {
	Server Server    `json:"server"`
	At     time.Time `json:"at"`
}

// EventType implements domain.Event.
func (VMMServerChanged) EventType() string { return "site.vmm_server_changed.v1" }

func (e VMMServerChanged) evolve(s State) State {
	s.Server = &e.Server
	return s
}

// CloudsChanged replaces the site's clouds.
type CloudsChanged struct {
	Clouds []Cloud   `json:"clouds"`
	At     time.Time `json:"at"`
}

// EventType implements domain.Event.
func (CloudsChanged) EventType() string { return "site.clouds_changed.v1" }

func (e CloudsChanged) evolve(s State) State {
	s.Clouds = e.Clouds
	return s
}

// LogicalNetworksChanged replaces the site's logical networks.
type LogicalNetworksChanged struct {
	LogicalNetworks []LogicalNetwork `json:"logicalNetworks"`
	At              time.Time        `json:"at"`
}

// EventType implements domain.Event.
func (LogicalNetworksChanged) EventType() string { return "site.logical_networks_changed.v1" }

func (e LogicalNetworksChanged) evolve(s State) State {
	s.LogicalNetworks = e.LogicalNetworks
	return s
}

// NetworkAdded makes a network known.
type NetworkAdded struct {
	Network Network   `json:"network"`
	At      time.Time `json:"at"`
}

// EventType implements domain.Event.
func (NetworkAdded) EventType() string { return "site.network_added.v1" }

func (e NetworkAdded) evolve(s State) State {
	s.Networks, s.Inventoried = append(slices.Clone(s.Networks), e.Network), true
	return s
}

// NetworkChanged replaces a network's description.
type NetworkChanged struct {
	Network Network   `json:"network"`
	At      time.Time `json:"at"`
}

// EventType implements domain.Event.
func (NetworkChanged) EventType() string { return "site.network_changed.v1" }

func (e NetworkChanged) evolve(s State) State {
	s.Networks = slices.Clone(s.Networks)
	for i := range s.Networks {
		if s.Networks[i].ID == e.Network.ID {
			s.Networks[i] = e.Network
		}
	}
	return s
}

// NetworkRemoved means that the site has a network no more. What is mapped from or
// to it stays so, in case it comes back.
type NetworkRemoved struct {
	Network string    `json:"network"` // its id
	Name    string    `json:"name"`
	At      time.Time `json:"at"`
}

// EventType implements domain.Event.
func (NetworkRemoved) EventType() string { return "site.network_removed.v1" }

func (e NetworkRemoved) evolve(s State) State {
	s.Networks = slices.DeleteFunc(slices.Clone(s.Networks), func(n Network) bool { return n.ID == e.Network })
	return s
}
