// Package failback brings a VM that has failed over back to the primary side. What
// the recovery VM has written is pulled beside the original disks, which change
// only once that VM is off, and whose content of before is kept until the
// failback's commit: until then it can be taken back.
package failback

import (
	"context"
	"fmt"
	"strconv"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Failback is the workflow that follows StartFailback.
type Failback struct{ *workflow.Item }

// startStep is the one from which on the VM may run on the primary side.
const startStep = "start_primary_vm"

// What the steps tell each other.
const (
	scanned   = "bytesScanned"
	differing = "bytesDiffering"
	sent      = "bytesSent"
)

// Steps is the workflow as a table. Downtime begins where the recovery VM is shut
// down.
func (f Failback) Steps() []runbook.Step {
	stop := runbook.Step{Name: "stop_recovery_vm", Title: "Shut the recovery VM down", Run: f.stopRecovery}
	inspect := runbook.Step{Name: "inspect_hosts", Title: "Inspect the hosts", Run: f.inspect}
	last := []runbook.Step{
		{Name: "merge_disks", Title: "Switch the disks over", Run: f.merge},
		{Name: startStep, Title: "Start the VM on the primary side", Run: f.start},
		{Name: "complete_failback", Title: "Complete the failback", Run: f.complete},
	}
	if f.State.Failback.Mode == protecteditem.FullDownload {
		return append([]runbook.Step{
			inspect, stop,
			{Name: "bring_disks", Title: "Bring the disks to the primary side", Run: f.bringWhole},
			{Name: "complete_synchronization", Title: "Go on to the switch", Run: f.goOn},
		}, last...)
	}
	return append([]runbook.Step{
		inspect,
		{Name: "synchronize_disks", Title: "Compare and bring what differs", Run: f.synchronize},
		{Name: "await_completion", Title: "Wait for the word to complete", Run: f.await},
		stop,
		{Name: "synchronize_last_changes", Title: "Compare and bring the last changes", Run: f.synchronizeLast},
	}, last...)
}

// inspect makes sure that nothing runs on the disks that are to be written, and
// that nothing will.
func (f Failback) inspect(ctx context.Context, _ *runbook.Memo) error {
	primary, err := openPrimary(ctx, f.Item)
	if err != nil {
		return err
	}
	state, err := primary.host.PowerState(ctx, primary.vm)
	if err != nil {
		return fmt.Errorf("read power state of %s: %w", primary.vm, err)
	}
	if state == site.Running {
		detail := fmt.Sprintf("%s runs on %s, and %s on %s", f.VM(), f.State.Host, f.State.Recovery.VM, f.State.Recovery.Host)
		if err := f.Record(ctx, protecteditem.RecordSourceRunning{Detail: detail, At: f.Now()}); err != nil {
			return err
		}
		return errorcatalog.Fail(errorcatalog.SourceStillRunning, "%s", detail)
	}
	if err := primary.host.SetActive(ctx, primary.vm, false); err != nil {
		return fmt.Errorf("keep %s off: %w", primary.vm, err)
	}
	return nil
}

// synchronize repeats safely: it resumes at its last checkpoint.
func (f Failback) synchronize(ctx context.Context, m *runbook.Memo) error {
	return f.compare(ctx, m, f.State.Job.ID)
}

// synchronizeLast compares all of the disks again, now that nothing writes to
// them: whatever the first comparison has missed is found.
func (f Failback) synchronizeLast(ctx context.Context, m *runbook.Memo) error {
	return f.compare(ctx, m, lastSnapshot(f.State.Job.ID))
}

// bringWhole is the only comparison of a full download.
func (f Failback) bringWhole(ctx context.Context, m *runbook.Memo) error {
	return f.compare(ctx, m, lastSnapshot(f.State.Job.ID))
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
	if err := dropSnapshots(ctx, f.Item, f.State.Job.ID); err != nil {
		return err
	}
	primary, err := openPrimary(ctx, f.Item)
	if err != nil {
		return err
	}
	if err := primary.host.MergeReturn(ctx, primary.vm, returnID); err != nil {
		return fmt.Errorf("merge what was brought into %s: %w", primary.vm, err)
	}
	return nil
}

// start repeats safely: a running VM is left alone.
func (f Failback) start(ctx context.Context, _ *runbook.Memo) error {
	primary, err := openPrimary(ctx, f.Item)
	if err != nil {
		return err
	}
	if err := primary.host.SetActive(ctx, primary.vm, true); err != nil {
		return fmt.Errorf("let %s run again: %w", primary.vm, err)
	}
	if err := primary.host.Start(ctx, primary.vm); err != nil {
		return fmt.Errorf("start %s again: %w", primary.vm, err)
	}
	return nil
}

func (f Failback) complete(ctx context.Context, _ *runbook.Memo) error {
	if f.State.Protection != protecteditem.FailbackCompleting {
		return nil
	}
	f.Forget()
	return f.Record(ctx, protecteditem.RecordFailbackCompleted{JobID: f.State.Job.ID, VM: f.VM(), At: f.Now()})
}

// Undo takes a failback back that has not come to its end.
func (f Failback) Undo(ctx context.Context, journal job.State) error {
	return takeBack(ctx, f.Item, f.State.Job.ID, journal)
}
