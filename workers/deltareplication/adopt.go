package deltareplication

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/replica"
	"farshore/workers/workflow"
)

// adopt lists the points that the store has made since the newest that the item knows,
// if the store's newest is of no cut that the item knows: the database was restored from
// a backup, and the store is ahead of it. Points that have left the store since leave the
// list. It repeats safely. What the item cannot take over asks for a resynchronization.
func adopt(ctx context.Context, i *workflow.Item, store replica.Store, newest string, number int64) error {
	known := slices.ContainsFunc(i.State.Pending, func(s protecteditem.Shipped) bool { return s.Cut == newest })
	if known || Lists(i.State.Points, newest) {
		return nil
	}
	made, err := store.ListPoints(ctx, i.ReplicaID())
	if err != nil {
		return fmt.Errorf("list recovery points: %w", err)
	}
	i.Logger.WarnContext(ctx, "the replica store is ahead of the database, which seems to have been restored", "item", i.Item(), "point", newest)
	for _, p := range ahead(made, i.State.Points) {
		c, err := chainOf(ctx, store, i.ReplicaID(), p.ID)
		if err == nil {
			err = adoptPoint(ctx, i, p, c)
		}
		if refusal, refused := errors.AsType[*domain.RejectionError](err); refused {
			return errorcatalog.Fail(errorcatalog.LogChainBroken, "the replica store is ahead of the database with point %s: %s", p.ID, refusal)
		}
		if err != nil {
			return err
		}
	}
	if err := giveUpMissing(ctx, i, made); err != nil {
		return err
	}
	return recordShipped(ctx, i, store, number) // the cuts that follow them
}

// ahead returns the points behind the newest that is listed.
func ahead(made []replica.PointInfo, listed []protecteditem.Point) []replica.PointInfo {
	for n, p := range slices.Backward(made) {
		if Lists(listed, p.ID) {
			return made[n+1:]
		}
	}
	return made
}

// adoptPoint records a point with the cut that it was made of, of which no more is known.
func adoptPoint(ctx context.Context, i *workflow.Item, p replica.PointInfo, c Chain) error {
	cut := protecteditem.RecordDelta{
		Cut: p.ID, PreviousCut: i.State.LastShipped.Cut, Instant: c.Instant, Logs: []protecteditem.ShippedLog{}, At: i.Now(),
	}
	if c.AppConsistent {
		cut.Consistency = protecteditem.AppConsistent
	}
	if err := i.Record(ctx, cut); err != nil {
		return err
	}
	return record(ctx, i, pointOf(p.PointSpec, c))
}

func giveUpMissing(ctx context.Context, i *workflow.Item, made []replica.PointInfo) error {
	var ids []string
	for _, p := range i.State.Points {
		if !slices.ContainsFunc(made, func(m replica.PointInfo) bool { return m.ID == p.ID }) {
			ids = append(ids, p.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return i.Record(ctx, protecteditem.RemoveRecoveryPoints{IDs: ids, Reason: "not in the replica store", At: i.Now()})
}
