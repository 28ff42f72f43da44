package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/changelog"
)

// machine is a VM of the host.
type machine struct {
	e       *Engine
	dir     string
	vm      atomic.Pointer[site.VirtualMachine]
	running atomic.Bool
	shown   atomic.Pointer[VMState] // what State told last

	mu        sync.Mutex // one operation at a time; not held while a guest shuts down
	power     powerRecord
	rel       *relationshipRecord // nil without replication
	snapshots map[string]*snapshot
	ret       *returning // nil without a return
	backings  backingRecord
	gone      bool   // the VM was deleted; one of the same id is another
	stack     *stack // nil while closed
	guest     *guest // nil without a live process
	status    []changelog.DiskStatus
	thawing   bool // a watcher is about to let the guest's applications go on
}

func newMachine(e *Engine, dir string, vm site.VirtualMachine) *machine {
	m := &machine{e: e, dir: dir, snapshots: map[string]*snapshot{}}
	m.vm.Store(&vm)
	return m
}

func (m *machine) id() string { return m.vm.Load().ID }

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

// describe returns the VM with the disks' present sizes.
func (m *machine) describe() site.VirtualMachine {
	vm := *m.vm.Load()
	vm.Disks = append([]site.Disk(nil), vm.Disks...)
	for i, d := range vm.Disks {
		vm.Disks[i].SizeBytes = sizeOf(m.dir, d)
	}
	return vm
}

func (m *machine) disk(id string) (site.Disk, error) {
	for _, d := range m.vm.Load().Disks {
		if d.ID == id {
			return d, nil
		}
	}
	return site.Disk{}, errorcatalog.Fail(errorcatalog.DiskNotFound, "VM %s has no disk %q", m.id(), id)
}

// load reads what an earlier process has left in the VM's folder.
func (m *machine) load() error {
	m.power = powerRecord{Active: true, Desired: site.Off}
	if err := loadJSON(m.powerFile(), &m.power); err != nil {
		return err
	}
	if err := m.loadRelationship(); err != nil {
		return err
	}
	sweep := m.sweepReplication
	if m.rel != nil {
		sweep = m.sweepUntracked
	}
	if err := sweep(); err != nil {
		return err
	}
	if err := m.loadReturn(); err != nil {
		return err
	}
	if err := m.loadBackings(); err != nil {
		return err
	}
	return m.loadSnapshots()
}

// resume makes the VM run if it is meant to, and otherwise takes up tracking for
// a moment: whatever a killed process has left open is put in order now.
func (m *machine) resume(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.thawLater(0) //nolint:contextcheck // an end is not cut short
	g, err := m.findGuest()
	if err != nil {
		return err
	}
	switch {
	case g != nil:
		return m.adopt(ctx, g)
	case m.power.Desired == site.Running && m.power.Active:
		return m.start(ctx)
	case m.rel != nil:
		return m.opened(ctx, func(*stack) error { return nil })
	}
	return nil
}

// opened runs f with the disks open, and closes them after if the VM is off.
func (m *machine) opened(ctx context.Context, f func(*stack) error) error {
	if m.stack == nil {
		if err := m.openStack(ctx); err != nil {
			return err
		}
	}
	err := f(m.stack)
	if !m.running.Load() {
		err = errors.Join(err, m.closeStack()) //nolint:contextcheck // an end is not cut short
	}
	return err
}

// close ends serving without a change of the VM's power state.
func (m *machine) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unexport(drainPatience)
	return errors.Join(m.closeStack(), m.closeOverlays())
}

// remove deletes files of the VM's folder that match.
func (m *machine) remove(match func(name string) bool) error {
	entries, err := os.ReadDir(m.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read folder of VM %s: %w", m.id(), err)
	}
	found := false
	for _, entry := range entries {
		if entry.IsDir() || !match(entry.Name()) {
			continue
		}
		if err := os.Remove(m.path(entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", entry.Name(), err)
		}
		found = true
	}
	if !found {
		return nil
	}
	return syncDir(m.dir)
}

// besideDisk tells whether a name is that of one of the VM's disks with more
// behind it, and is not a disk itself.
func (m *machine) besideDisk(name string, suffixes ...string) bool {
	beside := false
	for _, d := range m.vm.Load().Disks {
		if name == d.File {
			return false
		}
		beside = beside || strings.HasPrefix(name, d.File+".")
	}
	if !beside {
		return false
	}
	for _, s := range suffixes {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return false
}
