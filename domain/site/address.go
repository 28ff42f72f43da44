package site

import (
	"fmt"
	"net/netip"
	"slices"
)

// AddressType says where an adapter has its address from.
type AddressType string

// The types of address.
const (
	StaticAddress AddressType = "static"
	DynamicHost   AddressType = "dhcp"
)

// Address is an adapter's address. What stands beside the type belongs to a static
// one.
type Address struct {
	Type    AddressType `json:"type"`
	IP      string      `json:"ip,omitempty"`
	Subnet  string      `json:"subnet,omitempty"` // CIDR: "10.2.0.0/24"
	Gateway string      `json:"gateway,omitempty"`
	DNS     []string    `json:"dns,omitempty"`
}

// Equal says whether two addresses are the same; none equals none.
func (a *Address) Equal(o *Address) bool {
	if a == nil || o == nil {
		return a == o
	}
	return a.Type == o.Type && a.IP == o.IP && a.Subnet == o.Subnet && a.Gateway == o.Gateway && slices.Equal(a.DNS, o.DNS)
}

// What addresses and subnets are found not to be.
const (
	notAnAddress   = "%q is not an IP address"
	notASubnet     = "%q is not a subnet like 10.2.0.0/24"
	notInTheSubnet = "%q is not an address in %s"
)

// Check returns the field that is wrong, as a pointer into the address, and why;
// nothing when the address is in order.
func (a *Address) Check() (field, why string) {
	switch a.Type {
	case DynamicHost:
		if a.IP != "" || a.Subnet != "" || a.Gateway != "" || len(a.DNS) > 0 {
			return "/type", "an address from DHCP has no settings"
		}
		return "", ""
	case StaticAddress:
	default:
		return "/type", fmt.Sprintf("%q is neither static nor dhcp", a.Type)
	}
	ip, err := netip.ParseAddr(a.IP)
	if err != nil {
		return "/ip", fmt.Sprintf(notAnAddress, a.IP)
	}
	if a.Subnet != "" {
		prefix, err := netip.ParsePrefix(a.Subnet)
		if err != nil || prefix != prefix.Masked() {
			return "/subnet", fmt.Sprintf(notASubnet, a.Subnet)
		}
		if !prefix.Contains(ip) {
			return "/ip", fmt.Sprintf("%s does not lie in the subnet %s", a.IP, a.Subnet)
		}
	}
	return a.checkServers()
}

func (a *Address) checkServers() (field, why string) {
	if a.Gateway != "" {
		gateway, err := netip.ParseAddr(a.Gateway)
		switch prefix, subnetErr := netip.ParsePrefix(a.Subnet); {
		case err != nil:
			return "/gateway", fmt.Sprintf(notAnAddress, a.Gateway)
		case subnetErr == nil && !prefix.Contains(gateway):
			return "/gateway", fmt.Sprintf("%s does not lie in the subnet %s", a.Gateway, a.Subnet)
		}
	}
	for i, server := range a.DNS {
		if _, err := netip.ParseAddr(server); err != nil {
			return fmt.Sprintf("/dns/%d", i), fmt.Sprintf(notAnAddress, server)
		}
	}
	return "", ""
}
