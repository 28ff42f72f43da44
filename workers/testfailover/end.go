package testfailover

import (
	"context"
	"fmt"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/workers/workflow"
)

// letGo is how long a workflow that ends the protection waits for the test
// failover's job to be closed: its worker is interrupted within a second, and one
// that has died has lost its lane by then.
const letGo = 30 * time.Second

// End removes what an overtaken test failover has brought up, for a workflow that
// ends the protection in another lane. It waits until the test failover's job is
// closed; a VM that is made even so is removed by whoever makes it. It repeats
// safely.
func End(ctx context.Context, i *workflow.Item) error {
	if id := i.State.EndedTest.ID; id != "" {
		if err := awaitClosed(ctx, i, id); err != nil {
			return err
		}
	}
	return Remove(ctx, i)
}

// awaitClosed returns once a job has ended, or was never begun: then nothing was
// made under it.
func awaitClosed(ctx context.Context, i *workflow.Item, id string) error {
	since := i.Now()
	timer := time.NewTimer(lookAgain)
	defer timer.Stop()
	for {
		journal, _, err := i.Jobs.Load(ctx, id)
		if err != nil {
			return fmt.Errorf("read journal of job %s: %w", id, err)
		}
		if !journal.Begun() || journal.Status.Ended() {
			return nil
		}
		if i.Now().Sub(since) > letGo {
			return errorcatalog.Fail(errorcatalog.InternalError, "job %s of the test failover has not come to its end", id)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			timer.Reset(lookAgain)
		}
	}
}
