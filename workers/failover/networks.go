package failover

import (
	"context"

	"farshore/domain/protecteditem"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// connect decides how the recovery VM's adapters are connected, before anything
// is changed, and notes what will be wrong with them. It repeats safely: what was
// decided under a job stays so.
func connect(ctx context.Context, i *workflow.Item, m *runbook.Memo) error {
	job := i.State.Job.ID
	if was := i.State.Connections; was == nil || was.Job != job {
		known, err := i.KnownNetworks(ctx)
		if err != nil {
			return err
		}
		if !known.Known() && len(i.State.NICs) == 0 && was == nil {
			return nil // adapters keep what they have
		}
		plan := protecteditem.PlanNetworks(i.State, known)
		if i.State.Protection == protecteditem.PlannedFailoverInProgress {
			if f := i.State.Unconnected(plan); f != nil {
				return f
			}
		}
		if err := i.Record(ctx, protecteditem.RecordConnections{JobID: job, Plan: plan, At: i.Now()}); err != nil {
			return err
		}
	}
	for _, f := range i.State.Connections.Findings {
		m.Warn(f.Code, f.NIC, f.Detail)
	}
	return nil
}
