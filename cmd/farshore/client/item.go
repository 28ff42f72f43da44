package client

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"farshore/api/oapi"
)

func (s *session) itemCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the protected items", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		items, err := collect[oapi.ProtectedItem](func(c *string) (*http.Response, error) {
			return s.api.ListProtectedItems(cmd.Context(), s.vault, &oapi.ListProtectedItemsParams{Cursor: c})
		})
		if err != nil {
			return err
		}
		var rows []row
		for _, i := range items {
			rows = append(rows, row{i.ID, stateOf(i), i.ReplicationHealth, seconds(i.RpoSeconds), deref(i.RecoveryPoints), i.ActiveLocation, deref(i.LastError).Code})
		}
		return s.show(items, row{"item", "state", "health", "rpo", "points", "active", "last error"}, rows)
	}}
	show := &cobra.Command{Use: "show ITEM", Short: "Show a protected item, and what can be done with it", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		a, err := Call[oapi.ProtectedItem](s.api.GetProtectedItem(cmd.Context(), s.vault, args[0], &oapi.GetProtectedItemParams{}))
		if err != nil {
			return err
		}
		return s.show(a.Body, nil, itemRows(a.Body))
	}}
	return group("item", "Protected items: VMs that replicate", list, show, s.itemWatch(), s.itemEnable(), s.itemDisable(), s.itemRepair(), s.itemReprotect(), s.itemReplicate(),
		s.itemRetry(), s.itemPause(), s.itemResume(), s.itemPolicy(), s.itemNICs(), s.itemAddDisk(), s.itemRemoveDisk())
}

func stateOf(i oapi.ProtectedItem) string {
	state := string(i.ProtectionState)
	if i.ResynchronizationState != oapi.ResynchronizationStateNone {
		state += ", resynchronization " + words(string(i.ResynchronizationState))
	}
	if i.Paused != nil {
		state += ", paused"
	}
	if i.TestFailoverState != oapi.TestFailoverStateNone {
		state += ", test failover " + words(string(i.TestFailoverState))
	}
	if p := i.Progress; p != nil && p.BytesTotal > 0 && p.BytesDone < p.BytesTotal {
		state += fmt.Sprintf(" %d %%", p.BytesDone*100/p.BytesTotal)
	}
	return state
}

func itemRows(i oapi.ProtectedItem) []row {
	rows := []row{
		{"item", i.ID},
		{"state", stateOf(i)},
		{"health", i.ReplicationHealth},
		{"active", i.ActiveLocation},
		{"source", fmt.Sprintf("%s on %s/%s", i.VirtualMachine, i.Site, i.Host)},
		{"replica store", fmt.Sprintf("%s (%s)", i.StorageAccount, i.StorageAccountKind)},
		{"copy frequency", fmt.Sprintf("%d s", i.Policy.CopyFrequencySeconds)},
		{"rpo", seconds(i.RpoSeconds)},
		{"recovery points", deref(i.RecoveryPoints)},
	}
	rows = append(rows, followRows(i)...)
	if i.Paused != nil {
		rows = append(rows, row{"paused", pauseOf(i)})
	}
	rows = append(rows, consistencyRows(i.AppConsistency)...)
	rows = append(rows, testRows(i.TestFailover)...)
	if f := i.Failback; f != nil {
		to := "its original disks"
		if t := f.Target; t != nil {
			to = fmt.Sprintf("a new VM %s on %s/%s", deref(t.VMName), t.Site, t.Host)
		}
		rows = append(rows, row{"failback", "to " + to})
	}
	if c := i.BackgroundCopy; c != nil {
		rows = append(rows, row{"background copy", fmt.Sprintf("job %s, from recovery point %s, begun %s", c.Job, c.Point, ago(&c.StartedAt))})
	}
	if r := i.Recovery; r != nil && deref(r.Host) != "" {
		rows = append(rows, row{"recovery side", fmt.Sprintf("%s on %s/%s", deref(r.VirtualMachineName), deref(r.Site), deref(r.Host))})
	}
	if p := i.LatestRecoveryPoint; p != nil {
		rows = append(rows, row{"newest point", fmt.Sprintf("%s of %s", p.ID, ago(&p.Instant))})
	}
	rows = append(rows, diskRows(i)...)
	if i.NextCutAt != nil {
		rows = append(rows, row{"next delta", ago(i.NextCutAt)})
	}
	if j := i.CurrentJob; j != nil {
		rows = append(rows, row{"job", fmt.Sprintf("%s %s", j.Kind, j.ID)})
	}
	if p := i.Progress; p != nil {
		rows = append(rows, row{"transfer", fmt.Sprintf("%s of %s, %s/s, %s left", size(p.BytesDone), size(p.BytesTotal), size(p.BytesPerSecond), seconds(p.EtaSeconds))})
	}
	for _, h := range i.HealthErrors {
		rows = append(rows, row{h.Code, strings.TrimSuffix(h.Detail+"; "+deref(h.Remedy), "; ")})
	}
	if i.NextRetryAt != nil {
		rows = append(rows, row{"next retry", fmt.Sprintf("%s, after %d failed attempts", ago(i.NextRetryAt), deref(i.Attempt))})
	}
	for _, o := range i.AllowedOperations {
		verdict := "allowed"
		if !o.Allowed {
			verdict = deref(o.Reason)
		}
		rows = append(rows, row{o.Name, verdict})
	}
	return rows
}

// testRows tell of the test failover that is open, and of the last good one.
func testRows(t oapi.TestFailover) []row {
	var rows []row
	if t.State != oapi.TestFailoverStateNone {
		text := words(string(t.State))
		if vm := deref(t.VirtualMachine); vm != "" {
			text += ": " + vm
		}
		if point := deref(t.Point); point != "" {
			text += " from " + point
		}
		rows = append(rows, row{"test failover", fmt.Sprintf("%s, begun %s", text, ago(t.StartedAt))})
	}
	if t.LastSuccessAt != nil {
		rows = append(rows, row{"last good test", ago(t.LastSuccessAt)})
	}
	if t.DueAt != nil {
		rows = append(rows, row{"next test due", ago(t.DueAt)})
	}
	return rows
}

func (s *session) itemWatch() *cobra.Command {
	var until string
	var timeout time.Duration
	cmd := &cobra.Command{Use: "watch ITEM", Short: "Print each change of a protected item's state", Args: cobra.ExactArgs(1)}
	cmd.Flags().StringVar(&until, "until", "", "end when the item is in this protection state: Protected")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := withTimeout(cmd.Context(), timeout)
		defer stop()
		last := ""
		for {
			a, err := Call[oapi.ProtectedItem](s.api.GetProtectedItem(ctx, s.vault, args[0], &oapi.GetProtectedItemParams{}))
			if err != nil {
				return err
			}
			line := fmt.Sprintf("%s  %s  rpo %s  points %d", stateOf(a.Body), a.Body.ReplicationHealth, seconds(a.Body.RpoSeconds), deref(a.Body.RecoveryPoints))
			if seen := stateOf(a.Body) + string(a.Body.ReplicationHealth) + strconv.Itoa(int(deref(a.Body.RecoveryPoints))); seen != last {
				last = seen
				_, _ = fmt.Fprintln(s.out, line)
			}
			if string(a.Body.ProtectionState) == until {
				return nil
			}
			if err := Pause(ctx, poll); err != nil {
				return err
			}
		}
	}
	return cmd
}

func (s *session) itemEnable() *cobra.Command {
	var (
		w        waiting
		in       oapi.EnableProtectionInput
		disks    []string
		nics     []string
		recovery string
	)
	cmd := &cobra.Command{
		Use: "enable ITEM", Short: "Protect a VM", Args: cobra.ExactArgs(1),
		Example: "  farshore item enable web --site office --host hv1 --vm web --policy default --store replicas --recovery standby/hv2 --wait",
	}
	f := cmd.Flags()
	f.StringVar(&in.Site, "site", "", "the VM's site")
	f.StringVar(&in.Host, "host", "", "the VM's host")
	f.StringVar(&in.VirtualMachine, "vm", "", "the VM; default the item's id")
	f.StringVar(&in.Policy, "policy", "default", "replication policy")
	f.StringVar(&in.StorageAccount, "store", "", "storage account for the replica")
	f.StringSliceVar(&disks, "disk", nil, "protect only these disks; default all")
	f.StringArrayVar(&nics, "nic", nil, "adapter that does not follow its network's mapping: NAME=NETWORK[,ADDRESS], NAME=,ADDRESS or NAME=none; see `item nics`")
	f.StringVar(&recovery, "recovery", "", "SITE/HOST where the VM is created when it fails over")
	for _, name := range []string{"site", "host", "store", "recovery"} {
		_ = cmd.MarkFlagRequired(name)
	}
	w.flags(cmd)
	w.validateFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.VirtualMachine = or(in.VirtualMachine, args[0])
		if len(disks) > 0 {
			in.Disks = &disks
		}
		site, host, ok := strings.Cut(recovery, "/")
		if !ok {
			return &usageError{fmt.Sprintf("--recovery %q: use SITE/HOST", recovery)}
		}
		set, err := nicsFlag(nics)
		if err != nil {
			return err
		}
		if len(set) > 0 {
			in.Nics = &set
		}
		in.Recovery = oapi.RecoverySettings{Site: site, Host: host}
		params := &oapi.EnableProtectionParams{ValidateOnly: ref(w.only), IdempotencyKey: newIdempotencyKey()}
		resp, err := s.api.EnableProtection(cmd.Context(), s.vault, args[0], params, in)
		return s.started(cmd.Context(), w, resp, err)
	}
	return cmd
}

func (s *session) validated(resp *http.Response, err error) error {
	a, err := Call[oapi.Validation](resp, err)
	if err != nil {
		return err
	}
	rows := []row{{"valid", a.Body.Valid}}
	for _, w := range deref(a.Body.Warnings) {
		rows = append(rows, row{w.Code, w.Detail})
	}
	return s.show(a.Body, nil, rows)
}

func (s *session) itemDisable() *cobra.Command {
	var (
		w                waiting
		keep             int32
		reason, survivor string
		tests, force     bool
	)
	cmd := &cobra.Command{Use: "disable ITEM", Short: "End the protection of a VM; its host is left clean", Args: cobra.ExactArgs(1)}
	cmd.Flags().Int32Var(&keep, "keep-replica", 168, "hours to keep the replica and its recovery points")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().BoolVar(&tests, "cleanup", false, "clean up an open test failover, too")
	cmd.Flags().BoolVar(&force, "force", false, "do not wait for hosts and a store that do not answer; in spite of an open failback, with --survivor")
	cmd.Flags().StringVar(&survivor, "survivor", "", "with --force and an open failback: the recovery VM, as the one that is left")
	w.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if survivor != "" && !force {
			return &usageError{"--survivor names what an open failback leaves: use it with --force"}
		}
		resp, err := s.api.DisableProtection(cmd.Context(), s.vault, args[0], &oapi.DisableProtectionParams{
			KeepReplica: &keep, Reason: ref(reason), Cleanup: ref(tests), Force: ref(force), Survivor: ref(survivor),
			IfMatch: new("*"), IdempotencyKey: newIdempotencyKey(),
		})
		return s.started(cmd.Context(), w, resp, err)
	}
	return cmd
}

func (s *session) itemRepair() *cobra.Command {
	var w waiting
	cmd := &cobra.Command{Use: "repair ITEM", Short: "Resynchronize a replica with its source now", Args: cobra.ExactArgs(1)}
	w.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.RepairReplication(cmd.Context(), s.vault, args[0], &oapi.RepairReplicationParams{IdempotencyKey: newIdempotencyKey()})
		return s.started(cmd.Context(), w, resp, err)
	}
	return cmd
}
