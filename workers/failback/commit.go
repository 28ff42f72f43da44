package failback

import (
	"context"
	"fmt"

	"farshore/domain/protecteditem"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Commit is the workflow that follows CommitFailback. From its first step on there
// is no way back, so it is tried until it succeeds.
type Commit struct{ *workflow.Item }

// Steps is the workflow as a table.
func (c Commit) Steps() []runbook.Step {
	return []runbook.Step{
		{Name: "settle_disks", Title: "Give up what the disks held before", Run: c.settle},
		{Name: "remove_recovery_vm", Title: "Remove the recovery VM", Run: c.removeVM},
		{Name: "complete_failback_commit", Title: "Complete the commit", Run: c.complete},
	}
}

// settle repeats safely: what is given up is gone.
func (c Commit) settle(ctx context.Context, _ *runbook.Memo) error {
	primary, err := openPrimary(ctx, c.Item)
	if err != nil {
		return err
	}
	return Keep(ctx, primary.host, primary.vm)
}

// removeVM repeats safely: what is gone is gone. A recovery host that does not answer is
// told later: the VM is off, and nobody needs it.
func (c Commit) removeVM(ctx context.Context, m *runbook.Memo) error {
	recovery, err := c.Recovery(ctx)
	if err == nil {
		err = recovery.DeleteVM(ctx, c.State.Recovery.VM, c.ReplicaID())
	}
	switch {
	case workflow.HostLost(err):
		m.Note(leftBehind, "yes")
		return nil
	case err != nil:
		return fmt.Errorf("delete vm %s from the recovery host: %w", c.State.Recovery.VM, err)
	default:
		return nil
	}
}

func (c Commit) complete(ctx context.Context, m *runbook.Memo) error {
	if c.State.Protection != protecteditem.FailbackCommitRequired {
		return nil
	}
	return c.Record(ctx, protecteditem.CompleteFailbackCommit{JobID: c.State.Job.ID, Left: m.Value(leftBehind) != "", At: c.Now()})
}
