package protecteditem

import (
	"fmt"
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/site"
)

// NICSettings says how an adapter is connected on the recovery side, where that is
// not left to the mapping of its network.
type NICSettings struct {
	NIC          string        `json:"nic"`                   // its name
	Network      string        `json:"network,omitempty"`     // id of a network of the recovery site
	NetworkName  string        `json:"networkName,omitempty"` // of that network, when it was set
	Address      *site.Address `json:"address,omitempty"`
	Disconnected bool          `json:"disconnected,omitempty"` // it is not to be connected
	Primary      bool          `json:"primary,omitempty"`
}

func (n NICSettings) equal(o NICSettings) bool {
	return n.NIC == o.NIC && n.Network == o.Network && n.NetworkName == o.NetworkName && n.Disconnected == o.Disconnected &&
		n.Primary == o.Primary && n.Address.Equal(o.Address)
}

// ChangeNetworkSettings replaces the settings of all of an item's adapters. They
// are used by the next failover or change of its point. A network without a name
// is one that the recovery site does not have.
type ChangeNetworkSettings struct {
	NICs []NICSettings
	At   time.Time
}

func (c ChangeNetworkSettings) decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	if s.Protection == DisablingProtection {
		return nil, domain.Reject(domain.Conflict, errorcatalog.NotProtected, "protection is being disabled")
	}
	if err := checkNICs(c.NICs, s.VM); err != nil {
		return nil, err
	}
	if slices.EqualFunc(s.NICs, c.NICs, NICSettings.equal) {
		return nil, nil
	}
	return []Event{NetworkSettingsChanged{NICs: slices.Clone(c.NICs), At: c.At}}, nil
}

// checkNICs refuses settings that do not fit the VM or each other.
func checkNICs(nics []NICSettings, vm site.VirtualMachine) error {
	primary := false
	for i, n := range nics {
		at := fmt.Sprintf("/nics/%d", i)
		if err := n.check(at, vm); err != nil {
			return err
		}
		if slices.ContainsFunc(nics[:i], func(o NICSettings) bool { return o.NIC == n.NIC }) {
			return invalid(at+"/nic", "adapter %q is set twice", n.NIC)
		}
		if n.Primary && primary {
			return invalid(at+"/primary", "one adapter is primary")
		}
		primary = primary || n.Primary
	}
	return nil
}

func (n NICSettings) check(at string, vm site.VirtualMachine) error {
	if !slices.ContainsFunc(vm.NICs, func(o site.NIC) bool { return o.Name == n.NIC }) {
		return domain.Reject(domain.Invalid, errorcatalog.NICNotFound, "the VM has no adapter %q", n.NIC).At(at + "/nic")
	}
	switch {
	case n.Disconnected && n.Network != "":
		return invalid(at+"/network", "an adapter that is not connected has no network")
	case n.Disconnected && n.Address != nil:
		return invalid(at+"/address", "an adapter that is not connected has no address")
	case n.Network != "" && n.NetworkName == "":
		return domain.Reject(domain.Invalid, errorcatalog.NetworkNotFound, "the recovery site has no network %q", n.Network).At(at + "/network")
	case n.Address == nil:
		return nil
	}
	if field, why := n.Address.Check(); why != "" {
		return invalid(at+"/address"+field, "%s", why)
	}
	return nil
}

// NetworkSettingsChanged replaces the settings of the item's adapters.
type NetworkSettingsChanged struct {
	NICs []NICSettings `json:"nics"`
	At   time.Time     `json:"at"`
}

// EventType implements domain.Event.
func (NetworkSettingsChanged) EventType() string { return "protected_item.network_settings_changed.v1" }

func (e NetworkSettingsChanged) evolve(s State) State {
	s.NICs = e.NICs
	return s
}
