package directory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/replica"
)

// CreateDisk makes an all-zero disk.
func (s *Store) CreateDisk(ctx context.Context, spec replica.DiskSpec, fence int64) error {
	return repeated(func() error { return s.ensureDisk(ctx, spec, fence) })
}

func (s *Store) ensureDisk(ctx context.Context, spec replica.DiskSpec, fence int64) error {
	if err := errors.Join(checkName("disk", spec.Disk), replica.CheckRange(0, spec.SizeBytes, spec.SizeBytes)); err != nil {
		return fmt.Errorf("create disk: %w", err)
	}
	it, err := s.owned(ctx, spec.Item, fence)
	if err != nil {
		return err
	}
	st, err := it.view.current()
	if err != nil {
		return err
	}
	if st != nil {
		if size, ok := st.Disks[spec.Disk]; ok && size != spec.SizeBytes {
			return errorcatalog.Fail(errorcatalog.ReplicaDiskSizeMismatch, "disk %s of item %s has %d bytes, not %d", spec.Disk, spec.Item, size, spec.SizeBytes)
		} else if ok {
			return nil
		}
	}
	if err := s.createDisk(ctx, it, st, spec, fence); err != nil {
		return failed(err, "create disk %s of item %s", spec.Disk, spec.Item)
	}
	return nil
}

func (s *Store) createDisk(ctx context.Context, it *item, st *state, spec replica.DiskSpec, fence int64) error {
	for _, folder := range []string{"disks", "undo"} {
		if err := makeDirs(s.root, it.name+"/"+folder); err != nil {
			return err
		}
	}
	path := it.diskPath(spec.Disk)
	// A file that the state does not know is left from a crash.
	if err := it.within(ctx, fence, func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err //nolint:wrapcheck // it names the file
		}
		return disk.CreateRaw(path, spec.SizeBytes)
	}); err != nil {
		return err
	}
	if err := syncDirOf(path); err != nil {
		return err
	}
	next := st.clone()
	next.Disks[spec.Disk] = spec.SizeBytes
	return it.swap(ctx, fence, st, next)
}

// within runs fn while all others are kept from writing.
func (i *item) within(ctx context.Context, fence int64, fn func() error) error {
	release, err := i.exclusive(ctx, fence)
	if err != nil {
		return err
	}
	defer release()
	return fn()
}

// OpenDisk opens a disk for applying changes.
func (s *Store) OpenDisk(ctx context.Context, name, diskName string, fence int64) (replica.Disk, error) {
	if err := checkName("disk", diskName); err != nil {
		return nil, err
	}
	it, err := s.owned(ctx, name, fence)
	if err != nil {
		return nil, err
	}
	st, err := it.view.current()
	if err != nil {
		return nil, err
	}
	f, err := it.openBase(st, diskName, false)
	if err != nil {
		return nil, err
	}
	f.Bypass()
	return &volume{item: it, name: diskName, fence: fence, file: f}, nil
}

// openBase opens the file of a disk's newest content.
func (i *item) openBase(st *state, diskName string, readonly bool) (*disk.File, error) {
	if st == nil {
		return nil, diskNotFound(i.name, diskName)
	}
	size, ok := st.Disks[diskName]
	if !ok {
		return nil, diskNotFound(i.name, diskName)
	}
	f, err := disk.OpenRaw(i.diskPath(diskName), readonly)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, diskNotFound(i.name, diskName)
	}
	if err != nil {
		return nil, failed(err, "open disk %s of item %s", diskName, i.name)
	}
	if f.Size() > size && f.Size() <= st.Growing[diskName] {
		f.Cap(size)
	}
	if f.Size() != size {
		_ = f.Close()
		return nil, errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "disk %s of item %s has %d bytes, not %d", diskName, i.name, f.Size(), size)
	}
	return f, nil
}

// volume is a replica.Disk.
type volume struct {
	item  *item
	name  string
	fence int64
	file  *disk.File

	// writing lets one write at a time through the page cache: the kernel does no
	// more, and there those that wait would spin.
	writing sync.Mutex

	mu       sync.Mutex
	state    *state // that declared belongs to
	declared []disk.Extent
	broken   error // of a flush: what it lost is not reported twice by the system
}

// ReadAt reads what was written last.
func (v *volume) ReadAt(p []byte, off int64) (int, error) {
	if err := replica.CheckRange(off, int64(len(p)), v.file.Size()); err != nil {
		return 0, fmt.Errorf("read disk %s: %w", v.name, err)
	}
	n, err := v.file.ReadAt(p, off)
	return n, failed(err, "read disk %s of item %s", v.name, v.item.name)
}

// WriteAt writes p at off.
func (v *volume) WriteAt(p []byte, off int64) (int, error) {
	err := v.change(off, int64(len(p)), func() error {
		if !v.file.Bypasses(p, off) {
			v.writing.Lock()
			defer v.writing.Unlock()
		}
		_, err := v.file.WriteAt(p, off)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Zero makes a range read as zeroes.
func (v *volume) Zero(off, n int64) error {
	return v.change(off, n, func() error {
		v.writing.Lock()
		defer v.writing.Unlock()
		return v.file.Zero(off, n)
	})
}

func (v *volume) change(off, n int64, write func() error) error {
	if err := replica.CheckRange(off, n, v.file.Size()); err != nil {
		return fmt.Errorf("write disk %s: %w", v.name, err)
	}
	if err := v.item.enter(v.fence); err != nil {
		return failed(err, "write disk %s of item %s", v.name, v.item.name)
	}
	defer v.item.leave()
	err := v.permitted(off, n)
	if err == nil {
		err = write()
	}
	return failed(err, "write %d bytes at %d to disk %s of item %s", n, off, v.name, v.item.name)
}

// permitted says whether a range may be written: any while there is no point that
// holds the disk, else those declared when the apply began.
func (v *volume) permitted(off, n int64) error {
	st, err := v.item.view.current()
	if err != nil {
		return err
	}
	if st == nil {
		return diskNotFound(v.item.name, v.name)
	}
	if n == 0 || !st.holds(v.name) {
		return nil
	}
	declared, err := v.declaredIn(st)
	if err != nil {
		return err
	}
	if !contains(declared, disk.Extent{Offset: off, Length: n}) {
		return replica.ErrUndeclared
	}
	return nil
}

func (v *volume) declaredIn(st *state) ([]disk.Extent, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.state == st {
		return v.declared, nil
	}
	var declared []disk.Extent
	if st.Pending != nil && st.Pending.Undo[v.name] != "" {
		l, err := v.item.openLayer(st.Pending.Undo[v.name])
		if err != nil {
			return nil, err
		}
		declared = l.extents
		l.close()
	}
	v.state, v.declared = st, declared
	return declared, nil
}

// Flush makes everything written durable.
func (v *volume) Flush(ctx context.Context) error {
	v.mu.Lock()
	broken := v.broken
	v.mu.Unlock()
	if broken != nil {
		return broken
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("flush disk %s: %w", v.name, context.Cause(ctx))
	}
	err := v.file.Flush()
	if err == nil {
		err = v.whole()
	}
	if err = failed(err, "flush disk %s of item %s", v.name, v.item.name); err != nil {
		v.mu.Lock()
		v.broken = err
		v.mu.Unlock()
	}
	return err
}

// whole verifies that the file still holds the disk to its end.
func (v *volume) whole() error {
	info, err := os.Stat(v.item.diskPath(v.name))
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	if info.Size() < v.file.Size() {
		return fmt.Errorf("the file has %d bytes, not %d: %w", info.Size(), v.file.Size(), io.ErrUnexpectedEOF)
	}
	return nil
}

// Close closes the disk; it does not flush.
func (v *volume) Close() error { return failed(v.file.Close(), "close disk %s", v.name) }
