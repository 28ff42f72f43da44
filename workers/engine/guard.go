package engine

import (
	"context"
	"errors"
	"fmt"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/deltareplication"
	"farshore/workers/host"
	"farshore/workers/workflow"
)

// guard keeps the source of a failed-over VM off, as soon as its host answers. A
// host that does not is asked again later; nothing counts as failed.
func (e Engine) guard(ctx context.Context, i *workflow.Item) error {
	err := e.fence(ctx, i)
	if err == nil || workflow.OutcomeOf(ctx, err) != workflow.Failed {
		return err
	}
	e.Logger.DebugContext(ctx, "the source is not fenced yet", "item", i.Item(), "error", err)
	return nil
}

// fence repeats safely: the host is told what it may know already.
func (e Engine) fence(ctx context.Context, i *workflow.Item) error {
	source, err := i.Source(ctx)
	if err != nil {
		return err
	}
	power, err := source.PowerState(ctx, i.VM())
	if err != nil {
		return fmt.Errorf("read power state of %s: %w", i.VM(), err)
	}
	runs := power == site.Running
	if i.State.Fencing.Fenced && !runs {
		return nil
	}
	if runs {
		detail := fmt.Sprintf("%s runs on %s, and %s on %s", i.VM(), i.State.Host, i.State.Recovery.VM, i.State.Recovery.Host)
		if err := i.Record(ctx, protecteditem.RecordSourceRunning{Detail: detail, At: e.Now()}); err != nil {
			return err
		}
	}
	// Off first, so that it is not started again in between.
	if err := source.SetActive(ctx, i.VM(), false); err != nil {
		return fmt.Errorf("keep %s off: %w", i.VM(), err)
	}
	if runs {
		if err := source.Stop(ctx, i.VM()); err != nil {
			return fmt.Errorf("stop %s: %w", i.VM(), err)
		}
	}
	// After a planned failover there is nothing to seal, unless the VM has run since.
	if runs || i.State.FailoverChoice != "" {
		if err := deltareplication.Untrack(ctx, i, source); err != nil {
			return err
		}
		if err := e.seal(ctx, i, source); err != nil {
			return err
		}
	}
	held, err := e.held(ctx, i, source)
	if err != nil {
		return err
	}
	return i.Record(ctx, protecteditem.RecordSourceFenced{Held: held, At: e.Now()})
}

// held lists what the source has written and was never replicated. Nothing of it
// is shipped unless the failover is cancelled.
func (e Engine) held(ctx context.Context, i *workflow.Item, source host.Replicator) ([]protecteditem.ShippedLog, error) {
	rel, err := source.Replication(ctx, i.VM())
	if workflow.Is(err, errorcatalog.RelationshipNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read relationship of %s: %w", i.VM(), err)
	}
	var held []protecteditem.ShippedLog
	for _, cut := range rel.Cuts {
		if cut.ID == i.State.LastShipped.Cut {
			continue
		}
		for _, d := range cut.Disks {
			for _, log := range d.Logs {
				held = append(held, protecteditem.ShippedLog{Disk: d.Disk, Log: log.ID, Bytes: log.Bytes})
			}
		}
	}
	return held, nil
}

// seal closes the open logs. Logs that cannot be trusted are not worth holding:
// the source is to be resynchronized if it is ever replicated again.
func (e Engine) seal(ctx context.Context, i *workflow.Item, source host.Tracker) error {
	_, err := source.Cut(ctx, i.VM(), host.CutRequest{ID: e.NewID()})
	if err == nil || workflow.Is(err, errorcatalog.RelationshipNotFound) {
		return nil
	}
	f := errorcatalog.Of(err)
	if errorcatalog.ClassOf(f.Code) != errorcatalog.Resynchronize {
		return fmt.Errorf("seal the logs of %s: %w", i.VM(), err)
	}
	err = i.Record(ctx, protecteditem.RequireResynchronization{Reason: f.Code, Detail: f.Detail, ScheduledFor: e.Now(), At: e.Now()})
	if _, refused := errors.AsType[*domain.RejectionError](err); refused {
		return nil // the failover is committed: the source is not replicated on
	}
	return err
}
