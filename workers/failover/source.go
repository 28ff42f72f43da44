package failover

import (
	"context"
	"fmt"
	"time"

	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/workers/deltareplication"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// What the steps tell each other, and the workflows that come after a failover.
const (
	lastCut    = "cut"
	wasRunning = "wasRunning" // the source, before the failover
	overtaken  = "overtakenJob"
	stopped    = "sourceStopped"
	fenced     = "sourceFenced"
	yes        = "yes"
	no         = "no"
)

// The steps that several failovers have, or that are asked about.
const (
	stopStep   = "stop_source"
	bringStep  = "copy_disks"
	createStep = "create_recovery_vm" // from which on there may be a recovery VM to take back
	removeStep = "remove_recovery_vm" // from which on there may be none any more
	fenceStep  = "fence_source"       // from which on the source may be kept off
	startStep  = "start_recovery_vm"  // from which on the VM may be running there
)

// What tasks that several failovers have are called.
const (
	bringTitle = "Bring the disks to the recovery VM"
	startTitle = "Start the recovery VM"
)

// shut stops the source and keeps it off. It repeats safely: stopping a stopped
// VM succeeds.
func shut(ctx context.Context, i *workflow.Item) error {
	source, err := i.Source(ctx)
	if err != nil {
		return err
	}
	// The record comes first: a stop that is under way when this worker dies must
	// be taken back if the failover is.
	if err := i.Record(ctx, protecteditem.RecordSourceStopped{JobID: i.State.Job.ID, At: i.Now()}); err != nil {
		return err
	}
	if err := source.Stop(ctx, i.VM()); err != nil {
		return fmt.Errorf("stop %s: %w", i.VM(), err)
	}
	if err := source.SetActive(ctx, i.VM(), false); err != nil {
		return fmt.Errorf("keep %s off: %w", i.VM(), err)
	}
	return nil
}

// Release lets the source run again.
func Release(ctx context.Context, i *workflow.Item) error {
	source, err := i.Source(ctx)
	if err != nil {
		return err
	}
	if err := source.SetActive(ctx, i.VM(), true); err != nil {
		return fmt.Errorf("let %s run again: %w", i.VM(), err)
	}
	return nil
}

// restart lets the source run again, and starts it.
func restart(ctx context.Context, i *workflow.Item) error {
	if err := Release(ctx, i); err != nil {
		return err
	}
	source, err := i.Source(ctx)
	if err != nil {
		return err
	}
	if err := source.Start(ctx, i.VM()); err != nil {
		return fmt.Errorf("start %s again: %w", i.VM(), err)
	}
	return nil
}

// shipLast ships what waits and then a last cut. It repeats safely: the cut keeps
// its id.
func shipLast(ctx context.Context, i *workflow.Item, cut string) error {
	if err := deltareplication.Ship(ctx, i); err != nil || i.State.LastShipped.Cut == cut {
		return err
	}
	_, err := deltareplication.Cut(ctx, i, cut)
	return err
}

// TakeBack takes a failover back that has not come to its end: the recovery VM
// goes if the failover's job has begun it, and the source runs again if it ran
// before. It repeats safely and is tried until it succeeds.
func TakeBack(ctx context.Context, i *workflow.Item, journal job.State) error {
	if err := RemoveBegun(ctx, i, journal); err != nil {
		return err
	}
	return GiveBack(ctx, i, journal)
}

// RemoveBegun removes the recovery VM, if there may be one.
func RemoveBegun(ctx context.Context, i *workflow.Item, journal job.State) error {
	// A source that another failover has stopped was overtaken with its recovery VM.
	inherited := i.State.SourceStopped && !Begun(journal, stopStep)
	if !Begun(journal, createStep) && !inherited {
		return nil
	}
	return target(i).Delete(ctx)
}

// Restarts says whether a source that a failover has stopped is to be started when it is
// given back.
func Restarts(s protecteditem.State, journal job.State) bool {
	return s.SourceStopped && told(journal, wasRunning) != no
}

// GiveBack lets the source run again, if it ran before.
func GiveBack(ctx context.Context, i *workflow.Item, journal job.State) error {
	i.Forget()
	if Restarts(i.State, journal) {
		return restart(ctx, i)
	}
	if i.State.SourceStopped {
		return Release(ctx, i)
	}
	ran := told(journal, wasRunning)
	if !Begun(journal, fenceStep) {
		return nil
	}
	quick, cancel := context.WithTimeout(ctx, fencePatience)
	defer cancel()
	back := Release
	if ran == yes {
		back = restart
	}
	err := back(quick, i)
	if err != nil && workflow.OutcomeOf(ctx, err) == workflow.Failed && told(journal, fenced) != yes {
		return nil // a source that was not reached then need not be now
	}
	return err
}

// fencePatience is how long a source that may be lost is waited for.
const fencePatience = 3 * time.Second

// Begun says whether a job has begun a step.
func Begun(journal job.State, step string) bool {
	t, ok := journal.Task(step)
	return ok && t.Attempts > 0
}

// PastRecall says whether a failover has come so far that the recovery VM may run.
func PastRecall(journal job.State) bool { return Begun(journal, startStep) }

// told returns what a step of a job has noted.
func told(journal job.State, key string) string {
	for _, t := range journal.Tasks {
		if v, ok := t.Output[key]; ok {
			return v
		}
	}
	return ""
}

// passOn keeps what the failover's journal says for the job after this one: it
// reads what the one before this has kept.
func passOn(ctx context.Context, i *workflow.Item, m *runbook.Memo) error {
	before, _, err := i.Jobs.Load(ctx, i.State.Ended.ID)
	if err != nil {
		return fmt.Errorf("load job %s: %w", i.State.Ended.ID, err)
	}
	for _, key := range []string{wasRunning, overtaken} {
		if v := told(before, key); v != "" {
			m.Note(key, v)
		}
	}
	return nil
}
