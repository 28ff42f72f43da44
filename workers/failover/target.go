package failover

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Target is a VM that is brought up on the recovery host from a recovery point.
type Target struct {
	*workflow.Item
	Job     string              // under which its progress is shown
	Machine site.VirtualMachine // as it is to be
}

// VM is the id of the VM that takes the source's place, on the recovery host.
func VM(s protecteditem.State) string { return strings.ToLower(s.Recovery.VMName) }

// target is the VM that takes the source's place.
func target(i *workflow.Item) Target {
	t := Target{Item: i, Machine: i.State.VM}
	if i.State.Job != nil {
		t.Job = i.State.Job.ID
	}
	t.Machine.ID, t.Machine.Name = VM(i.State), i.State.Recovery.VMName
	t.Machine.NICs, t.Machine.Disks = i.State.RecoveryNICs(), nil
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

// held is the disks of a recovery point.
func (t Target) held(id string) ([]site.Disk, error) {
	point, ok := t.State.Point(id)
	if !ok {
		return nil, errorcatalog.Fail(errorcatalog.RecoveryPointNotFound, "recovery point %s is not listed", id)
	}
	var disks []site.Disk
	for _, held := range point.Disks {
		n := slices.IndexFunc(t.State.VM.Disks, func(d site.Disk) bool { return d.ID == held.Disk })
		if n < 0 {
			return nil, errorcatalog.Fail(errorcatalog.DiskNotFound, "vm %s has never had the disk %s of recovery point %s", t.State.VM.Name, held.Disk, id)
		}
		d := t.State.VM.Disks[n]
		d.SizeBytes = held.SizeBytes
		disks = append(disks, d)
	}
	return disks, nil
}

// without names the protected disks that are not among the given ones.
func (t Target) without(held []site.Disk) []string {
	var out []string
	for _, id := range t.State.Disks {
		if !slices.ContainsFunc(held, func(d site.Disk) bool { return d.ID == id }) {
			out = append(out, id)
		}
	}
	return out
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

// Create makes the VM with the disks that a recovery point holds, at the sizes at
// which it holds them: others were added later, or had been removed before. It
// repeats safely: a VM under construction is taken up again.
func (t Target) Create(ctx context.Context, point string, m *runbook.Memo) error {
	recovery, err := t.Recovery(ctx)
	if err != nil {
		return err
	}
	held, err := t.held(point)
	if err != nil {
		return err
	}
	t.Machine.Disks = held
	for _, id := range t.without(held) {
		m.Warn(errorcatalog.DiskNotInRecoveryPoint, id, fmt.Sprintf("the vm is brought up without disk %s, which recovery point %s does not hold", id, point))
	}
	if err := recovery.CreateVM(ctx, t.Machine, t.ReplicaID()); err != nil {
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
	if err := recovery.CompleteVM(ctx, t.Machine.ID, t.ReplicaID()); err != nil {
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
	if err := recovery.DeleteVM(ctx, t.Machine.ID, t.ReplicaID()); err != nil {
		return fmt.Errorf("delete vm %s from the recovery host: %w", t.Machine.ID, err)
	}
	return nil
}
