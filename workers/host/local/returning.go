package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/host/local/cow"
)

var (
	_ host.Returning = (*Engine)(nil)
	_ host.Returning = (*Client)(nil)
)

// returnFile holds a VM's return, in its folder. What lies beside the disks
// without being named by it is swept away.
const returnFile = "return.json"

// returnState is how far a return has come.
type returnState string

const (
	returnBegun   returnState = "begun"   // the disks are what they were
	returnMerging returnState = "merging" // the undo logs are closed; the overlays are being written
	returnMerged  returnState = "merged"  // the disks are what was returned, and what a guest has made of it
	returnUndoing returnState = "undoing" // the original content is being written
)

// returnRecord is a return as its file tells it.
type returnRecord struct {
	ID     string       `json:"id"`
	State  returnState  `json:"state"`
	BootID string       `json:"bootId"` // in which what lies beside the disks was written last
	Disks  []returnDisk `json:"disks"`
	// Kept says that the VM's disks were opened after the merge, and that what is
	// overwritten since lies beside them.
	Kept bool `json:"kept,omitempty"`
}

type returnDisk struct {
	Disk string `json:"disk"`
	Size int64  `json:"size"`
	// Mark identifies the disk's file as it was when the return began, or as the
	// host left it later; empty while the host has it open.
	Mark string `json:"mark,omitempty"`
}

// returning is a return of a VM.
type returning struct {
	record   returnRecord
	overlays map[string]*openOverlay  // by disk, while it is written beside
	kept     map[string]*cow.Snapshot // by disk, while the disks are open after the merge
}

// openOverlay is an overlay with the disk beneath it.
type openOverlay struct {
	*cow.Overlay

	base *disk.File
}

func (o *openOverlay) close() error { return errors.Join(o.Close(), o.base.Close()) }

// What a return leaves beside a disk, behind the disk's name and the return's id.
const (
	overlaySuffix = ".overlay"
	overlayMap    = ".overlaymap"
	undoSuffix    = ".undo"
	keptSuffix    = ".kept"
	keptMap       = ".keptmap"
)

func (m *machine) beside(d site.Disk, id, suffix string) string {
	return m.path(d.File + "." + id + suffix)
}

func (m *machine) overlayFiles(d site.Disk, id string) cow.Files {
	return cow.Files{Delta: m.beside(d, id, overlaySuffix), Map: m.beside(d, id, overlayMap)}
}

func (m *machine) keptFiles(d site.Disk, id string) cow.Files {
	return cow.Files{Delta: m.beside(d, id, keptSuffix), Map: m.beside(d, id, keptMap)}
}

func (m *machine) loadReturn() error {
	if exists(m.path(returnFile)) {
		m.ret = &returning{}
		if err := loadJSON(m.path(returnFile), &m.ret.record); err != nil {
			return err
		}
	}
	return m.sweepReturn()
}

func (m *machine) saveReturn() error { return saveJSON(m.path(returnFile), m.ret.record) }

// sweepReturn removes what no return owns.
func (m *machine) sweepReturn() error {
	return m.remove(func(name string) bool {
		if name == returnFile+".tmp" {
			return true
		}
		return m.besideDisk(name, overlaySuffix, overlayMap, overlayMap+".tmp", overlayMap+".flushed", overlayMap+".flushed.tmp",
			undoSuffix, keptSuffix, keptMap) && !m.ownedByReturn(name)
	})
}

func (m *machine) ownedByReturn(name string) bool {
	if m.ret == nil {
		return false
	}
	for _, d := range m.ret.record.Disks {
		if at, err := m.disk(d.Disk); err == nil && strings.HasPrefix(name, at.File+"."+m.ret.record.ID+".") {
			return !strings.HasSuffix(name, ".tmp")
		}
	}
	return false
}

// mark identifies a disk's file and its state while nobody has it open: size and
// time of the last write, and what would tell that the time was set back or the
// file replaced.
func mark(path string) (string, error) {
	s, err := stamp(path)
	if err != nil {
		return "", err
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", fmt.Errorf("stat disk: %w", err)
	}
	return fmt.Sprintf("%s, file %d, changed %d.%09d", s, st.Ino, st.Ctim.Sec, st.Ctim.Nsec), nil
}

// forReturn returns the VM, locked and off. The function it returns unlocks it.
func (e *Engine) forReturn(vm, id string) (*machine, func(), error) {
	if err := checkID("return", id); err != nil {
		return nil, nil, err
	}
	m, err := e.find(vm)
	if err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	if m.running.Load() || m.guest != nil {
		m.mu.Unlock()
		return nil, nil, errorcatalog.Fail(errorcatalog.SourceStillRunningRefusal, "VM %s runs", vm)
	}
	return m, m.mu.Unlock, nil
}

// isReturn tells whether the VM's return is the one of that id.
func (m *machine) isReturn(id string) bool { return m.ret != nil && m.ret.record.ID == id }

func (m *machine) noReturn(id string) error {
	return errorcatalog.Fail(errorcatalog.NoFailbackPending, "VM %s has no return %s", m.id(), id)
}

func (m *machine) halfWay() error {
	return errorcatalog.Fail(errorcatalog.OperationInProgress, "return %s of VM %s is %s", m.ret.record.ID, m.id(), m.ret.record.State)
}

// BeginReturn prepares an overlay beside each of the disks. A return that has
// been merged stays what it is; one of another id that has not is given up.
func (e *Engine) BeginReturn(ctx context.Context, vm, id string, disks []string) (bool, error) {
	m, unlock, err := e.forReturn(vm, id)
	if err != nil {
		return false, err
	}
	defer unlock()
	if len(disks) == 0 {
		return false, errorcatalog.Fail(errorcatalog.ValidationFailed, "a return has disks")
	}
	if err := m.standsAlone(); err != nil {
		return false, err
	}
	if m.ret != nil && m.ret.record.State != returnBegun {
		if !m.isReturn(id) {
			return false, m.halfWay()
		}
		if m.ret.record.State != returnUndoing {
			return false, nil
		}
		if err := m.undo(ctx); err != nil {
			return false, err
		}
	}
	if m.isReturn(id) && m.takeUpReturn(disks) == nil {
		return false, nil
	}
	if err := m.dropReturn(); err != nil {
		return false, err
	}
	return true, m.newReturn(id, disks)
}

// newReturn makes the overlays. The record comes first: it owns them.
func (m *machine) newReturn(id string, disks []string) error {
	r := returnRecord{ID: id, State: returnBegun, BootID: m.e.boot}
	for i, d := range disks {
		spec, err := m.disk(d)
		if err != nil {
			return err
		}
		if slices.Contains(disks[:i], d) {
			return errorcatalog.Fail(errorcatalog.ValidationFailed, "disk %q is named twice", d)
		}
		at, err := durableMark(m.path(spec.File))
		if err != nil {
			return err
		}
		r.Disks = append(r.Disks, returnDisk{Disk: d, Size: sizeOf(m.dir, spec), Mark: at})
	}
	m.ret = &returning{record: r}
	err := m.saveReturn()
	if err == nil {
		err = m.openOverlays(func(f cow.Files, base *disk.File) (*cow.Overlay, error) { return cow.CreateOverlay(f, base) })
	}
	if err != nil {
		return errors.Join(full(err), m.dropReturn())
	}
	return nil
}

// takeUpReturn opens the overlays of a return whose disks are what they were.
func (m *machine) takeUpReturn(disks []string) error {
	if disks != nil && !slices.EqualFunc(m.ret.record.Disks, disks, func(d returnDisk, id string) bool { return d.Disk == id }) {
		return errors.New("it is of other disks")
	}
	if err := m.unchanged(); err != nil {
		return err
	}
	if m.ret.overlays != nil {
		return nil
	}
	lost := m.ret.record.BootID != m.e.boot
	if err := m.openOverlays(func(f cow.Files, base *disk.File) (*cow.Overlay, error) { return cow.OpenOverlay(f, base, lost) }); err != nil {
		return err
	}
	if !lost {
		return nil
	}
	m.ret.record.BootID = m.e.boot
	return m.saveReturn()
}

// unchanged tells whether the disks' files are what the host left.
func (m *machine) unchanged() error {
	for _, d := range m.ret.record.Disks {
		spec, err := m.disk(d.Disk)
		if err != nil {
			return err
		}
		now, err := mark(m.path(spec.File))
		if err != nil {
			return err
		}
		if now != d.Mark {
			return errorcatalog.Fail(errorcatalog.DiskChangedOffline, "disk %s of VM %s has changed since its return: it was %s and is %s", d.Disk, m.id(), d.Mark, now)
		}
	}
	return nil
}

func (m *machine) openOverlays(open func(cow.Files, *disk.File) (*cow.Overlay, error)) error {
	overlays := map[string]*openOverlay{}
	for _, d := range m.ret.record.Disks {
		o, err := m.openOverlay(d, open)
		if err != nil {
			for _, o := range overlays {
				err = errors.Join(err, o.close())
			}
			return err
		}
		overlays[d.Disk] = o
	}
	m.ret.overlays = overlays
	return nil
}

func (m *machine) openOverlay(d returnDisk, open func(cow.Files, *disk.File) (*cow.Overlay, error)) (*openOverlay, error) {
	spec, err := m.disk(d.Disk)
	if err != nil {
		return nil, err
	}
	base, err := disk.Open(m.path(spec.File), spec.Format, true)
	if err != nil {
		return nil, errorcatalog.Fail(errorcatalog.DiskUnreadable, "disk %s of VM %s", d.Disk, m.id()).Because(err)
	}
	o, err := open(m.overlayFiles(spec, m.ret.record.ID), base)
	if err != nil {
		return nil, errors.Join(full(fmt.Errorf("open overlay of disk %s of VM %s: %w", d.Disk, m.id(), err)), base.Close())
	}
	return &openOverlay{Overlay: o, base: base}, nil
}

// closeOverlays waits for those who write beside the disks. What they have
// written stays.
func (m *machine) closeOverlays() error {
	if m.ret == nil {
		return nil
	}
	var errs []error
	for _, o := range m.ret.overlays {
		errs = append(errs, o.close())
	}
	m.ret.overlays = nil
	return errors.Join(errs...)
}

// dropReturn ends the return: once its record is gone it does not exist, and
// what it has left is swept.
func (m *machine) dropReturn() error {
	err := errors.Join(m.closeOverlays(), removeFile(m.path(returnFile)))
	if err != nil {
		return err
	}
	m.ret = nil
	return m.sweepReturn()
}

// OpenBeside opens a disk of a return.
func (e *Engine) OpenBeside(_ context.Context, vm, id, diskID string) (host.BesideDisk, error) {
	m, unlock, err := e.forReturn(vm, id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if !m.isReturn(id) {
		return nil, m.noReturn(id)
	}
	if m.ret.record.State != returnBegun {
		return nil, m.halfWay()
	}
	if err := m.takeUpReturn(nil); err != nil {
		return nil, err
	}
	o := m.ret.overlays[diskID]
	if o == nil {
		return nil, errorcatalog.Fail(errorcatalog.DiskNotFound, "return %s of VM %s does not hold disk %q", id, vm, diskID)
	}
	return &besideDisk{o: o.Overlay, what: fmt.Sprintf("disk %s of return %s of VM %s", diskID, id, vm)}, nil
}

// besideDisk is one opening of an overlay, which others may have open, too.
type besideDisk struct {
	o    *cow.Overlay
	what string
}

// ReadAt reads the overlay over the disk.
func (b *besideDisk) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.o.ReadAt(p, off)
	return n, b.failure(errorcatalog.DiskUnreadable, err)
}

// WriteAt writes beside the disk.
func (b *besideDisk) WriteAt(p []byte, off int64) (int, error) {
	n, err := b.o.WriteAt(p, off)
	return n, b.failure(errorcatalog.DiskUnwritable, err)
}

// Zero makes a range read as zeroes.
func (b *besideDisk) Zero(off, n int64) error {
	return b.failure(errorcatalog.DiskUnwritable, b.o.Zero(off, n))
}

// Flush makes everything written durable.
func (b *besideDisk) Flush() error {
	return b.failure(errorcatalog.DiskUnwritable, b.o.Flush())
}

// Close leaves the overlay to the return.
func (b *besideDisk) Close() error { return nil }

func (b *besideDisk) failure(code errorcatalog.Code, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrClosed):
		return errorcatalog.Fail(errorcatalog.NoFailbackPending, "%s is no longer written beside", b.what)
	case errors.Is(err, disk.ErrOutOfRange):
		code = errorcatalog.ValidationFailed
	}
	if f := errorcatalog.Of(full(err)); f.Code == errorcatalog.InsufficientSourceSpace {
		return f
	}
	return errorcatalog.Fail(code, "%s", b.what).Because(err)
}
