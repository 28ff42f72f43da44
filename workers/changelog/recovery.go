package changelog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
)

// OpenGroup takes up tracking that an earlier process began, before the disks
// accept writes. A disk whose logs cannot be trusted is not tracked; Status says
// why and Restart begins anew. With no tracking state beside a disk it fails with
// an error that is fs.ErrNotExist.
func OpenGroup(ctx context.Context, o Options, disks []TrackedDisk) (*Group, error) {
	g := newGroup(o, disks)
	for _, t := range g.trackers {
		var err error
		if t.state, err = loadState(t.disk.Base); err != nil {
			return nil, err
		}
	}
	for _, t := range g.trackers {
		if err := t.recover(ctx); err != nil {
			return nil, fmt.Errorf("recover logs of disk %q: %w", t.disk.ID, err)
		}
	}
	return g, nil
}

// recover makes the chain whole and opens a new log at its end, or fails the
// tracking of the disk.
func (t *tracker) recover(ctx context.Context) error {
	err := removeStrays(t.disk.Base, func(id string) bool {
		return slices.ContainsFunc(t.state.Logs, func(c chained) bool { return c.ID == id })
	})
	if err != nil {
		return err
	}
	if t.state.Failure != nil {
		t.failed.Store(true)
		return nil //nolint:nilerr // the disk's state tells; the other disks go on
	}
	open, err := t.resume(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		t.fail(asFailure(err))
		return nil
	}
	t.disk.Gate.swap(open)
	return nil
}

// asFailure keeps a code of class Resynchronize and calls anything else a failure
// to write the log: the guest goes on, and the disk cannot be followed.
func asFailure(err error) *errorcatalog.Failure {
	if f, ok := errors.AsType[*errorcatalog.Failure](err); ok {
		return f
	}
	return errorcatalog.Fail(errorcatalog.LogWriteFailed, "take up the change log").Because(err)
}

func (t *tracker) resume(ctx context.Context) (*openLog, error) {
	if size := t.disk.Gate.Size(); size != t.state.SizeBytes {
		return nil, errorcatalog.Fail(errorcatalog.DiskChangedOffline, "disk %q has %d bytes, its log is of %d", t.disk.ID, size, t.state.SizeBytes)
	}
	if err := t.checkStamp(); err != nil {
		return nil, err
	}
	if err := t.checkMarks(); err != nil {
		return nil, err
	}
	dirty, err := t.checkChain()
	if err != nil {
		return nil, err
	}
	chain, replaced := t.state.Logs, []chained(nil)
	if i := slices.IndexFunc(chain, func(c chained) bool { return !c.Sealed }); i >= 0 {
		replaced = chain[i:]
		replacement, err := t.replace(ctx, chain[i].PreviousID, dirty)
		if err != nil {
			return nil, err
		}
		chain = append(slices.Clone(chain[:i]), replacement)
	}
	return t.continueWith(chain, replaced)
}

// checkStamp tells whether somebody changed the disk while it was closed.
func (t *tracker) checkStamp() error {
	if t.state.Clean == nil || t.disk.Stamp == nil {
		return nil
	}
	now, err := t.disk.Stamp()
	if err != nil {
		return fmt.Errorf("take stamp of disk %q: %w", t.disk.ID, err)
	}
	if now != *t.state.Clean {
		return errorcatalog.Fail(errorcatalog.DiskChangedOffline, "disk %q was changed while it was not tracked: %s became %s", t.disk.ID, *t.state.Clean, now)
	}
	return nil
}

// checkMarks looks for the reason why tracking had stopped, in case the volume
// had no room to save it.
func (t *tracker) checkMarks() error {
	for _, c := range t.state.Logs {
		if c.Sealed {
			continue
		}
		_, err := readMap(t.mapPath(c.ID), c.ID, t.state.BootID, t.state.SizeBytes)
		if err != nil && !errors.Is(err, errUntrusted) {
			return err
		}
	}
	return nil
}

// checkChain checks every log of the chain and returns what the unclosed ones
// have to be replaced with.
func (t *tracker) checkChain() ([]disk.Extent, error) {
	var dirty []disk.Extent
	open := false
	for i := range t.state.Logs {
		c := &t.state.Logs[i]
		c.claimed = slices.Contains(t.disk.Claimed, c.ID)
		if c.Sealed {
			if open {
				return nil, errorcatalog.Fail(errorcatalog.LogChainBroken, "log %s is closed and the one before it is not", c.ID)
			}
			if err := t.checkSealed(*c); err != nil {
				return nil, err
			}
			t.pending.Add(c.Stored)
			continue
		}
		open = true
		if t.state.BootID != t.options.BootID {
			return nil, errorcatalog.Fail(errorcatalog.LogUnclean, "the machine was restarted while log %s of disk %q was open", c.ID, t.disk.ID)
		}
		ranges, err := readMap(t.mapPath(c.ID), c.ID, t.options.BootID, t.state.SizeBytes)
		if errors.Is(err, errUntrusted) {
			return nil, errorcatalog.Fail(errorcatalog.LogUnclean, "log %s of disk %q was not closed", c.ID, t.disk.ID).Because(err)
		} else if err != nil {
			return nil, err
		}
		dirty = append(dirty, ranges...)
	}
	return union(dirty), nil
}

func (t *tracker) checkSealed(c chained) error {
	f, err := os.Open(t.logPath(c.ID))
	if err != nil {
		return errorcatalog.Fail(errorcatalog.LogMissing, "log %s of disk %q is missing", c.ID, t.disk.ID).Because(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at log: %w", err)
	}
	if info.Size() != c.Bytes {
		return errorcatalog.Fail(errorcatalog.LogTruncated, "log %s of disk %q has %d bytes of %d", c.ID, t.disk.ID, info.Size(), c.Bytes)
	}
	r, err := NewReader(f, info.Size())
	if err != nil {
		return err
	}
	if h := r.Header(); h.ID != c.ID || h.PreviousID != c.PreviousID {
		return errorcatalog.Fail(errorcatalog.LogChainBroken, "the file of log %s holds log %s", c.ID, h.ID)
	}
	return nil
}

func union(ranges []disk.Extent) []disk.Extent {
	slices.SortFunc(ranges, func(a, b disk.Extent) int { return cmp.Compare(a.Offset, b.Offset) })
	var out []disk.Extent
	for _, r := range ranges {
		if n := len(out); n > 0 && out[n-1].End() >= r.Offset {
			out[n-1].Length = max(out[n-1].End(), r.End()) - out[n-1].Offset
			continue
		}
		out = append(out, r)
	}
	return out
}

// replace writes a sealed log of what the disk holds in the given ranges.
func (t *tracker) replace(ctx context.Context, previous string, ranges []disk.Extent) (chained, error) {
	id := t.options.NewID()
	w, err := Create(t.logPath(id), LogOptions{ID: id, PreviousID: previous, DiskSize: t.state.SizeBytes, Now: t.options.Now})
	if err != nil {
		return chained{}, err
	}
	sealed, err := t.fill(ctx, w, ranges)
	if err != nil {
		_ = w.Close()
		return chained{}, errors.Join(err, remove(t.logPath(id)))
	}
	t.pending.Add(sealed.Stored)
	return chained{Sealed: true, Log: Log{
		ID: id, PreviousID: previous, File: t.logPath(id),
		Bytes: sealed.Bytes, Stored: sealed.Stored, Entries: sealed.Entries, Digest: sealed.Digest,
	}}, nil
}

func (t *tracker) fill(ctx context.Context, w *Writer, ranges []disk.Extent) (Sealed, error) {
	for _, r := range ranges {
		for off := r.Offset; off < r.End(); off += maxEntry {
			if err := context.Cause(ctx); err != nil {
				return Sealed{}, fmt.Errorf("read dirty ranges: %w", err)
			}
			if err := appendFrom(w, t.disk.Gate.device, off, min(maxEntry, r.End()-off)); err != nil {
				return Sealed{}, errorcatalog.Fail(errorcatalog.LogUnclean, "read the dirty ranges of disk %q", t.disk.ID).Because(err)
			}
		}
	}
	return w.Seal()
}

// continueWith opens a new log at the end of the chain, makes that durable and
// deletes the logs that were replaced.
func (t *tracker) continueWith(chain, replaced []chained) (*openLog, error) {
	previous := ""
	if n := len(chain); n > 0 {
		previous = chain[n-1].ID
	}
	l, err := t.create(previous)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state.Logs, t.state.Clean, t.state.BootID = chain, nil, t.options.BootID
	t.name(l)
	err = t.state.save(t.disk.Base)
	for _, c := range replaced {
		if err == nil {
			err = t.removeLog(c.ID)
		}
	}
	if err != nil {
		t.forget(l)
		return nil, errors.Join(err, t.destroy(l))
	}
	return l, nil
}

// appendFrom logs what src holds in a range.
func appendFrom(w *Writer, src io.ReaderAt, off, n int64) error {
	buf := make([]byte, min(n, maxEntry))
	for n > 0 {
		p := buf[:min(n, maxEntry)]
		if got, err := src.ReadAt(p, off); got < len(p) {
			return fmt.Errorf("read disk at %d: %w", off, err)
		}
		var err error
		if allZero(p) {
			err = w.AppendZero(off, int64(len(p)))
		} else {
			err = w.Append(off, p)
		}
		if err != nil {
			return err
		}
		off, n = off+int64(len(p)), n-int64(len(p))
	}
	return nil
}

func allZero(p []byte) bool {
	return p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}
