package testfailover

import (
	"context"
	"fmt"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/failover"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Cleanup is the workflow that follows CleanUpTestFailover, in whatever state the
// item is by then.
type Cleanup struct{ *workflow.Item }

// Steps is the workflow as a table.
func (c Cleanup) Steps() []runbook.Step {
	return []runbook.Step{
		{Name: "delete_test_vm", Title: "Stop and delete the test VM", Run: c.deleteVM},
		{Name: "complete_test_failover_cleanup", Title: "Release the recovery point", Run: c.complete},
	}
}

// deleteVM repeats safely: what is gone is gone.
func (c Cleanup) deleteVM(ctx context.Context, _ *runbook.Memo) error {
	return Remove(ctx, c.Item)
}

// complete comes last: the point is pinned until nothing on the recovery host can
// read it.
func (c Cleanup) complete(ctx context.Context, _ *runbook.Memo) error {
	if c.State.TestFailover != protecteditem.TestFailoverCleaningUp {
		return nil
	}
	c.Forget()
	return record(ctx, c.Item, protecteditem.CompleteTestFailoverCleanup{JobID: jobOf(c.State), At: c.Now()})
}

// GiveUp ends a cleanup that has failed; the test failover stays open and can be
// cleaned up again.
func (c Cleanup) GiveUp(ctx context.Context, f *errorcatalog.Failure) error {
	return record(ctx, c.Item, protecteditem.FailTestFailoverCleanup{JobID: jobOf(c.State), Failure: f, At: c.Now()})
}

// Remove stops and deletes the test VM, also one that was begun only. It repeats
// safely, and never deletes a VM that no test failover has made.
func Remove(ctx context.Context, i *workflow.Item) error {
	id := i.State.Test.VM
	if id == "" {
		made, err := begun(ctx, i)
		if err != nil || !made {
			return err
		}
		id = VM(i.State)
	}
	recovery, err := i.Recovery(ctx)
	if err != nil {
		return err
	}
	if err := recovery.DeleteVM(ctx, id, i.ReplicaID()); err != nil {
		return fmt.Errorf("delete test vm %s: %w", id, err)
	}
	return nil
}

// begun says whether the present test failover's journal, or that of the one that
// was overtaken, has come to creating the VM.
func begun(ctx context.Context, i *workflow.Item) (bool, error) {
	id := jobOf(i.State)
	if id == "" {
		id = i.State.EndedTest.ID
	}
	if id == "" {
		return false, nil
	}
	journal, _, err := i.Jobs.Load(ctx, id)
	if err != nil {
		return false, fmt.Errorf("read journal of job %s: %w", id, err)
	}
	return failover.Begun(journal, createStep), nil
}
