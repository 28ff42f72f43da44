package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/changelog"
	"farshore/workers/disk"
	"farshore/workers/host/local/cow"
)

// stack is a VM's disks while they are open.
type stack struct {
	disks   []*openDisk
	group   *changelog.Group // nil without replication
	exports []*export
}

// openDisk is a disk from its file up to where an export enters.
type openDisk struct {
	spec   site.Disk
	path   string
	file   *disk.File
	backed *cow.Backed // nil unless it was opened with a backing
	point  *point      // of the backing
	layer  *cow.Layer
	gate   *changelog.Gate
}

// openStack opens the disks, lets snapshots and tracking go on, and leaves the
// exports to the caller.
func (m *machine) openStack(ctx context.Context) error {
	if m.gone {
		return errorcatalog.Fail(errorcatalog.VMNotFound, "VM %s was deleted", m.id())
	}
	s := &stack{}
	if err := m.finishGrowing(); err != nil {
		return err
	}
	for _, spec := range m.vm.Load().Disks {
		d, err := m.openDisk(spec)
		if err != nil {
			return errors.Join(err, s.closeFiles())
		}
		s.disks = append(s.disks, d)
	}
	if err := errors.Join(m.tookUpBackings(), m.keepReturned(s)); err != nil {
		return errors.Join(err, s.closeFiles())
	}
	m.reattachSnapshots(s)
	if m.rel != nil {
		group, err := m.openGroup(ctx, s)
		if err != nil {
			m.detachSnapshots()
			m.releaseKept()
			return errors.Join(err, s.closeFiles())
		}
		s.group = group
		m.status = group.Status()
	}
	m.stack = s
	return nil
}

func (m *machine) openDisk(spec site.Disk) (*openDisk, error) {
	path := m.path(spec.File)
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errorcatalog.Fail(errorcatalog.DiskNotFound, "file %s of disk %s of VM %s is gone", spec.File, spec.ID, m.id())
	case err != nil:
		return nil, errorcatalog.Fail(errorcatalog.DiskUnreadable, "disk %s of VM %s", spec.ID, m.id()).Because(err)
	case !st.Mode().IsRegular():
		return nil, errorcatalog.Fail(errorcatalog.DiskUnreadable, "disk %s of VM %s is no regular file", spec.ID, m.id())
	}
	f, err := disk.Open(path, spec.Format, false)
	if err != nil {
		return nil, errorcatalog.Fail(errorcatalog.DiskUnreadable, "disk %s of VM %s", spec.ID, m.id()).Because(err)
	}
	d := &openDisk{spec: spec, path: path, file: f}
	base, err := m.openBacked(d)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	d.layer = cow.New(base)
	d.gate = changelog.NewGate(d.layer)
	return d, nil
}

func (s *stack) closeFiles() error {
	var errs []error
	for _, d := range s.disks {
		if d.backed != nil {
			errs = append(errs, d.point.Close(), d.backed.Close())
		}
		errs = append(errs, d.file.Close())
	}
	return errors.Join(errs...)
}

// closeStack makes everything written durable and lets go of the disks. The
// exports are gone.
func (m *machine) closeStack() error {
	s := m.stack
	if s == nil {
		return nil
	}
	m.stack = nil
	var errs []error
	for _, d := range s.disks {
		if err := d.gate.Flush(); err != nil {
			errs = append(errs, errorcatalog.Fail(errorcatalog.DiskUnreadable, "flush disk %s of VM %s", d.spec.ID, m.id()).Because(err))
		}
	}
	if s.group != nil {
		errs = append(errs, s.group.Close())
		m.status = s.group.Status()
	}
	m.detachSnapshots()
	m.releaseKept()
	errs = append(errs, s.closeFiles())
	return errors.Join(errs...)
}

// disk returns an open disk, or nil.
func (s *stack) disk(id string) *openDisk {
	for _, d := range s.disks {
		if d.spec.ID == id {
			return d
		}
	}
	return nil
}

// layers returns all disks' snapshot layers.
func (s *stack) layers() []*cow.Layer {
	out := make([]*cow.Layer, len(s.disks))
	for i, d := range s.disks {
		out[i] = d.layer
	}
	return out
}

// checkDisks tells whether the files of all open disks, or of the given ones, still
// are what was opened: somebody may have removed or cut off one under a running
// guest.
func (m *machine) checkDisks(s *stack, only ...string) error {
	for _, d := range s.disks {
		if len(only) > 0 && !slices.Contains(only, d.spec.ID) {
			continue
		}
		if !exists(d.path) {
			return errorcatalog.Fail(errorcatalog.DiskNotFound, "file %s of disk %s of VM %s is gone", d.spec.File, d.spec.ID, m.id())
		}
		if now := sizeOf(m.dir, d.spec); now != d.file.Size() {
			return errorcatalog.Fail(errorcatalog.DiskSizeChanged, "disk %s of VM %s had %d bytes and has %d", d.spec.ID, m.id(), d.file.Size(), now)
		}
	}
	return nil
}

// stamp identifies the state of a disk's file while nobody has it open.
func stamp(path string) (string, error) {
	st, err := os.Stat(path) //nolint:gosec // a disk that its VM describes
	if errors.Is(err, fs.ErrNotExist) {
		return "", errorcatalog.Fail(errorcatalog.DiskNotFound, "file %s is gone", filepath.Base(path))
	}
	if err != nil {
		return "", fmt.Errorf("stat disk: %w", err)
	}
	return fmt.Sprintf("%d bytes, modified %s", st.Size(), st.ModTime().UTC().Format("2006-01-02T15:04:05.000000000Z")), nil
}
