package local

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/disk"
	"farshore/workers/host"
)

// incompleteFile describes a VM under construction; renamed to vm.json it makes
// the VM exist.
const incompleteFile = "vm.json.incomplete"

// trashPrefix marks folders that are being deleted.
const trashPrefix = "trash-"

// ownerFile says in a VM's folder for whom it was made. A VM that was made by hand has
// none.
const ownerFile = ".owner"

// ownerOf is for whom a VM was made or begun. A complete one may lie in a folder of
// another name.
func (e *Engine) ownerOf(vm string) (owner string, err error) {
	if !slug().MatchString(vm) {
		return "", nil
	}
	dir := filepath.Join(e.o.Directory, vm)
	if m, err := e.find(vm); err == nil {
		dir = m.dir
	}
	err = loadJSON(filepath.Join(dir, ownerFile), &owner)
	return owner, err
}

// CreateVM prepares a VM whose disks are to be filled.
func (e *Engine) CreateVM(_ context.Context, vm site.VirtualMachine, owner string) error {
	if err := checkDescription(vm); err != nil {
		return errorcatalog.Fail(errorcatalog.VMDescriptionInvalid, "VM to be created").Because(err)
	}
	e.building.Lock()
	defer e.building.Unlock()
	if err := e.scan(); err != nil {
		return err
	}
	dir := filepath.Join(e.o.Directory, vm.ID)
	complete, err := e.takeUp(dir, vm, owner)
	if err != nil || complete {
		return err
	}
	// What a VM of that id was meant to be, whose folder somebody has removed, is
	// not meant for this one.
	for _, kept := range []string{"power-", "freeze-"} {
		if err := removeFile(filepath.Join(e.o.Directory, ownFolder, kept+vm.ID+".json")); err != nil {
			return err
		}
	}
	if !exists(dir) {
		if err := e.begin(dir, vm, owner); err != nil {
			return full(fmt.Errorf("make folder of VM %s: %w", vm.ID, err))
		}
	}
	for _, d := range vm.Disks {
		if err := e.createDisk(dir, vm.ID, d); err != nil {
			return err
		}
	}
	return errors.Join(syncDir(dir), syncDir(e.o.Directory))
}

// takeUp makes sure that nobody else has a VM of the id or the name, and says whether
// the owner has completed it. What the owner has begun with other disks goes.
func (e *Engine) takeUp(dir string, vm site.VirtualMachine, owner string) (complete bool, err error) {
	made, err := e.ownerOf(vm.ID)
	if err != nil {
		return false, err
	}
	for _, m := range e.all() {
		switch have := m.vm.Load(); {
		case have.ID == vm.ID && made == owner:
			return true, nil
		case have.ID == vm.ID, have.Name == vm.Name:
			return false, errorcatalog.Fail(errorcatalog.VMExists, "the host has a VM %q, of id %s", have.Name, have.ID)
		}
	}
	if !exists(dir) {
		return false, nil
	}
	begun, err := readIncomplete(dir)
	switch {
	case made != owner || !exists(filepath.Join(dir, incompleteFile)):
		return false, errorcatalog.Fail(errorcatalog.VMExists, "folder %s is there and holds no VM that was begun for %s", vm.ID, owner)
	case err == nil && reflect.DeepEqual(begun, vm):
		return false, nil
	default:
		return false, e.discard(dir, vm.ID)
	}
}

// begin makes the folder of a VM, with its owner and its description at once.
func (e *Engine) begin(dir string, vm site.VirtualMachine, owner string) error {
	aside := filepath.Join(e.o.Directory, ownFolder, "begin-"+vm.ID)
	if err := errors.Join(os.RemoveAll(aside), os.Mkdir(aside, 0o700)); err != nil {
		return err
	}
	err := errors.Join(saveJSON(filepath.Join(aside, ownerFile), owner), saveJSON(filepath.Join(aside, incompleteFile), vm))
	if err != nil {
		return err
	}
	return os.Rename(aside, dir) //nolint:wrapcheck // the caller says what for
}

func (e *Engine) createDisk(dir, vm string, d site.Disk) error {
	path := filepath.Join(dir, d.File)
	if exists(path) && sizeOf(dir, d) == d.SizeBytes {
		return nil
	}
	if err := removeFile(path); err != nil {
		return err
	}
	var id [16]byte
	sum := sha256.Sum256([]byte(vm + "/" + d.ID))
	copy(id[:], sum[:])
	if err := disk.Create(path, d.Format, d.SizeBytes, disk.FooterFor(d.SizeBytes, id, e.o.Now())); err != nil {
		return recoveryFull(fmt.Errorf("create disk %s of VM %s: %w", d.ID, vm, err))
	}
	return nil
}

func readIncomplete(dir string) (site.VirtualMachine, error) {
	f, err := os.Open(filepath.Join(dir, incompleteFile)) //nolint:gosec // a folder of the host's own directory
	if err != nil {
		return site.VirtualMachine{}, fmt.Errorf("open description: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	return decodeDescription(f)
}

// underConstruction returns the folder and description of a VM that was begun.
func (e *Engine) underConstruction(vm string) (string, site.VirtualMachine, error) {
	if !slug().MatchString(vm) {
		return "", site.VirtualMachine{}, errorcatalog.Fail(errorcatalog.VMNotFound, "%q is no id of a VM", vm)
	}
	dir := filepath.Join(e.o.Directory, vm)
	d, err := readIncomplete(dir)
	if err != nil {
		return "", d, errorcatalog.Fail(errorcatalog.VMNotFound, "no VM %q is under construction", vm).Because(err)
	}
	return dir, d, nil
}

// OpenVMDisk opens a disk of a VM under construction for writing.
func (e *Engine) OpenVMDisk(_ context.Context, vm, diskID string) (host.DiskWriter, error) {
	dir, begun, err := e.underConstruction(vm)
	if err != nil {
		return nil, err
	}
	for _, d := range begun.Disks {
		if d.ID != diskID {
			continue
		}
		f, err := disk.Open(filepath.Join(dir, d.File), d.Format, false)
		if err != nil {
			return nil, errorcatalog.Fail(errorcatalog.DiskUnwritable, "disk %s of VM %s", diskID, vm).Because(err)
		}
		return &diskWriter{f}, nil
	}
	return nil, errorcatalog.Fail(errorcatalog.DiskNotFound, "VM %s has no disk %q", vm, diskID)
}

// diskWriter gives a full volume its code.
type diskWriter struct{ *disk.File }

// WriteAt writes to the disk.
func (w *diskWriter) WriteAt(p []byte, off int64) (int, error) {
	n, err := w.File.WriteAt(p, off)
	return n, recoveryFull(err)
}

// ReadAt reads what was written.
func (w *diskWriter) ReadAt(p []byte, off int64) (int, error) {
	n, err := w.File.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		err = errorcatalog.Fail(errorcatalog.DiskUnreadable, "disk under construction").Because(err)
	}
	return n, err
}

// Zero makes a range read as zeroes.
func (w *diskWriter) Zero(off, n int64) error { return recoveryFull(w.File.Zero(off, n)) }

// Flush makes everything written durable.
func (w *diskWriter) Flush() error { return recoveryFull(w.File.Flush()) }

func recoveryFull(err error) error {
	if err == nil {
		return nil
	}
	if f := errorcatalog.Of(full(err)); f.Code == errorcatalog.InsufficientSourceSpace {
		return errorcatalog.Fail(errorcatalog.InsufficientRecoverySpace, "the volume of the host's directory is full").Because(err)
	}
	return errorcatalog.Fail(errorcatalog.DiskUnwritable, "disk under construction").Because(err)
}

// CompleteVM makes the owner's VM appear in the inventory, off.
func (e *Engine) CompleteVM(_ context.Context, vm, owner string) error {
	made, err := e.ownerOf(vm)
	if err != nil {
		return err
	}
	if made != owner {
		return errorcatalog.Fail(errorcatalog.VMNotFound, "no VM %q was begun for %s", vm, owner)
	}
	dir, begun, err := e.underConstruction(vm)
	if err != nil {
		if _, there := e.find(vm); there == nil {
			return nil
		}
		return err
	}
	for _, d := range begun.Disks {
		if err := flushFile(filepath.Join(dir, d.File)); err != nil {
			return recoveryFull(err)
		}
	}
	if err := os.Rename(filepath.Join(dir, incompleteFile), filepath.Join(dir, descriptionFile)); err != nil {
		return fmt.Errorf("complete VM %s: %w", vm, err)
	}
	if err := errors.Join(syncDir(dir), syncDir(e.o.Directory)); err != nil {
		return err
	}
	return e.scan()
}

func flushFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open disk: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// DeleteVM stops the owner's VM and removes it with its disks.
func (e *Engine) DeleteVM(ctx context.Context, vm, owner string) error {
	if made, err := e.ownerOf(vm); err != nil || made != owner {
		return err // another's, if there is one
	}
	m, err := e.find(vm)
	if errorcatalog.Of(orNone(err)).Code == errorcatalog.VMNotFound {
		dir := filepath.Join(e.o.Directory, vm)
		if !exists(filepath.Join(dir, incompleteFile)) {
			return nil // whatever lies there is no VM
		}
		return e.discard(dir, vm)
	}
	if err != nil {
		return err
	}
	err = e.Stop(ctx, vm)
	if errorcatalog.Of(orNone(err)).Code == errorcatalog.GuestShutdownTimeout {
		err = m.kill(ctx)
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.snapshots {
		if err := m.dropSnapshot(id); err != nil {
			return err
		}
	}
	if err := m.closeOverlays(); err != nil {
		return err
	}
	if err := e.discard(m.dir, vm); err != nil {
		return err
	}
	m.gone = true
	e.mu.Lock()
	delete(e.machines, vm)
	e.mu.Unlock()
	return errors.Join(removeFile(m.powerFile()), removeFile(m.guestFile()), removeFile(m.ownFile("guest", ".log")),
		removeFile(m.freezeFile()), removeFile(m.leftFile()), removeFile(m.freezeLog()), removeFile(m.growthFile()))
}

func orNone(err error) error {
	if err == nil {
		return &errorcatalog.Failure{}
	}
	return err
}

// discard moves a folder out of the inventory at once, then deletes it.
func (e *Engine) discard(dir, vm string) error {
	if !exists(dir) {
		return nil
	}
	trash := filepath.Join(e.o.Directory, ownFolder, trashPrefix+vm+"-"+e.o.NewID())
	if err := os.Rename(dir, trash); err != nil {
		return fmt.Errorf("set VM %s aside: %w", vm, err)
	}
	if err := syncDir(e.o.Directory); err != nil {
		return err
	}
	if err := os.RemoveAll(trash); err != nil {
		return fmt.Errorf("delete VM %s: %w", vm, err)
	}
	return nil
}

// clearTrash finishes deletions that a killed process has begun.
func (e *Engine) clearTrash() error {
	found, err := filepath.Glob(filepath.Join(e.o.Directory, ownFolder, trashPrefix+"*"))
	if err != nil {
		return fmt.Errorf("look for deleted VMs: %w", err)
	}
	for _, dir := range found {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("delete %s: %w", filepath.Base(dir), err)
		}
	}
	return nil
}
