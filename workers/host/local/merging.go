package local

import (
	"context"
	"errors"
	"fmt"

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
	case returnMerging: // it goes on
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

// markDisks remembers the disks' files as they are. Their times are durable
// first, or a loss of power would make them look changed.
func (m *machine) markDisks() error {
	for i, d := range m.ret.record.Disks {
		spec, err := m.disk(d.Disk)
		if err != nil {
			return err
		}
		at, err := durableMark(m.path(spec.File))
		if err != nil {
			return err
		}
		m.ret.record.Disks[i].Mark = at
	}
	return nil
}

func durableMark(path string) (string, error) {
	if err := flushFile(path); err != nil {
		return "", err
	}
	return mark(path)
}

// sweepOverlays gives up overlays that are merged.
func (m *machine) sweepOverlays() error {
	return m.remove(func(name string) bool {
		return m.besideDisk(name, overlaySuffix, overlayMap, overlayMap+".flushed") && m.ownedByReturn(name)
	})
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
