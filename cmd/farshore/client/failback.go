package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"farshore/api/oapi"
)

func (s *session) failbackCommand() *cobra.Command {
	type ask func(ctx context.Context, item string) (*http.Response, error)
	begins := func(use, short string, ask ask) *cobra.Command {
		var w waiting
		cmd := &cobra.Command{Use: use + " ITEM", Short: short, Args: cobra.ExactArgs(1)}
		w.flags(cmd)
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			resp, err := ask(cmd.Context(), args[0])
			return s.started(cmd.Context(), w, resp, err)
		}
		return cmd
	}
	var force bool
	cancel := begins("cancel", "Until the commit: restore the original disks, or remove the new VM, and go on with the recovery VM", func(ctx context.Context, item string) (*http.Response, error) {
		return s.api.CancelFailback(ctx, s.vault, item, &oapi.CancelFailbackParams{Force: ref(force), IdempotencyKey: newIdempotencyKey()})
	})
	cancel.Flags().BoolVar(&force, "force", false, "do not wait for a primary side that does not answer; the VM must not run there")
	return group("failback", "Failback to the primary side, after a failover was committed",
		s.failbackStart(),
		begins("complete", "Let a failback that waits stop the recovery VM and switch", func(ctx context.Context, item string) (*http.Response, error) {
			return s.api.CompleteFailback(ctx, s.vault, item, &oapi.CompleteFailbackParams{IdempotencyKey: newIdempotencyKey()})
		}),
		cancel,
		begins("commit", "Accept a failback; the recovery VM is removed", func(ctx context.Context, item string) (*http.Response, error) {
			return s.api.CommitFailback(ctx, s.vault, item, &oapi.CommitFailbackParams{IdempotencyKey: newIdempotencyKey()})
		}))
}

func (s *session) failbackStart() *cobra.Command {
	var (
		w        waiting
		full     bool
		to, name string
	)
	cmd := &cobra.Command{
		Use: "start ITEM", Short: "Bring what has changed back to the original disks, or everything to a new VM, then wait for `failback complete`",
		Example: "  farshore failback start web --wait\n  farshore failback start web --to office/hv3 --vm-name web --wait",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&full, "full-download", false, "stop the recovery VM first, and do not wait")
	cmd.Flags().StringVar(&to, "to", "", "SITE/HOST where a new VM is made; default: back to the original one")
	cmd.Flags().StringVar(&name, "vm-name", "", "with --to: what the new VM is called; default as the protected one")
	w.validateFlag(cmd)
	w.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in := oapi.FailbackInput{Mode: oapi.FailbackInputModeMinimizeDowntime}
		if full {
			in.Mode = oapi.FailbackInputModeFullDownload
		}
		site, host, ok := strings.Cut(to, "/")
		switch {
		case ok:
			in.Target = &oapi.FailbackTarget{Site: site, Host: host, VMName: ref(name)}
		case to != "":
			return &usageError{fmt.Sprintf("--to %q: use SITE/HOST", to)}
		case name != "":
			return &usageError{"--vm-name names a new VM: use it with --to SITE/HOST"}
		}
		resp, err := s.api.StartFailback(cmd.Context(), s.vault, args[0],
			&oapi.StartFailbackParams{ValidateOnly: ref(w.only), IdempotencyKey: newIdempotencyKey()}, in)
		return s.started(cmd.Context(), w, resp, err)
	}
	return cmd
}

func (s *session) itemReprotect() *cobra.Command {
	var w waiting
	cmd := &cobra.Command{Use: "reprotect ITEM", Short: "Replicate a VM again that has failed back; only what differs is sent", Args: cobra.ExactArgs(1)}
	w.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.ReProtect(cmd.Context(), s.vault, args[0], &oapi.ReProtectParams{IdempotencyKey: newIdempotencyKey()})
		return s.started(cmd.Context(), w, resp, err)
	}
	return cmd
}
