package networks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/networkmapping"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/workers/workflow"
)

// Group is the consumer group of the checker.
const Group = "networks"

// Checker records with each item what is wrong with its networks, whenever they,
// their mappings or the item's own settings have changed.
type Checker struct {
	Book   Book // its Items has seen everything that is in the log by now
	Items  workflow.Items
	Now    func() time.Time
	Logger *slog.Logger
}

// Run feeds the checker from a subscriber until ctx ends.
func (c *Checker) Run(ctx context.Context, events message.Subscriber) error {
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 5 * time.Second}, watermill.NewSlogLogger(c.Logger))
	if err != nil {
		return fmt.Errorf("make router: %w", err)
	}
	//nolint:contextcheck // a message brings the context of its subscription
	router.AddConsumerHandler("networks", eventstore.AllEvents, events, func(msg *message.Message) error {
		return c.Handle(msg.Context(), msg.Metadata[eventstore.MetadataStream], msg.Metadata[eventstore.MetadataType])
	})
	if err := router.Run(ctx); err != nil {
		return fmt.Errorf("run network checker: %w", err)
	}
	return nil
}

// ofSites lists the events after which a site has other networks. What VMs are
// found on its hosts matters only until its networks are loaded, and then only to
// what is mapped to them, which is known by its name.
func ofSites() []string {
	return []string{site.NetworkAdded{}.EventType(), site.NetworkChanged{}.EventType(), site.NetworkRemoved{}.EventType()}
}

// ofItems lists the events after which an item's networks are looked at.
func ofItems() []string {
	return []string{
		protecteditem.ProtectionEnabling{}.EventType(), protecteditem.NetworkSettingsChanged{}.EventType(),
		protecteditem.FailbackCommitted{}.EventType(), protecteditem.ProtectionDisabled{}.EventType(),
	}
}

// Handle looks at the items that an event of a stream may concern. An error brings
// the event back.
func (c *Checker) Handle(ctx context.Context, stream, event string) error {
	if key, ok := strings.CutPrefix(stream, site.Category+"-"); ok && slices.Contains(ofSites(), event) {
		vault, id, _ := strings.Cut(key, ".")
		return c.all(ctx, vault, id)
	}
	if vault, ok := strings.CutPrefix(stream, networkmapping.Category+"-"); ok {
		return c.all(ctx, vault, "")
	}
	if key, ok := strings.CutPrefix(stream, protecteditem.Category+"-"); ok && slices.Contains(ofItems(), event) {
		return c.item(ctx, key)
	}
	return nil
}

// all looks at every item of a site, or of a vault if none is named.
func (c *Checker) all(ctx context.Context, vault, id string) error {
	look := c.Book.read()
	found, err := look.at(ctx, vault, id)
	if err != nil {
		return err
	}
	for _, s := range found {
		if err := c.check(ctx, look, s); err != nil {
			return err
		}
	}
	return nil
}

// item looks at one item, and at those that share an address with it, or did.
func (c *Checker) item(ctx context.Context, key string) error {
	s, _, err := c.Items.Load(ctx, key)
	if err != nil {
		return fmt.Errorf("load protected item %s: %w", key, err)
	}
	look := c.Book.read()
	if err := c.check(ctx, look, s); err != nil {
		return err
	}
	others, err := look.at(ctx, s.Vault, s.Recovery.Site)
	if err != nil {
		return err
	}
	taken, err := look.takenAt(ctx, s.Vault, s.Recovery.Site)
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.Item == s.Item || !shared(o) && !sharing(taken, s.Item, o.Item) {
			continue
		}
		if err := c.check(ctx, look, o); err != nil {
			return err
		}
	}
	return nil
}

// sharing says whether two items have an address in common.
func sharing(taken []protecteditem.TakenAddress, one, other string) bool {
	return slices.ContainsFunc(taken, func(a protecteditem.TakenAddress) bool {
		return a.Item == one && slices.ContainsFunc(taken, func(b protecteditem.TakenAddress) bool {
			return b.Item == other && a.Network == b.Network && a.IP == b.IP
		})
	})
}

// shared says whether an item was found to have an address in common with another.
func shared(s protecteditem.State) bool {
	return slices.ContainsFunc(s.NetworkFindings, func(f protecteditem.NetworkFinding) bool { return f.Code == errorcatalog.StaticAddressInUse })
}

// check records what is wrong with an item's networks, if that is news.
func (c *Checker) check(ctx context.Context, look *reading, s protecteditem.State) error {
	known, err := look.of(ctx, s)
	if err != nil {
		return err
	}
	cmd := protecteditem.RecordNetworkCheck{Findings: protecteditem.PlanNetworks(s, known).Findings, At: c.Now()}
	if slices.Equal(cmd.Findings, s.NetworkFindings) {
		return nil
	}
	how := eventstore.Execution{Metadata: eventstore.Metadata{Actor: "worker:networks", Vault: s.Vault}}
	_, err = c.Items.Execute(ctx, s.Key(), cmd, how)
	if _, refused := errors.AsType[*domain.RejectionError](err); refused {
		return nil // it is not protected any more
	}
	if err != nil {
		return fmt.Errorf("record network check of %s: %w", s.Key(), err)
	}
	return nil
}
