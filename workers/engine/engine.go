// Package engine is the handler of replication lanes: it reads what state an item
// is in, runs the workflow that the state calls for, and decides what becomes of
// a failure.
package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/eventstore"
	"farshore/workers/deltareplication"
	"farshore/workers/diskreplication"
	"farshore/workers/failback"
	"farshore/workers/failover"
	"farshore/workers/initialreplication"
	"farshore/workers/lane"
	"farshore/workers/planrun"
	"farshore/workers/protection"
	"farshore/workers/resynchronization"
	"farshore/workers/retention"
	"farshore/workers/reversereplication"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Engine works on protected items, and on the runs of recovery plans.
type Engine struct {
	workflow.Parts
	Plans   planrun.Plans
	Scripts string        // the directory of the programs that plans may run
	Places  chan struct{} // one for each of them that may run at once; nil: any number may
}

// The pauses of the engine.
const (
	// databasePause is how often a PostgreSQL that is away is asked for.
	databasePause = 300 * time.Millisecond
	// stuckPause keeps an item whose state does not move from spinning.
	stuckPause = 5 * time.Second
)

// Handle does everything that is due on an item's lane, one workflow after the
// other, and says when it is due next.
func (e Engine) Handle(ctx context.Context, s *lane.Session) (lane.Result, error) {
	switch s.Kind() {
	case lane.Plan:
		return planrun.Worker{Parts: e.Parts, Plans: e.Plans, Scripts: e.Scripts, Places: e.Places}.Handle(ctx, s)
	case lane.Drill:
		return e.handle(ctx, s, e.drill)
	case lane.Upkeep:
		return e.handle(ctx, s, e.upkeep)
	case lane.Copy:
		return e.handle(ctx, s, e.copying)
	case lane.Replication:
		return e.handle(ctx, s, e.replicate)
	default:
		return lane.Result{}, fmt.Errorf("handle lane of %s: unknown kind %q", s.Item(), s.Kind())
	}
}

// turn does what is due next and returns a result when nothing is. stuck says
// that the last turn has not moved the item.
type turn func(ctx context.Context, i *workflow.Item, stuck bool) (*lane.Result, error)

func (e Engine) handle(ctx context.Context, s *lane.Session, turn turn) (lane.Result, error) {
	last := eventstore.Version(-1)
	for {
		i, err := workflow.Open(ctx, e.Parts, s)
		if err == nil {
			version := i.Version
			var done *lane.Result
			if done, err = turn(ctx, i, version == last); err == nil && done != nil {
				return *done, nil
			}
			last = version
		}
		switch workflow.OutcomeOf(ctx, err) {
		case workflow.Lost:
			return lane.Result{}, lane.ErrFenced
		case workflow.Interrupted:
			return lane.Result{DueAt: e.Now()}, nil
		case workflow.Waiting:
			e.Logger.WarnContext(ctx, "database is away; waiting", "item", s.Item(), "error", err)
			e.await(ctx)
			last = -1
		case workflow.Overtaken:
			e.Logger.InfoContext(ctx, "the item has moved on", "item", s.Item(), "error", err)
		case workflow.Failed:
			if err != nil {
				return lane.Result{}, err
			}
		}
	}
}

// replicate is a turn of the main lane.
func (e Engine) replicate(ctx context.Context, i *workflow.Item, stuck bool) (*lane.Result, error) {
	if err := e.conclude(ctx, i, i.State.Ended, i.State.Job); err != nil {
		return nil, err
	}
	if err := e.concludeDisks(ctx, i); err != nil {
		return nil, err
	}
	if i.State.Resync.Unscheduled {
		if err := e.concludeOvertaken(ctx, i); err != nil {
			return nil, err
		}
	}
	if workflow.Guarded(i.State) {
		if err := e.guard(ctx, i); err != nil {
			return nil, err
		}
	}
	if err := e.alert(ctx, i); err != nil {
		return nil, err
	}
	if err := e.lookAfter(ctx, i); err != nil {
		return nil, err
	}
	due, is := workflow.Due(i.State, e.Now())
	if (!is || due.After(e.Now())) && i.State.Job != nil {
		if taken, err := e.called(ctx, i); taken || err != nil {
			return nil, err
		}
	}
	switch {
	case !is || due.After(e.Now()):
		return &lane.Result{DueAt: due}, nil
	case stuck:
		return &lane.Result{DueAt: e.Now().Add(stuckPause)}, nil
	case i.State.Protection == protecteditem.Unprotected:
		return new(e.expire(ctx, i)), nil
	default:
		return nil, e.work(ctx, i)
	}
}

// await returns once PostgreSQL answers again, or ctx has ended.
func (e Engine) await(ctx context.Context) {
	timer := time.NewTimer(databasePause)
	defer timer.Stop()
	for {
		if _, err := e.Items.Store.Head(ctx); err == nil || ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(databasePause)
		}
	}
}

// expire removes the replica of a disabled item whose time is over.
func (e Engine) expire(ctx context.Context, i *workflow.Item) lane.Result {
	if err := protection.RemoveReplica(ctx, i); err != nil {
		e.Logger.WarnContext(ctx, "replica was not removed; trying again later", "replica", i.ReplicaID(), "error", err)
		return lane.Result{DueAt: e.Now().Add(protecteditem.RetryDelay(1))}
	}
	if look := workflow.LookAfter(i.State); look > 0 {
		return lane.Result{DueAt: e.Now().Add(look)}
	}
	return lane.Result{}
}

// work runs what the state calls for and settles its failure.
func (e Engine) work(ctx context.Context, i *workflow.Item) error {
	if err := e.begin(ctx, i); err != nil {
		return err
	}
	if at, is := workflow.DisksDue(i.State, e.Now()); is && !at.After(e.Now()) {
		return e.workOnDisks(ctx, i)
	}
	if i.State.Job == nil {
		return e.settle(ctx, i, nil, e.cycle(ctx, i, false))
	}
	rb, err := e.runbook(i)
	if err != nil {
		return err
	}
	if taken, err := e.canceled(ctx, i, rb); taken || err != nil {
		return err
	}
	if _, ok := retreatOf(i, rb.Kind); ok {
		if failure, err := failedStep(ctx, rb); err != nil || failure != nil && !endures(i, rb.Kind, failure) {
			return errors.Join(err, e.undo(ctx, i, rb, failure))
		}
	}
	return e.settle(ctx, i, rb, rb.Run(ctx))
}

// begin gives the item the job that its state calls for, if it calls for one. A
// resynchronization takes the place of an initial replication whose logs are
// lost.
func (e Engine) begin(ctx context.Context, i *workflow.Item) error {
	s := i.State
	switch {
	case s.Resync.State == protecteditem.ResyncRequired && (s.Job == nil || s.Protection == protecteditem.InitialReplicationInProgress):
		id := s.Resync.Job
		if id == "" {
			id = e.NewID()
		}
		if err := i.Record(ctx, protecteditem.StartResynchronization{JobID: id, At: e.Now()}); err != nil {
			return err
		}
		return e.conclude(ctx, i, i.State.Ended, i.State.Job) // the job whose place it has taken
	case s.Job == nil && s.Protection == protecteditem.InitialReplicationPending:
		return i.Record(ctx, protecteditem.StartInitialReplication{
			JobID: e.NewID(), Snapshot: e.NewID(), TotalBytes: i.TotalBytes(), At: e.Now(),
		})
	default:
		return nil
	}
}

// runbook is the workflow of the item's job.
func (e Engine) runbook(i *workflow.Item) (*runbook.Runbook, error) {
	rb := &runbook.Runbook{
		Jobs: e.Jobs, ID: i.State.Job.ID, Kind: job.Kind(i.State.Job.Kind), Vault: i.State.Vault, Subject: i.State.Key(),
		Execution: i.Execution(), Now: e.Now,
	}
	switch rb.Kind {
	case job.EnableProtection:
		rb.Steps = protection.Enable{Item: i}.Steps()
	case job.InitialReplication:
		rb.Steps = initialreplication.InitialReplication{Item: i}.Steps()
	case job.FinalizeProtection:
		rb.Steps = protection.Finalize{Item: i}.Steps()
	case job.Resynchronization:
		rb.Steps = resynchronization.Resynchronization{Item: i}.Steps()
	case job.PlannedFailover:
		rb.Steps = failover.Planned{Item: i}.Steps()
	case job.UnplannedFailover:
		rb.Steps = failover.Unplanned{Item: i}.Steps()
	case job.ApplyRecoveryPoint:
		rb.Steps = failover.ChangePoint{Item: i}.Steps()
	case job.FailoverCancel:
		rb.Steps = failover.Cancel{Item: i}.Steps()
	case job.FailoverCommit:
		rb.Steps = failover.Commit{Item: i}.Steps()
	case job.Failback:
		rb.Steps = failback.Failback{Item: i}.Steps()
	case job.FailbackCommit:
		rb.Steps = failback.Commit{Item: i}.Steps()
	case job.FailbackCancel:
		rb.Steps = failback.Cancel{Item: i}.Steps()
	case job.ReverseReplication:
		rb.Steps = reversereplication.ReverseReplication{Item: i}.Steps()
	case job.DisableProtection:
		rb.Steps = protection.Disable{Item: i}.Steps()
	default:
		return nil, fmt.Errorf("find workflow of job %s: %w: %s", rb.ID, errNoWorkflow, rb.Kind)
	}
	return rb, nil
}

var errNoWorkflow = errors.New("no workflow of this kind")

// cycle is what a protected item does without a job. A cut is made when it is due,
// or now.
func (e Engine) cycle(ctx context.Context, i *workflow.Item, now bool) error { //nolint:revive // it is the only choice
	due := protecteditem.NextCut(i.State, e.Now())
	run := deltareplication.CatchUp
	if now || !due.IsZero() && !due.After(e.Now()) {
		run = deltareplication.Cycle
	}
	err := runbook.Patiently(ctx, e.Now, func() error { return run(ctx, i) })
	if err != nil {
		return e.isolate(ctx, i, err)
	}
	if err := retention.Thin(ctx, i); err != nil {
		return err
	}
	return diskreplication.Erase(ctx, i)
}
