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
	if !decided(i) {
		if err := decide(ctx, i); err != nil {
			return err
		}
	}
	if !decided(i) {
		return nil // adapters keep what they have
	}
	for _, f := range i.State.Connections.Findings {
		m.Warn(f.Code, f.NIC, f.Detail)
	}
	return nil
}

// decided says whether the job that runs has decided it.
func decided(i *workflow.Item) bool {
	c := i.State.Connections
	return c != nil && c.Job == i.State.Job.ID
}

// decide leaves adapters alone of whose networks nothing was ever said.
func decide(ctx context.Context, i *workflow.Item) error {
	known, err := i.KnownNetworks(ctx, i.State)
	if err != nil {
		return err
	}
	if !known.Known() && len(i.State.NICs) == 0 && i.State.Connections == nil {
		return nil
	}
	plan := protecteditem.PlanNetworks(i.State, known)
	if i.State.Protection == protecteditem.PlannedFailoverInProgress {
		if f := i.State.Unconnected(plan); f != nil {
			return f
		}
	}
	return i.Record(ctx, protecteditem.RecordConnections{JobID: i.State.Job.ID, Plan: plan, At: i.Now()})
}
