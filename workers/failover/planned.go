// Package failover moves a VM to the recovery side. A planned failover loses
// nothing: the source is shut down first, its last writes are shipped and
// applied, and the VM is brought up from the point made of them. If anything
// fails before that VM has started, all of it is taken back.
package failover

import (
	"context"
	"fmt"
	"strings"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/deltareplication"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Planned is the workflow that follows StartPlannedFailover.
type Planned struct{ *workflow.Item }

// What the steps tell each other.
const (
	lastCut    = "cut"
	wasRunning = "wasRunning"
	yes        = "yes"
	no         = "no"
)

// createStep is the step from which on there may be a recovery VM to take back.
const createStep = "create_recovery_vm"

// Steps is the workflow as a table.
func (p Planned) Steps() []runbook.Step {
	return []runbook.Step{
		{Name: "inspect_source", Title: "Inspect the source", Run: p.inspectSource},
		{Name: "stop_source", Title: "Shut the source down", Run: p.stopSource},
		{Name: "ship_last_cut", Title: "Ship the last change logs", Run: p.shipLastCut},
		{Name: "apply_change_logs", Title: "Make the last recovery point", Run: p.applyChangeLogs},
		{Name: createStep, Title: "Create the recovery VM", Run: p.createVM},
		{Name: "copy_disks", Title: "Bring the disks to the recovery VM", Run: p.copyDisks},
		{Name: "start_recovery_vm", Title: "Start the recovery VM", Run: p.startVM},
		{Name: "complete_planned_failover", Title: "Complete the planned failover", Run: p.complete},
	}
}

// inspectSource reads only. What it finds is journaled before anything changes,
// and with it the id of the last cut, so that a repeated step repeats that cut.
func (p Planned) inspectSource(ctx context.Context, m *runbook.Memo) error {
	source, err := p.Source(ctx)
	if err != nil {
		return err
	}
	state, err := source.PowerState(ctx, p.VM())
	if err != nil {
		return fmt.Errorf("read power state of %s: %w", p.VM(), err)
	}
	if err := p.vacant(ctx); err != nil {
		return err
	}
	m.Note(wasRunning, no)
	if state == site.Running {
		m.Note(wasRunning, yes)
	}
	m.Note(lastCut, p.NewID())
	return nil
}

// vacant makes sure that the recovery VM, which a failed failover deletes, is not
// somebody else's.
func (p Planned) vacant(ctx context.Context) error {
	recovery, err := p.Recovery(ctx)
	if err != nil {
		return err
	}
	vm, err := recovery.VirtualMachine(ctx, p.vmID())
	switch {
	case err == nil:
		return errorcatalog.Fail(errorcatalog.VMExists, "the recovery host has a vm %q already", vm.Name)
	case workflow.Is(err, errorcatalog.VMNotFound):
		return nil
	default:
		return fmt.Errorf("look for vm %s on the recovery host: %w", p.vmID(), err)
	}
}

// stopSource repeats safely: stopping a stopped VM succeeds.
func (p Planned) stopSource(ctx context.Context, _ *runbook.Memo) error {
	source, err := p.Source(ctx)
	if err != nil {
		return err
	}
	// The record comes first: a stop that is under way when this worker dies must
	// be taken back if the failover is.
	if err := p.Record(ctx, protecteditem.RecordSourceStopped{JobID: p.State.Job.ID, At: p.Now()}); err != nil {
		return err
	}
	if err := source.Stop(ctx, p.VM()); err != nil {
		return fmt.Errorf("stop %s: %w", p.VM(), err)
	}
	if err := source.SetActive(ctx, p.VM(), false); err != nil {
		return fmt.Errorf("keep %s off: %w", p.VM(), err)
	}
	return nil
}

// shipLastCut repeats safely: the cut keeps its id.
func (p Planned) shipLastCut(ctx context.Context, m *runbook.Memo) error {
	cut := m.Value(lastCut)
	if p.State.LastShipped.Cut == cut {
		return deltareplication.Ship(ctx, p.Item)
	}
	// Whatever waits belongs before the last cut.
	if err := deltareplication.CatchUp(ctx, p.Item); err != nil {
		return err
	}
	if p.State.LastShipped.Cut == cut {
		return nil
	}
	_, err := deltareplication.Cut(ctx, p.Item, cut)
	return err
}

// applyChangeLogs repeats safely: it ends in the same bytes and the same point.
func (p Planned) applyChangeLogs(ctx context.Context, m *runbook.Memo) error {
	if err := deltareplication.Apply(ctx, p.Item, m.Value(lastCut)); err != nil {
		return err
	}
	if newest, _ := p.State.NewestPoint(); newest.ID != m.Value(lastCut) {
		return errorcatalog.Fail(errorcatalog.LogMissing, "the last cut %s is not the newest recovery point, %s is", m.Value(lastCut), newest.ID)
	}
	return nil
}

// createVM repeats safely: a VM under construction is taken up again.
func (p Planned) createVM(ctx context.Context, _ *runbook.Memo) error {
	recovery, err := p.Recovery(ctx)
	if err != nil {
		return err
	}
	if err := recovery.CreateVM(ctx, p.recoveryVM()); err != nil {
		return fmt.Errorf("create recovery vm %s: %w", p.vmID(), err)
	}
	return nil
}

// vmID is the recovery VM's id on its host.
func (p Planned) vmID() string { return strings.ToLower(p.State.Recovery.VMName) }

// recoveryVM describes the VM as it is to be on the recovery side.
func (p Planned) recoveryVM() site.VirtualMachine {
	vm := p.State.VM
	vm.ID, vm.Name = p.vmID(), p.State.Recovery.VMName
	vm.Disks = nil
	for _, id := range p.State.Disks {
		for _, d := range p.State.VM.Disks {
			if d.ID == id {
				vm.Disks = append(vm.Disks, d)
			}
		}
	}
	return vm
}

// startVM repeats safely: a running VM is left alone.
func (p Planned) startVM(ctx context.Context, _ *runbook.Memo) error {
	recovery, err := p.Recovery(ctx)
	if err != nil {
		return err
	}
	if err := recovery.CompleteVM(ctx, p.vmID()); err != nil {
		return fmt.Errorf("complete recovery vm %s: %w", p.vmID(), err)
	}
	if err := recovery.SetActive(ctx, p.vmID(), true); err != nil {
		return fmt.Errorf("let recovery vm %s run: %w", p.vmID(), err)
	}
	if err := recovery.Start(ctx, p.vmID()); err != nil {
		return fmt.Errorf("start recovery vm %s: %w", p.vmID(), err)
	}
	return nil
}

func (p Planned) complete(ctx context.Context, m *runbook.Memo) error {
	if p.State.Protection != protecteditem.PlannedFailoverInProgress {
		return nil
	}
	p.Forget()
	return p.Record(ctx, protecteditem.CompletePlannedFailover{
		JobID: p.State.Job.ID, Point: m.Value(lastCut), RecoveryVM: p.vmID(), At: p.Now(),
	})
}

// Undo takes a failed planned failover back: the recovery VM goes if this job has
// begun it, and the source runs again if it ran before. It repeats safely and is
// tried until it succeeds.
func (p Planned) Undo(ctx context.Context, journal job.State) error {
	if t, ok := journal.Task(createStep); ok && t.Status != job.NotStarted && t.Status != job.Skipped {
		recovery, err := p.Recovery(ctx)
		if err != nil {
			return err
		}
		if err := recovery.DeleteVM(ctx, p.vmID()); err != nil {
			return fmt.Errorf("delete recovery vm %s: %w", p.vmID(), err)
		}
	}
	p.Forget()
	if !p.State.SourceStopped {
		return nil
	}
	source, err := p.Source(ctx)
	if err != nil {
		return err
	}
	if err := source.SetActive(ctx, p.VM(), true); err != nil {
		return fmt.Errorf("let %s run again: %w", p.VM(), err)
	}
	if journal.Output("inspect_source")[wasRunning] == no {
		return nil
	}
	if err := source.Start(ctx, p.VM()); err != nil {
		return fmt.Errorf("start %s again: %w", p.VM(), err)
	}
	return nil
}
