// Package processmanager turns events into due work: whatever changes what an
// item's state calls for makes the item's lane due. It decides nothing by itself:
// the event wakes it, the item's state tells when what is due. An event that is
// delivered twice, late or after others therefore does no harm.
package processmanager

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
	"farshore/eventstore"
	"farshore/workers/lane"
	"farshore/workers/workflow"
)

// Group is the consumer group of the process managers.
const Group = "lanes"

// Lanes is where due work goes.
type Lanes interface {
	Upsert(ctx context.Context, d lane.Due) error
}

// Manager makes lanes due.
type Manager struct {
	Items  workflow.Items
	Lanes  Lanes
	Wake   func() // tells this process's own workers; nil: they poll
	Now    func() time.Time
	Logger *slog.Logger
}

// reaction says what an event means for whoever holds the item's lane.
type reaction int

const (
	wake      reaction = iota + 1 // there is work to do
	interrupt                     // and it outranks what is being done
)

// reactions lists the events after which something else is due. What a worker
// records in the middle of a workflow is not among them: it holds the lane and
// says itself when it is due next.
func reactions() map[string]reaction {
	return map[string]reaction{
		protecteditem.ProtectionEnabling{}.EventType():         wake,
		protecteditem.RelationshipCreated{}.EventType():        wake,
		protecteditem.ProtectionFinalized{}.EventType():        wake,
		protecteditem.RecoveryPointsRemoved{}.EventType():      wake,
		protecteditem.ReplicationRequested{}.EventType():       wake,
		protecteditem.RetryRequested{}.EventType():             wake,
		protecteditem.ReplicationFailed{}.EventType():          wake,
		protecteditem.ReplicationPaused{}.EventType():          interrupt,
		protecteditem.ReplicationResumed{}.EventType():         wake,
		protecteditem.DisksAdding{}.EventType():                wake,
		protecteditem.DiskGrown{}.EventType():                  wake,
		protecteditem.ResynchronizationRequired{}.EventType():  wake,
		protecteditem.ResynchronizationRequested{}.EventType(): interrupt,
		protecteditem.ResynchronizationCanceled{}.EventType():  interrupt,
		protecteditem.PlannedFailoverStarted{}.EventType():     interrupt,
		protecteditem.PlannedFailoverFailed{}.EventType():      wake,
		protecteditem.PlannedFailoverReleased{}.EventType():    wake,
		protecteditem.UnplannedFailoverStarted{}.EventType():   interrupt,
		protecteditem.UnplannedFailoverFailed{}.EventType():    wake,
		protecteditem.RecoveryPointChangeStarted{}.EventType(): interrupt,
		protecteditem.FailoverCancelStarted{}.EventType():      interrupt,
		protecteditem.FailoverCanceled{}.EventType():           wake,
		protecteditem.FailoverCommitFailed{}.EventType():       wake,
		protecteditem.BackgroundCopyCompleted{}.EventType():    wake,
		protecteditem.FailoverCommitStarted{}.EventType():      interrupt,
		protecteditem.FailbackStarted{}.EventType():            interrupt,
		protecteditem.FailbackCompletionStarted{}.EventType():  wake,
		protecteditem.FailbackCancelStarted{}.EventType():      interrupt,
		protecteditem.FailbackCanceled{}.EventType():           wake,
		protecteditem.FailbackCancelFailed{}.EventType():       wake,
		protecteditem.FailbackFailed{}.EventType():             wake,
		protecteditem.FailbackCommitStarted{}.EventType():      interrupt,
		protecteditem.ReverseReplicationStarted{}.EventType():  wake,
		protecteditem.ReverseReplicationFailed{}.EventType():   wake,
		protecteditem.ProtectionDisabling{}.EventType():        interrupt,
		protecteditem.ProtectionDisabled{}.EventType():         wake,
	}
}

// drillReactions lists the events after which there is something else to do for
// an item's test failover, which has a lane of its own.
func drillReactions() map[string]reaction {
	return map[string]reaction{
		protecteditem.TestFailoverStarted{}.EventType():        wake,
		protecteditem.TestFailoverCleanupStarted{}.EventType(): wake,
		protecteditem.RetryRequested{}.EventType():             wake,
		protecteditem.ProtectionDisabling{}.EventType():        interrupt,
	}
}

// watched says whether an event may bring forward what is to be told of an item. A
// cycle's own do not: they put it off, and the worker that records them looks itself.
func watched(event string) bool {
	switch event {
	case protecteditem.DeltaShipped{}.EventType(), protecteditem.RecoveryPointCreated{}.EventType(), protecteditem.RecoveryPointsRemoved{}.EventType(),
		protecteditem.HealthChanged{}.EventType(), protecteditem.TestFailoverFellDue{}.EventType():
		return false
	default:
		return true
	}
}

// Run feeds the manager from a subscriber until ctx ends.
func (m *Manager) Run(ctx context.Context, events message.Subscriber) error {
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 5 * time.Second}, watermill.NewSlogLogger(m.Logger))
	if err != nil {
		return fmt.Errorf("make router: %w", err)
	}
	// One subscription for items and jobs: their events come in the order of the log.
	//nolint:contextcheck // a message brings the context of its subscription
	router.AddConsumerHandler("lanes", eventstore.AllEvents, events, func(msg *message.Message) error {
		return m.Handle(msg.Context(), msg.Metadata[eventstore.MetadataStream], msg.Metadata[eventstore.MetadataType])
	})
	if err := router.Run(ctx); err != nil {
		return fmt.Errorf("run process manager: %w", err)
	}
	return nil
}

// Handle makes the lanes of the item due whose stream, or whose job's, an event
// was added to. An error brings the event back.
func (m *Manager) Handle(ctx context.Context, stream, event string) error {
	if id, ok := strings.CutPrefix(stream, job.Category+"-"); ok {
		return m.handleJob(ctx, id, event)
	}
	if plan, ok := strings.CutPrefix(stream, recoveryplan.Category+"-"); ok {
		return m.handlePlan(ctx, plan, event)
	}
	react, drill, copying, watch, plan := reactions()[event], drillReactions()[event], copyReactions()[event], watched(event), awaitsPlan(event)
	item, ok := strings.CutPrefix(stream, protecteditem.Category+"-")
	if !ok || react == 0 && drill == 0 && copying == 0 && !watch && !plan {
		return nil
	}
	state, _, err := m.Items.Load(ctx, item)
	if err != nil {
		return fmt.Errorf("load protected item %s: %w", item, err)
	}
	if react != 0 {
		if err := m.replication(ctx, item, state, react); err != nil {
			return err
		}
	}
	if drill != 0 {
		if err := m.drill(ctx, item, state, drill); err != nil {
			return err
		}
	}
	if copying != 0 {
		if err := m.copying(ctx, item, state, copying); err != nil {
			return err
		}
	}
	if watch {
		if err := m.upkeep(ctx, item, state); err != nil {
			return err
		}
	}
	if plan && state.Job != nil {
		return m.wakePlanOf(ctx, state.Job.ID)
	}
	return nil
}

// upkeep makes the lane due that tells of the item's health. It needs neither host
// nor store: they may be what is away.
func (m *Manager) upkeep(ctx context.Context, item string, s protecteditem.State) error {
	at, due := workflow.UpkeepDue(s, m.Now())
	if !due {
		return nil
	}
	return m.ask(ctx, lane.Due{Key: lane.Key{Item: item, Kind: lane.Upkeep}, At: at})
}

// replication makes the item's main lane due. What is interrupted is looked at
// again even if nothing is due: the state says what becomes of it.
func (m *Manager) replication(ctx context.Context, item string, s protecteditem.State, react reaction) error {
	stop := react == interrupt && outranks(s)
	at, due := workflow.Due(s, m.Now())
	if !due {
		at = m.Now()
	}
	if len(s.Released) > 0 { // the store follows at once
		at, due = m.Now(), true
	}
	if !due && !stop {
		return nil
	}
	return m.ask(ctx, lane.Due{Key: lane.Key{Item: item, Kind: lane.Replication}, At: at, Host: hostOf(s), Store: StoreNeed(s.Vault, s.Store.ID), Interrupt: stop})
}

func (m *Manager) drill(ctx context.Context, item string, s protecteditem.State, react reaction) error {
	stop := react == interrupt && s.TestJob == nil
	at, due := workflow.DrillDue(s, m.Now())
	if !due {
		at = m.Now()
	}
	// A lane that a test failover never had is not made by its end.
	if !due && (!stop || s.EndedTest.ID == "") {
		return nil
	}
	return m.ask(ctx, lane.Due{Key: lane.Key{Item: item, Kind: lane.Drill}, At: at, Host: recoveryOf(s), Store: StoreNeed(s.Vault, s.Store.ID), Interrupt: stop})
}

func (m *Manager) ask(ctx context.Context, d lane.Due) error {
	if err := m.Lanes.Upsert(ctx, d); err != nil {
		return fmt.Errorf("make lane %s due: %w", d.Key, err)
	}
	if m.Wake != nil {
		m.Wake()
	}
	return nil
}

// outranks says whether the state still is what an interrupting event brought.
func outranks(s protecteditem.State) bool {
	switch s.Protection {
	case protecteditem.DisablingProtection, protecteditem.PlannedFailoverInProgress, protecteditem.UnplannedFailoverInProgress:
		return true
	case protecteditem.FailbackSynchronizing: // the source may be being looked after
		return true
	case protecteditem.FailbackAwaitingCompletion, protecteditem.FailbackCompleting, protecteditem.FailbackCommitRequired:
		return s.Job != nil
	case protecteditem.FailoverCommitRequired: // the source may be being looked after
		return s.Job != nil
	default:
		return s.Resync.State == protecteditem.ResyncRequired || s.Paused != nil
	}
}

// hostOf is the host without which the item's work cannot be done. A VM that has
// failed over, or is about to, does not need its source's.
func hostOf(s protecteditem.State) string {
	target := s.Failback.Target
	switch {
	case s.Protection == protecteditem.UnplannedFailoverInProgress, s.Protection == protecteditem.FailoverCommitRequired,
		s.Protection == protecteditem.FailedOver:
		return recoveryOf(s)
	case !target.Original(): // while a failback to it is open
		return HostNeed(s.Vault, target.Site, target.Host)
	default:
		return HostNeed(s.Vault, s.Site, s.Host)
	}
}

func recoveryOf(s protecteditem.State) string {
	return HostNeed(s.Vault, s.Recovery.Site, s.Recovery.Host)
}

// HostNeed names a host in the column by which workers choose lanes.
func HostNeed(vault, site, host string) string { return vault + "/" + site + "/" + host }

// StoreNeed names a storage account in the column by which workers choose lanes.
func StoreNeed(vault, account string) string { return vault + "/" + account }
