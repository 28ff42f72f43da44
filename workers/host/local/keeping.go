package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"farshore/workers/host/local/cow"
)

// keepReturned goes on keeping, on disks just opened, what is overwritten after a
// merge: the undo logs know what the merge overwrote, not what its VM does. A
// disk that is half of something is not opened.
func (m *machine) keepReturned(st *stack) error {
	if m.ret == nil || m.ret.record.State == returnBegun {
		return nil
	}
	if m.ret.record.State != returnMerged {
		return m.halfWay()
	}
	if err := m.attachKept(st); err != nil {
		// The guest is not to suffer; the marks tell that the return cannot be undone.
		m.e.o.Log.Warn("return cannot be undone", "vm", m.id(), "return", m.ret.record.ID, "error", err)
	}
	return nil
}

func (m *machine) attachKept(st *stack) error {
	if err := m.undoable(); err != nil {
		return err
	}
	kept := map[string]*cow.Snapshot{}
	for _, d := range m.ret.record.Disks {
		s, err := m.openKept(st, d)
		if err != nil {
			return errors.Join(err, closeKept(kept))
		}
		kept[d.Disk] = s
	}
	was := m.ret.record
	m.ret.record.Disks = append([]returnDisk(nil), was.Disks...)
	for i := range m.ret.record.Disks {
		m.ret.record.Disks[i].Mark = ""
	}
	m.ret.record.Kept, m.ret.record.BootID = true, m.e.boot
	if err := m.saveReturn(); err != nil {
		m.ret.record = was
		return errors.Join(err, closeKept(kept))
	}
	m.ret.kept = kept
	release := cow.Hold(st.layers())
	defer release()
	for id, s := range kept {
		st.disk(id).layer.Attach(s)
	}
	return nil
}

func (m *machine) openKept(st *stack, d returnDisk) (*cow.Snapshot, error) {
	spec, err := m.disk(d.Disk)
	if err != nil {
		return nil, err
	}
	open := st.disk(d.Disk)
	if open == nil || open.file.Size() != d.Size {
		return nil, fmt.Errorf("disk %s is not what was returned", d.Disk)
	}
	files := m.keptFiles(spec, m.ret.record.ID)
	if m.ret.record.Kept {
		return cow.Reopen(files, d.Size, m.room)
	}
	for _, f := range []string{files.Map, files.Delta} {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove what a crash has left: %w", err)
		}
	}
	return cow.Create(files, d.Size, m.room)
}

func closeKept(kept map[string]*cow.Snapshot) error {
	var errs []error
	for _, s := range kept {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// releaseKept leaves what is kept for the next opening. The disks are closed to
// writers, and durable.
func (m *machine) releaseKept() {
	if m.ret == nil || m.ret.kept == nil {
		return
	}
	var errs []error
	for _, s := range m.ret.kept {
		errs = append(errs, s.Err(), s.Sync(), s.Close())
	}
	m.ret.kept = nil
	if err := errors.Join(errs...); err != nil {
		// Without marks, it counts as not undoable at the latest when the map is read.
		m.e.o.Log.Warn("return cannot be undone", "vm", m.id(), "return", m.ret.record.ID, "error", err)
		return
	}
	err := m.markDisks()
	if err == nil {
		err = m.saveReturn()
	}
	if err != nil {
		m.e.o.Log.Warn("return not marked", "vm", m.id(), "return", m.ret.record.ID, "error", err)
	}
}

// giveUpKept ends keeping, under a running guest if there is one.
func (m *machine) giveUpKept() {
	for id, s := range m.ret.kept {
		if m.stack != nil {
			if d := m.stack.disk(id); d != nil {
				d.layer.Detach(s)
			}
		}
		_ = s.Close()
	}
	m.ret.kept = nil
}
