package client

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"farshore/api/oapi"
)

// nicFlags are the flags that set an adapter.
type nicFlags struct {
	name, network, ip, subnet, gateway string
	dns                                []string
	dhcp, disconnect, primary, clear   bool
}

func (s *session) itemNICs() *cobra.Command {
	var n nicFlags
	cmd := &cobra.Command{
		Use: "nics ITEM", Short: "Show how an item's network adapters are connected when it fails over, or set one", Args: cobra.ExactArgs(1),
		Long: "Show how an item's network adapters are connected when it fails over, or set one with --nic. An adapter that is not set follows the mapping of its network.",
		Example: `  farshore item nics web
  farshore item nics web --nic eth0 --network DR-LAN --address 10.2.0.25
  farshore item nics web --nic eth1 --disconnect
  farshore item nics web --nic eth1 --clear`,
	}
	f := cmd.Flags()
	f.StringVar(&n.name, "nic", "", "the adapter to set; its former settings are replaced")
	f.StringVar(&n.network, "network", "", "network of the recovery site, by id or name; default the mapped one")
	f.StringVar(&n.ip, "address", "", "static IP address")
	f.StringVar(&n.subnet, "subnet", "", "subnet of the address: 10.2.0.0/24; default as the network says")
	f.StringVar(&n.gateway, "gateway", "", "gateway; default as the network says")
	f.StringSliceVar(&n.dns, "dns", nil, "DNS servers; default as the network says")
	f.BoolVar(&n.dhcp, "dhcp", false, "address from DHCP")
	f.BoolVar(&n.disconnect, "disconnect", false, "do not connect the adapter")
	f.BoolVar(&n.primary, "primary", false, "make it the primary adapter")
	f.BoolVar(&n.clear, "clear", false, "follow the mapping of its network again")
	cmd.MarkFlagsMutuallyExclusive("address", "dhcp", "disconnect", "clear")
	cmd.MarkFlagsMutuallyExclusive("network", "disconnect", "clear")
	cmd.MarkFlagsMutuallyExclusive("primary", "clear")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if n.name == "" && cmd.Flags().NFlag() > countInherited(cmd) {
			return &usageError{"name the adapter that is to be set with --nic"}
		}
		a, err := Call[oapi.NetworkSettings](s.api.GetNetworkSettings(cmd.Context(), s.vault, args[0], &oapi.GetNetworkSettingsParams{}))
		if err != nil {
			return err
		}
		if n.name != "" {
			in := oapi.NetworkSettingsInput{Nics: n.among(a.Body)}
			params := &oapi.PutNetworkSettingsParams{IfMatch: &a.Body.Etag, IdempotencyKey: newIdempotencyKey()}
			if a, err = Call[oapi.NetworkSettings](s.api.PutNetworkSettings(cmd.Context(), s.vault, args[0], params, in)); err != nil {
				return err
			}
		}
		return s.showNICs(a.Body)
	}
	return cmd
}

// countInherited counts the flags given that all commands share.
func countInherited(cmd *cobra.Command) int {
	n := 0
	for _, name := range []string{"server", "key", "vault", "output", "quiet"} {
		if cmd.Flags().Changed(name) {
			n++
		}
	}
	return n
}

// among returns the settings of all adapters with one replaced. Making one primary
// takes that from another.
func (n nicFlags) among(now oapi.NetworkSettings) []oapi.NICSettings {
	nics := []oapi.NICSettings{}
	for _, nic := range now.Nics {
		if nic.Settings != nil && nic.Nic != n.name {
			set := *nic.Settings
			if n.primary {
				set.Primary = nil
			}
			nics = append(nics, set)
		}
	}
	if n.clear {
		return nics
	}
	set := oapi.NICSettings{Nic: n.name, Network: ref(n.network), DoNotConnect: ref(n.disconnect), Primary: ref(n.primary)}
	switch {
	case n.dhcp:
		set.Address = &oapi.AddressInput{Type: oapi.AddressTypeDhcp}
	case n.ip != "":
		set.Address = &oapi.AddressInput{Type: oapi.AddressTypeStatic, IP: ref(n.ip), Subnet: ref(n.subnet), Gateway: ref(n.gateway)}
		if len(n.dns) > 0 {
			set.Address.DNS = &n.dns
		}
	}
	return append(nics, set)
}

func (s *session) showNICs(v oapi.NetworkSettings) error {
	var rows []row
	for _, n := range v.Nics {
		how := "as mapped"
		if m := deref(n.Mapping); m != "" {
			how = "mapping " + m
		}
		if n.Settings != nil {
			how = "as set"
		}
		name := n.Nic
		if deref(n.Primary) {
			name += " (primary)"
		}
		rows = append(rows, row{name, deref(n.SourceNetwork), addressText(n.SourceAddress), or(deref(n.TargetNetwork), "not connected"), addressText(n.TargetAddress), how})
		for _, f := range n.Findings {
			rows = append(rows, row{"", f.Code, "", f.Detail})
		}
	}
	return s.show(v, row{"adapter", "network", "address", "recovery network", "recovery address", "how"}, rows)
}

func addressText(a *oapi.Address) string {
	switch {
	case a == nil:
		return ""
	case a.Type == string(oapi.AddressTypeDhcp):
		return "DHCP"
	}
	text := deref(a.IP)
	if g := deref(a.Gateway); g != "" {
		text += " via " + g
	}
	return text
}

// nicsFlag reads adapters as `item enable` is given them: NAME=NETWORK,
// NAME=NETWORK,ADDRESS, NAME=,ADDRESS or NAME=none.
func nicsFlag(texts []string) ([]oapi.NICSettings, error) {
	var nics []oapi.NICSettings
	for _, text := range texts {
		name, target, ok := strings.Cut(text, "=")
		if !ok || name == "" || target == "" {
			return nil, &usageError{fmt.Sprintf("--nic %q: use NAME=NETWORK, NAME=NETWORK,ADDRESS, NAME=,ADDRESS or NAME=none", text)}
		}
		network, address, _ := strings.Cut(target, ",")
		n := nicFlags{name: name, network: network, ip: address, dhcp: address == "dhcp"}
		if target == "none" {
			n = nicFlags{name: name, disconnect: true}
		}
		nics = slices.Concat(nics, n.among(oapi.NetworkSettings{}))
	}
	return nics, nil
}
