package changelog

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"farshore/domain/errorcatalog"
)

const (
	// spaceInterval is how many bytes are logged between two looks at the free
	// space: a small part of the least reserve.
	spaceInterval = 8 << 20
	leastReserve  = 1 << 30
	// reservePart is the part of a volume that logs leave free: 1/20, 5 %.
	reservePart = 20
	// leastHole is the shortest run of zeroes that is worth a hole: a page.
	leastHole = 4096
)

// tracker records the writes to one disk. Locks are taken in this order: the
// group's, a tracker's, its gate's.
type tracker struct {
	disk    TrackedDisk
	options *Options
	limit   *atomic.Int64 // percent, the group's
	pending atomic.Int64  // bytes in logs that were not released
	failed  atomic.Bool   // the reason is durable

	mu    sync.Mutex
	state state
	open  []*openLog // not sealed
}

// openLog is a log that is not sealed yet.
type openLog struct {
	tracker      *tracker
	id, previous string
	writer       *Writer
	dirty        *dirtyMap
	counted      atomic.Int64 // its part of tracker.pending

	users     int  // under the gate's lock
	abandoned bool // under the gate's lock
}

func (t *tracker) logPath(id string) string { return t.disk.Base + "." + id + logSuffix }

func (t *tracker) mapPath(id string) string { return t.disk.Base + "." + id + mapSuffix }

// create makes a log that takes no writes yet, with its map, durably.
func (t *tracker) create(previous string) (*openLog, error) {
	size, id := t.disk.Gate.Size(), t.options.NewID()
	dirty, err := createMap(t.mapPath(id), id, t.options.BootID, size)
	if err != nil {
		_ = remove(t.mapPath(id))
		return nil, err
	}
	w, err := Create(t.logPath(id), LogOptions{ID: id, PreviousID: previous, DiskSize: size, Now: t.options.Now})
	if err != nil {
		dirty.close()
		return nil, errors.Join(err, remove(t.mapPath(id)))
	}
	l := &openLog{tracker: t, id: id, previous: previous, writer: w, dirty: dirty}
	if err := SyncDir(filepath.Dir(t.disk.Base)); err != nil {
		return nil, errors.Join(err, t.destroy(l))
	}
	return l, nil
}

// destroy closes and deletes a log that nobody uses.
func (t *tracker) destroy(l *openLog) error {
	l.discard()
	return t.removeLog(l.id)
}

func (t *tracker) removeLog(id string) error {
	return errors.Join(remove(t.logPath(id)), remove(t.mapPath(id)))
}

// record logs a write of n bytes, of zeroes if p is nil. Whatever goes wrong ends
// tracking; the guest's write goes on.
func (l *openLog) record(off, n int64, p []byte) {
	t := l.tracker
	if t.failed.Load() {
		return
	}
	if len(p) >= leastHole && allZero(p) {
		p = nil
	}
	if f := l.take(int64(len(p)) + entrySize); f != nil {
		t.fail(f)
		return
	}
	l.dirty.set(off, n)
	var err error
	if p == nil {
		err = l.writer.AppendZero(off, n)
	} else {
		err = l.writer.Append(off, p)
	}
	if err != nil {
		t.fail(errorcatalog.Of(err))
	}
}

// take counts n more bytes of log and says why there is no room for them.
func (l *openLog) take(n int64) *errorcatalog.Failure {
	t := l.tracker
	pending, size := t.pending.Add(n), t.disk.Gate.Size()
	if limit := float64(size) * float64(t.limit.Load()) / 100; float64(pending) > limit {
		return errorcatalog.Fail(errorcatalog.LogThresholdExceeded, "the logs of disk %q reached %d bytes, %d %% of its %d", t.disk.ID, pending, t.limit.Load(), size)
	}
	if counted := l.counted.Add(n); counted/spaceInterval != (counted-n)/spaceInterval {
		return t.checkSpace()
	}
	return nil
}

// checkSpace says whether the reserve of the volume has been reached.
func (t *tracker) checkSpace() *errorcatalog.Failure {
	free, total, err := t.options.Space(filepath.Dir(t.disk.Base))
	if err != nil {
		return errorcatalog.Fail(errorcatalog.LogWriteFailed, "ask for the free space beside disk %q", t.disk.ID).Because(err)
	}
	if reserve := max(total/reservePart, leastReserve); free < reserve {
		return errorcatalog.Fail(errorcatalog.FreeSpaceReserveReached, "%d bytes are free beside disk %q, less than the reserve of %d", free, t.disk.ID, reserve)
	}
	return nil
}

// reread logs what the disk holds where a write failed that is in the log
// already. The flight of that write still keeps others away.
func (l *openLog) reread(off, n int64) {
	if l.tracker.failed.Load() {
		return
	}
	if err := appendFrom(l.writer, l.tracker.disk.Gate.device, off, n); err != nil {
		l.tracker.fail(errorcatalog.Fail(errorcatalog.LogWriteFailed, "read disk %q again after a failed write", l.tracker.disk.ID).Because(err))
	}
}

func (l *openLog) flush() {
	if l.tracker.failed.Load() {
		return
	}
	if err := l.writer.Flush(); err != nil {
		l.tracker.fail(errorcatalog.Of(err))
	}
}

// discard gives back what the log holds in this process.
func (l *openLog) discard() {
	_ = l.writer.Close()
	l.dirty.close()
}

// fail ends tracking of the disk. When it returns, the reason is durable, so that
// no write that goes unrecorded from here on can be forgotten.
func (t *tracker) fail(f *errorcatalog.Failure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state.Failure != nil {
		return
	}
	for _, l := range t.open {
		l.dirty.fail(f.Code)
	}
	t.dropLogs(f)
	t.failed.Store(true)
}

// dropLogs removes all logs for the given reason, under the lock. When the state
// cannot be saved because the volume is full, the logs make room for it; until it
// is saved, the mark in the maps and the missing logs speak for it.
func (t *tracker) dropLogs(f *errorcatalog.Failure) {
	before := t.state.Logs
	t.state.Failure, t.state.Logs, t.state.Clean = f, nil, nil
	saved := t.state.save(t.disk.Base) == nil
	t.disk.Gate.drop()
	for _, l := range before {
		if saved || l.Sealed {
			_ = t.removeLog(l.ID) // OpenGroup removes what is left
			continue
		}
		_ = remove(t.logPath(l.ID))
	}
	t.open = nil
	t.pending.Store(0)
	if !saved && t.state.save(t.disk.Base) == nil {
		for _, l := range before {
			_ = t.removeLog(l.ID)
		}
	}
}

// failure returns why the disk is not tracked, or nil.
func (t *tracker) failure() *errorcatalog.Failure {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.Failure
}

// prepare makes the log that follows the current one and names it in the state.
func (t *tracker) prepare() (*openLog, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.state.Failure; f != nil {
		return nil, f
	}
	l, err := t.create(t.state.Logs[len(t.state.Logs)-1].ID)
	if err != nil {
		return nil, fmt.Errorf("prepare log of disk %q: %w", t.disk.ID, err)
	}
	logs := len(t.state.Logs)
	t.name(l)
	if err := t.state.save(t.disk.Base); err != nil {
		t.state.Logs, t.open = t.state.Logs[:logs], t.open[:len(t.open)-1]
		return nil, errors.Join(err, t.destroy(l))
	}
	return l, nil
}

// name adds an open log to the chain, under the lock.
func (t *tracker) name(l *openLog) {
	t.state.Logs = append(t.state.Logs, chained{Log: Log{ID: l.id, PreviousID: l.previous, File: t.logPath(l.id)}})
	t.open = append(t.open, l)
}

// unprepare takes back a prepared log that was not used.
func (t *tracker) unprepare(l *openLog) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(l)
	if n := len(t.state.Logs) - 1; n >= 0 && t.state.Logs[n].ID == l.id {
		t.state.Logs = t.state.Logs[:n]
	}
	return errors.Join(t.state.save(t.disk.Base), t.destroy(l))
}

// forget takes a log off the list of open ones, under the lock.
func (t *tracker) forget(l *openLog) {
	for i := range t.open {
		if t.open[i] == l {
			t.open = append(t.open[:i:i], t.open[i+1:]...)
			return
		}
	}
}

// swap makes next current within a hold; it returns what was, or nil when the
// disk is not tracked any more.
func (t *tracker) swap(next *openLog) *openLog {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state.Failure != nil {
		return nil
	}
	return t.disk.Gate.swap(next)
}

// seal closes a log that takes no more writes, once those in flight have landed.
func (t *tracker) seal(l *openLog) error {
	t.disk.Gate.settle(l)
	if f := t.failure(); f != nil {
		return f
	}
	sealed, err := l.writer.Seal()
	if err != nil {
		t.fail(errorcatalog.Of(err))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(l)
	l.dirty.close()
	if f := t.state.Failure; f != nil {
		return f
	}
	for i := range t.state.Logs {
		if c := &t.state.Logs[i]; c.ID == l.id {
			c.Bytes, c.Stored, c.Entries, c.Digest = sealed.Bytes, sealed.Stored, sealed.Entries, sealed.Digest
			c.Sealed = true
		}
	}
	t.pending.Add(sealed.Stored - l.counted.Load())
	if err := t.state.save(t.disk.Base); err != nil {
		return err
	}
	return remove(t.mapPath(l.id))
}

// unclaimed returns the sealed logs that no recorded cut holds, in chain order.
func (t *tracker) unclaimed() DiskLogs {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := DiskLogs{Disk: t.disk.ID, SizeBytes: t.disk.Gate.Size()}
	for _, c := range t.state.Logs {
		if c.Sealed && !c.claimed {
			out.Logs = append(out.Logs, c.Log)
		}
	}
	return out
}

// claim marks logs as held by a recorded cut.
func (t *tracker) claim(logs []Log) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range logs {
		for i := range t.state.Logs {
			if t.state.Logs[i].ID == l.ID {
				t.state.Logs[i].claimed = true
			}
		}
	}
}

// release forgets and deletes sealed logs.
func (t *tracker) release(ids []string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	released := make(map[string]bool, len(ids))
	for _, id := range ids {
		released[id] = true
	}
	var kept []chained
	var gone []Log
	for _, c := range t.state.Logs {
		if c.Sealed && released[c.ID] {
			gone = append(gone, c.Log)
		} else {
			kept = append(kept, c)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	t.state.Logs = kept
	if err := t.state.save(t.disk.Base); err != nil {
		return err
	}
	for _, l := range gone {
		t.pending.Add(-l.Stored)
		if err := t.removeLog(l.ID); err != nil {
			return err
		}
	}
	return nil
}
