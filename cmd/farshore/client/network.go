package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"farshore/api/oapi"
)

func (s *session) siteShow() *cobra.Command {
	return &cobra.Command{Use: "show SITE", Short: "Show a site, and its VMM server if it has one", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		a, err := Call[oapi.Site](s.api.GetSite(cmd.Context(), s.vault, args[0], &oapi.GetSiteParams{}))
		if err != nil {
			return err
		}
		x := a.Body
		rows := []row{{"site", x.ID}, {"name", x.Name}, {"kind", x.Kind}, {"time zone", x.TimeZone}, {"hosts", x.Hosts}}
		if v := x.VmmServer; v != nil {
			rows = append(rows, row{"VMM server", v.Name}, row{"version", deref(v.Version)}, row{"connection", deref(v.ConnectionStatus)})
		}
		return s.show(x, nil, rows)
	}}
}

// siteInventory loads what a site has beside its hosts.
func (s *session) siteInventory() *cobra.Command {
	var (
		file string
		only bool
	)
	load := &cobra.Command{
		Use: "load SITE", Short: "Load a site's networks, and on a VMM site its server and clouds, from a file", Args: cobra.ExactArgs(1),
		Long:    "Load a site's networks, and on a VMM site its server and clouds, from a JSON file. It replaces what was known before; a file that is wrong anywhere changes nothing.",
		Example: `  farshore site inventory load office --file vmm.json`,
	}
	load.Flags().StringVar(&file, "file", "", "the file; - reads the standard input")
	load.Flags().BoolVar(&only, "validate-only", false, "say what would change and do nothing")
	_ = load.MarkFlagRequired("file")
	load.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := readDocument(cmd, file)
		if err != nil {
			return err
		}
		resp, err := s.api.LoadSiteInventoryWithBody(cmd.Context(), s.vault, args[0], &oapi.LoadSiteInventoryParams{ValidateOnly: ref(only)}, "application/json", bytes.NewReader(text))
		a, err := Call[oapi.SiteInventoryChange](resp, err)
		if err != nil {
			return err
		}
		return s.show(a.Body, nil, changeRows(a.Body))
	}
	return group("inventory", "What a site has beside its hosts", load)
}

// readDocument reads a JSON file, and says where it is none.
func readDocument(cmd *cobra.Command, file string) ([]byte, error) {
	read := func() ([]byte, error) { return os.ReadFile(file) }
	if file == "-" {
		read = func() ([]byte, error) { return io.ReadAll(cmd.InOrStdin()) }
	}
	text, err := read()
	if err != nil {
		return nil, fmt.Errorf("read the inventory: %w", err)
	}
	var document any
	err = json.Unmarshal(text, &document)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return nil, fmt.Errorf("read the inventory: line %d: %w", 1+bytes.Count(text[:syntax.Offset], []byte("\n")), err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the inventory: %w", err)
	}
	return text, nil
}

func changeRows(c oapi.SiteInventoryChange) []row {
	var rows []row
	for _, part := range []struct {
		what    string
		changed bool
	}{{"VMM server", c.ServerChanged}, {"clouds", c.CloudsChanged}, {"logical networks", c.LogicalNetworksChanged}} {
		if part.changed {
			rows = append(rows, row{part.what, "changed"})
		}
	}
	for _, n := range c.NetworksAdded {
		rows = append(rows, row{"network " + n, "added"})
	}
	for _, n := range c.NetworksChanged {
		rows = append(rows, row{"network " + n, "changed"})
	}
	for _, n := range c.NetworksRemoved {
		rows = append(rows, row{"network " + n, "removed"})
	}
	if len(rows) == 0 {
		rows = append(rows, row{"nothing", "changed"})
	}
	for _, w := range deref(c.Warnings) {
		rows = append(rows, row{w.Code, w.Detail})
	}
	return rows
}

func (s *session) networkCommand() *cobra.Command {
	var in string
	list := &cobra.Command{Use: "list", Short: "List the networks of a site", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		networks, err := collect[oapi.Network](func(c *string) (*http.Response, error) {
			return s.api.ListNetworks(cmd.Context(), s.vault, in, &oapi.ListNetworksParams{Cursor: c})
		})
		if err != nil {
			return err
		}
		var rows []row
		for _, n := range networks {
			known := "loaded"
			if !n.Loaded {
				known = "named by VMs"
			}
			rows = append(rows, row{n.ID, n.Name, deref(n.LogicalNetwork), strings.Join(subnetsOf(n), " "), known})
		}
		return s.show(networks, row{"network", "name", "logical network", "subnets", "known"}, rows)
	}}
	clouds := &cobra.Command{Use: "clouds", Short: "List the clouds of a VMM site, and their hosts", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		found, err := collect[oapi.Cloud](func(c *string) (*http.Response, error) {
			return s.api.ListClouds(cmd.Context(), s.vault, in, &oapi.ListCloudsParams{Cursor: c})
		})
		if err != nil {
			return err
		}
		var rows []row
		for _, c := range found {
			rows = append(rows, row{c.ID, c.Name, strings.Join(c.Hosts, " ")})
		}
		return s.show(found, row{"cloud", "name", "hosts"}, rows)
	}}
	for _, c := range []*cobra.Command{list, clouds} {
		c.Flags().StringVar(&in, "site", "", "the site")
		_ = c.MarkFlagRequired("site")
	}
	return group("network", "Networks of sites, and what they are mapped to", list, clouds, s.networkMap(), s.networkUnmap(), s.networkMappings())
}

func subnetsOf(n oapi.Network) []string {
	var all []string
	for _, sub := range n.Subnets {
		all = append(all, sub.Cidr)
	}
	return all
}

func (s *session) networkMap() *cobra.Command {
	var in oapi.NetworkMappingInput
	var from, to, subnet, addressing, ifMatch string
	cmd := &cobra.Command{
		Use: "map MAPPING", Short: "Map a network of a site to one of a recovery site", Args: cobra.ExactArgs(1),
		Long:    "Map a network of a site to one of a recovery site. A mapping that exists is changed if its etag is given.",
		Example: "  farshore network map lan --from office/LAN --to standby/DR-LAN --addressing translateAddress",
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "SITE/NETWORK, by id or name")
	f.StringVar(&to, "to", "", "RECOVERYSITE/NETWORK, by id or name")
	f.StringVar(&subnet, "subnet", "", "subnet of the recovery network that addresses lie in; default any")
	f.StringVar(&addressing, "addressing", "dhcp", "of a static address of the source: dhcp, keepAddress or translateAddress")
	f.StringVar(&ifMatch, "if-match", "", "change the mapping if it still has this etag; * whatever it is at")
	for _, name := range []string{"from", "to"} {
		_ = cmd.MarkFlagRequired(name)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var whole bool
		if in.Site, in.Network, whole = strings.Cut(from, "/"); !whole {
			return &usageError{fmt.Sprintf("--from %q: use SITE/NETWORK", from)}
		}
		if in.RecoverySite, in.RecoveryNetwork, whole = strings.Cut(to, "/"); !whole {
			return &usageError{fmt.Sprintf("--to %q: use SITE/NETWORK", to)}
		}
		in.RecoverySubnet, in.Addressing = ref(subnet), new(oapi.NetworkAddressing(addressing))
		a, err := Call[oapi.NetworkMapping](s.api.PutNetworkMapping(cmd.Context(), s.vault, args[0], &oapi.PutNetworkMappingParams{IfMatch: etagFlag(ifMatch)}, in))
		if err != nil {
			return err
		}
		return s.showMappings(a.Body, a.Body)
	}
	return cmd
}

// etagFlag quotes an etag that was given without its quotes, as shells like to
// have it.
func etagFlag(etag string) *string {
	if etag == "" || etag == "*" || strings.HasPrefix(etag, `"`) {
		return ref(etag)
	}
	return new(`"` + etag + `"`)
}

func (s *session) networkUnmap() *cobra.Command {
	var only bool
	cmd := &cobra.Command{Use: "unmap MAPPING", Short: "Give a mapping up; items that it connected say so in their health", Args: cobra.ExactArgs(1)}
	cmd.Flags().BoolVar(&only, "validate-only", false, "say what it connects and do nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		// What it connects is told before it is gone.
		uses, err := Call[oapi.Validation](s.api.DeleteNetworkMapping(cmd.Context(), s.vault, args[0], &oapi.DeleteNetworkMappingParams{IfMatch: new("*"), ValidateOnly: new(true)}))
		if err != nil {
			return err
		}
		if !only {
			if _, err := Call[struct{}](s.api.DeleteNetworkMapping(cmd.Context(), s.vault, args[0], &oapi.DeleteNetworkMappingParams{IfMatch: new("*")})); err != nil {
				return err
			}
		}
		verdict := "removed"
		if only {
			verdict = "can be removed"
		}
		rows := []row{{args[0], verdict}}
		for _, w := range deref(uses.Body.Warnings) {
			rows = append(rows, row{w.Code, w.Detail})
		}
		return s.show(uses.Body, nil, rows)
	}
	return cmd
}

func (s *session) networkMappings() *cobra.Command {
	var in string
	cmd := &cobra.Command{Use: "mappings", Short: "List the network mappings", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		mappings, err := collect[oapi.NetworkMapping](func(c *string) (*http.Response, error) {
			return s.api.ListNetworkMappings(cmd.Context(), s.vault, &oapi.ListNetworkMappingsParams{Cursor: c, Site: ref(in)})
		})
		if err != nil {
			return err
		}
		return s.showMappings(mappings, mappings...)
	}}
	cmd.Flags().StringVar(&in, "site", "", "only those from this site")
	return cmd
}

func (s *session) showMappings(v any, mappings ...oapi.NetworkMapping) error {
	var rows []row
	for _, m := range mappings {
		rows = append(rows, row{m.ID, m.Site + "/" + m.NetworkName, m.RecoverySite + "/" + m.RecoveryNetworkName, deref(m.RecoverySubnet), m.Addressing, m.Etag})
	}
	return s.show(v, row{"mapping", "from", "to", "subnet", "addressing", "etag"}, rows)
}
