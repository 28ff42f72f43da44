package demo

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"farshore/api/oapi"
	"farshore/cmd/farshore/client"
	"farshore/workers/proof"
)

// run starts a job and follows it to its good end.
func (p *play) run(ctx context.Context, what string, resp *http.Response, err error) error {
	a, err := client.Call[oapi.Job](resp, err)
	if err == nil {
		err = p.follow(ctx, a)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// closeGate makes the next guest of a VM wait before its first write, so that its
// disks can be compared.
func (p *play) closeGate(vm string) error {
	if err := os.WriteFile(p.scene.Gate(vm), nil, 0o600); err != nil {
		return fmt.Errorf("close the guest's gate: %w", err)
	}
	return nil
}

func (p *play) openGate(vm string) error {
	if err := os.Remove(p.scene.Gate(vm)); err != nil {
		return fmt.Errorf("open the guest's gate: %w", err)
	}
	return nil
}

// resynchronize forces one and proves the point that it ends with; the points
// before it stay what they were.
func (p *play) resynchronize(ctx context.Context) error {
	plan := plans()[1]
	p.title("a forced resynchronization of %s", plan.Name)
	resp, err := p.api.RepairReplication(ctx, vault, plan.Name, &oapi.RepairReplicationParams{})
	if err := p.run(ctx, "resynchronize "+plan.Name, resp, err); err != nil {
		return err
	}
	if err := p.proveNewest(ctx, plan, "resynchronization"); err != nil {
		return err
	}
	points, err := p.points(ctx, plan.Name)
	if err != nil {
		return err
	}
	return p.prove(ctx, plan, "first point, after it", oldest(points))
}

// drill tests the failover of the first VM while it goes on replicating.
func (p *play) drill(ctx context.Context) error {
	plan := plans()[0]
	p.title("a test failover of %s in an isolated network", plan.Name)
	if err := p.closeGate(plan.Name); err != nil {
		return err
	}
	resp, err := p.api.TestFailover(ctx, vault, plan.Name, &oapi.TestFailoverParams{}, oapi.TestFailoverInput{Network: new("isolated")})
	if err := p.run(ctx, "test the failover of "+plan.Name, resp, err); err != nil {
		return err
	}
	i, err := p.item(ctx, plan.Name)
	if err != nil {
		return err
	}
	if i.TestFailover.VirtualMachine == nil {
		return fmt.Errorf("the test failover of %s names no VM", plan.Name)
	}
	if err := p.proveVM(ctx, plan, "test failover", *i.TestFailover.VirtualMachine); err != nil {
		return err
	}
	notes := oapi.TestFailoverCleanupInput{Notes: new("the demo's drill")}
	resp, err = p.api.CleanUpTestFailover(ctx, vault, plan.Name, &oapi.CleanUpTestFailoverParams{}, notes)
	if err := p.run(ctx, "clean up the test failover of "+plan.Name, resp, err); err != nil {
		return err
	}
	if err := p.openGate(plan.Name); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(p.scene.Recovery(), *i.TestFailover.VirtualMachine)); err == nil {
		return fmt.Errorf("the cleanup of %s left its VM", plan.Name)
	}
	return nil
}

// canceled fails the second VM over, unplanned, and cancels it: the VM goes on
// replicating.
func (p *play) canceled(ctx context.Context) error {
	plan := plans()[1]
	p.title("an unplanned failover of %s, and its cancellation", plan.Name)
	if err := p.closeGate(plan.Name); err != nil {
		return err
	}
	in := oapi.UnplannedFailoverInput{ShutDownSource: new(true)}
	resp, err := p.api.UnplannedFailover(ctx, vault, plan.Name, &oapi.UnplannedFailoverParams{}, in)
	if err := p.run(ctx, "fail "+plan.Name+" over", resp, err); err != nil {
		return err
	}
	if err := p.proveRecovered(ctx, plan, "unplanned failover"); err != nil {
		return err
	}
	resp, err = p.api.CancelFailover(ctx, vault, plan.Name, &oapi.CancelFailoverParams{})
	if err := p.run(ctx, "cancel the failover of "+plan.Name, resp, err); err != nil {
		return err
	}
	if err := p.openGate(plan.Name); err != nil {
		return err
	}
	return p.nextDelta(ctx, plan, "canceled failover, next delta")
}

// disaster fails the second VM over without its source, and accepts that.
func (p *play) disaster(ctx context.Context) error {
	plan := plans()[1]
	p.title("an unplanned failover of %s, without its source", plan.Name)
	if err := p.closeGate(plan.Name); err != nil {
		return err
	}
	began := time.Now()
	in := oapi.UnplannedFailoverInput{RecoveryPoint: new("LatestProcessed")}
	resp, err := p.api.UnplannedFailover(ctx, vault, plan.Name, &oapi.UnplannedFailoverParams{}, in)
	if err := p.run(ctx, "fail "+plan.Name+" over", resp, err); err != nil {
		return err
	}
	p.say("  the VM ran after %s", time.Since(began).Round(100*time.Millisecond))
	if err := p.proveRecovered(ctx, plan, "failover without source"); err != nil {
		return err
	}
	if err := p.openGate(plan.Name); err != nil {
		return err
	}
	return p.commit(ctx, plan)
}

// changePoint takes a VM that has failed over to an older point and back.
func (p *play) changePoint(ctx context.Context, plan VM) error {
	points, err := p.points(ctx, plan.Name)
	if err != nil {
		return err
	}
	for _, point := range []oapi.RecoveryPoint{points[len(points)-2], newest(points)} {
		in := oapi.ApplyRecoveryPointInput{RecoveryPoint: point.ID, Confirm: true}
		resp, err := p.api.ApplyRecoveryPoint(ctx, vault, plan.Name, &oapi.ApplyRecoveryPointParams{}, in)
		if err := p.run(ctx, "change the recovery point of "+plan.Name, resp, err); err != nil {
			return err
		}
		if err := p.proveRecovered(ctx, plan, "point changed"); err != nil {
			return err
		}
	}
	return nil
}

// proveRecovered has the judge examine the disks of an item's recovery VM.
func (p *play) proveRecovered(ctx context.Context, plan VM, step string) error {
	i, err := p.item(ctx, plan.Name)
	if err != nil {
		return err
	}
	if i.Recovery == nil || i.Recovery.VirtualMachine == nil {
		return fmt.Errorf("%s failed over, and its recovery VM is not named", plan.Name)
	}
	return p.proveVM(ctx, plan, step, *i.Recovery.VirtualMachine)
}

// proveVM has the judge examine the disks of a VM on the recovery side, as its
// guest sees them: they need not be there yet.
func (p *play) proveVM(ctx context.Context, plan VM, step, vm string) error {
	var images []proof.Image
	for d := range plan.Disks {
		image, err := p.Attach(ctx, p.scene.Recovery(), vm, DiskID(d))
		if err != nil {
			return fmt.Errorf("attach a disk of %s: %w", vm, err)
		}
		defer image.Close() //nolint:errcheck // it was read only
		images = append(images, image)
	}
	v, err := p.scene.Examine(ctx, plan, images)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", step, plan.Name, err)
	}
	p.note(plan.Name, step, v.Records, fmt.Sprintf("VM %s is the instant after record %d; %s", vm, v.Last, sums(v)))
	return nil
}
