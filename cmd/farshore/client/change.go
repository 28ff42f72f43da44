package client

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"farshore/api/oapi"
)

// changed shows what a change that is done at once has made of an item.
func (s *session) changed(resp *http.Response, err error, what func(oapi.ProtectedItem) string) error {
	a, err := Call[oapi.ProtectedItem](resp, err)
	if err != nil {
		return err
	}
	return s.show(a.Body, nil, []row{{a.Body.ID, what(a.Body)}})
}

func (s *session) itemPause() *cobra.Command {
	var reason string
	cmd := &cobra.Command{Use: "pause ITEM", Short: "Stop shipping deltas until replication is resumed", Args: cobra.ExactArgs(1)}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.PauseReplication(cmd.Context(), s.vault, args[0], &oapi.PauseReplicationParams{IdempotencyKey: newIdempotencyKey()}, oapi.PauseInput{Reason: ref(reason)})
		return s.changed(resp, err, func(i oapi.ProtectedItem) string { return "paused " + pauseOf(i) })
	}
	return cmd
}

// pauseOf tells who paused an item's replication, since when and why.
func pauseOf(i oapi.ProtectedItem) string {
	if i.Paused == nil {
		return ""
	}
	text := "since " + ago(&i.Paused.Since)
	if who := deref(i.Paused.By); who != "" {
		text += " by " + by(who)
	}
	if why := deref(i.Paused.Reason); why != "" {
		text += ": " + why
	}
	return text
}

func (s *session) itemResume() *cobra.Command {
	return &cobra.Command{Use: "resume ITEM", Short: "Let replication go on where it was paused", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.ResumeReplication(cmd.Context(), s.vault, args[0], &oapi.ResumeReplicationParams{IdempotencyKey: newIdempotencyKey()})
		return s.changed(resp, err, func(oapi.ProtectedItem) string { return "replication goes on" })
	}}
}

func (s *session) itemRetry() *cobra.Command {
	return &cobra.Command{Use: "retry ITEM", Short: "Try again at once what has failed", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.RetryNow(cmd.Context(), s.vault, args[0], &oapi.RetryNowParams{IdempotencyKey: newIdempotencyKey()})
		return s.changed(resp, err, func(oapi.ProtectedItem) string { return "the next attempt is due now" })
	}}
}

func (s *session) itemPolicy() *cobra.Command {
	return &cobra.Command{Use: "policy ITEM POLICY", Short: "Protect a VM by another policy from now on", Args: cobra.ExactArgs(2), RunE: func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.ChangePolicy(cmd.Context(), s.vault, args[0], &oapi.ChangePolicyParams{IdempotencyKey: newIdempotencyKey()}, oapi.ChangePolicyInput{Policy: args[1]})
		return s.changed(resp, err, func(i oapi.ProtectedItem) string {
			return fmt.Sprintf("a delta every %d s, recovery points for %d h", i.Policy.CopyFrequencySeconds, i.Policy.RetentionHours)
		})
	}}
}
