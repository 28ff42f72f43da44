package failback

import (
	"context"
	"fmt"
	"strings"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/host"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// returnID names a failback's return at the host. A VM has one at most, and what a
// return finds of an earlier one is compared like anything else.
const returnID = "failback"

// primary is the VM that takes the recovery VM's place: the original one, beside
// whose disks everything is written, or a new one, whose disks are filled.
type primary struct {
	host  host.Host
	vm    string
	built bool   // a new one
	owner string // for whom
}

func openPrimary(ctx context.Context, i *workflow.Item) (primary, error) {
	if t := i.State.Failback.Target; !t.Original() {
		h, err := i.Host(ctx, t.Site, t.Host)
		return primary{host: h, vm: t.VM(), built: true, owner: i.ReplicaID()}, err
	}
	h, err := i.Source(ctx)
	if err != nil {
		return primary{}, err
	}
	return primary{host: h, vm: i.VM()}, nil
}

// machine describes the new VM as it is to be, but for its adapters.
func machine(i *workflow.Item) site.VirtualMachine {
	vm := i.State.VM
	vm.ID, vm.Name, vm.Disks = i.State.Failback.Target.VM(), i.State.Failback.Target.VMName, i.State.FailedOverDisks()
	return vm
}

// adapters are those of the new VM. What is wrong with them is noted.
func adapters(ctx context.Context, i *workflow.Item, m *runbook.Memo) ([]site.NIC, error) {
	known, err := i.KnownNetworks(ctx, i.State.TowardTarget())
	if err != nil {
		return nil, err
	}
	plan := protecteditem.PlanFailbackNetworks(i.State, known)
	for _, f := range plan.Findings {
		m.Warn(f.Code, f.NIC, f.Detail)
	}
	return plan.Adapters(), nil
}

// vacant makes sure that the host has no VM of the new one's id or name.
func (p primary) vacant(ctx context.Context, want site.VirtualMachine) error {
	vms, err := p.host.VirtualMachines(ctx)
	if err != nil {
		return fmt.Errorf("list vms of the host to fail back to: %w", err)
	}
	for _, vm := range vms {
		if vm.ID == want.ID || strings.EqualFold(vm.Name, want.Name) {
			return errorcatalog.Fail(errorcatalog.VMExists, "the host to fail back to has a vm %q already", vm.Name)
		}
	}
	return nil
}

// The space that a host keeps free beside its disks.
const (
	reservePart  = 20 // 5 %
	leastReserve = 1 << 30
)

// room makes sure that the disks fit, should they become full.
func (p primary) room(ctx context.Context, disks []site.Disk) error {
	var need int64
	for _, d := range disks {
		need += d.SizeBytes
	}
	space, err := p.host.Space(ctx, p.vm)
	if err != nil {
		return fmt.Errorf("read free space of the host to fail back to: %w", err)
	}
	if need += max(space.Total/reservePart, leastReserve); space.Free < need {
		return errorcatalog.Fail(errorcatalog.FailbackTargetTooSmall, "%d bytes are free on the host to fail back to, the new vm and the reserve need %d", space.Free, need)
	}
	return nil
}

// open opens a disk to be compared and written.
func (p primary) open(ctx context.Context, id string) (host.BesideDisk, error) {
	if p.built {
		d, err := p.host.OpenVMDisk(ctx, p.vm, id)
		if err != nil {
			return nil, fmt.Errorf("open disk of the new vm: %w", err)
		}
		return d, nil
	}
	d, err := p.host.OpenBeside(ctx, p.vm, returnID, id)
	if err != nil {
		return nil, fmt.Errorf("open what is beside the disk: %w", err)
	}
	return d, nil
}

// off stops the VM and keeps it off; a new one is removed. It repeats safely. It
// is kept off first, so that it is not started again in between.
func (p primary) off(ctx context.Context) error {
	if p.built {
		return p.drop(ctx)
	}
	if err := p.host.SetActive(ctx, p.vm, false); err != nil {
		return fmt.Errorf("keep %s off: %w", p.vm, err)
	}
	if err := p.host.Stop(ctx, p.vm); err != nil {
		return fmt.Errorf("stop %s: %w", p.vm, err)
	}
	return nil
}

// drop gives the disks back what they held before the failback, or removes the new
// VM with its own.
func (p primary) drop(ctx context.Context) error {
	if p.built {
		if err := p.host.DeleteVM(ctx, p.vm, p.owner); err != nil {
			return fmt.Errorf("delete vm %s from the host it was to fail back to: %w", p.vm, err)
		}
		return nil
	}
	if err := p.host.UndoReturn(ctx, p.vm, returnID); err != nil {
		return fmt.Errorf("undo the return of %s: %w", p.vm, err)
	}
	return nil
}

// checkUndo says whether drop could give the disks back what they held.
func (p primary) checkUndo(ctx context.Context) error {
	if p.built {
		return nil
	}
	if err := p.host.CheckUndo(ctx, p.vm, returnID); err != nil {
		return fmt.Errorf("ask whether the return of %s can be undone: %w", p.vm, err)
	}
	return nil
}

// begun says whether a job has begun a step.
func begun(journal job.State, step string) bool {
	t, ok := journal.Task(step)
	return ok && t.Attempts > 0
}

// lastSnapshot names the snapshot of the recovery VM that is taken when it is off.
func lastSnapshot(job string) string { return job + "-last" }
