package testfailover

import (
	"context"
	"errors"
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/runbook"
)

// How the latest point is waited for.
const (
	lookAgain = 250 * time.Millisecond
	// standstill is how long nothing may be applied before the wait is given up.
	standstill = 10 * time.Minute
)

// choosePoint pins the point. One that the start of the test failover named is
// pinned since. It repeats safely: the point that was pinned first stays.
//
// Otherwise the latest is wanted, and something was shipped that no point holds.
// Only the replication lane may apply it, so that is asked to.
func (r Run) choosePoint(ctx context.Context, _ *runbook.Memo) error {
	if r.State.Test.Point != "" {
		return nil
	}
	if err := r.awaitApplied(ctx); err != nil {
		return err
	}
	newest, _ := r.State.NewestPoint()
	return record(ctx, r.Item, protecteditem.RecordTestFailoverPoint{JobID: jobOf(r.State), Point: newest.ID, At: r.Now()})
}

// awaitApplied returns once everything that was shipped when it began is in a
// point, or can no longer come into one.
func (r Run) awaitApplied(ctx context.Context) error {
	waiting := slices.Clone(r.State.Pending)
	failed := r.State.Retry.Attempt
	if !r.unapplied(waiting) {
		return nil
	}
	err := record(ctx, r.Item, protecteditem.ReplicateNow{At: r.Now()})
	if _, refused := errors.AsType[*domain.RejectionError](err); err != nil && !refused {
		return err
	}
	left, moved := len(r.State.Pending), r.Now()
	timer := time.NewTimer(lookAgain)
	defer timer.Stop()
	for r.unapplied(waiting) {
		switch f := r.State.Retry.Failure; {
		case r.State.Paused != nil:
			return errorcatalog.Fail(errorcatalog.ReplicationPaused, "replication is paused: shipped logs are not applied; a point that exists can be tested")
		case f != nil && r.State.Retry.Attempt > failed:
			return errorcatalog.Fail(f.Code, "shipped logs were not applied: %s", f.Detail)
		case r.Now().Sub(moved) > standstill:
			return errorcatalog.Fail(errorcatalog.ReplicationBehind, "shipped logs are not being applied since %s", moved.UTC().Format(time.RFC3339))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			timer.Reset(lookAgain)
		}
		if err := r.stillOpen(ctx); err != nil {
			return err
		}
		if n := len(r.State.Pending); n != left {
			left, moved = n, r.Now()
		}
	}
	return nil
}

// unapplied says whether one of the cuts waits to be applied, and will be.
func (r Run) unapplied(cuts []protecteditem.Shipped) bool {
	s := r.State
	if s.Resync.State != protecteditem.ResyncNone || s.ChainBroken() {
		return false
	}
	switch s.Protection {
	case protecteditem.Protected, protecteditem.PlannedFailoverInProgress, protecteditem.UnplannedFailoverInProgress:
	default:
		return false
	}
	return slices.ContainsFunc(cuts, func(c protecteditem.Shipped) bool {
		return slices.ContainsFunc(s.Pending, func(p protecteditem.Shipped) bool { return p.Cut == c.Cut })
	})
}
