package engine

import (
	"context"

	"farshore/domain/protecteditem"
	"farshore/workers/lane"
	"farshore/workers/workflow"
)

// upkeep is a turn of the lane that puts on record what time alone has changed: an
// item's health, and that a test failover is due.
func (e Engine) upkeep(ctx context.Context, i *workflow.Item, stuck bool) (*lane.Result, error) {
	now := e.Now()
	due, is := workflow.UpkeepDue(i.State, now)
	switch {
	case !is:
		return &lane.Result{}, nil
	case due.After(now):
		return &lane.Result{DueAt: due}, nil
	case stuck:
		return &lane.Result{DueAt: now.Add(stuckPause)}, nil
	}
	if err := i.RecordAside(ctx, protecteditem.RecordHealth{At: now}); err != nil {
		return nil, err
	}
	return nil, i.RecordAside(ctx, protecteditem.RemindOfTestFailover{At: now})
}

// alert puts a health on record that the work on an item has changed.
func (e Engine) alert(ctx context.Context, i *workflow.Item) error {
	now := e.Now()
	if at, due := protecteditem.HealthDue(i.State, now); !due || at.After(now) {
		return nil
	}
	return i.RecordAside(ctx, protecteditem.RecordHealth{At: now})
}
