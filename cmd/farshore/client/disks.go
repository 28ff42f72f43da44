package client

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"farshore/api/oapi"
)

func (s *session) itemAddDisk() *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use: "add-disk ITEM DISK…", Short: "Protect further disks of a VM; only they are copied", Args: cobra.MinimumNArgs(2),
		Example: "  farshore item add-disk web data2 --wait",
	}
	w.flags(cmd)
	w.validateFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.AddDisks(cmd.Context(), s.vault, args[0],
			&oapi.AddDisksParams{ValidateOnly: ref(w.only), IdempotencyKey: newIdempotencyKey()}, oapi.DisksInput{Disks: args[1:]})
		return s.started(cmd.Context(), w, resp, err)
	}
	return cmd
}

func (s *session) itemRemoveDisk() *cobra.Command {
	var only bool
	cmd := &cobra.Command{
		Use: "remove-disk ITEM DISK…", Short: "End the protection of disks of a VM; recovery points made so far keep them", Args: cobra.MinimumNArgs(2),
		Example: "  farshore item remove-disk web data2",
	}
	cmd.Flags().BoolVar(&only, "validate-only", false, "only check whether it would be possible")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.RemoveDisks(cmd.Context(), s.vault, args[0],
			&oapi.RemoveDisksParams{ValidateOnly: ref(only), IdempotencyKey: newIdempotencyKey()}, oapi.DisksInput{Disks: args[1:]})
		return s.changed(resp, err, func(i oapi.ProtectedItem) string {
			var ids []string
			for _, d := range i.Disks {
				ids = append(ids, d.ID)
			}
			return "protected disks: " + strings.Join(ids, ", ")
		})
	}
	return cmd
}

// diskRows tell of each disk what it is and whether recovery points hold it.
func diskRows(i oapi.ProtectedItem) []row {
	var rows []row
	for _, d := range i.Disks {
		text := size(d.SizeBytes) + ", " + words(d.State)
		if p := d.Progress; p != nil && p.BytesTotal > 0 && p.BytesDone < p.BytesTotal {
			text += fmt.Sprintf(" %d %%", p.BytesDone*100/p.BytesTotal)
		}
		rows = append(rows, row{"disk " + d.ID, text})
	}
	if j := i.DiskJob; j != nil {
		rows = append(rows, row{"disk job", fmt.Sprintf("%s %s", j.Kind, j.ID)})
	}
	return rows
}
