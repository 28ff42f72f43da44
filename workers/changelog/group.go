package changelog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"farshore/domain/errorcatalog"
)

var errClosed = errors.New("tracking has ended")

// Group tracks the disks of one VM.
type Group struct {
	options Options
	limit   atomic.Int64

	mu       sync.Mutex // one cut, restart or release at a time
	trackers []*tracker
	gates    []*Gate
	closed   bool
	held     atomic.Int64 // how long the last cut held the guests' writes, in nanoseconds
}

func newGroup(o Options, disks []TrackedDisk) *Group {
	g := &Group{options: o}
	g.limit.Store(int64(o.LimitPercent))
	for _, d := range disks {
		t := &tracker{disk: d, options: &g.options, limit: &g.limit}
		t.state = state{Disk: d.ID, SizeBytes: d.Gate.Size(), BootID: o.BootID}
		g.trackers = append(g.trackers, t)
		g.gates = append(g.gates, d.Gate)
	}
	return g
}

// StartGroup begins to track the disks, on all of them at one instant, and
// removes what an earlier group has left beside them. inHold, if not nil, runs at
// that instant, while no write is in flight. It is durable when it returns.
func StartGroup(ctx context.Context, o Options, disks []TrackedDisk, inHold func() error) (*Group, error) {
	g := newGroup(o, disks)
	for _, d := range disks {
		if err := removeStrays(d.Base, func(string) bool { return false }); err != nil {
			return nil, err
		}
	}
	if err := g.restart(ctx, g.trackers, inHold); err != nil {
		return nil, errors.Join(fmt.Errorf("begin tracking: %w", err), g.Stop())
	}
	return g, nil
}

// Restart drops all logs of the given disks and begins new ones at one instant;
// inHold, if not nil, runs at that instant, while no disk of the group has a write
// in flight. When it fails, the disks are left untracked.
func (g *Group) Restart(ctx context.Context, disks []string, inHold func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errClosed
	}
	var chosen []*tracker
	for _, id := range disks {
		t, err := g.tracker(id)
		if err != nil {
			return err
		}
		chosen = append(chosen, t)
	}
	return g.restart(ctx, chosen, inHold)
}

func (g *Group) restart(ctx context.Context, trackers []*tracker, inHold func() error) error {
	fresh := make([]*openLog, len(trackers))
	for i, t := range trackers {
		t.abandon()
		if f := t.checkSpace(); f != nil {
			return errors.Join(f, destroyAll(trackers, fresh))
		}
		var err error
		if fresh[i], err = t.create(""); err != nil {
			return errors.Join(err, destroyAll(trackers, fresh))
		}
	}
	err := Hold(ctx, g.gates, func() error {
		if inHold != nil {
			if err := inHold(); err != nil {
				return err
			}
		}
		for i, t := range trackers {
			t.begin(fresh[i])
		}
		return nil
	})
	if err != nil {
		return errors.Join(err, destroyAll(trackers, fresh))
	}
	for _, t := range trackers {
		if err := t.save(); err != nil {
			return err
		}
	}
	return nil
}

func destroyAll(trackers []*tracker, logs []*openLog) error {
	var err error
	for i, l := range logs {
		if l != nil {
			err = errors.Join(err, trackers[i].destroy(l))
		}
	}
	return err
}

// abandon drops all logs; until tracking has begun anew, the state on disk says
// that it has not.
func (t *tracker) abandon() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed.Store(true)
	t.dropLogs(errorcatalog.Fail(errorcatalog.LogUnclean, "tracking of disk %q was begun and never completed", t.disk.ID))
}

// begin makes l the first log of a new chain, within a hold.
func (t *tracker) begin(l *openLog) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state.Failure, t.state.Logs, t.open = nil, nil, nil
	t.state.BootID, t.state.SizeBytes = t.options.BootID, t.disk.Gate.Size()
	t.name(l)
	t.pending.Store(0) // writes in flight while logs were dropped may have counted
	t.failed.Store(false)
	t.disk.Gate.swap(l)
}

func (t *tracker) save() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.save(t.disk.Base)
}

// Cut seals the logs of all disks at one instant and begins new ones. Everything
// slow happens before and after the hold: without InHold, guests wait only while
// pointers are switched. It fails with the code of class Resynchronize when a
// disk's log cannot be trusted; then and after any other failure the logs that
// were sealed go into the next cut.
func (g *Group) Cut(ctx context.Context, o CutOptions) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errClosed
	}
	for _, t := range g.trackers {
		if f := t.checkSpace(); f != nil {
			t.fail(f)
		}
		if f := t.failure(); f != nil {
			return f
		}
	}
	next, err := g.prepareAll()
	if err != nil {
		return err
	}
	before, instant, err := g.switchAround(ctx, o, next)
	if err != nil {
		return errors.Join(err, g.unprepareAll(next))
	}
	logs, err := g.sealAll(before, next)
	if err != nil {
		return err
	}
	if o.Record != nil {
		if err := o.Record(instant, logs); err != nil {
			return fmt.Errorf("record cut: %w", err)
		}
	}
	for i, t := range g.trackers {
		t.claim(logs[i].Logs)
	}
	return nil
}

// switchAround switches the logs within what is to happen around it.
func (g *Group) switchAround(ctx context.Context, o CutOptions, next []*openLog) (before []*openLog, instant time.Time, err error) {
	if o.Around == nil {
		return g.switchLogs(ctx, o, next)
	}
	held := false
	refused := o.Around(func(ctx context.Context) error {
		before, instant, err = g.switchLogs(ctx, o, next)
		held = true
		return err
	})
	if !held {
		return nil, instant, fmt.Errorf("prepare the hold: %w", refused)
	}
	return before, instant, err
}

// switchLogs makes next current on all disks at one instant.
func (g *Group) switchLogs(ctx context.Context, o CutOptions, next []*openLog) (before []*openLog, instant time.Time, err error) {
	before = make([]*openLog, len(next))
	began := g.options.Now()
	defer func() { g.held.Store(int64(g.options.Now().Sub(began))) }()
	swap := func() {
		instant = g.options.Now()
		for i, t := range g.trackers {
			before[i] = t.swap(next[i])
		}
	}
	if o.InHold == nil {
		err = hold(ctx, g.gates, func() error { swap(); return nil })
		return before, instant, err
	}
	err = Hold(ctx, g.gates, func() error {
		if err := o.InHold(); err != nil {
			return fmt.Errorf("act at the cut's instant: %w", err)
		}
		swap()
		return nil
	})
	return before, instant, err
}

// prepareAll makes the logs that follow the current ones, or none.
func (g *Group) prepareAll() ([]*openLog, error) {
	next := make([]*openLog, len(g.trackers))
	var work errgroup.Group
	for i, t := range g.trackers {
		work.Go(func() (err error) {
			next[i], err = t.prepare()
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return nil, errors.Join(err, g.unprepareAll(next))
	}
	return next, nil
}

func (g *Group) unprepareAll(next []*openLog) error {
	var err error
	for i, t := range g.trackers {
		if next[i] != nil {
			err = errors.Join(err, t.unprepare(next[i]))
		}
	}
	return err
}

// sealAll seals the logs that were current before a cut. Where tracking had ended
// before the switch, the log that was prepared goes, too.
func (g *Group) sealAll(before, next []*openLog) ([]DiskLogs, error) {
	var work errgroup.Group
	for i, t := range g.trackers {
		work.Go(func() error {
			if before[i] == nil {
				return errors.Join(t.failure(), t.destroy(next[i]))
			}
			return t.seal(before[i])
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	logs := make([]DiskLogs, len(g.trackers))
	for i, t := range g.trackers {
		logs[i] = t.unclaimed()
	}
	return logs, nil
}

// HoldTime returns how long the last cut held the guests' writes.
func (g *Group) HoldTime() time.Duration { return time.Duration(g.held.Load()) }

// Release deletes sealed logs that are durable elsewhere. Unknown ones have been
// released before.
func (g *Group) Release(disk string, logs []string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errClosed
	}
	t, err := g.tracker(disk)
	if err != nil {
		return err
	}
	return t.release(logs)
}

// SetLimit replaces Options.LimitPercent.
func (g *Group) SetLimit(percent int) { g.limit.Store(int64(percent)) }

// Status returns the state of all disks, in the order they were given.
func (g *Group) Status() []DiskStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]DiskStatus, 0, len(g.trackers))
	for _, t := range g.trackers {
		out = append(out, DiskStatus{Disk: t.disk.ID, PendingBytes: t.pending.Load(), Failure: t.failure()})
	}
	return out
}

// Stop ends tracking and deletes all logs and the tracking state.
func (g *Group) Stop() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	var err error
	for _, t := range g.trackers {
		t.abandon()
		err = errors.Join(err, removeStrays(t.disk.Base, func(string) bool { return false }), remove(t.disk.Base+stateSuffix))
	}
	return err
}

// Close seals the open logs and ends tracking in this process; OpenGroup takes it
// up. The disks' guests must be off: what they write from now on is not logged.
func (g *Group) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	g.closed = true
	before := make([]*openLog, len(g.trackers))
	err := Hold(context.Background(), g.gates, func() error {
		for i, t := range g.trackers {
			before[i] = t.swap(nil)
		}
		return nil
	})
	for i, t := range g.trackers {
		if before[i] != nil {
			err = errors.Join(err, t.close(before[i]))
		}
	}
	return err
}

func (t *tracker) close(l *openLog) error {
	if err := t.disk.Gate.device.Flush(); err != nil {
		return fmt.Errorf("flush disk %q: %w", t.disk.ID, err)
	}
	if err := t.seal(l); err != nil {
		return err
	}
	var stamp string
	if t.disk.Stamp != nil {
		var err error
		if stamp, err = t.disk.Stamp(); err != nil {
			return fmt.Errorf("take stamp of disk %q: %w", t.disk.ID, err)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state.Clean = &stamp
	return t.state.save(t.disk.Base)
}

func (g *Group) tracker(disk string) (*tracker, error) {
	i := slices.IndexFunc(g.trackers, func(t *tracker) bool { return t.disk.ID == disk })
	if i < 0 {
		return nil, fmt.Errorf("find tracked disk %q: there is none", disk)
	}
	return g.trackers[i], nil
}

// BootID returns what names the kernel's present boot.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Space returns the free and total bytes of the volume that dir lies on.
func Space(dir string) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("ask for space of %s: %w", dir, err)
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil //nolint:gosec // counts of blocks fit
}
