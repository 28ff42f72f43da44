package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"farshore/domain/networkmapping"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/projections"
	"farshore/workers/networks"
)

// networks is what is known of networks, for the API and for workers.
func (s *service) networks() networks.Book {
	return networks.Book{
		Sites: repository(s.log, site.Category, site.Decider), Mappings: repository(s.log, networkmapping.Category, networkmapping.Decider),
		Items: s.itemsOf,
	}
}

// checkNetworks adds what looks after the networks of items.
func (s *service) checkNetworks(ctx context.Context, g *errgroup.Group) error {
	book := s.networks()
	book.Items = func(ctx context.Context, vault, siteID string) ([]protecteditem.State, error) {
		head, err := s.log.Head(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the head of the log: %w", err)
		}
		if err := s.models.WaitFor(ctx, head, projections.ProtectedItemsName); err != nil {
			return nil, fmt.Errorf("wait for the read model of items: %w", err)
		}
		return s.itemsOf(ctx, vault, siteID)
	}
	checker := &networks.Checker{Book: book, Items: s.items(), Now: now, Logger: s.logger}
	events, err := eventstore.NewSubscriber(s.log, eventstore.SubscriberConfig{Group: networks.Group, Logger: s.logger})
	if err != nil {
		return fmt.Errorf("subscribe the network checker: %w", err)
	}
	g.Go(func() error { return checker.Run(ctx, events) })
	return nil
}

// itemsOf lists the items of a site, or of a vault if none is named.
func (s *service) itemsOf(ctx context.Context, vault, siteID string) ([]protecteditem.State, error) {
	if siteID != "" {
		rows, err := s.queries.ItemsAt(ctx, vault, siteID, "")
		return statesOf(rows), err
	}
	var all []protecteditem.State
	_, err := everyRow(func(after string) ([]string, error) {
		rows, err := s.queries.ProtectedItems(ctx, vault, "", projections.Page{After: after, Limit: pageOfRows})
		for _, r := range rows {
			if r.State.Protection != protecteditem.Unprotected {
				all = append(all, r.State)
			}
		}
		return idsOf(rows), err
	})
	return all, err
}

func statesOf[S any](rows []projections.Row[S]) []S {
	states := make([]S, len(rows))
	for i, r := range rows {
		states[i] = r.State
	}
	return states
}
