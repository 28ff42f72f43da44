package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/changelog"
	"farshore/workers/disk"
)

// GrowDisk makes a disk of a VM that is off larger by zeroes. Because the host does
// it, it knows that nothing else has changed: tracking goes on.
//
// A record says what the disk is about to become before its file changes, so that
// growing goes on after a crash, with the next call or when the disk is opened.
func (e *Engine) GrowDisk(_ context.Context, vm, diskID string, size int64) error {
	if err := e.scan(); err != nil { // its description may have changed
		return err
	}
	m, err := e.find(vm)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running.Load() || m.guest != nil {
		return errorcatalog.Fail(errorcatalog.SourceStillRunningRefusal, "VM %s runs; shut it down to grow its disk %s", vm, diskID)
	}
	if m.ret != nil {
		return errorcatalog.Fail(errorcatalog.OperationInProgress, "VM %s is being returned; what is beside its disk %s is of its present size", vm, diskID)
	}
	spec, err := m.disk(diskID)
	if err != nil {
		return err
	}
	if err := m.finishGrowing(); err != nil {
		return err
	}
	now := sizeOf(m.dir, spec)
	switch {
	case now == 0:
		return errorcatalog.Fail(errorcatalog.DiskNotFound, "file %s of disk %s of VM %s is gone", spec.File, diskID, vm)
	case size < now:
		return errorcatalog.Fail(errorcatalog.DiskShrunk, "disk %s of VM %s has %d bytes and cannot have %d", diskID, vm, now, size)
	case size == now:
		return nil
	case size%mib != 0:
		return errorcatalog.Fail(errorcatalog.ValidationFailed, "%d bytes are no whole MiB", size)
	}
	return m.growDisk(spec, now, size)
}

const mib = 1 << 20

func (m *machine) growDisk(spec site.Disk, from, to int64) error {
	if m.rel == nil || !slices.Contains(m.rel.Disks, spec.ID) || m.rel.Distrust[spec.ID] != nil {
		return m.growUnfollowed(growth{Disk: spec.ID, From: from, To: to})
	}
	trusted, err := changelog.Closed(m.trackedAs(spec))
	if err != nil {
		return fmt.Errorf("look at the tracking of disk %s of VM %s: %w", spec.ID, m.id(), err)
	}
	if !trusted {
		return m.growUnfollowed(growth{Disk: spec.ID, From: from, To: to})
	}
	if m.rel.Growing == nil {
		m.rel.Growing = map[string]int64{}
	}
	m.rel.Growing[spec.ID] = to
	if err := m.saveRelationship(); err != nil {
		delete(m.rel.Growing, spec.ID)
		return err
	}
	return m.finishGrowing()
}

func (m *machine) trackedAs(spec site.Disk) changelog.TrackedDisk {
	path := m.path(spec.File)
	return changelog.TrackedDisk{ID: spec.ID, Base: path, Stamp: func() (string, error) { return stamp(path) }}
}

// growth is what the host says before it grows a disk whose tracking does not go on.
type growth struct {
	Disk string `json:"disk"`
	From int64  `json:"from"`
	To   int64  `json:"to"`
}

func (m *machine) growthFile() string { return m.ownFile("growing", ".json") }

func (m *machine) growUnfollowed(g growth) error {
	if err := saveJSON(m.growthFile(), g); err != nil {
		return err
	}
	return m.finishUnfollowed()
}

// finishUnfollowed goes on with growUnfollowed. A disk of a third size is another one
// by now.
func (m *machine) finishUnfollowed() error {
	if !exists(m.growthFile()) {
		return nil
	}
	var g growth
	if err := loadJSON(m.growthFile(), &g); err != nil {
		return err
	}
	spec, gone := m.disk(g.Disk)
	if now := sizeOf(m.dir, spec); gone == nil && (now == g.From || now == g.To) {
		if err := grow(m.path(spec.File), spec, g.From, g.To); err != nil {
			if sizeOf(m.dir, spec) == g.From { // nothing has begun that is to be ended
				err = errors.Join(err, removeFile(m.growthFile()))
			}
			return err
		}
	}
	return removeFile(m.growthFile())
}

// finishGrowing makes disks what they were about to become. They are closed.
func (m *machine) finishGrowing() error {
	if err := m.finishUnfollowed(); err != nil {
		return err
	}
	if m.rel == nil || len(m.rel.Growing) == 0 {
		return nil
	}
	for id, to := range m.rel.Growing {
		spec, err := m.disk(id)
		if err != nil {
			return err
		}
		if err := grow(m.path(spec.File), spec, m.rel.Sizes[id], to); err != nil {
			return err
		}
		if err := changelog.Grown(m.trackedAs(spec), to); err != nil {
			return fmt.Errorf("go on with the tracking of disk %s of VM %s: %w", id, m.id(), err)
		}
	}
	maps.Copy(m.rel.Sizes, m.rel.Growing)
	m.rel.Growing = nil
	return m.saveRelationship()
}

func grow(path string, spec site.Disk, from, to int64) error {
	if err := disk.Grow(path, spec.Format, from, to); err != nil {
		if full := full(err); !errors.Is(full, err) || errorcatalog.Of(full).Code == errorcatalog.InsufficientSourceSpace {
			return full
		}
		return errorcatalog.Fail(errorcatalog.DiskUnwritable, "grow disk %s to %d bytes", spec.ID, to).Because(err)
	}
	return nil
}
