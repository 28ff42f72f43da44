package demo

import (
	"context"
	"fmt"
	"path/filepath"

	"farshore/api/oapi"
	"farshore/cmd/farshore/client"
	"farshore/workers/disk"
	"farshore/workers/proof"
)

// failBack brings the first VM home while it runs and writes on the recovery
// side, and replicates it again from there.
func (p *play) failBack(ctx context.Context) error {
	plan := plans()[0]
	p.title("failback of %s, while it goes on writing on the recovery side", plan.Name)
	in := oapi.FailbackInput{Mode: oapi.FailbackInputModeMinimizeDowntime}
	if _, err := client.Call[oapi.Job](p.api.StartFailback(ctx, vault, plan.Name, &oapi.StartFailbackParams{}, in)); err != nil {
		return fmt.Errorf("fail %s back: %w", plan.Name, err)
	}
	if err := p.reaches(ctx, plan.Name, oapi.ProtectionStateFailbackAwaitingCompletion); err != nil {
		return err
	}
	p.say("  what differs lies beside the source's disks; completing")
	if err := p.closeGate(plan.Name); err != nil {
		return err
	}
	resp, err := p.api.CompleteFailback(ctx, vault, plan.Name, &oapi.CompleteFailbackParams{})
	if err := p.run(ctx, "complete the failback of "+plan.Name, resp, err); err != nil {
		return err
	}
	if err := p.proveReturned(ctx, plan); err != nil {
		return err
	}
	if err := p.openGate(plan.Name); err != nil {
		return err
	}
	resp, err = p.api.CommitFailback(ctx, vault, plan.Name, &oapi.CommitFailbackParams{})
	if err := p.run(ctx, "commit the failback of "+plan.Name, resp, err); err != nil {
		return err
	}
	return p.reverse(ctx, plan)
}

// reverse replicates a VM that has failed back again.
func (p *play) reverse(ctx context.Context, plan VM) error {
	p.title("replicating %s in reverse", plan.Name)
	resp, err := p.api.ReProtect(ctx, vault, plan.Name, &oapi.ReProtectParams{})
	if err := p.run(ctx, "replicate "+plan.Name+" in reverse", resp, err); err != nil {
		return err
	}
	if err := p.reaches(ctx, plan.Name, oapi.ProtectionStateProtected); err != nil {
		return err
	}
	if err := p.proveNewest(ctx, plan, "reverse replication"); err != nil {
		return err
	}
	return p.nextDelta(ctx, plan, "delta after the return")
}

// nextDelta asks for a delta and proves the point made of it.
func (p *play) nextDelta(ctx context.Context, plan VM, step string) error {
	before, err := p.points(ctx, plan.Name)
	if err != nil {
		return err
	}
	if _, err := client.Call[oapi.ProtectedItem](p.api.ReplicateNow(ctx, vault, plan.Name, &oapi.ReplicateNowParams{}, oapi.ReplicateNowInput{})); err != nil {
		return fmt.Errorf("replicate %s: %w", plan.Name, err)
	}
	err = p.until(ctx, plan.Name+" has a new recovery point", func() (bool, error) {
		now, err := p.points(ctx, plan.Name)
		return len(now) > 0 && newest(now).Instant.After(newest(before).Instant), err
	})
	if err != nil {
		return err
	}
	return p.proveNewest(ctx, plan, step)
}

// reaches waits until an item is in a protection state.
func (p *play) reaches(ctx context.Context, item string, state oapi.ProtectionState) error {
	return p.until(ctx, fmt.Sprintf("%s is %s", item, state), func() (bool, error) {
		i, err := p.item(ctx, item)
		return i.ProtectionState == state, err
	})
}

// proveReturned shows that the source's disks hold every record that the guest
// on the recovery side had acknowledged.
func (p *play) proveReturned(ctx context.Context, plan VM) error {
	var images []proof.Image
	for d := range plan.Disks {
		image, err := disk.OpenRaw(filepath.Join(p.scene.Source(), plan.Name, DiskID(d)+".raw"), true)
		if err != nil {
			return fmt.Errorf("open a returned disk: %w", err)
		}
		defer image.Close() //nolint:errcheck // it was read only
		images = append(images, image)
	}
	v, err := p.scene.Examine(ctx, plan, images)
	if err != nil {
		return fmt.Errorf("failback of %s: %w", plan.Name, err)
	}
	return p.nothingLost(plan, "failback", v, "the source's disks hold all of it; "+sums(v))
}

// nothingLost notes a step that must not have lost an acknowledged record.
func (p *play) nothingLost(plan VM, step string, v proof.Verdict, what string) error {
	journal, err := proof.ReadJournal(p.scene.Journal(plan.Name))
	if err != nil {
		return fmt.Errorf("%s of %s: %w", step, plan.Name, err)
	}
	if lost := journal.Acknowledged() - v.Last; lost > 0 {
		return fmt.Errorf("the %s of %s lost %d acknowledged records", step, plan.Name, lost)
	}
	p.note(plan.Name, step, v.Records, "nothing lost: "+what)
	return nil
}
