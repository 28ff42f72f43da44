package directory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"farshore/domain/errorcatalog"
	"farshore/workers/replica"
)

// GrowDisk makes a disk larger. The state says so before the file is longer than
// it should be, and again once it is.
func (s *Store) GrowDisk(ctx context.Context, spec replica.DiskSpec, fence int64) error {
	if err := errors.Join(checkName("disk", spec.Disk), replica.CheckRange(0, spec.SizeBytes, spec.SizeBytes)); err != nil {
		return fmt.Errorf("grow disk: %w", err)
	}
	return repeated(func() error { return s.growDisk(ctx, spec, fence) })
}

func (s *Store) growDisk(ctx context.Context, spec replica.DiskSpec, fence int64) error {
	it, err := s.owned(ctx, spec.Item, fence)
	if err != nil {
		return err
	}
	st, err := it.view.current()
	if err != nil {
		return err
	}
	if st == nil || st.Disks[spec.Disk] == 0 {
		return diskNotFound(spec.Item, spec.Disk)
	}
	switch size := st.Disks[spec.Disk]; {
	case spec.SizeBytes < size:
		return errorcatalog.Fail(errorcatalog.DiskShrunk, "disk %s of item %s has %d bytes and cannot have %d", spec.Disk, spec.Item, size, spec.SizeBytes)
	case spec.SizeBytes == size:
		return nil
	}
	return failed(it.grow(ctx, st, spec, fence), "grow disk %s of item %s", spec.Disk, spec.Item)
}

func (i *item) grow(ctx context.Context, st *state, spec replica.DiskSpec, fence int64) error {
	if st.Growing[spec.Disk] < spec.SizeBytes { // more may be left from an earlier call
		next := st.clone()
		if next.Growing == nil {
			next.Growing = map[string]int64{}
		}
		next.Growing[spec.Disk] = spec.SizeBytes
		if err := i.swap(ctx, fence, st, next); err != nil {
			return err
		}
		var err error
		if st, err = i.view.current(); err != nil {
			return err
		}
	}
	if err := i.within(ctx, fence, func() error { return lengthen(i.diskPath(spec.Disk), spec.SizeBytes) }); err != nil {
		return err
	}
	next := st.clone()
	next.Disks[spec.Disk] = spec.SizeBytes
	delete(next.Growing, spec.Disk)
	return i.swap(ctx, fence, st, next)
}

func lengthen(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	if err = f.Truncate(size); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// RemoveDisk deletes a disk that no point holds. The state goes first: a file that
// it does not know is left from a crash.
func (s *Store) RemoveDisk(ctx context.Context, name, diskName string, fence int64) error {
	if err := checkName("disk", diskName); err != nil {
		return fmt.Errorf("remove disk: %w", err)
	}
	return repeated(func() error { return s.removeDisk(ctx, name, diskName, fence) })
}

func (s *Store) removeDisk(ctx context.Context, name, diskName string, fence int64) error {
	it, err := s.owned(ctx, name, fence)
	if err != nil {
		return err
	}
	st, err := it.view.current()
	if err != nil || st == nil {
		return err
	}
	if st.holds(diskName) {
		return errorcatalog.Fail(errorcatalog.DiskInRecoveryPoints, "disk %s of item %s", diskName, name)
	}
	if _, known := st.Disks[diskName]; known {
		if err := it.swap(ctx, fence, st, st.without(diskName)); err != nil {
			return failed(err, "remove disk %s of item %s", diskName, name)
		}
	}
	err = it.within(ctx, fence, func() error {
		if err := os.Remove(it.diskPath(diskName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err //nolint:wrapcheck // it names the file
		}
		return nil
	})
	return failed(err, "remove disk %s of item %s", diskName, name)
}

// without is a state that does not know a disk, nor its undo logs, which led to
// points that are gone.
func (s *state) without(diskName string) *state {
	next := s.clone()
	delete(next.Disks, diskName)
	delete(next.Growing, diskName)
	next.Points = slices.Clone(next.Points)
	for n, p := range next.Points {
		next.Points[n].Undo = lacking(p.Undo, diskName)
	}
	if next.Pending != nil {
		next.Pending = &pending{Cut: next.Pending.Cut, Undo: lacking(next.Pending.Undo, diskName)}
	}
	return next
}

func lacking(undo map[string]string, diskName string) map[string]string {
	rest := maps.Clone(undo)
	delete(rest, diskName)
	return rest
}
