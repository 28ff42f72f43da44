package failback

import (
	"context"
	"fmt"

	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Cancel is the workflow that follows CancelFailback: the original disks are as
// they were, and the recovery VM runs on. It is tried until it succeeds.
type Cancel struct{ *workflow.Item }

// Steps is the workflow as a table.
func (c Cancel) Steps() []runbook.Step {
	return []runbook.Step{
		{Name: "take_back", Title: "Restore the original disks and go on with the recovery VM", Run: c.takeBack},
		{Name: "complete_failback_cancel", Title: "Stay failed over", Run: c.complete},
	}
}

// takeBack repeats safely: what is restored stays so, and a running VM is left
// alone.
func (c Cancel) takeBack(ctx context.Context, _ *runbook.Memo) error {
	return TakeBack(ctx, c.Item)
}

func (c Cancel) complete(ctx context.Context, _ *runbook.Memo) error {
	c.Forget()
	return c.Record(ctx, protecteditem.CompleteFailbackCancel{JobID: c.State.Job.ID, At: c.Now()})
}

// TakeBack takes the failback back that the item's last job was at, for a workflow
// that has overtaken it. A failback whose commit has begun stays: the VM runs on
// the primary side. It repeats safely.
func TakeBack(ctx context.Context, i *workflow.Item) error {
	journal, _, err := i.Jobs.Load(ctx, i.State.Ended.ID)
	if err != nil {
		return fmt.Errorf("load job %s: %w", i.State.Ended.ID, err)
	}
	if journal.Kind == job.FailbackCommit {
		return nil
	}
	return takeBack(ctx, i, i.State.Ended.ID, journal)
}

// takeBack leaves the VM to the recovery side. While the one on the primary side
// has not been started, the recovery VM runs before anything else is asked for: a
// primary side that is lost meanwhile does not keep it down.
func takeBack(ctx context.Context, i *workflow.Item, failback string, journal job.State) error {
	if !mayRun(i, journal) {
		if err := resume(ctx, i); err != nil {
			return err
		}
	}
	primary, err := openPrimary(ctx, i)
	if err != nil {
		return err
	}
	if err := primary.off(ctx); err != nil {
		return err
	}
	if err := resume(ctx, i); err != nil {
		return err
	}
	if err := primary.drop(ctx); err != nil {
		return err
	}
	return dropSnapshots(ctx, i, failback)
}

// mayRun says whether the VM on the primary side may have been started.
func mayRun(i *workflow.Item, journal job.State) bool {
	if i.State.ActiveLocation == protecteditem.Primary {
		return true
	}
	t, ok := journal.Task(startStep)
	return ok && t.Attempts > 0
}

// resume repeats safely: a running VM is left alone.
func resume(ctx context.Context, i *workflow.Item) error {
	recovery, err := i.Recovery(ctx)
	if err != nil {
		return err
	}
	vm := i.State.Recovery.VM
	if err := recovery.SetActive(ctx, vm, true); err != nil {
		return fmt.Errorf("let %s run again: %w", vm, err)
	}
	if err := recovery.Start(ctx, vm); err != nil {
		return fmt.Errorf("start %s again: %w", vm, err)
	}
	return nil
}
