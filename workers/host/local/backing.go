package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/host/local/cow"
)

var (
	_ host.Backer = (*Engine)(nil)
	_ host.Backer = (*Client)(nil)
)

// backingFile holds the backings of a VM's disks, in its folder. A disk that it
// does not name is what its file holds.
const backingFile = "backing.json"

// What a backing keeps beside a disk, behind the disk's name: what the disk's file
// holds, and the copy of that which outlives a loss of power.
const (
	backedMap     = ".backed"
	backedFlushed = backedMap + ".flushed"
)

// backingRecord is the backings as their file tells them.
type backingRecord struct {
	BootID string         `json:"bootId"` // in which the maps were written last
	Disks  []host.Backing `json:"disks"`
}

func (r *backingRecord) of(disk string) (host.Backing, bool) {
	i := slices.IndexFunc(r.Disks, func(b host.Backing) bool { return b.Disk == disk })
	if i < 0 {
		return host.Backing{}, false
	}
	return r.Disks[i], true
}

func backedFiles(dir string, d site.Disk) cow.Files {
	return cow.Files{Map: filepath.Join(dir, d.File+backedMap)}
}

// BackVM gives the disks of a VM under construction their backings.
func (e *Engine) BackVM(ctx context.Context, vm string, disks []host.Backing) error {
	dir, begun, err := e.underConstruction(vm)
	if err != nil {
		return err
	}
	var have backingRecord
	path := filepath.Join(dir, backingFile)
	if err := loadJSON(path, &have); err != nil {
		return err
	}
	if len(have.Disks) > 0 && slices.Equal(have.Disks, disks) {
		return nil
	}
	if err := e.checkBackings(ctx, begun, disks); err != nil {
		return err
	}
	// The maps come first: whoever finds the record finds them.
	if err := removeFile(path); err != nil {
		return err
	}
	for _, d := range begun.Disks {
		if slices.ContainsFunc(disks, func(b host.Backing) bool { return b.Disk == d.ID }) {
			if err := cow.CreateBacked(backedFiles(dir, d), d.SizeBytes); err != nil {
				return recoveryFull(err)
			}
		}
	}
	return saveJSON(path, backingRecord{BootID: e.boot, Disks: disks})
}

// checkBackings makes sure that the host can read every backing, before a VM
// depends on them.
func (e *Engine) checkBackings(ctx context.Context, vm site.VirtualMachine, disks []host.Backing) error {
	for _, b := range disks {
		i := slices.IndexFunc(vm.Disks, func(d site.Disk) bool { return d.ID == b.Disk })
		if i < 0 {
			return errorcatalog.Fail(errorcatalog.DiskNotFound, "VM %s has no disk %q", vm.ID, b.Disk)
		}
		if b.SizeBytes > vm.Disks[i].SizeBytes {
			return errorcatalog.Fail(errorcatalog.DiskSizeChanged, "disk %s of VM %s has %d bytes, its backing %d", b.Disk, vm.ID, vm.Disks[i].SizeBytes, b.SizeBytes)
		}
		if e.o.OpenBacking == nil {
			return errorcatalog.Fail(errorcatalog.BackingUnavailable, "the host opens no replica stores")
		}
		r, err := e.o.OpenBacking(ctx, b)
		if err == nil {
			err = r.Close()
		}
		if err != nil && errorcatalog.Of(err).Code == errorcatalog.ReplicaCorrupt {
			return errorcatalog.Of(err)
		}
		if err != nil {
			return errorcatalog.Fail(errorcatalog.BackingUnavailable, "disk %s of VM %s", b.Disk, vm.ID).Because(err)
		}
	}
	return nil
}

func (m *machine) loadBackings() error {
	m.backings = backingRecord{}
	if err := loadJSON(m.path(backingFile), &m.backings); err != nil {
		return err
	}
	return m.sweepBackings()
}

// sweepBackings removes the maps of disks that need none.
func (m *machine) sweepBackings() error {
	return m.remove(func(name string) bool {
		if name == backingFile+".tmp" {
			return true
		}
		return m.besideDisk(name, backedMap, backedFlushed, backedMap+".tmp", backedFlushed+".tmp") && !m.ownedByBacking(name)
	})
}

func (m *machine) ownedByBacking(name string) bool {
	for _, d := range m.vm.Load().Disks {
		if _, backed := m.backings.of(d.ID); backed && strings.HasPrefix(name, d.File+backedMap) {
			return true
		}
	}
	return false
}

// openBacked puts a disk that still needs its backing on top of it.
func (m *machine) openBacked(d *openDisk) (cow.Base, error) {
	b, ok := m.backings.of(d.spec.ID)
	if !ok {
		return d.file, nil
	}
	p := newPoint(m.e.ctx, m.e.o, b, d.file.Size(), m.id())
	backed, err := cow.OpenBacked(backedFiles(m.dir, d.spec), d.file, p, m.backings.BootID != m.e.boot)
	if err != nil {
		return nil, errors.Join(errorcatalog.Fail(errorcatalog.DiskUnreadable, "disk %s of VM %s", d.spec.ID, m.id()).Because(err), p.Close())
	}
	d.backed, d.point = backed, p
	return backed, nil
}

// tookUpBackings notes that the maps are those of this boot, once all disks are
// open and before any is written.
func (m *machine) tookUpBackings() error {
	if len(m.backings.Disks) == 0 || m.backings.BootID == m.e.boot {
		return nil
	}
	m.backings.BootID = m.e.boot
	return saveJSON(m.path(backingFile), m.backings)
}

// standsAlone refuses what reads or follows the disks' files themselves while they
// do not hold all of their disks.
func (m *machine) standsAlone() error {
	if len(m.backings.Disks) == 0 {
		return nil
	}
	return errorcatalog.Fail(errorcatalog.BackgroundCopyUnfinished, "the disks of VM %s are being copied from recovery point %s", m.id(), m.backings.Disks[0].Point)
}

// BackedDisks lists the disks that still need their backing.
func (e *Engine) BackedDisks(ctx context.Context, vm string) ([]host.BackedDisk, error) {
	m, err := e.find(vm)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found := []host.BackedDisk{}
	if len(m.backings.Disks) == 0 {
		return found, nil
	}
	err = m.opened(ctx, func(s *stack) error {
		for _, d := range s.disks {
			if b, ok := m.backings.of(d.spec.ID); ok {
				found = append(found, host.BackedDisk{Backing: b, Total: d.file.Size(), Absent: d.backed.AbsentBytes()})
			}
		}
		return nil
	})
	return found, err
}

// backed runs f with a disk that needs its backing. While the VM runs, nothing
// waits for f, so the VM may be stopped beneath it: then f is run again.
func (m *machine) backed(ctx context.Context, id, point string, f func(*openDisk) error) error {
	for {
		m.mu.Lock()
		if b, ok := m.backings.of(id); !ok || b.Point != point || m.gone {
			m.mu.Unlock()
			return errorcatalog.Fail(errorcatalog.DiskNotFound, "disk %q of VM %s has no backing of recovery point %s", id, m.id(), point)
		}
		if m.stack == nil || !m.running.Load() {
			err := m.opened(ctx, func(s *stack) error { return f(s.disk(id)) })
			m.mu.Unlock()
			return err
		}
		d := m.stack.disk(id)
		m.mu.Unlock()
		if err := f(d); !errors.Is(err, os.ErrClosed) || ctx.Err() != nil {
			return err
		}
	}
}

// OpenBacked opens a disk that needs its backing to be filled in.
func (e *Engine) OpenBacked(ctx context.Context, vm, diskID, point string) (host.Filler, error) {
	m, err := e.find(vm)
	if err != nil {
		return nil, err
	}
	f := &filler{ctx: ctx, m: m, disk: diskID, point: point}
	return f, m.backed(ctx, diskID, point, func(*openDisk) error { return nil })
}

// filler fills in one disk. It holds nothing open: the VM may be started and
// stopped meanwhile.
type filler struct {
	ctx         context.Context //nolint:containedctx // of the call that opened it
	m           *machine
	disk, point string
}

func (f *filler) do(what func(*cow.Backed) error) error {
	return f.m.backed(f.ctx, f.disk, f.point, func(d *openDisk) error {
		err := what(d.backed)
		if err == nil || errors.Is(err, os.ErrClosed) {
			return err
		}
		if errors.Is(err, disk.ErrOutOfRange) {
			return errorcatalog.Fail(errorcatalog.ValidationFailed, "disk %s of VM %s", f.disk, f.m.id()).Because(err)
		}
		return recoveryFull(err)
	})
}

// Absent lists what the disk does not hold yet.
func (f *filler) Absent(off, n int64) (found []disk.Extent, err error) {
	err = f.do(func(b *cow.Backed) (err error) {
		found, err = b.Absent(off, n)
		return err
	})
	return found, err
}

// WriteAt fills in blocks.
func (f *filler) WriteAt(p []byte, off int64) (int, error) {
	if err := f.do(func(b *cow.Backed) error { return b.Fill(p, off) }); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Zero fills in blocks of zeroes.
func (f *filler) Zero(off, n int64) error {
	return f.do(func(b *cow.Backed) error { return b.FillZero(off, n) })
}

// Flush makes everything filled in durable.
func (f *filler) Flush() error { return f.do((*cow.Backed).Flush) }

// Close has nothing to let go of.
func (f *filler) Close() error { return nil }

// SettleDisk makes a disk do without its backing.
func (e *Engine) SettleDisk(ctx context.Context, vm, diskID string) error {
	m, err := e.find(vm)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.backings.of(diskID); !ok {
		return m.sweepBackings()
	}
	err = m.opened(ctx, func(s *stack) error { return m.settle(s.disk(diskID)) })
	if errors.Is(err, cow.ErrNotWhole) {
		return errorcatalog.Fail(errorcatalog.BackgroundCopyUnfinished, "disk %s of VM %s", diskID, vm).Because(err)
	}
	return err
}

func (m *machine) settle(d *openDisk) error {
	err := d.backed.Settle(func() error {
		left := backingRecord{BootID: m.backings.BootID}
		for _, b := range m.backings.Disks {
			if b.Disk != d.spec.ID {
				left.Disks = append(left.Disks, b)
			}
		}
		if err := m.saveBackings(left); err != nil {
			return err
		}
		m.backings = left
		return nil
	})
	if err != nil {
		return fmt.Errorf("settle disk %s of VM %s: %w", d.spec.ID, m.id(), err)
	}
	return errors.Join(d.point.Close(), m.sweepBackings())
}

func (m *machine) saveBackings(r backingRecord) error {
	if len(r.Disks) == 0 {
		return removeFile(m.path(backingFile))
	}
	return saveJSON(m.path(backingFile), r)
}
