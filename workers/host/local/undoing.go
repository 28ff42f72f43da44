package local

import (
	"context"
	"errors"
	"fmt"
	"os"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/changelog"
	"farshore/workers/disk"
	"farshore/workers/host/local/cow"
)

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

// CheckUndo tells whether the merge can be undone, also while the VM runs.
func (e *Engine) CheckUndo(ctx context.Context, vm, id string) error {
	if err := checkID("return", id); err != nil {
		return err
	}
	m, err := e.find(vm)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.isReturn(id) || m.ret.record.State != returnMerged {
		return nil
	}
	if err := m.undoableNow(); err != nil {
		return err
	}
	return m.verifyUndo(ctx)
}

// undoableNow is undoable, but for what is open while the VM runs.
func (m *machine) undoableNow() error {
	if m.stack == nil {
		return m.undoable()
	}
	for _, d := range m.ret.record.Disks {
		kept := m.ret.kept[d.Disk]
		if kept == nil {
			return errorcatalog.Fail(errorcatalog.ReturnNotUndoable, "disk %s of VM %s: what the VM overwrites is not kept", d.Disk, m.id())
		}
		if err := kept.Err(); err != nil {
			return errorcatalog.Fail(errorcatalog.ReturnNotUndoable, "disk %s of VM %s", d.Disk, m.id()).Because(err)
		}
	}
	return nil
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
				return fmt.Errorf("put back: %w", err)
			}
			at += n
		}
	}
	return nil
}
