package changelog

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Add begins to track further disks, on all of them at one instant. The logs of
// the disks that are tracked go on as they are. What an earlier group has left
// beside the new disks is removed. It is durable when it returns; when it fails,
// nothing has been added.
func (g *Group) Add(ctx context.Context, disks []TrackedDisk) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errClosed
	}
	for _, d := range disks {
		if _, err := g.tracker(d.ID); err == nil {
			return fmt.Errorf("track disk %q: it is tracked already", d.ID)
		}
		if err := removeStrays(d.Base, func(string) bool { return false }); err != nil {
			return err
		}
	}
	fresh := newGroup(g.options, disks)
	for _, t := range fresh.trackers {
		t.options, t.limit = &g.options, &g.limit
	}
	if err := fresh.restart(ctx, fresh.trackers, nil); err != nil {
		return errors.Join(fmt.Errorf("begin tracking: %w", err), fresh.Stop())
	}
	g.trackers = append(slices.Clone(g.trackers), fresh.trackers...)
	g.gates = append(slices.Clone(g.gates), fresh.gates...)
	return nil
}

// Remove ends tracking of the given disks and deletes their logs and tracking
// state. The others go on; a disk that is not tracked has been removed before.
func (g *Group) Remove(disks []string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errClosed
	}
	rest, gone := newGroup(g.options, nil), newGroup(g.options, nil)
	for i, t := range g.trackers {
		of := rest
		if slices.Contains(disks, t.disk.ID) {
			of = gone
		}
		of.trackers, of.gates = append(of.trackers, t), append(of.gates, g.gates[i])
	}
	g.trackers, g.gates = rest.trackers, rest.gates
	return gone.Stop()
}
