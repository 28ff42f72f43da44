package changelog

import (
	"context"
	"fmt"
	"sync"

	"farshore/workers/disk"
)

// Gate is the disk.Device under a disk's export for as long as the disk is
// served. It passes everything through while the disk is not tracked, so that
// tracking can begin and end under a running guest.
//
// Writes that overlap are done one after the other, in the order in which they
// are admitted.
type Gate struct {
	device disk.Device

	mu      sync.Mutex
	changed sync.Cond // a flight landed, a hold ended, a log lost its last user
	waiting int
	held    bool
	flights []*flight
	spare   []*flight
	log     *openLog // where admitted writes are recorded; nil while not tracked
	sealing *openLog // the one before it, while a cut is sealing it
}

// flight is an admitted write that has not been completed.
type flight struct {
	from, to int64
	log      *openLog
}

// NewGate returns a Gate over d, untracked.
func NewGate(d disk.Device) *Gate {
	g := &Gate{device: d}
	g.changed.L = &g.mu
	return g
}

var _ disk.Device = (*Gate)(nil)

// ReadAt reads from the disk.
func (g *Gate) ReadAt(p []byte, off int64) (int, error) {
	return g.device.ReadAt(p, off) //nolint:wrapcheck // a gate adds nothing to its disk's errors
}

// Size is the size of the disk.
func (g *Gate) Size() int64 { return g.device.Size() }

// Extents returns the ranges of the disk that may hold data: everything, if the
// disk does not know.
func (g *Gate) Extents(off, n int64) ([]disk.Extent, error) {
	if d, ok := g.device.(interface {
		Extents(off, n int64) ([]disk.Extent, error)
	}); ok {
		return d.Extents(off, n)
	}
	return []disk.Extent{{Offset: off, Length: n}}, nil
}

// WriteAt records the write, if the disk is tracked, and writes.
func (g *Gate) WriteAt(p []byte, off int64) (int, error) {
	if err := g.check(off, int64(len(p))); err != nil || len(p) == 0 {
		return 0, err
	}
	f := g.admit(off, int64(len(p)))
	defer g.land(f)
	if f.log != nil {
		f.log.record(off, int64(len(p)), p)
	}
	n, err := g.device.WriteAt(p, off)
	if err != nil && f.log != nil {
		f.log.reread(off, int64(len(p)))
	}
	return n, err //nolint:wrapcheck // a gate adds nothing to its disk's errors
}

// Zero records the zeroes, if the disk is tracked, and writes them.
func (g *Gate) Zero(off, n int64) error {
	if err := g.check(off, n); err != nil || n == 0 {
		return err
	}
	f := g.admit(off, n)
	defer g.land(f)
	if f.log != nil {
		f.log.record(off, n, nil)
	}
	err := g.device.Zero(off, n)
	if err != nil && f.log != nil {
		f.log.reread(off, n)
	}
	return err
}

// check keeps what the disk would refuse out of the log.
func (g *Gate) check(off, n int64) error {
	if size := g.device.Size(); off < 0 || n < 0 || off > size-n {
		return fmt.Errorf("write %d bytes at %d: the disk has %d", n, off, size)
	}
	return nil
}

// Flush makes everything acknowledged so far durable, on the disk and in the log.
func (g *Gate) Flush() error {
	g.mu.Lock()
	logs := [2]*openLog{g.log, g.sealing}
	for _, l := range logs {
		if l != nil {
			l.users++
		}
	}
	g.mu.Unlock()
	var flushed sync.WaitGroup
	for _, l := range logs {
		if l != nil {
			flushed.Go(l.flush)
		}
	}
	err := g.device.Flush()
	flushed.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range logs {
		g.leave(l)
	}
	return err
}

// admit waits until nothing in flight overlaps the range and no hold is on. The
// log that is current at that moment is the one the write belongs to.
func (g *Gate) admit(off, n int64) *flight {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.held || g.overlaps(off, off+n) {
		g.wait()
	}
	var f *flight
	if last := len(g.spare) - 1; last >= 0 {
		f, g.spare = g.spare[last], g.spare[:last]
	} else {
		f = new(flight)
	}
	*f = flight{from: off, to: off + n, log: g.log}
	if f.log != nil {
		f.log.users++
	}
	g.flights = append(g.flights, f)
	return f
}

func (g *Gate) overlaps(from, to int64) bool {
	for _, f := range g.flights {
		if f.from < to && from < f.to {
			return true
		}
	}
	return false
}

// land ends a flight.
func (g *Gate) land(f *flight) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.flights {
		if g.flights[i] == f {
			last := len(g.flights) - 1
			g.flights[i], g.flights[last] = g.flights[last], nil
			g.flights = g.flights[:last]
			break
		}
	}
	log := f.log
	f.log = nil
	g.spare = append(g.spare, f)
	g.leave(log)
	g.wake()
}

// leave ends the use of a log, under the lock. The last user of an abandoned one
// gives back what it holds.
func (g *Gate) leave(l *openLog) {
	if l == nil {
		return
	}
	if l.users--; l.users == 0 {
		if l.abandoned {
			l.discard()
		}
		g.wake()
	}
}

func (g *Gate) wait() {
	g.waiting++
	g.changed.Wait()
	g.waiting--
}

func (g *Gate) wake() {
	if g.waiting > 0 {
		g.changed.Broadcast()
	}
}

// Hold runs f at an instant when none of the gates' disks has a write in flight:
// new ones wait until f returns. It is how a snapshot of an untracked VM is taken.
func Hold(ctx context.Context, gates []*Gate, f func() error) error {
	return hold(ctx, gates, func() error {
		for _, g := range gates {
			if err := g.drain(ctx); err != nil {
				return err
			}
		}
		return f()
	})
}

// hold runs f while no gate admits a write; those in flight go on.
func hold(ctx context.Context, gates []*Gate, f func() error) error {
	defer context.AfterFunc(ctx, func() {
		for _, g := range gates {
			g.mu.Lock()
			g.changed.Broadcast()
			g.mu.Unlock()
		}
	})()
	if err := closeAll(ctx, gates); err != nil {
		return err
	}
	defer reopen(gates)
	return f()
}

// closeAll holds all gates or none. Holds of sets that share gates cannot block
// each other for ever: whoever finds one held lets go of the others first.
func closeAll(ctx context.Context, gates []*Gate) error {
	for i := 0; i < len(gates); i++ {
		g := gates[i]
		g.mu.Lock()
		if !g.held {
			g.held = true
			g.mu.Unlock()
			continue
		}
		g.mu.Unlock()
		reopen(gates[:i])
		g.mu.Lock()
		for g.held && ctx.Err() == nil {
			g.wait()
		}
		g.mu.Unlock()
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("wait for another hold: %w", err)
		}
		i = -1
	}
	return nil
}

func reopen(gates []*Gate) {
	for _, g := range gates {
		g.mu.Lock()
		g.held = false
		g.changed.Broadcast()
		g.mu.Unlock()
	}
}

// drain waits until nothing is in flight.
func (g *Gate) drain(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.flights) > 0 {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("wait for writes in flight: %w", err)
		}
		g.wait()
	}
	return nil
}

// swap makes next the log of writes admitted from now on; the caller holds the
// gate. What was current is being sealed until sealed is called.
func (g *Gate) swap(next *openLog) (before *openLog) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before, g.log = g.log, next
	g.sealing = before
	return before
}

// settle waits until nobody uses l any more.
func (g *Gate) settle(l *openLog) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for l.users > 0 {
		g.wait()
	}
	if g.sealing == l {
		g.sealing = nil
	}
}

// drop stops recording into any log. Logs in use go when their last user leaves.
func (g *Gate) drop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.abandon(g.log)
	g.abandon(g.sealing)
	g.log, g.sealing = nil, nil
}

// abandon gives up a log that may be in use, under the lock.
func (g *Gate) abandon(l *openLog) {
	if l == nil || l.abandoned {
		return
	}
	l.abandoned = true
	if l.users == 0 {
		l.discard()
	}
}
