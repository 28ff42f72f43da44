// Package failback brings a VM that has failed over back to the primary side. What
// the recovery VM has written is pulled beside the original disks, which change
// only once that VM is off, and whose content of before is kept until the
// failback's commit; or into the disks of a new VM, on any host. The recovery VM is
// tracked meanwhile, so that it is off for the time of its last changes only. Until
// the commit all of it can be taken back.
package failback

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/host"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Failback is the workflow that follows StartFailback.
type Failback struct{ *workflow.Item }

// The steps that are asked about.
const (
	createStep = "create_primary_vm" // from which on there may be a new VM to take back
	mergeStep  = "merge_disks"       // from which on the original disks may be changed
	startStep  = "start_primary_vm"  // from which on the VM may run on the primary side
)

// What the steps tell each other.
const (
	scanned   = "bytesScanned"
	differing = "bytesDiffering"
	sent      = "bytesSent"
	compared  = "compared" // why the last changes were looked for everywhere
)

// Steps is the workflow as a table. Downtime begins where the recovery VM is shut
// down.
func (f Failback) Steps() []runbook.Step {
	first := []runbook.Step{{Name: "inspect_hosts", Title: "Inspect the hosts", Run: f.inspect}}
	stop := runbook.Step{Name: "stop_recovery_vm", Title: "Shut the recovery VM down", Run: f.stopRecovery}
	change := runbook.Step{Name: mergeStep, Title: "Switch the disks over", Run: f.merge}
	if !f.State.Failback.Target.Original() {
		first = append(first, runbook.Step{Name: createStep, Title: "Create the new VM", Run: f.create})
		change = runbook.Step{Name: "complete_primary_vm", Title: "Complete the new VM", Run: f.finish}
	}
	last := []runbook.Step{
		change,
		{Name: startStep, Title: "Start the VM on the primary side", Run: f.start},
		{Name: "complete_failback", Title: "Complete the failback", Run: f.complete},
	}
	between := []runbook.Step{
		{Name: "synchronize_disks", Title: "Compare and bring what differs", Run: f.synchronize},
		{Name: "await_completion", Title: "Wait for the word to complete", Run: f.await},
		stop,
		{Name: "synchronize_last_changes", Title: "Bring the last changes", Run: f.synchronizeLast},
	}
	if f.State.Failback.Mode == protecteditem.FullDownload {
		between = []runbook.Step{
			stop,
			{Name: "bring_disks", Title: "Bring the disks to the primary side", Run: f.bringWhole},
			{Name: "complete_synchronization", Title: "Go on to the switch", Run: f.goOn},
		}
	}
	return slices.Concat(first, between, last)
}

// inspect makes sure that nothing runs on the disks that are to be written, and
// that nothing will; or that there is a place for a new VM.
func (f Failback) inspect(ctx context.Context, m *runbook.Memo) error {
	p, err := openPrimary(ctx, f.Item)
	if err != nil {
		return err
	}
	f.warnWithout(m)
	if p.built {
		return f.inspectTarget(ctx, p)
	}
	state, err := p.host.PowerState(ctx, p.vm)
	if err != nil {
		return fmt.Errorf("read power state of %s: %w", p.vm, err)
	}
	if state == site.Running {
		detail := fmt.Sprintf("%s runs on %s, and %s on %s", f.VM(), f.State.Host, f.State.Recovery.VM, f.State.Recovery.Host)
		if err := f.Record(ctx, protecteditem.RecordSourceRunning{Detail: detail, At: f.Now()}); err != nil {
			return err
		}
		return errorcatalog.Fail(errorcatalog.SourceStillRunning, "%s", detail)
	}
	if err := p.host.SetActive(ctx, p.vm, false); err != nil {
		return fmt.Errorf("keep %s off: %w", p.vm, err)
	}
	if err := Abandon(ctx, p.host, p.vm); err != nil { // what an earlier one may have left
		return err
	}
	return f.inspectDisks(ctx, p)
}

// inspectDisks makes sure that the original VM has the disks that are to be brought.
func (f Failback) inspectDisks(ctx context.Context, p primary) error {
	vm, err := p.host.VirtualMachine(ctx, p.vm)
	if err != nil {
		return fmt.Errorf("read vm %s: %w", p.vm, err)
	}
	for _, id := range f.FailedOverDisks() {
		if !slices.ContainsFunc(vm.Disks, func(d site.Disk) bool { return d.ID == id }) {
			return errorcatalog.Fail(errorcatalog.DiskNotFound, "%s has no disk %s, which %s has: attach one, or fail back to a new vm", p.vm, id, f.State.Recovery.VM)
		}
	}
	return nil
}

// warnWithout notes the protected disks that do not come back: the recovery point
// was made before they were added.
func (f Failback) warnWithout(m *runbook.Memo) {
	fate := "stays what it is"
	if !f.State.Failback.Target.Original() {
		fate = "is not on the new vm"
	}
	back := f.FailedOverDisks()
	for _, id := range f.State.Disks {
		if !slices.Contains(back, id) {
			m.Warn(errorcatalog.DiskNotInRecoveryPoint, id, fmt.Sprintf("disk %s was not failed over: it %s", id, fate))
		}
	}
}

// inspectTarget removes what an earlier failback to the same place has left there,
// and makes sure that there is a place for the VM.
func (f Failback) inspectTarget(ctx context.Context, p primary) error {
	vm := machine(f.Item)
	if err := p.room(ctx, vm.Disks); err != nil {
		return err
	}
	t := f.State.Failback.Target
	if err := f.RemoveLeft(ctx, p.host, t.Site, t.Host, t.VM()); err != nil {
		return err
	}
	return p.vacant(ctx, vm)
}

// create repeats safely: nothing that an earlier attempt has made is used, so that
// the disks are known to be zeroes.
func (f Failback) create(ctx context.Context, m *runbook.Memo) error {
	p, err := openPrimary(ctx, f.Item)
	if err != nil {
		return err
	}
	vm := machine(f.Item)
	if vm.NICs, err = adapters(ctx, f.Item, m); err != nil {
		return err
	}
	if err := p.vacant(ctx, vm); err != nil {
		return err
	}
	if err := p.drop(ctx); err != nil {
		return err
	}
	if err := p.host.CreateVM(ctx, vm, p.owner); err != nil {
		return fmt.Errorf("create vm %s on the host to fail back to: %w", vm.ID, err)
	}
	done := anew(f.State.Job.ID)
	if f.State.Failback.Mode == protecteditem.FullDownload {
		done = anew(lastSnapshot(f.State.Job.ID))
	}
	done.Blank = true
	return f.Save(ctx, done)
}

// await says what was brought and leaves the job to wait for CompleteFailback.
func (f Failback) await(ctx context.Context, m *runbook.Memo) error {
	if f.State.Protection == protecteditem.FailbackSynchronizing {
		if err := f.synchronized(ctx, m); err != nil {
			return err
		}
	}
	if f.State.Protection == protecteditem.FailbackAwaitingCompletion {
		return runbook.ErrWaiting
	}
	return nil
}

// goOn repeats safely: a failback that was told to complete is past asking.
func (f Failback) goOn(ctx context.Context, m *runbook.Memo) error {
	if f.State.Protection == protecteditem.FailbackSynchronizing {
		if err := f.synchronized(ctx, m); err != nil {
			return err
		}
	}
	return f.Record(ctx, protecteditem.CompleteFailback{JobID: f.State.Job.ID, At: f.Now()})
}

func (f Failback) synchronized(ctx context.Context, m *runbook.Memo) error {
	f.Forget()
	return f.Record(ctx, protecteditem.RecordFailbackSynchronized{
		JobID: f.State.Job.ID, BytesScanned: amount(m, scanned), BytesDiffering: amount(m, differing), BytesSent: amount(m, sent), At: f.Now(),
	})
}

func amount(m *runbook.Memo, key string) int64 {
	n, err := strconv.ParseInt(m.Value(key), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// stopRecovery repeats safely: stopping a stopped VM succeeds.
func (f Failback) stopRecovery(ctx context.Context, _ *runbook.Memo) error {
	recovery, err := f.Recovery(ctx)
	if err != nil {
		return err
	}
	if err := recovery.Stop(ctx, f.State.Recovery.VM); err != nil {
		return fmt.Errorf("stop %s: %w", f.State.Recovery.VM, err)
	}
	if err := recovery.SetActive(ctx, f.State.Recovery.VM, false); err != nil {
		return fmt.Errorf("keep %s off: %w", f.State.Recovery.VM, err)
	}
	return nil
}

// merge repeats safely: the host redoes it from any instant of a crash.
func (f Failback) merge(ctx context.Context, _ *runbook.Memo) error {
	if err := letGo(ctx, f.Item, f.State.Job.ID); err != nil {
		return err
	}
	p, err := openPrimary(ctx, f.Item)
	if err != nil {
		return err
	}
	if err := p.host.MergeReturn(ctx, p.vm, returnID); err != nil {
		return fmt.Errorf("merge what was brought into %s: %w", p.vm, err)
	}
	return nil
}

// finish repeats safely: a complete VM is left alone, and so is its relationship.
// The VM is tracked before it starts, as a source is.
func (f Failback) finish(ctx context.Context, _ *runbook.Memo) error {
	if err := letGo(ctx, f.Item, f.State.Job.ID); err != nil {
		return err
	}
	p, err := openPrimary(ctx, f.Item)
	if err != nil {
		return err
	}
	if err := p.host.CompleteVM(ctx, p.vm, p.owner); err != nil {
		return fmt.Errorf("complete vm %s: %w", p.vm, err)
	}
	err = p.host.StartReplication(ctx, p.vm, host.Relationship{
		ID: f.ReplicaID(), Disks: f.FailedOverDisks(), LogLimitPercent: f.State.Policy.ResyncThresholdPercent,
	})
	if err != nil {
		return fmt.Errorf("begin to track %s: %w", p.vm, err)
	}
	return nil
}

// start repeats safely: a running VM is left alone.
func (f Failback) start(ctx context.Context, _ *runbook.Memo) error {
	p, err := openPrimary(ctx, f.Item)
	if err != nil {
		return err
	}
	if err := p.host.SetActive(ctx, p.vm, true); err != nil {
		return fmt.Errorf("let %s run: %w", p.vm, err)
	}
	if err := p.host.Start(ctx, p.vm); err != nil {
		return fmt.Errorf("start %s: %w", p.vm, err)
	}
	return nil
}

func (f Failback) complete(ctx context.Context, m *runbook.Memo) error {
	if f.State.Protection != protecteditem.FailbackCompleting {
		return nil
	}
	done := protecteditem.RecordFailbackCompleted{JobID: f.State.Job.ID, VM: f.VM(), At: f.Now()}
	if t := f.State.Failback.Target; !t.Original() {
		done.VM = t.VM()
	}
	if f.State.Failback.Mode == protecteditem.MinimizeDowntime {
		done.BytesScanned, done.BytesDiffering, done.BytesSent = amount(m, scanned), amount(m, differing), amount(m, sent)
		done.Compared = m.Value(compared)
	}
	f.Forget()
	return f.Record(ctx, done)
}

// Undo takes a failback back that has not come to its end. It says whether a new
// VM is left at a host that does not answer.
func (f Failback) Undo(ctx context.Context, journal job.State) (left bool, err error) {
	return takeBack(ctx, f.Item, f.State.Job.ID, journal)
}
