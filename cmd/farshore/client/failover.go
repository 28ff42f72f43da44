package client

import (
	"github.com/spf13/cobra"

	"farshore/api/oapi"
)

func (s *session) failoverCommand() *cobra.Command {
	return group("failover", "Failover to the recovery side, for good or as a test",
		s.failoverPlanned(), s.failoverUnplanned(), s.failoverChangePoint(), s.failoverCancel(), s.failoverCommit(), s.failoverTest(), s.failoverCleanup())
}

// pointFlag is the flag that says which recovery point to use.
func pointFlag(cmd *cobra.Command, point *string) {
	cmd.Flags().StringVar(point, "point", "", "recovery point: Latest, LatestProcessed, LatestAppConsistent or an id; default Latest")
}

func (s *session) failoverPlanned() *cobra.Command {
	var (
		w                waiting
		resume, unmapped bool
	)
	cmd := &cobra.Command{Use: "planned ITEM", Short: "Shut the source down, ship the last delta and start the VM on the recovery side", Args: cobra.ExactArgs(1)}
	w.validateFlag(cmd)
	cmd.Flags().BoolVar(&resume, "resume", false, "resume replication first, if it is paused")
	cmd.Flags().BoolVar(&unmapped, "allow-unmapped-networks", false, "go on although adapters will not be connected")
	w.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.PlannedFailover(cmd.Context(), s.vault, args[0], &oapi.PlannedFailoverParams{
			ValidateOnly: ref(w.only), Resume: ref(resume), AllowUnmappedNetworks: ref(unmapped), IdempotencyKey: newIdempotencyKey(),
		})
		return s.started(cmd.Context(), w, resp, err)
	}
	return cmd
}

func (s *session) failoverUnplanned() *cobra.Command {
	var (
		w     waiting
		stop  bool
		point string
	)
	cmd := &cobra.Command{Use: "unplanned ITEM", Short: "Start the VM on the recovery side, whatever has become of its source", Args: cobra.ExactArgs(1)}
	pointFlag(cmd, &point)
	cmd.Flags().BoolVar(&stop, "shut-down-source", false, "try to stop the source and to ship its last writes first; go on if that fails")
	w.flags(cmd)
	w.validateFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.UnplannedFailover(cmd.Context(), s.vault, args[0],
			&oapi.UnplannedFailoverParams{ValidateOnly: ref(w.only), IdempotencyKey: newIdempotencyKey()},
			oapi.UnplannedFailoverInput{RecoveryPoint: ref(point), ShutDownSource: ref(stop)})
		return s.started(cmd.Context(), w, resp, err)
	}
	return cmd
}

func (s *session) failoverChangePoint() *cobra.Command {
	var (
		w       waiting
		confirm bool
	)
	cmd := &cobra.Command{Use: "change-point ITEM POINT", Short: "Until the commit: start the VM from another recovery point instead", Args: cobra.ExactArgs(2)}
	cmd.Flags().BoolVar(&confirm, "confirm", false, "accept that what the recovery VM has written is lost")
	w.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.ApplyRecoveryPoint(cmd.Context(), s.vault, args[0], &oapi.ApplyRecoveryPointParams{IdempotencyKey: newIdempotencyKey()},
			oapi.ApplyRecoveryPointInput{RecoveryPoint: args[1], Confirm: confirm})
		return s.started(cmd.Context(), w, resp, err)
	}
	return cmd
}

func (s *session) failoverCancel() *cobra.Command {
	var (
		w     waiting
		force bool
	)
	cmd := &cobra.Command{Use: "cancel ITEM", Short: "Until the commit: take the failover back and go on replicating", Args: cobra.ExactArgs(1)}
	cmd.Flags().BoolVar(&force, "force", false, "do not wait for a recovery host that does not answer; the VM must not run there")
	w.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.CancelFailover(cmd.Context(), s.vault, args[0], &oapi.CancelFailoverParams{Force: ref(force), IdempotencyKey: newIdempotencyKey()})
		return s.started(cmd.Context(), w, resp, err)
	}
	return cmd
}

func (s *session) failoverCommit() *cobra.Command {
	var w waiting
	cmd := &cobra.Command{Use: "commit ITEM", Short: "Accept a failover; its other recovery points are removed", Args: cobra.ExactArgs(1)}
	w.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.CommitFailover(cmd.Context(), s.vault, args[0], &oapi.CommitFailoverParams{IdempotencyKey: newIdempotencyKey()})
		return s.started(cmd.Context(), w, resp, err)
	}
	return cmd
}

func (s *session) failoverTest() *cobra.Command {
	var (
		w              waiting
		point, network string
	)
	cmd := &cobra.Command{Use: "test ITEM", Short: "Start a copy of the VM in an isolated network while replication goes on", Args: cobra.ExactArgs(1)}
	pointFlag(cmd, &point)
	cmd.Flags().StringVar(&network, "network", "", "isolated network for the copy; default none")
	w.flags(cmd)
	w.validateFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.TestFailover(cmd.Context(), s.vault, args[0],
			&oapi.TestFailoverParams{ValidateOnly: ref(w.only), IdempotencyKey: newIdempotencyKey()},
			oapi.TestFailoverInput{RecoveryPoint: ref(point), Network: ref(network)})
		return s.started(cmd.Context(), w, resp, err)
	}
	return cmd
}

func (s *session) failoverCleanup() *cobra.Command {
	var (
		w     waiting
		notes string
	)
	cmd := &cobra.Command{Use: "cleanup ITEM", Short: "Remove what a test failover started", Args: cobra.ExactArgs(1)}
	cmd.Flags().StringVar(&notes, "notes", "", "what the drill has shown, for the record")
	w.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.CleanUpTestFailover(cmd.Context(), s.vault, args[0], &oapi.CleanUpTestFailoverParams{IdempotencyKey: newIdempotencyKey()},
			oapi.TestFailoverCleanupInput{Notes: ref(notes)})
		return s.started(cmd.Context(), w, resp, err)
	}
	return cmd
}
