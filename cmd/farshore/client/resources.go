package client

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"farshore/api/oapi"
)

// group makes a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return &usageError{fmt.Sprintf("%q is no %s command; see `%s --help`", args[0], use, cmd.CommandPath())}
		}
		return cmd.Help()
	}}
	g.AddCommand(commands...)
	return g
}

func (s *session) vaultCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the vaults", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		vaults, err := collect[oapi.Vault](func(c *string) (*http.Response, error) {
			return s.api.ListVaults(cmd.Context(), &oapi.ListVaultsParams{Cursor: c})
		})
		if err != nil {
			return err
		}
		var rows []row
		for _, v := range vaults {
			rows = append(rows, row{v.ID, v.Name, ago(v.CreatedAt)})
		}
		return s.show(vaults, row{"vault", "name", "created"}, rows)
	}}
	var name string
	add := &cobra.Command{Use: "add ID", Short: "Create a vault", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		a, err := Call[oapi.Vault](s.api.PutVault(cmd.Context(), args[0], &oapi.PutVaultParams{}, oapi.VaultInput{Name: or(name, args[0])}))
		if err != nil {
			return err
		}
		return s.show(a.Body, row{"vault", "name"}, []row{{a.Body.ID, a.Body.Name}})
	}}
	add.Flags().StringVar(&name, "name", "", "name to show; default the id")
	return group("vault", "Vaults: the tenants of this server", list, add)
}

func (s *session) policyCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the replication policies", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		policies, err := collect[oapi.Policy](func(c *string) (*http.Response, error) {
			return s.api.ListPolicies(cmd.Context(), s.vault, &oapi.ListPoliciesParams{Cursor: c})
		})
		if err != nil {
			return err
		}
		return s.showPolicies(policies, policies...)
	}}
	var (
		in                                oapi.PolicyInput
		frequency, retention, app, resync int32
		monitoring, drills                int32
		start                             string
		replace                           string
	)
	add := &cobra.Command{Use: "add ID", Short: "Define a replication policy", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		in.Name = or(in.Name, args[0])
		in.CopyFrequencySeconds = new(oapi.PolicyInputCopyFrequencySeconds(frequency))
		in.RetentionHours, in.AppConsistentFrequencyHours, in.ResyncThresholdPercent = &retention, &app, &resync
		in.MonitoringWindowHours, in.DrillReminderDays = &monitoring, &drills
		in.StartTime = ref(start)
		a, err := Call[oapi.Policy](s.api.PutPolicy(cmd.Context(), s.vault, args[0], &oapi.PutPolicyParams{IfMatch: ref(replace)}, in))
		if err != nil {
			return err
		}
		return s.showPolicies(a.Body, a.Body)
	}}
	f := add.Flags()
	f.StringVar(&in.Name, "name", "", "name to show; default the id")
	f.Int32Var(&frequency, "copy-frequency", 300, "seconds between deltas: 30, 300 or 900")
	f.Int32Var(&retention, "retention", 2, "hours to keep recovery points, up to 720")
	f.Int32Var(&app, "app-consistent", 0, "hours between application-consistent points; 0: none")
	f.Int32Var(&resync, "resync-threshold", 50, "percent of a disk that its unshipped logs may reach")
	f.Int32Var(&monitoring, "monitoring-window", 12, "hours in which missed cycles are counted, up to 168")
	f.Int32Var(&drills, "drill-reminder-days", 0, "days after which a test failover is due again; 0: never")
	f.StringVar(&start, "start-time", "", "when initial replication may start, HH:MM; default at once")
	f.StringVar(&replace, "if-match", "", "replace the policy if it still has this etag")
	return group("policy", "Replication policies", list, add)
}

func (s *session) showPolicies(v any, policies ...oapi.Policy) error {
	var rows []row
	for _, p := range policies {
		rows = append(rows, row{
			p.ID, p.Name, strconv.Itoa(int(p.CopyFrequencySeconds)) + " s", strconv.Itoa(int(p.RetentionHours)) + " h", strconv.Itoa(int(p.ResyncThresholdPercent)) + " %",
			unless(p.AppConsistentFrequencyHours, " h"), unless(p.DrillReminderDays, " days"),
		})
	}
	return s.show(v, row{"policy", "name", "copy frequency", "retention", "resync threshold", "app-consistent", "drills"}, rows)
}

// unless is how often something is done, or that it never is.
func unless(n int32, unit string) string {
	if n == 0 {
		return "never"
	}
	return strconv.Itoa(int(n)) + unit
}

func (s *session) siteCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the sites", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		sites, err := collect[oapi.Site](func(c *string) (*http.Response, error) {
			return s.api.ListSites(cmd.Context(), s.vault, &oapi.ListSitesParams{Cursor: c})
		})
		if err != nil {
			return err
		}
		return s.showSites(sites, sites...)
	}}
	var kind, zone, name string
	add := &cobra.Command{Use: "add ID", Short: "Register a site", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		in := oapi.SiteInput{Name: or(name, args[0]), Kind: oapi.SiteKind(kind), TimeZone: ref(zone)}
		a, err := Call[oapi.Site](s.api.PutSite(cmd.Context(), s.vault, args[0], &oapi.PutSiteParams{}, in))
		if err != nil {
			return err
		}
		return s.showSites(a.Body, a.Body)
	}}
	add.Flags().StringVar(&name, "name", "", "name to show; default the id")
	add.Flags().StringVar(&kind, "kind", "Local", "Local, HyperV or VMM")
	add.Flags().StringVar(&zone, "time-zone", "UTC", "IANA time zone, for windows and start times")
	return group("site", "Sites: where hosts stand", list, s.siteShow(), add, s.siteInventory())
}

func (s *session) showSites(v any, sites ...oapi.Site) error {
	var rows []row
	for _, x := range sites {
		rows = append(rows, row{x.ID, x.Name, x.Kind, x.TimeZone, x.Hosts})
	}
	return s.show(v, row{"site", "name", "kind", "time zone", "hosts"}, rows)
}

func (s *session) hostCommand() *cobra.Command {
	var in string
	list := &cobra.Command{Use: "list", Short: "List the hosts of a site", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		hosts, err := collect[oapi.Host](func(c *string) (*http.Response, error) {
			return s.api.ListHosts(cmd.Context(), s.vault, in, &oapi.ListHostsParams{Cursor: c})
		})
		if err != nil {
			return err
		}
		return s.showHosts(hosts, hosts...)
	}}
	var directory string
	add := &cobra.Command{Use: "add ID", Short: "Add a host to a site: a folder that holds one folder per VM", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		a, err := Call[oapi.Host](s.api.PutHost(cmd.Context(), s.vault, in, args[0], &oapi.PutHostParams{}, oapi.HostInput{Directory: directory}))
		if err != nil {
			return err
		}
		return s.showHosts(a.Body, a.Body)
	}}
	add.Flags().StringVar(&directory, "directory", "", "absolute path of the folder")
	_ = add.MarkFlagRequired("directory")
	remove := &cobra.Command{Use: "remove ID", Short: "Remove a host from a site", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		_, err := Call[struct{}](s.api.DeleteHost(cmd.Context(), s.vault, in, args[0], &oapi.DeleteHostParams{IfMatch: new("*")}))
		return err
	}}
	g := group("host", "Hosts: machines that run VMs", list, add, remove)
	for _, c := range []*cobra.Command{list, add, remove} {
		c.Flags().StringVar(&in, "site", "", "the site")
		_ = c.MarkFlagRequired("site")
	}
	return g
}

func (s *session) showHosts(v any, hosts ...oapi.Host) error {
	var rows []row
	for _, h := range hosts {
		var problems []string
		for _, p := range h.Problems {
			problems = append(problems, p.Subject+": "+p.Finding.Code)
		}
		rows = append(rows, row{h.Site, h.ID, h.Directory, h.VirtualMachines, strings.Join(problems, ", ")})
	}
	return s.show(v, row{"site", "host", "directory", "vms", "problems"}, rows)
}

func (s *session) storeCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the storage accounts", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		stores, err := collect[oapi.StorageAccount](func(c *string) (*http.Response, error) {
			return s.api.ListStorageAccounts(cmd.Context(), s.vault, &oapi.ListStorageAccountsParams{Cursor: c})
		})
		if err != nil {
			return err
		}
		return s.showStores(stores, stores...)
	}}
	var name, directory, endpoint, container, credential string
	add := &cobra.Command{Use: "add ID", Short: "Register a storage account: a directory, or Azure page blobs", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		in := oapi.StorageAccountInput{
			Name: or(name, args[0]), Kind: oapi.StorageAccountKindAzurePageBlob,
			Directory: ref(directory), Endpoint: ref(endpoint), Container: ref(container), Credential: ref(credential),
		}
		if directory != "" {
			in.Kind = oapi.StorageAccountKindDirectory
		}
		a, err := Call[oapi.StorageAccount](s.api.PutStorageAccount(cmd.Context(), s.vault, args[0], &oapi.PutStorageAccountParams{}, in))
		if err != nil {
			return err
		}
		return s.showStores(a.Body, a.Body)
	}}
	f := add.Flags()
	f.StringVar(&name, "name", "", "name to show; default the id")
	f.StringVar(&directory, "directory", "", "absolute path, for a directory")
	f.StringVar(&endpoint, "endpoint", "", "blob service, for page blobs: https://account.blob.core.windows.net")
	f.StringVar(&container, "container", "", "container, for page blobs")
	f.StringVar(&credential, "credential", "", "where the server finds the account's key: env:NAME or file:/path")
	add.MarkFlagsOneRequired("directory", "endpoint")
	add.MarkFlagsMutuallyExclusive("directory", "endpoint")
	return group("store", "Storage accounts: where replicas live", list, add)
}

func (s *session) showStores(v any, stores ...oapi.StorageAccount) error {
	var rows []row
	for _, x := range stores {
		place := deref(x.Directory)
		if place == "" {
			place = deref(x.Endpoint) + "/" + deref(x.Container)
		}
		rows = append(rows, row{x.ID, x.Name, x.Kind, place})
	}
	return s.show(v, row{"store", "name", "kind", "place"}, rows)
}

func or(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}
