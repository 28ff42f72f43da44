// Package retention gives up recovery points that the policy no longer keeps, and
// removes what nobody names any more. A point leaves the item's list before it
// leaves the store: one that is listed can be read.
package retention

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/checksum"
	"farshore/workers/replica"
	"farshore/workers/workflow"
)

// Thin gives up what retention no longer keeps, then sweeps if it did. A point
// that something reads is not among it. Who is to read one pins it in a lane of
// its own, so that may come in between: then the item's new state is asked.
func Thin(ctx context.Context, i *workflow.Item) error {
	for {
		expired := protecteditem.Expired(i.State, i.Now())
		if len(expired) == 0 {
			return nil
		}
		err := i.Record(ctx, protecteditem.RemoveRecoveryPoints{IDs: expired, Reason: "retention", At: i.Now()})
		switch refusal, refused := errors.AsType[*domain.RejectionError](err); {
		case err == nil:
			return Sweep(ctx, i)
		case !refused || refusal.Code != errorcatalog.PointPinned:
			return err
		}
		if err := i.Reload(ctx); err != nil {
			return err
		}
	}
}

// Sweep removes from the store the points that the item does not list, and what
// only they needed. Points later than all that it lists stay, and the newest in any
// case: they may be about to be listed.
func Sweep(ctx context.Context, i *workflow.Item) error {
	store, err := i.Replica(ctx)
	if err != nil {
		return err
	}
	points, err := store.ListPoints(ctx, i.ReplicaID())
	if err != nil {
		return fmt.Errorf("list recovery points: %w", err)
	}
	var kept []replica.PointInfo
	last := len(points) - 1
	for n, p := range points {
		if _, listed := i.State.Point(p.ID); listed {
			last = n
		}
	}
	for n, p := range points {
		if _, listed := i.State.Point(p.ID); listed || n > last || n == len(points)-1 {
			kept = append(kept, p)
			continue
		}
		if err := store.RemovePoint(ctx, i.ReplicaID(), p.ID, i.Token()); err != nil {
			return fmt.Errorf("remove recovery point %s: %w", p.ID, err)
		}
	}
	return collect(ctx, i, store, kept)
}

// collect deletes the objects that belong to no point.
func collect(ctx context.Context, i *workflow.Item, store replica.Store, kept []replica.PointInfo) error {
	roots := map[string][]string{}
	ids := map[string]bool{}
	for _, p := range kept {
		ids[p.ID] = true
		for _, d := range p.Disks {
			roots[d.Disk] = append(roots[d.Disk], d.Root)
		}
	}
	names, err := store.ListObjects(ctx, i.ReplicaID(), "chain/")
	if err != nil {
		return fmt.Errorf("list chain records: %w", err)
	}
	for _, name := range names {
		if ids[strings.TrimSuffix(path.Base(name), ".json")] {
			continue
		}
		if err := store.DeleteObject(ctx, i.ReplicaID(), name); err != nil {
			return fmt.Errorf("delete %s: %w", name, err)
		}
	}
	for disk, used := range roots {
		if _, err := checksum.Collect(ctx, store, i.ReplicaID(), disk, used); err != nil {
			return fmt.Errorf("collect manifests of disk %s: %w", disk, err)
		}
	}
	return nil
}

// Forget deletes the manifests of a disk that no point holds.
func Forget(ctx context.Context, i *workflow.Item, store replica.Store, disk string) error {
	if _, err := checksum.Collect(ctx, store, i.ReplicaID(), disk, nil); err != nil {
		return fmt.Errorf("collect manifests of disk %s: %w", disk, err)
	}
	return nil
}
