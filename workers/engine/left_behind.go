package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/failback"
	"farshore/workers/host"
	"farshore/workers/retention"
	"farshore/workers/workflow"
)

// leftPatience bounds how long the work on an item waits for a host that it does
// not need.
const leftPatience = 5 * time.Second

// lookAfter does what lies beside an item's work: it tells hosts which VMs are no
// longer the item's, and removes points that the item has given up from the store.
// What fails is tried again later; nothing counts as failed. A job that is at work
// is not kept waiting.
func (e Engine) lookAfter(ctx context.Context, i *workflow.Item) error {
	if i.State.Job != nil && i.State.Protection != protecteditem.FailbackAwaitingCompletion {
		return nil
	}
	for _, l := range i.State.LeftBehind {
		if err := e.later(ctx, i, e.settleLeft(ctx, i, l)); err != nil {
			return err
		}
	}
	if len(i.State.Released) == 0 {
		return nil
	}
	return e.later(ctx, i, e.sweepReleased(ctx, i))
}

// later passes over what failed by itself.
func (e Engine) later(ctx context.Context, i *workflow.Item, err error) error {
	if err == nil || workflow.OutcomeOf(ctx, err) != workflow.Failed {
		return err
	}
	e.Logger.DebugContext(ctx, "what is beside the item waits", "item", i.Item(), "error", err)
	return nil
}

// sweepReleased repeats safely: what is gone is gone. The store's newest point
// stays: it is what the replica's disks hold.
func (e Engine) sweepReleased(ctx context.Context, i *workflow.Item) error {
	released := slices.Clone(i.State.Released)
	if err := retention.Sweep(ctx, i); err != nil {
		return err
	}
	return i.Record(ctx, protecteditem.SettleReleasedPoints{IDs: released, At: e.Now()})
}

// settleLeft repeats safely: the host is told what it may know already. A host
// that was removed from its site is asked for nothing any more.
func (e Engine) settleLeft(ctx context.Context, i *workflow.Item, l protecteditem.LeftBehind) error {
	h, err := answering(ctx, i, l)
	switch {
	case workflow.Is(err, errorcatalog.HostNotFound):
	case err != nil:
		return err
	default:
		err = meet(ctx, i, h, l)
	}
	if err != nil && !workflow.Is(err, errorcatalog.VMNotFound) && !workflow.Is(err, errorcatalog.HostNotFound) {
		return err
	}
	return i.Record(ctx, protecteditem.SettleLeftBehind{Site: l.Site, Host: l.Host, VM: l.VM, At: e.Now()})
}

// answering is the host of a VM that was left behind, if it answers soon. What it is
// then asked for takes as long as the VM takes to stop.
func answering(ctx context.Context, i *workflow.Item, l protecteditem.LeftBehind) (host.Host, error) {
	quick, cancel := context.WithTimeout(ctx, leftPatience)
	defer cancel()
	h, err := i.Host(quick, l.Site, l.Host)
	if err == nil {
		_, err = h.VirtualMachines(quick)
	}
	if err != nil {
		return nil, fmt.Errorf("ask host %s of a vm that was left behind: %w", l.Host, err)
	}
	return h, nil
}

// meet brings a VM's fate about.
func meet(ctx context.Context, i *workflow.Item, h host.Host, l protecteditem.LeftBehind) error {
	switch l.Fate {
	case protecteditem.Remove:
		if err := h.DeleteVM(ctx, l.VM, l.Owner); err != nil {
			return fmt.Errorf("delete vm %s: %w", l.VM, err)
		}
		return nil
	case protecteditem.Restore:
		return failback.Abandon(ctx, h, l.VM)
	case protecteditem.GiveBack:
		if err := h.SetActive(ctx, l.VM, true); err != nil {
			return fmt.Errorf("let %s run: %w", l.VM, err)
		}
		if l.Start {
			if err := h.Start(ctx, l.VM); err != nil {
				return fmt.Errorf("start %s: %w", l.VM, err)
			}
		}
		if err := failback.Keep(ctx, h, l.VM); err != nil {
			return err
		}
	case protecteditem.KeepOff:
		if err := keepOff(ctx, h, l.VM); err != nil {
			return err
		}
	}
	return untrack(ctx, i, h, l.VM)
}

// keepOff stops a former source, whose disks keep nothing of a failback. Off first, so
// that it is not started again in between.
func keepOff(ctx context.Context, h host.Host, vm string) error {
	if err := h.SetActive(ctx, vm, false); err != nil {
		return fmt.Errorf("keep %s off: %w", vm, err)
	}
	if err := h.Stop(ctx, vm); err != nil {
		return fmt.Errorf("stop %s: %w", vm, err)
	}
	return failback.Abandon(ctx, h, vm)
}

// untrack ends the tracking of a former source: nothing that it holds is replicated any
// more.
func untrack(ctx context.Context, i *workflow.Item, h host.Host, vm string) error {
	rel, err := h.Replication(ctx, vm)
	switch {
	case workflow.Is(err, errorcatalog.RelationshipNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("read relationship of %s: %w", vm, err)
	case !strings.HasPrefix(rel.ID, i.Item()+"."):
		return nil // another item's
	}
	if err := h.StopReplication(ctx, vm); err != nil {
		return fmt.Errorf("remove relationship of %s: %w", vm, err)
	}
	return nil
}
