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

	"farshore/domain/protecteditem"
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
		protecteditem.ReplicationRequested{}.EventType():       wake,
		protecteditem.ReplicationFailed{}.EventType():          wake,
		protecteditem.ResynchronizationRequired{}.EventType():  wake,
		protecteditem.ResynchronizationRequested{}.EventType(): interrupt,
		protecteditem.PlannedFailoverStarted{}.EventType():     interrupt,
		protecteditem.PlannedFailoverFailed{}.EventType():      wake,
		protecteditem.FailoverCommitStarted{}.EventType():      wake,
		protecteditem.ProtectionDisabling{}.EventType():        interrupt,
		protecteditem.ProtectionDisabled{}.EventType():         wake,
	}
}

// Run feeds the manager from a subscriber until ctx ends.
func (m *Manager) Run(ctx context.Context, events message.Subscriber) error {
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 5 * time.Second}, watermill.NewSlogLogger(m.Logger))
	if err != nil {
		return fmt.Errorf("make router: %w", err)
	}
	//nolint:contextcheck // a message brings the context of its subscription
	router.AddConsumerHandler("lanes", protecteditem.Category, events, func(msg *message.Message) error {
		return m.Handle(msg.Context(), msg.Metadata[eventstore.MetadataStream], msg.Metadata[eventstore.MetadataType])
	})
	if err := router.Run(ctx); err != nil {
		return fmt.Errorf("run process manager: %w", err)
	}
	return nil
}

// Handle makes the lane of the item due whose stream an event was added to. An
// error brings the event back.
func (m *Manager) Handle(ctx context.Context, stream, event string) error {
	react, ok := reactions()[event]
	if !ok {
		return nil
	}
	item, ok := strings.CutPrefix(stream, protecteditem.Category+"-")
	if !ok {
		return nil
	}
	state, _, err := m.Items.Load(ctx, item)
	if err != nil {
		return fmt.Errorf("load protected item %s: %w", item, err)
	}
	at, due := workflow.Due(state, m.Now())
	if !due {
		return nil
	}
	err = m.Lanes.Upsert(ctx, lane.Due{
		Key: lane.Key{Item: item, Kind: lane.Replication}, At: at,
		Host: HostNeed(state.Vault, state.Site, state.Host), Store: StoreNeed(state.Vault, state.Store.ID),
		Interrupt: react == interrupt && outranks(state),
	})
	if err != nil {
		return fmt.Errorf("make lane of %s due: %w", item, err)
	}
	if m.Wake != nil {
		m.Wake()
	}
	return nil
}

// outranks says whether the state still is what an interrupting event brought.
func outranks(s protecteditem.State) bool {
	switch s.Protection {
	case protecteditem.DisablingProtection, protecteditem.PlannedFailoverInProgress:
		return true
	default:
		return s.Resync.State == protecteditem.ResyncRequired
	}
}

// HostNeed names a host in the column by which workers choose lanes.
func HostNeed(vault, site, host string) string { return vault + "/" + site + "/" + host }

// StoreNeed names a storage account in the column by which workers choose lanes.
func StoreNeed(vault, account string) string { return vault + "/" + account }
