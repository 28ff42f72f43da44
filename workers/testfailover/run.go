// Package testfailover brings up a copy of a protected VM beside it, in a network
// of its own, and removes it again. Replication goes on meanwhile: it works in a
// lane of its own, whose fence a replica store has never heard of, so nothing here
// writes to the store. It reads one recovery point, which stays pinned until the
// copy is gone.
package testfailover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/failover"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Run is the workflow that follows StartTestFailover.
type Run struct{ *workflow.Item }

// createStep is the step from which on there may be a test VM to take back.
const createStep = "create_test_vm"

// Steps is the workflow as a table. An operator may cancel it before each step,
// and in the middle of one: the lane is interrupted, and the step begun again.
func (r Run) Steps() []runbook.Step {
	steps := []runbook.Step{
		{Name: "inspect_recovery_host", Title: "Inspect the recovery host", Run: r.inspect},
		{Name: "choose_recovery_point", Title: "Choose the recovery point", Run: r.choosePoint},
		{Name: createStep, Title: "Create the test VM", Run: r.createVM},
		{Name: "copy_disks", Title: "Bring the disks to the test VM", Run: r.copyDisks},
		{Name: "start_test_vm", Title: "Start the test VM", Run: r.startVM},
		{Name: "verify_recovery_point", Title: "Verify the recovery point and copy it behind the running VM", Run: r.verify},
		{Name: "complete_test_failover", Title: "Complete the test failover", Run: r.complete},
	}
	for n, step := range steps {
		steps[n].Run = func(ctx context.Context, m *runbook.Memo) error {
			if err := r.notCanceled(ctx); err != nil {
				return err
			}
			return step.Run(ctx, m)
		}
	}
	return steps
}

func (r Run) notCanceled(ctx context.Context) error {
	journal, _, err := r.Jobs.Load(ctx, jobOf(r.State))
	if err != nil {
		return fmt.Errorf("read journal of job %s: %w", jobOf(r.State), err)
	}
	// What has come up by now is cleaned up instead.
	if journal.CancelRequested && r.State.TestFailover == protecteditem.TestFailoverInProgress {
		return errorcatalog.Fail(errorcatalog.Canceled, "the test failover was canceled by an operator")
	}
	return nil
}

// inspect reads only: it makes sure that the test VM, which cleaning up deletes,
// is not somebody else's.
func (r Run) inspect(ctx context.Context, _ *runbook.Memo) error { return target(r.Item).Vacant(ctx) }

// createVM repeats safely: a VM under construction is taken up again.
func (r Run) createVM(ctx context.Context, m *runbook.Memo) error {
	if err := r.stillOpen(ctx); err != nil {
		return err
	}
	return r.unlessOvertaken(ctx, target(r.Item).Create(ctx, r.State.Test.Point, m))
}

// copyDisks repeats safely: what has begun goes on.
func (r Run) copyDisks(ctx context.Context, m *runbook.Memo) error {
	return target(r.Item).Bring(ctx, m, r.State.Test.Point)
}

// startVM repeats safely: a running VM is left alone.
func (r Run) startVM(ctx context.Context, _ *runbook.Memo) error {
	if err := r.stillOpen(ctx); err != nil {
		return err
	}
	return target(r.Item).Start(ctx)
}

// verify is for a VM that runs from its point: every block of it is held against
// the manifest on its way to the VM's disks, for a drill is to find what a disaster
// would. It repeats safely.
func (r Run) verify(ctx context.Context, _ *runbook.Memo) error {
	if err := r.stillOpen(ctx); err != nil {
		return err
	}
	return failover.BackgroundCopy{Item: r.Item, JobID: jobOf(r.State), VM: VM(r.State), Damaged: errorcatalog.ReplicaCorrupt}.Finish(ctx)
}

func (r Run) complete(ctx context.Context, _ *runbook.Memo) error {
	if r.State.TestFailover != protecteditem.TestFailoverInProgress {
		return nil
	}
	r.Forget()
	return record(ctx, r.Item, protecteditem.CompleteTestFailover{
		JobID: jobOf(r.State), Point: r.State.Test.Point, VM: VM(r.State), At: r.Now(),
	})
}

// stillOpen reads the item again before something is made on the recovery host:
// disabling overtakes a test failover without asking its lane.
func (r Run) stillOpen(ctx context.Context) error {
	job := jobOf(r.State)
	if err := r.Reload(ctx); err != nil {
		return err
	}
	if r.State.TestFailover != protecteditem.TestFailoverInProgress || jobOf(r.State) != job {
		return overtaken(r.State)
	}
	return nil
}

// unlessOvertaken returns err after what has been made. If protection was ended
// while it was being made, the workflow that ends it may have looked too early, so
// it is removed here: whether this worker is being interrupted or not.
func (r Run) unlessOvertaken(ctx context.Context, err error) error {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateRemoval)
	defer cancel()
	vm := target(r.Item)
	over := r.stillOpen(late)
	if _, refused := errors.AsType[*domain.RejectionError](over); !refused {
		return err
	}
	// A VM of the same name may be a later test failover's.
	if s := r.State; s.TestJob != nil || s.TestFailover == protecteditem.TestFailoverAwaitingCleanup {
		return over
	}
	return errors.Join(vm.Delete(late), over)
}

// lateRemoval bounds how long a worker that was to stop goes on.
const lateRemoval = 5 * time.Second

// GiveUp ends a test failover that has failed: what it made is removed, and what
// cannot be removed now waits for a cleanup. Replication is not touched.
func (r Run) GiveUp(ctx context.Context, f *errorcatalog.Failure) error {
	left := ""
	if err := Remove(ctx, r.Item); err != nil {
		if workflow.OutcomeOf(ctx, err) != workflow.Failed {
			return err
		}
		r.Logger.WarnContext(ctx, "test vm was not removed; it waits for a cleanup", "item", r.Item.Item(), "error", err)
		left = VM(r.State)
	}
	r.Forget()
	return record(ctx, r.Item, protecteditem.FailTestFailover{JobID: jobOf(r.State), Failure: f, VM: left, At: r.Now()})
}
