package client

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"farshore/api/oapi"
)

func (s *session) vmCommand() *cobra.Command {
	var in, host string
	list := &cobra.Command{Use: "list", Short: "List the VMs of a site, and whether they can be protected", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		vms, err := collect[oapi.VirtualMachine](func(c *string) (*http.Response, error) {
			return s.api.ListVirtualMachines(cmd.Context(), s.vault, in, &oapi.ListVirtualMachinesParams{Cursor: c, Host: ref(host)})
		})
		if err != nil {
			return err
		}
		var rows []row
		for _, vm := range vms {
			rows = append(rows, row{vm.Host, vm.ID, len(vm.Disks), size(bytesOf(vm.Disks)), protection(vm)})
		}
		return s.show(vms, row{"host", "vm", "disks", "size", "protection"}, rows)
	}}
	list.Flags().StringVar(&host, "host", "", "only those of this host")
	show := &cobra.Command{Use: "show VM", Short: "Show a VM", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		a, err := Call[oapi.VirtualMachine](s.api.GetVirtualMachine(cmd.Context(), s.vault, in, args[0], &oapi.GetVirtualMachineParams{}))
		if err != nil {
			return err
		}
		vm := a.Body
		rows := []row{{"vm", vm.ID}, {"name", vm.Name}, {"host", vm.Host}, {"generation", vm.Generation}, {"protection", protection(vm)}}
		for _, d := range vm.Disks {
			rows = append(rows, row{"disk " + d.ID, fmt.Sprintf("%s, %s, %s", d.File, d.Format, size(d.SizeBytes))})
		}
		for _, p := range vm.Problems {
			rows = append(rows, row{p.Code, strings.TrimSpace(p.Detail + "; " + deref(p.Remedy))})
		}
		return s.show(vm, nil, rows)
	}}
	for _, c := range []*cobra.Command{list, show} {
		c.Flags().StringVar(&in, "site", "", "the site")
		_ = c.MarkFlagRequired("site")
	}
	return group("vm", "Virtual machines that were found on hosts", list, show)
}

func bytesOf(disks []oapi.Disk) (n int64) {
	for _, d := range disks {
		n += d.SizeBytes
	}
	return n
}

func protection(vm oapi.VirtualMachine) string {
	switch {
	case vm.ProtectedItem != nil:
		return "protected as " + *vm.ProtectedItem
	case vm.Protectable:
		return "can be protected"
	case len(vm.Problems) > 0:
		return vm.Problems[0].Code
	}
	return "cannot be protected"
}
