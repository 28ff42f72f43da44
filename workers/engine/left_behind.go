package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
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
	quick, cancel := context.WithTimeout(ctx, leftPatience)
	defer cancel()
	h, err := i.Host(quick, l.Site, l.Host)
	switch {
	case workflow.Is(err, errorcatalog.HostNotFound):
	case err != nil:
		return err
	case l.Begun:
		err = removeBegun(quick, i, h, l.VM)
	default:
		err = retire(quick, i, h, l.VM)
	}
	if err != nil && !workflow.Is(err, errorcatalog.VMNotFound) && !workflow.Is(err, errorcatalog.HostNotFound) {
		return err
	}
	return i.Record(ctx, protecteditem.SettleLeftBehind{Site: l.Site, Host: l.Host, VM: l.VM, At: e.Now()})
}

// removeBegun deletes a VM under construction. One that is complete is somebody
// else's by now.
func removeBegun(ctx context.Context, i *workflow.Item, h host.Provisioner, vm string) error {
	d, err := h.OpenVMDisk(ctx, vm, i.State.Disks[0])
	if err != nil {
		return fmt.Errorf("look for vm %s under construction: %w", vm, err)
	}
	_ = d.Close() // nothing was written
	if err := h.DeleteVM(ctx, vm); err != nil {
		return fmt.Errorf("delete vm %s: %w", vm, err)
	}
	return nil
}

// retire keeps a former source off and ends its tracking: nothing that it holds is
// replicated any more. Off first, so that it is not started again in between.
func retire(ctx context.Context, i *workflow.Item, h host.Host, vm string) error {
	if err := h.SetActive(ctx, vm, false); err != nil {
		return fmt.Errorf("keep %s off: %w", vm, err)
	}
	if err := h.Stop(ctx, vm); err != nil {
		return fmt.Errorf("stop %s: %w", vm, err)
	}
	rel, err := h.Replication(ctx, vm)
	switch {
	case workflow.Is(err, errorcatalog.RelationshipNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("read relationship of %s: %w", vm, err)
	case rel.ID != i.ReplicaID():
		return nil // another item's
	}
	if err := h.StopReplication(ctx, vm); err != nil {
		return fmt.Errorf("remove relationship of %s: %w", vm, err)
	}
	return nil
}
