package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/disk"
	"farshore/workers/host/local/cow"
)

// snapshot is a VM's snapshot; its record lies in the VM's folder as
// snapshot-<id>.json.
type snapshot struct {
	record snapshotRecord
	kept   map[string]*cow.Snapshot // by disk; nil while the disks are closed
}

type snapshotRecord struct {
	ID       string               `json:"id"`
	BootID   string               `json:"bootId"`   // the map does not outlive a loss of power
	Attached bool                 `json:"attached"` // false until the instant has come
	Files    map[string]cow.Files `json:"files"`    // by disk, names within the folder
	Stamps   map[string]string    `json:"stamps"`   // of the disks' files while nobody has them open
}

func recordID() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,63}$`) }

func checkID(what, id string) error {
	if !recordID().MatchString(id) {
		return errorcatalog.Fail(errorcatalog.ValidationFailed, "%s id %q is not letters, digits and hyphens", what, id)
	}
	return nil
}

func snapshotFile(id string) string { return "snapshot-" + id + ".json" }

// CreateSnapshot takes a snapshot of all the VM's disks at one instant.
func (e *Engine) CreateSnapshot(ctx context.Context, vm, id string) error {
	if err := checkID("snapshot", id); err != nil {
		return err
	}
	m, err := e.find(vm)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.snapshots[id]; s != nil && s.record.Attached && m.intact(s) {
		return nil
	}
	if err := m.standsAlone(); err != nil {
		return err
	}
	return m.opened(ctx, func(st *stack) error {
		if err := m.checkDisks(st); err != nil {
			return err
		}
		s, err := m.prepareSnapshot(st, id)
		if err != nil {
			return err
		}
		st.attach(s)
		return m.keepSnapshot(s)
	})
}

// prepareSnapshot makes the files of a snapshot, replacing what is left of an
// earlier one of that id.
func (m *machine) prepareSnapshot(st *stack, id string) (*snapshot, error) {
	if err := m.dropSnapshot(id); err != nil {
		return nil, err
	}
	if err := m.room(); err != nil {
		return nil, err
	}
	s := &snapshot{kept: map[string]*cow.Snapshot{}, record: snapshotRecord{
		ID: id, BootID: m.e.boot, Files: map[string]cow.Files{},
	}}
	for _, d := range st.disks {
		name := d.spec.File + "." + id
		s.record.Files[d.spec.ID] = cow.Files{Delta: name + ".delta", Map: name + ".map"}
	}
	m.snapshots[id] = s
	// The record comes first: whoever finds it knows which files to remove.
	if err := saveJSON(m.path(snapshotFile(id)), s.record); err != nil {
		return nil, errors.Join(err, m.dropSnapshot(id))
	}
	for _, d := range st.disks {
		kept, err := cow.Create(m.files(s, d.spec.ID), d.file.Size(), m.room)
		if err != nil {
			return nil, errors.Join(full(err), m.dropSnapshot(id))
		}
		s.kept[d.spec.ID] = kept
	}
	return s, nil
}

// Snapshots leave the same part of a volume free as change logs do.
const (
	reservePart  = 20 // 5 %
	leastReserve = 1 << 30
)

// room tells whether the volume has room for what a snapshot keeps: a guest whose
// disks are sparse needs what is left.
func (m *machine) room() error {
	free, total, err := m.e.o.Space(m.dir)
	if err != nil {
		return fmt.Errorf("ask for space of VM %s: %w", m.id(), err)
	}
	if reserve := max(total/reservePart, leastReserve); free < reserve {
		return errorcatalog.Fail(errorcatalog.InsufficientSourceSpace, "%d bytes are free beside VM %s, less than the reserve of %d", free, m.id(), reserve)
	}
	return nil
}

// attach is the snapshot's instant.
func (st *stack) attach(s *snapshot) {
	release := cow.Hold(st.layers())
	defer release()
	for _, d := range st.disks {
		d.layer.Attach(s.kept[d.spec.ID])
	}
}

// keepSnapshot makes a snapshot exist that has been attached.
func (m *machine) keepSnapshot(s *snapshot) error {
	s.record.Attached = true
	if err := saveJSON(m.path(snapshotFile(s.record.ID)), s.record); err != nil {
		return errors.Join(err, m.dropSnapshot(s.record.ID))
	}
	return nil
}

func (m *machine) files(s *snapshot, disk string) cow.Files {
	f := s.record.Files[disk]
	return cow.Files{Delta: m.path(filepath.Base(f.Delta)), Map: m.path(filepath.Base(f.Map))}
}

// dropSnapshot ends a snapshot and deletes its files, the record last.
func (m *machine) dropSnapshot(id string) error {
	s := m.snapshots[id]
	if s == nil {
		return nil
	}
	for disk, kept := range s.kept {
		if m.stack != nil {
			if d := m.stack.disk(disk); d != nil {
				d.layer.Detach(kept)
			}
		}
		kept.Invalidate()
		_ = kept.Close()
	}
	for disk := range s.record.Files {
		f := m.files(s, disk)
		cow.Invalidate(f)
		f.Remove()
	}
	delete(m.snapshots, id)
	return removeFile(m.path(snapshotFile(id)))
}

// intact tells whether a snapshot can still be read.
func (m *machine) intact(s *snapshot) bool {
	for _, kept := range s.kept {
		if kept.Err() != nil {
			return false
		}
	}
	for disk, was := range s.record.Stamps {
		d, err := m.disk(disk)
		if err != nil {
			return false
		}
		if now, err := stamp(m.path(d.File)); err != nil || now != was {
			return false
		}
	}
	return true
}

// loadSnapshots reads the records; a snapshot that did not get as far as its
// instant, or that a loss of power has overtaken, is removed.
func (m *machine) loadSnapshots() error {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("read folder of VM %s: %w", m.id(), err)
	}
	for _, entry := range entries {
		id, ok := strings.CutPrefix(strings.TrimSuffix(entry.Name(), ".json"), "snapshot-")
		if !ok || entry.Name() != snapshotFile(id) || checkID("snapshot", id) != nil {
			continue
		}
		s := &snapshot{}
		if err := loadJSON(m.path(entry.Name()), &s.record); err != nil {
			s.record = snapshotRecord{}
		}
		s.record.ID = id
		m.snapshots[id] = s
		if !s.record.Attached || s.record.BootID != m.e.boot || !m.intact(s) {
			if err := m.dropSnapshot(id); err != nil {
				return err
			}
		}
	}
	return m.remove(func(name string) bool {
		return m.besideDisk(name, ".delta", ".map") && !m.ownedBySnapshot(name)
	})
}

func (m *machine) ownedBySnapshot(name string) bool {
	for _, s := range m.snapshots {
		for _, f := range s.record.Files {
			if f.Delta == name || f.Map == name {
				return true
			}
		}
	}
	return false
}

// reattachSnapshots takes up keeping the VM's snapshots on disks just opened.
// One that cannot be kept any longer is lost.
func (m *machine) reattachSnapshots(st *stack) {
	for id, s := range m.snapshots {
		err := errChanged
		if m.intact(s) {
			err = m.reattach(st, s)
		}
		if err != nil {
			m.e.o.Log.Warn("snapshot lost", "vm", m.id(), "snapshot", id, "error", err)
			if err := m.dropSnapshot(id); err != nil {
				m.e.o.Log.Warn("snapshot not removed", "vm", m.id(), "snapshot", id, "error", err)
			}
		}
	}
}

// errChanged means that a disk was changed while the host did not have it open.
var errChanged = errors.New("disk was changed while its VM was off")

func (m *machine) reattach(st *stack, s *snapshot) error {
	s.kept, s.record.Stamps = map[string]*cow.Snapshot{}, nil
	if err := saveJSON(m.path(snapshotFile(s.record.ID)), s.record); err != nil {
		return err
	}
	for _, d := range st.disks {
		kept, err := cow.Reopen(m.files(s, d.spec.ID), d.file.Size(), m.room)
		if err != nil {
			return err
		}
		s.kept[d.spec.ID] = kept
	}
	st.attach(s)
	return nil
}

// detachSnapshots leaves the snapshots' files for the next opening.
func (m *machine) detachSnapshots() {
	for id, s := range m.snapshots {
		stamps := map[string]string{}
		for disk, kept := range s.kept {
			if err := kept.Close(); err != nil {
				m.e.o.Log.Warn("snapshot not closed", "vm", m.id(), "snapshot", id, "error", err)
			}
			if d, err := m.disk(disk); err == nil {
				stamps[disk], _ = stamp(m.path(d.File))
			}
		}
		lost := !m.intact(s)
		s.kept, s.record.Stamps = nil, stamps
		err := saveJSON(m.path(snapshotFile(id)), s.record)
		if err != nil || lost {
			m.e.o.Log.Warn("snapshot lost", "vm", m.id(), "snapshot", id, "error", err)
			_ = m.dropSnapshot(id)
		}
	}
}

// snapshotDisk says where a disk of a snapshot lies.
type snapshotDisk struct {
	Path   string          `json:"path"` // the disk's own file
	Format site.DiskFormat `json:"format"`
	Files  cow.Files       `json:"files"`
}

func (e *Engine) locateSnapshot(vm, id, diskID string) (snapshotDisk, error) {
	m, err := e.find(vm)
	if err != nil {
		return snapshotDisk{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.snapshots[id]
	if s == nil || !s.record.Attached || !m.intact(s) {
		return snapshotDisk{}, errorcatalog.Fail(errorcatalog.SnapshotNotFound, "VM %s has no snapshot %q", vm, id)
	}
	d, err := m.disk(diskID)
	if err != nil {
		return snapshotDisk{}, err
	}
	if _, ok := s.record.Files[diskID]; !ok {
		return snapshotDisk{}, errorcatalog.Fail(errorcatalog.DiskNotFound, "snapshot %s does not hold disk %q", id, diskID)
	}
	return snapshotDisk{Path: m.path(d.File), Format: d.Format, Files: m.files(s, diskID)}, nil
}

// OpenSnapshot reads a disk of a snapshot.
func (e *Engine) OpenSnapshot(_ context.Context, vm, id, diskID string) (disk.Reader, error) {
	at, err := e.locateSnapshot(vm, id, diskID)
	if err != nil {
		return nil, err
	}
	return openSnapshotDisk(at)
}

// DeleteSnapshot removes a snapshot.
func (e *Engine) DeleteSnapshot(_ context.Context, vm, id string) error {
	m, err := e.find(vm)
	if err != nil {
		if errorcatalog.Of(err).Code == errorcatalog.VMNotFound {
			return nil
		}
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dropSnapshot(id)
}

// snapshotReader gives errors of a snapshot their codes.
type snapshotReader struct {
	*cow.Reader
	base *disk.File
}

func openSnapshotDisk(at snapshotDisk) (disk.Reader, error) {
	base, err := disk.Open(at.Path, at.Format, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errorcatalog.Fail(errorcatalog.DiskNotFound, "file %s is gone", filepath.Base(at.Path))
	}
	if err != nil {
		return nil, errorcatalog.Fail(errorcatalog.DiskUnreadable, "disk beneath a snapshot").Because(err)
	}
	r, err := cow.OpenReader(at.Files, base)
	if err != nil {
		_ = base.Close()
		return nil, errorcatalog.Fail(errorcatalog.SnapshotNotFound, "its files cannot be read").Because(err)
	}
	return &snapshotReader{Reader: r, base: base}, nil
}

// ReadAt reads the disk as it was.
func (r *snapshotReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.Reader.ReadAt(p, off)
	return n, readFailure(err)
}

// Extents returns the ranges that may have held anything but zeroes.
func (r *snapshotReader) Extents(off, n int64) ([]disk.Extent, error) {
	ext, err := r.Reader.Extents(off, n)
	return ext, readFailure(err)
}

// Close ends reading.
func (r *snapshotReader) Close() error { return errors.Join(r.Reader.Close(), r.base.Close()) }

func readFailure(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, cow.ErrLost):
		return errorcatalog.Fail(errorcatalog.SnapshotNotFound, "the snapshot could not be kept").Because(err)
	case errors.Is(err, os.ErrClosed):
		return err
	default:
		return errorcatalog.Fail(errorcatalog.DiskUnreadable, "read of a snapshot").Because(err)
	}
}
