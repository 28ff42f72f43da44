package failback

import (
	"context"
	"fmt"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/workers/host"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Cancel is the workflow that follows CancelFailback: the original disks are as
// they were, and the recovery VM runs on. It is tried until it succeeds.
type Cancel struct{ *workflow.Item }

// Steps is the workflow as a table.
func (c Cancel) Steps() []runbook.Step {
	return []runbook.Step{
		{Name: checkStep, Title: "See whether the original disks can be restored", Run: c.check},
		{Name: "take_back", Title: "Restore the original disks and go on with the recovery VM", Run: c.takeBack},
		{Name: "complete_failback_cancel", Title: "Stay failed over", Run: c.complete},
	}
}

// checkStep is the only one that may give the cancel up: nothing has changed yet.
const checkStep = "check_original_disks"

// GivenUp says whether a step's failure ends a cancel. A failback that has not
// completed is taken back as far as it can be.
func (c Cancel) GivenUp(step string, f *errorcatalog.Failure) bool {
	return step == checkStep && f.Code == errorcatalog.ReturnNotUndoable
}

func (c Cancel) check(ctx context.Context, _ *runbook.Memo) error {
	if c.State.Protection != protecteditem.FailbackCommitRequired {
		return nil
	}
	err := checkUndo(ctx, c.Item)
	if c.State.Forced && workflow.HostLost(err) {
		return nil
	}
	return err
}

func checkUndo(ctx context.Context, i *workflow.Item) error {
	p, err := openPrimary(ctx, i)
	if err != nil {
		return err
	}
	return p.checkUndo(ctx)
}

// takeBack repeats safely: what is restored stays so, and a running VM is left
// alone.
func (c Cancel) takeBack(ctx context.Context, m *runbook.Memo) error {
	left, err := TakeBack(ctx, c.Item)
	if left {
		m.Note(leftBehind, "yes")
	}
	return err
}

func (c Cancel) complete(ctx context.Context, m *runbook.Memo) error {
	c.Forget()
	return c.Record(ctx, protecteditem.CompleteFailbackCancel{JobID: c.State.Job.ID, Left: m.Value(leftBehind) != "", At: c.Now()})
}

// leftBehind is noted when a side that is given up does not answer.
const leftBehind = "leftBehind"

// TakeBack takes the failback back that is open, for a workflow that has overtaken
// it or its cancel, and says whether its VM on the primary side is left at a host that
// does not answer. It repeats safely.
func TakeBack(ctx context.Context, i *workflow.Item) (left bool, err error) {
	id := i.State.Failback.JobID // not a cancel's: its journal says nothing of what was begun
	journal, _, err := i.Jobs.Load(ctx, id)
	if err != nil {
		return false, fmt.Errorf("load job %s: %w", id, err)
	}
	return takeBack(ctx, i, id, journal)
}

// takeBack leaves the VM to the recovery side. While the one on the primary side
// has not been started, the recovery VM runs before anything else is asked for: a
// primary side that is lost meanwhile does not keep it down.
//
// A primary side that does not answer is left as it is where that does no harm: its VM
// is new, and was not started; or its disks are what they were. Whoever forces it answers
// for the rest.
func takeBack(ctx context.Context, i *workflow.Item, failback string, journal job.State) (left bool, err error) {
	runs := mayRun(i, journal)
	if !runs {
		if err := goOn(ctx, i, failback); err != nil {
			return false, err
		}
	}
	original := i.State.Failback.Target.Original()
	if !original && !begun(journal, createStep) {
		return false, nil
	}
	harmless := !runs && (!original || !begun(journal, mergeStep))
	leave := func(err error) error {
		left = workflow.HostLost(err) && (harmless || i.State.Forced)
		if left {
			return nil
		}
		return err
	}
	if err := leave(giveUp(ctx, i)); err != nil {
		return false, err
	}
	if err := goOn(ctx, i, failback); err != nil || left {
		return left, err
	}
	err = leave(giveBack(ctx, i))
	return left, err
}

// giveUp makes sure that the VM does not run on the primary side.
func giveUp(ctx context.Context, i *workflow.Item) error {
	p, err := openPrimary(ctx, i)
	if err != nil {
		return err
	}
	return p.off(ctx)
}

// giveBack leaves the primary side as it was before the failback.
func giveBack(ctx context.Context, i *workflow.Item) error {
	p, err := openPrimary(ctx, i)
	if err != nil {
		return err
	}
	if i.State.Protection != protecteditem.DisablingProtection || p.built {
		return p.drop(ctx)
	}
	return Abandon(ctx, p.host, p.vm)
}

// Keep makes what a failback has brought to the disks of a VM final. It repeats safely,
// and does nothing to a VM without a failback.
func Keep(ctx context.Context, h host.Returning, vm string) error {
	if err := h.SettleReturn(ctx, vm, returnID); err != nil {
		return fmt.Errorf("settle the return of %s: %w", vm, err)
	}
	return nil
}

// Abandon gives the disks of a VM back what they held before a failback, as far as that
// is possible: nobody is left to restore them for. It repeats safely, and does nothing
// to a VM without a failback.
func Abandon(ctx context.Context, h host.Returning, vm string) error {
	err := h.UndoReturn(ctx, vm, returnID)
	if workflow.Is(err, errorcatalog.ReturnNotUndoable) {
		return Keep(ctx, h, vm)
	}
	if err != nil {
		return fmt.Errorf("undo the return of %s: %w", vm, err)
	}
	return nil
}

// goOn lets the recovery VM run, and its host forget the failback.
func goOn(ctx context.Context, i *workflow.Item, failback string) error {
	if err := resume(ctx, i); err != nil {
		return err
	}
	return letGo(ctx, i, failback)
}

// mayRun says whether the VM on the primary side may have been started.
func mayRun(i *workflow.Item, journal job.State) bool {
	if i.State.ActiveLocation == protecteditem.Primary {
		return true
	}
	return begun(journal, startStep)
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
