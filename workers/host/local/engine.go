// Package local is a host in a directory: one folder per VM, each with a vm.json
// and the VM's disks. Every disk of a running VM is an NBD export on a unix
// socket, and the VM's guest is the process that its vm.json names, if any.
//
// A disk is served through one stack: export, change-log gate, snapshot layer,
// file. The stack is open while the VM runs, and for the length of an operation
// while it is off, so that a disk which somebody changes in between is noticed.
//
// What the host has to remember lies in three places: the replication
// relationship, cuts, logs, snapshots, a return and backings in the VM's folder, so
// that they move with its disks; whether a VM shall run and its guest's process in the
// folder .farshore of the directory; nothing anywhere else. The process may be
// killed at any instant.
package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/changelog"
	"farshore/workers/disk"
	"farshore/workers/host"
)

// ownFolder is where the host keeps what is not a VM's.
const ownFolder = ".farshore"

// Options describe a local host. All are required unless they say otherwise.
type Options struct {
	Directory string // holds a folder per VM
	Socket    string // the control socket; export sockets lie beside it
	Version   string // of the program, told by State
	Now       func() time.Time
	NewID     func() string // a new UUID
	Log       *slog.Logger
	// Space replaces changelog.Space, if set.
	Space func(dir string) (free, total int64, err error)
	// OpenBacking opens a disk of a recovery point in its replica store; the reader
	// hands out nothing that does not match the point's manifest, and is of use until
	// ctx ends. Nil: VMs whose disks are not there yet cannot run.
	OpenBacking func(ctx context.Context, b host.Backing) (disk.Reader, error)
	// BackingPatience is how long a guest's read waits for a replica store that is
	// away; 20 s when zero.
	BackingPatience time.Duration
}

// Engine is a local host within this process.
type Engine struct {
	o        Options
	boot     string
	lock     *os.File
	started  time.Time
	ctx      context.Context //nolint:containedctx // ends with the engine, for guests' watchers
	cancel   context.CancelFunc
	watchers sync.WaitGroup

	building sync.Mutex // a VM is begun by one call at a time: one that was given up may still be at it

	mu       sync.Mutex
	machines map[string]*machine
	problems []host.Problem
}

var (
	_ host.Host          = (*Engine)(nil)
	_ host.ProblemLister = (*Engine)(nil)
	_ host.Grower        = (*Engine)(nil)
	_ host.Grower        = (*Client)(nil)
)

// Open takes possession of the directory and brings every VM into the state it
// is meant to be in.
func Open(o Options) (*Engine, error) {
	if o.Space == nil {
		o.Space = changelog.Space
	}
	dir, err := filepath.Abs(o.Directory)
	if err != nil {
		return nil, fmt.Errorf("resolve directory: %w", err)
	}
	o.Directory = dir
	boot, err := changelog.BootID()
	if err != nil {
		return nil, fmt.Errorf("read boot id: %w", err)
	}
	lock, err := lockDirectory(dir)
	if err != nil {
		return nil, err
	}
	e := &Engine{o: o, boot: boot, lock: lock, started: o.Now(), machines: map[string]*machine{}}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	if err := e.clearTrash(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if err := e.scan(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	e.resume()
	return e, nil
}

// makeOwnFolder leaves the directory itself to whoever keeps VMs there: made anew in
// place of a volume that is not mounted, it would be a host without VMs.
func makeOwnFolder(dir string) error {
	if err := os.Mkdir(filepath.Join(dir, ownFolder), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return errorcatalog.Fail(errorcatalog.HostDirectoryUnusable, "directory %s", dir).Because(err)
	}
	return nil
}

// emptied says that a directory shows nothing of a host that has held VMs, as the mount
// point of a volume that is not mounted does.
func emptied(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return e.Name() == ownFolder || exists(filepath.Join(dir, e.Name(), descriptionFile))
	})
}

func lockDirectory(dir string) (*os.File, error) {
	if err := makeOwnFolder(dir); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, ownFolder, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, errorcatalog.Fail(errorcatalog.HostDirectoryLocked, "another host process serves %s", dir).Because(err)
	}
	return f, nil
}

// scan reads the folders. A VM that is known and running keeps the description
// it was started with.
func (e *Engine) scan() error {
	entries, err := os.ReadDir(e.o.Directory)
	if err != nil {
		return fmt.Errorf("read host directory: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.problems = nil
	seen := map[string]bool{}
	for _, entry := range entries {
		if !entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		dir := filepath.Join(e.o.Directory, entry.Name())
		if !exists(filepath.Join(dir, descriptionFile)) {
			continue // under construction, or no VM at all
		}
		vm, err := readDescription(dir)
		if err == nil && seen[vm.ID] {
			err = errorcatalog.Fail(errorcatalog.VMDescriptionInvalid, "another folder holds a VM of id %q, too", vm.ID)
		}
		if err != nil {
			f := errorcatalog.Of(err)
			e.problems = append(e.problems, host.Problem{VM: entry.Name(), Code: f.Code, Detail: f.Detail})
			e.keepKnown(dir, seen)
			continue
		}
		seen[vm.ID] = true
		e.admit(dir, vm)
	}
	for id, m := range e.machines {
		if !seen[id] && !m.running.Load() {
			delete(e.machines, id)
		}
	}
	return nil
}

// keepKnown keeps a VM whose description has become unreadable: it may run.
func (e *Engine) keepKnown(dir string, seen map[string]bool) {
	for id, m := range e.machines {
		if m.dir == dir {
			seen[id] = true
		}
	}
}

func (e *Engine) admit(dir string, vm site.VirtualMachine) {
	m, known := e.machines[vm.ID]
	if known && m.dir == dir {
		if !m.running.Load() {
			m.vm.Store(&vm)
		}
		return
	}
	if known && m.running.Load() {
		return
	}
	m = newMachine(e, dir, vm)
	if err := m.load(); err != nil {
		f := errorcatalog.Of(err)
		e.problems = append(e.problems, host.Problem{VM: vm.ID, Code: f.Code, Detail: f.Detail})
		return
	}
	e.machines[vm.ID] = m
}

// resume brings back what ran and takes up what was tracked.
func (e *Engine) resume() {
	for _, m := range e.all() {
		if err := m.resume(e.ctx); err != nil {
			e.o.Log.Error("VM not resumed", "vm", m.id(), "error", err)
		}
	}
}

func (e *Engine) all() []*machine {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]*machine, 0, len(e.machines))
	for _, m := range e.machines {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *machine) int { return strings.Compare(a.id(), b.id()) })
	return out
}

// find returns a VM, looking for it in the directory when it is not known.
func (e *Engine) find(vm string) (*machine, error) {
	e.mu.Lock()
	m := e.machines[vm]
	e.mu.Unlock()
	if m != nil {
		return m, nil
	}
	if err := e.scan(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if m = e.machines[vm]; m == nil {
		return nil, errorcatalog.Fail(errorcatalog.VMNotFound, "the host has no VM %q", vm)
	}
	return m, nil
}

// VirtualMachines lists the VMs that can be protected.
func (e *Engine) VirtualMachines(context.Context) ([]site.VirtualMachine, error) {
	if err := e.scan(); err != nil {
		return nil, err
	}
	vms := []site.VirtualMachine{}
	for _, m := range e.all() {
		vms = append(vms, m.describe())
	}
	return vms, nil
}

// VirtualMachine returns one VM.
func (e *Engine) VirtualMachine(_ context.Context, vm string) (site.VirtualMachine, error) {
	if err := e.scan(); err != nil {
		return site.VirtualMachine{}, err
	}
	m, err := e.find(vm)
	if err != nil {
		return site.VirtualMachine{}, err
	}
	return m.describe(), nil
}

// Problems lists the VMs that could not be described.
func (e *Engine) Problems(context.Context) ([]host.Problem, error) {
	if err := e.scan(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.problems), nil
}

// Space returns the space where the VM's disks lie, or where a VM would be
// created if there is none of that id.
func (e *Engine) Space(_ context.Context, vm string) (host.Space, error) {
	dir := e.o.Directory
	if m, err := e.find(vm); err == nil {
		dir = m.dir
	}
	free, total, err := e.o.Space(dir)
	if err != nil {
		return host.Space{}, fmt.Errorf("ask for space of %s: %w", dir, err)
	}
	return host.Space{Free: free, Total: total}, nil
}

// Close lets go of the directory. Guests stay alive; their exports are gone until
// the next process has opened it.
func (e *Engine) Close() error {
	e.cancel()
	e.watchers.Wait()
	var errs []error
	for _, m := range e.all() {
		errs = append(errs, m.close())
	}
	return errors.Join(append(errs, e.lock.Close())...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
