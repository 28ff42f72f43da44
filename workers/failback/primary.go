package failback

import (
	"context"
	"fmt"

	"farshore/workers/host"
	"farshore/workers/workflow"
)

// returnID names a failback's return at the host. A VM has one at most, and what a
// return finds of an earlier one is compared like anything else.
const returnID = "failback"

// primary is the VM that takes the recovery VM's place.
type primary struct {
	host host.Host
	vm   string
}

func openPrimary(ctx context.Context, i *workflow.Item) (primary, error) {
	h, err := i.Source(ctx)
	if err != nil {
		return primary{}, err
	}
	return primary{host: h, vm: i.VM()}, nil
}

// off stops the VM and keeps it off. It repeats safely. It is kept off first, so
// that it is not started again in between.
func (p primary) off(ctx context.Context) error {
	if err := p.host.SetActive(ctx, p.vm, false); err != nil {
		return fmt.Errorf("keep %s off: %w", p.vm, err)
	}
	if err := p.host.Stop(ctx, p.vm); err != nil {
		return fmt.Errorf("stop %s: %w", p.vm, err)
	}
	return nil
}

// drop gives the disks back what they held before the failback.
func (p primary) drop(ctx context.Context) error {
	if err := p.host.UndoReturn(ctx, p.vm, returnID); err != nil {
		return fmt.Errorf("undo the return of %s: %w", p.vm, err)
	}
	return nil
}

// lastSnapshot names the snapshot of the recovery VM that is taken when it is off.
func lastSnapshot(job string) string { return job + "-last" }

// dropSnapshots repeats safely: what is gone is gone.
func dropSnapshots(ctx context.Context, i *workflow.Item, job string) error {
	recovery, err := i.Recovery(ctx)
	if err != nil {
		return err
	}
	for _, s := range []string{job, lastSnapshot(job)} {
		if err := recovery.DeleteSnapshot(ctx, i.State.Recovery.VM, s); err != nil {
			return fmt.Errorf("delete snapshot %s: %w", s, err)
		}
	}
	return nil
}
