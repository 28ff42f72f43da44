package local

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/changelog"
	"farshore/workers/disk"
	"farshore/workers/host/local/cow"
)

// undoPiece is how much original content is one entry of an undo log, in bytes.
const undoPiece = 1 << 20

// undoOverhead is more than what an undo log takes besides content, per entry.
const undoOverhead = 8 << 10

// MergeReturn writes the overlays onto the disks. A VM that is tracked all the
// same needs resynchronization after: its logs know nothing of it.
func (e *Engine) MergeReturn(ctx context.Context, vm, id string) error {
	m, unlock, err := e.forReturn(vm, id)
	if err != nil {
		return err
	}
	defer unlock()
	if !m.isReturn(id) {
		return m.noReturn(id)
	}
	switch m.ret.record.State {
	case returnUndoing:
		return m.halfWay()
	case returnMerged:
		return m.sweepOverlays()
	case returnBegun:
		if err := m.prepareMerge(ctx); err != nil {
			return full(err)
		}
	}
	return m.merge(ctx)
}

// prepareMerge makes everything durable that merging and undoing will need.
// Until its end, nothing has happened to the disks.
func (m *machine) prepareMerge(ctx context.Context) error {
	if err := m.takeUpReturn(nil); err != nil {
		return err
	}
	for _, o := range m.ret.overlays {
		if err := o.Flush(); err != nil {
			return err
		}
	}
	overlays := m.ret.overlays
	if err := m.roomForMerge(); err != nil {
		return err
	}
	for _, d := range m.ret.record.Disks {
		if err := m.saveOriginal(ctx, d.Disk, overlays[d.Disk]); err != nil {
			return errors.Join(err, m.remove(func(name string) bool { return m.besideDisk(name, undoSuffix) }))
		}
	}
	if err := errors.Join(syncDir(m.dir), m.unchanged(), m.closeOverlays(), m.disown()); err != nil {
		return err
	}
	m.ret.record.State = returnMerging
	return m.saveOr(returnBegun)
}

// saveOr saves the record, or goes back to the state that is in the file.
func (m *machine) saveOr(was returnState) error {
	err := m.saveReturn()
	if err != nil {
		m.ret.record.State = was
	}
	return err
}

// roomForMerge tells whether the undo logs and what fills the disks' holes fit.
func (m *machine) roomForMerge() error {
	var need int64
	for _, o := range m.ret.overlays {
		for _, e := range o.Held() {
			data, err := o.base.Extents(e.Offset, e.Length)
			if err != nil {
				return fmt.Errorf("list extents of disk: %w", err)
			}
			need += e.Length + int64(len(data)+1)*undoOverhead + e.Length/undoPiece*undoOverhead
		}
	}
	free, total, err := m.e.o.Space(m.dir)
	if err != nil {
		return fmt.Errorf("ask for space of VM %s: %w", m.id(), err)
	}
	if reserve := max(total/reservePart, leastReserve); need > 0 && free-need < reserve {
		return errorcatalog.Fail(errorcatalog.InsufficientSourceSpace,
			"%d bytes are free beside VM %s; the merge needs %d and leaves a reserve of %d", free, m.id(), need, reserve)
	}
	return nil
}

// saveOriginal writes the undo log of a disk: what it holds wherever the overlay
// will change it.
func (m *machine) saveOriginal(ctx context.Context, diskID string, o *openOverlay) error {
	spec, err := m.disk(diskID)
	if err != nil {
		return err
	}
	err = m.writeUndo(ctx, m.beside(spec, m.ret.record.ID, undoSuffix), o)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT): // no log of a tracked disk is at stake
		return errorcatalog.Fail(errorcatalog.InsufficientSourceSpace, "undo log of disk %s of VM %s", diskID, m.id()).Because(err)
	default:
		return fmt.Errorf("save original of disk %s of VM %s: %w", diskID, m.id(), err)
	}
}

func (m *machine) writeUndo(ctx context.Context, path string, o *openOverlay) error {
	if err := removeFile(path); err != nil {
		return err
	}
	w, err := changelog.Create(path, changelog.LogOptions{ID: m.e.o.NewID(), DiskSize: o.base.Size(), Now: m.e.o.Now})
	if err != nil {
		return err
	}
	for _, e := range o.Held() {
		if err := appendOriginal(ctx, w, o.base, e); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	_, err = w.Seal()
	return err
}

func appendOriginal(ctx context.Context, w *changelog.Writer, base *disk.File, e disk.Extent) error {
	data, err := base.Extents(e.Offset, e.Length)
	if err != nil {
		return err
	}
	p, at := make([]byte, undoPiece), e.Offset
	for _, x := range data {
		if err := w.AppendZero(at, x.Offset-at); err != nil {
			return err
		}
		for at = x.Offset; at < x.End(); {
			if err := ctx.Err(); err != nil {
				return err
			}
			part := p[:min(undoPiece, x.End()-at)]
			if _, err := base.ReadAt(part, at); err != nil {
				return err
			}
			if err := w.Append(at, part); err != nil {
				return err
			}
			at += int64(len(part))
		}
	}
	return w.AppendZero(at, e.End()-at)
}

// disown takes the disks from those who believe to know every write to them:
// snapshots are lost, and a tracked disk needs resynchronization.
func (m *machine) disown() error {
	for id := range m.snapshots {
		if err := m.dropSnapshot(id); err != nil {
			return err
		}
	}
	if m.rel == nil {
		return nil
	}
	for _, d := range m.ret.record.Disks {
		m.distrust(d.Disk, errorcatalog.Fail(errorcatalog.DiskChangedOffline, "disk %s of VM %s was written by return %s", d.Disk, m.id(), m.ret.record.ID))
	}
	return m.saveRelationship()
}

// merge writes the overlays onto the disks, from whatever instant it was left at.
func (m *machine) merge(ctx context.Context) error {
	for _, d := range m.ret.record.Disks {
		if err := m.onDisk(d, func(spec site.Disk, f *disk.File) error {
			o, err := cow.OpenOverlay(m.overlayFiles(spec, m.ret.record.ID), f, m.ret.record.BootID != m.e.boot)
			if err != nil {
				return err
			}
			return errors.Join(o.CopyTo(ctx, f), o.Close())
		}); err != nil {
			return err
		}
	}
	if err := m.markDisks(); err != nil {
		return err
	}
	m.ret.record.State = returnMerged
	if err := m.saveOr(returnMerging); err != nil {
		return err
	}
	return m.sweepOverlays()
}

// onDisk has a disk's file written and makes it durable.
func (m *machine) onDisk(d returnDisk, write func(site.Disk, *disk.File) error) error {
	spec, err := m.disk(d.Disk)
	if err != nil {
		return err
	}
	f, err := disk.Open(m.path(spec.File), spec.Format, false)
	if err != nil {
		return errorcatalog.Fail(errorcatalog.DiskUnwritable, "disk %s of VM %s", d.Disk, m.id()).Because(err)
	}
	if f.Size() != d.Size {
		return errors.Join(errorcatalog.Fail(errorcatalog.DiskSizeChanged, "disk %s of VM %s had %d bytes and has %d", d.Disk, m.id(), d.Size, f.Size()), f.Close())
	}
	err = write(spec, f)
	if err == nil {
		err = f.Flush()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return full(fmt.Errorf("write disk %s of VM %s: %w", d.Disk, m.id(), err))
	}
	return nil
}

// markDisks remembers the disks' files as they are.
func (m *machine) markDisks() error {
	for i, d := range m.ret.record.Disks {
		spec, err := m.disk(d.Disk)
		if err != nil {
			return err
		}
		if m.ret.record.Disks[i].Mark, err = mark(m.path(spec.File)); err != nil {
			return err
		}
	}
	return nil
}

// sweepOverlays gives up overlays that are merged.
func (m *machine) sweepOverlays() error {
	return m.remove(func(name string) bool {
		return m.besideDisk(name, overlaySuffix, overlayMap, overlayMap+".flushed") && m.ownedByReturn(name)
	})
}

// UndoReturn gives the disks back what they held before the merge, whatever a
// guest has made of them since.
func (e *Engine) UndoReturn(ctx context.Context, vm, id string) error {
	m, unlock, err := e.forReturn(vm, id)
	if err != nil {
		return err
	}
	defer unlock()
	if !m.isReturn(id) {
		return m.sweepReturn()
	}
	return m.undo(ctx)
}

func (m *machine) undo(ctx context.Context) error {
	was := m.ret.record.State
	if was == returnBegun {
		return m.dropReturn()
	}
	if was == returnMerged {
		if err := m.undoable(); err != nil {
			return err
		}
	}
	if was != returnUndoing {
		if err := errors.Join(m.verifyUndo(ctx), m.closeOverlays()); err != nil {
			return err
		}
		if err := m.disown(); err != nil {
			return err
		}
		if err := m.beginUndo(was); err != nil {
			return err
		}
	}
	for _, d := range m.ret.record.Disks {
		if err := m.onDisk(d, func(spec site.Disk, f *disk.File) error { return m.restore(ctx, spec, f) }); err != nil {
			return err
		}
	}
	return m.dropReturn()
}

// beginUndo decides that the merge, done or half done, is undone. On a full
// volume the overlays make the room that the record takes: they are not needed
// any more.
func (m *machine) beginUndo(was returnState) error {
	m.ret.record.State = returnUndoing
	err := m.saveReturn()
	if err != nil && errorcatalog.Of(err).Code == errorcatalog.InsufficientSourceSpace {
		if err = m.sweepOverlays(); err == nil {
			err = m.saveReturn()
		}
	}
	if err != nil {
		m.ret.record.State = was
	}
	return err
}

// undoable tells whether all that was overwritten since the merge is known.
func (m *machine) undoable() error {
	for _, d := range m.ret.record.Disks {
		if err := m.undoableDisk(d); err != nil {
			return errorcatalog.Fail(errorcatalog.ReturnNotUndoable, "disk %s of VM %s", d.Disk, m.id()).Because(err)
		}
	}
	return nil
}

func (m *machine) undoableDisk(d returnDisk) error {
	spec, err := m.disk(d.Disk)
	if err != nil {
		return err
	}
	if d.Mark == "" && m.ret.record.BootID != m.e.boot {
		return errors.New("the host lost power while the VM ran")
	}
	if now, err := mark(m.path(spec.File)); err != nil || d.Mark != "" && now != d.Mark {
		return errors.Join(err, fmt.Errorf("it was %s and is %s", d.Mark, now))
	}
	if m.ret.record.Kept {
		s, err := cow.Reopen(m.keptFiles(spec, m.ret.record.ID), d.Size, nil)
		if err != nil {
			return fmt.Errorf("open what the VM overwrote: %w", err)
		}
		_ = s.Close()
	}
	return nil
}

// verifyUndo reads everything that an undo will write: half of it would be worse
// than nothing.
func (m *machine) verifyUndo(ctx context.Context) error {
	for _, d := range m.ret.record.Disks {
		spec, err := m.disk(d.Disk)
		if err != nil {
			return err
		}
		err = m.undoLog(spec, func(x *changelog.Index) error { return putBack(ctx, x, nowhere{}) })
		if err != nil && ctx.Err() == nil {
			return errorcatalog.Fail(errorcatalog.ReturnNotUndoable, "undo log of disk %s of VM %s", d.Disk, m.id()).Because(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// nowhere is a disk that nothing is written to.
type nowhere struct{}

// WriteAt writes nothing.
func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// Zero writes nothing.
func (nowhere) Zero(_, _ int64) error { return nil }

// undoLog opens the undo log of a disk.
func (m *machine) undoLog(spec site.Disk, f func(*changelog.Index) error) error {
	file, err := os.Open(m.beside(spec, m.ret.record.ID, undoSuffix))
	if err != nil {
		return errorcatalog.Fail(errorcatalog.LogMissing, "undo log of disk %s of VM %s", spec.ID, m.id()).Because(err)
	}
	defer file.Close() //nolint:errcheck // read only
	st, err := file.Stat()
	if err != nil {
		return fmt.Errorf("stat undo log: %w", err)
	}
	r, err := changelog.NewReader(file, st.Size())
	if err != nil {
		return fmt.Errorf("open undo log: %w", err)
	}
	x, err := changelog.Open([]*changelog.Reader{r})
	if err != nil {
		return fmt.Errorf("open undo log: %w", err)
	}
	return f(x)
}

// restore writes what a guest has overwritten since the merge, then what the
// merge has.
func (m *machine) restore(ctx context.Context, spec site.Disk, f *disk.File) error {
	if m.ret.record.Kept {
		s, err := cow.Reopen(m.keptFiles(spec, m.ret.record.ID), f.Size(), nil)
		if err != nil {
			return err
		}
		if err := errors.Join(s.CopyTo(ctx, f), s.Close()); err != nil {
			return err
		}
	}
	return m.undoLog(spec, func(x *changelog.Index) error { return putBack(ctx, x, f) })
}

func putBack(ctx context.Context, x *changelog.Index, f cow.Target) error {
	p := make([]byte, undoPiece)
	for _, e := range x.Extents() {
		for at := e.Offset; at < e.End(); {
			if err := ctx.Err(); err != nil {
				return err
			}
			n := min(undoPiece, e.End()-at)
			if x.Zero(at, n) {
				if err := f.Zero(at, n); err != nil {
					return err
				}
				at += n
				continue
			}
			if _, err := x.Overlay(p[:n], at); err != nil {
				return err
			}
			if _, err := f.WriteAt(p[:n], at); err != nil {
				return err
			}
			at += n
		}
	}
	return nil
}

// SettleReturn makes the merge final, also while the VM runs.
func (e *Engine) SettleReturn(_ context.Context, vm, id string) error {
	if err := checkID("return", id); err != nil {
		return err
	}
	m, err := e.find(vm)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.isReturn(id) {
		return m.sweepReturn()
	}
	if m.ret.record.State != returnMerged {
		return m.halfWay()
	}
	m.giveUpKept()
	return m.dropReturn()
}
