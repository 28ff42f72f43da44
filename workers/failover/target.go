package failover

import (
	"context"
	"fmt"
	"strings"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/workflow"
)

// Target is a VM that is brought up on the recovery host from a recovery point.
type Target struct {
	*workflow.Item
	Job     string              // under which its progress is shown
	Machine site.VirtualMachine // as it is to be
}

// target is the VM that takes the source's place.
func target(i *workflow.Item) Target {
	t := Target{Item: i, Machine: i.State.VM}
	if i.State.Job != nil {
		t.Job = i.State.Job.ID
	}
	t.Machine.ID, t.Machine.Name = strings.ToLower(i.State.Recovery.VMName), i.State.Recovery.VMName
	t.Machine.NICs, t.Machine.Disks = i.State.RecoveryNICs(), i.State.ProtectedDisks()
	return t
}

// Vacant makes sure that the VM, which a failed workflow deletes, is not somebody
// else's.
func (t Target) Vacant(ctx context.Context) error {
	recovery, err := t.Recovery(ctx)
	if err != nil {
		return err
	}
	vm, err := recovery.VirtualMachine(ctx, t.Machine.ID)
	switch {
	case err == nil:
		return errorcatalog.Fail(errorcatalog.VMExists, "the recovery host has a vm %q already", vm.Name)
	case workflow.Is(err, errorcatalog.VMNotFound):
		return nil
	default:
		return fmt.Errorf("look for vm %s on the recovery host: %w", t.Machine.ID, err)
	}
}

// Readable makes sure that a recovery point can be read, before something is given
// up for it.
func (t Target) Readable(ctx context.Context, id string) error {
	point, ok := t.State.Point(id)
	if !ok {
		return errorcatalog.Fail(errorcatalog.RecoveryPointNotFound, "recovery point %s is not listed", id)
	}
	store, err := t.Replica(ctx)
	if err != nil {
		return err
	}
	for _, d := range point.Disks {
		r, err := openPoint(ctx, store, t.ReplicaID(), id, d.Disk)
		if err != nil {
			return err
		}
		_ = r.Close() // nothing was read
	}
	return nil
}

// Create repeats safely: a VM under construction is taken up again.
func (t Target) Create(ctx context.Context) error {
	recovery, err := t.Recovery(ctx)
	if err != nil {
		return err
	}
	if err := recovery.CreateVM(ctx, t.Machine); err != nil {
		return fmt.Errorf("create vm %s on the recovery host: %w", t.Machine.ID, err)
	}
	return nil
}

// Start repeats safely: a running VM is left alone.
func (t Target) Start(ctx context.Context) error {
	recovery, err := t.Recovery(ctx)
	if err != nil {
		return err
	}
	if err := recovery.CompleteVM(ctx, t.Machine.ID); err != nil {
		return fmt.Errorf("complete vm %s on the recovery host: %w", t.Machine.ID, err)
	}
	if err := recovery.SetActive(ctx, t.Machine.ID, true); err != nil {
		return fmt.Errorf("let vm %s run on the recovery host: %w", t.Machine.ID, err)
	}
	if err := recovery.Start(ctx, t.Machine.ID); err != nil {
		return fmt.Errorf("start vm %s on the recovery host: %w", t.Machine.ID, err)
	}
	return nil
}

// Delete repeats safely: what is gone is gone.
func (t Target) Delete(ctx context.Context) error {
	recovery, err := t.Recovery(ctx)
	if err != nil {
		return err
	}
	if err := recovery.DeleteVM(ctx, t.Machine.ID); err != nil {
		return fmt.Errorf("delete vm %s from the recovery host: %w", t.Machine.ID, err)
	}
	return nil
}
