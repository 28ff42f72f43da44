package client

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"farshore/api/oapi"
)

func (s *session) itemReplicate() *cobra.Command {
	var atRest bool
	cmd := &cobra.Command{
		Use: "replicate ITEM", Short: "Ship a delta now", Args: cobra.ExactArgs(1),
		Long: "Ship a delta now.\n\nWith --app-consistent, the applications in the guest are brought to rest for it by the\n" +
			"freeze commands of its vm.json. If they cannot be, the recovery point is crash-consistent,\nand `item show` says why.",
	}
	cmd.Flags().BoolVar(&atRest, "app-consistent", false, "make the recovery point application-consistent")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var in oapi.ReplicateNowInput
		told := "a delta is due now"
		if atRest {
			in.Consistency, told = new(oapi.ReplicateNowInputConsistencyAppConsistent), "an application-consistent delta is due now"
		}
		a, err := Call[oapi.ProtectedItem](s.api.ReplicateNow(cmd.Context(), s.vault, args[0], &oapi.ReplicateNowParams{IdempotencyKey: newIdempotencyKey()}, in))
		if err != nil {
			return err
		}
		return s.show(a.Body, nil, []row{{a.Body.ID, told}})
	}
	return cmd
}

// consistencyRows tell of the application-consistent points.
func consistencyRows(a *oapi.AppConsistency) []row {
	if a == nil {
		return nil
	}
	var rows []row
	if a.LastAt != nil {
		rows = append(rows, row{"app-consistent", fmt.Sprintf("%s, frozen for %s", ago(a.LastAt), time.Duration(deref(a.FrozenMilliseconds))*time.Millisecond)})
	}
	if a.Error != nil && a.LastAttemptAt != nil {
		rows = append(rows, row{"last attempt at it", ago(a.LastAttemptAt)})
	}
	if a.NextAt != nil {
		rows = append(rows, row{"next app-consistent", ago(a.NextAt)})
	}
	return rows
}

// followRows tell how well the replica follows: what a failover would lead to now,
// and how many cycles were missed.
func followRows(i oapi.ProtectedItem) []row {
	var rows []row
	if r := i.Recoverable; r != nil {
		rows = append(rows, row{"latest", ago(r.Latest)}, row{"latest processed", ago(r.LatestProcessed)})
		if r.LatestAppConsistent != nil {
			rows = append(rows, row{"latest app-consistent", ago(r.LatestAppConsistent)})
		}
	}
	if c := i.Cycles; c != nil {
		rows = append(rows, row{"missed cycles", fmt.Sprintf("%d of %d in %d h", c.Missed, c.Done+c.Missed, c.WindowHours)})
	}
	return rows
}
