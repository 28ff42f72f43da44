package client

import "strings"

func toldOfNetworks() map[string]func(f facts) string {
	return map[string]func(f facts) string{
		"protected_item.network_settings_changed.v1": func(f facts) string {
			var names []string
			for _, n := range f.NICs {
				names = append(names, n.NIC)
			}
			if len(names) == 0 {
				return "all adapters follow the mappings of their networks"
			}
			return "set for the recovery side: " + strings.Join(names, ", ")
		},
		"protected_item.networks_checked.v1": func(f facts) string {
			var details []string
			for _, n := range f.Findings {
				details = append(details, n.Detail)
			}
			if len(details) == 0 {
				return "the networks are in order"
			}
			return "the networks are not in order: " + strings.Join(details, "; ")
		},
		"protected_item.connections_decided.v1": func(f facts) string {
			var nics []string
			for _, n := range f.NICs {
				nics = append(nics, n.Name+" in "+or(n.Network, "no network"))
			}
			return "the recovery VM is made with " + or(strings.Join(nics, ", "), "no adapters")
		},
	}
}
