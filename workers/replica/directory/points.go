package directory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/replica"
)

// CommitPoint makes the disks' content a recovery point.
func (s *Store) CommitPoint(ctx context.Context, name string, spec replica.PointSpec, fence int64) error {
	return repeated(func() error { return s.commitPoint(ctx, name, spec, fence) })
}

func (s *Store) commitPoint(ctx context.Context, name string, spec replica.PointSpec, fence int64) error {
	it, err := s.owned(ctx, name, fence)
	if err != nil {
		return err
	}
	st, err := it.view.current()
	if err != nil {
		return err
	}
	if st == nil {
		return diskNotFound(name, "")
	}
	pendingCut := ""
	if st.Pending != nil {
		pendingCut = st.Pending.Cut
	}
	known := st.find(spec.ID) >= 0
	if known && pendingCut != spec.ID {
		return nil
	}
	if !known && len(st.Points) > 0 && pendingCut != spec.ID {
		return fmt.Errorf("commit point %s of item %s: %w", spec.ID, name, replica.ErrNoApply)
	}
	next, err := s.withPoint(it, st, spec)
	if err != nil {
		return failed(err, "commit point %s of item %s", spec.ID, name)
	}
	return failed(it.swap(ctx, fence, st, next), "commit point %s of item %s", spec.ID, name)
}

// withPoint flushes the disks and returns the state with the point. A point that
// is known was applied again, to the same bytes.
func (s *Store) withPoint(it *item, st *state, spec replica.PointSpec) (*state, error) {
	next := st.clone()
	next.Pending = nil
	p := point{ID: spec.ID, CommittedAt: s.now().UTC()}
	if st.Pending != nil {
		p.Undo = st.Pending.Undo
	}
	for _, d := range spec.Disks {
		base, err := it.openBase(st, d.Disk, false)
		if err != nil {
			return nil, err
		}
		if base.Size() != d.SizeBytes {
			err = errorcatalog.Fail(errorcatalog.ReplicaDiskSizeMismatch, "disk %s has %d bytes, the point %d", d.Disk, base.Size(), d.SizeBytes)
		} else {
			err = base.Flush()
		}
		if err := errors.Join(err, base.Close()); err != nil {
			return nil, err
		}
		p.Disks = append(p.Disks, pointDisk(d))
	}
	if st.find(spec.ID) < 0 {
		next.Points = append(next.Points, p)
	}
	return next, nil
}

// ListPoints returns the item's points, oldest first.
func (s *Store) ListPoints(_ context.Context, name string) ([]replica.PointInfo, error) {
	it, err := s.item(name)
	if err != nil {
		return nil, err
	}
	st, err := it.view.current()
	if err != nil || st == nil {
		return nil, err
	}
	points := make([]replica.PointInfo, 0, len(st.Points))
	for _, p := range st.Points {
		points = append(points, p.info())
	}
	return points, nil
}

// RemovePoint deletes a point. What only it needed goes with it; the undo log
// that led from it to the one before is merged into its successor's.
func (s *Store) RemovePoint(ctx context.Context, name, id string, fence int64) error {
	return repeated(func() error { return s.removePoint(ctx, name, id, fence) })
}

func (s *Store) removePoint(ctx context.Context, name, id string, fence int64) error {
	it, err := s.owned(ctx, name, fence)
	if err != nil {
		return err
	}
	st, err := it.view.current()
	if err != nil {
		return err
	}
	at := st.find(id)
	if at < 0 {
		return nil
	}
	if at == len(st.Points)-1 {
		if at > 0 || st.Pending != nil {
			return errorcatalog.Fail(errorcatalog.NewestPointKept, "point %s of item %s", id, name).Because(replica.ErrNewestPoint)
		}
		next := st.clone()
		next.Points = nil
		return failed(it.swap(ctx, fence, st, next), "remove point %s of item %s", id, name)
	}
	next := st.clone()
	successor := next.Points[at+1]
	successor.Undo = nil
	if at > 0 {
		if successor.Undo, err = s.mergeUndo(ctx, it, st, at); err != nil {
			it.dropUndo(successor.Undo)
			return failed(err, "merge undo logs of point %s of item %s", id, name)
		}
	}
	next.Points[at+1] = successor
	next.Points = slices.Delete(next.Points, at, at+1)
	if err := it.swap(ctx, fence, st, next); err != nil {
		it.dropUndo(successor.Undo)
		return failed(err, "remove point %s of item %s", id, name)
	}
	return nil
}

// mergeUndo writes, for each disk, the undo log that leads from the point after
// at straight to the one before it.
func (s *Store) mergeUndo(ctx context.Context, it *item, st *state, at int) (map[string]string, error) {
	newer, older := st.Points[at+1].Undo, st.Points[at].Undo
	merged := map[string]string{}
	for diskName, size := range st.Disks {
		switch {
		case older[diskName] == "" && newer[diskName] == "":
		case older[diskName] == "":
			merged[diskName] = newer[diskName]
		case newer[diskName] == "":
			merged[diskName] = older[diskName]
		default:
			name, err := s.mergeLogs(ctx, it, size, newer[diskName], older[diskName])
			merged[diskName] = name
			if err != nil {
				return merged, err
			}
		}
	}
	return merged, nil
}

func (s *Store) mergeLogs(ctx context.Context, it *item, size int64, newer, older string) (string, error) {
	one, err := it.openLayer(newer)
	if err != nil {
		return "", err
	}
	defer one.close()
	other, err := it.openLayer(older)
	if err != nil {
		return "", err
	}
	defer other.close()
	all := disk.MergeExtents(slices.Concat(one.extents, other.extents))
	return s.writeUndo(ctx, it, layered{layers: []*layer{one, other}, size: size}, all)
}

// layered is undo logs alone, newest first; it is read only where they have data.
type layered struct {
	layers []*layer
	size   int64
}

// Size is that of the disk.
func (l layered) Size() int64 { return l.size }

// ReadAt fills p with what the logs hold; the rest of p stays as it is.
func (l layered) ReadAt(p []byte, off int64) (int, error) {
	for _, one := range l.layers {
		if _, err := one.index.Overlay(p, off); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Extents is all of the range: which of it is zero shows when it is read.
func (l layered) Extents(off, n int64) ([]disk.Extent, error) {
	return []disk.Extent{{Offset: off, Length: n}}, nil
}

// OpenPoint reads a disk as it was at a point.
func (s *Store) OpenPoint(_ context.Context, name, id, diskName string) (disk.Reader, error) {
	it, err := s.item(name)
	if err != nil {
		return nil, err
	}
	st, err := it.view.current()
	if err != nil {
		return nil, err
	}
	at := st.find(id)
	if at < 0 {
		return nil, it.without(id)
	}
	held := slices.IndexFunc(st.Points[at].Disks, func(d pointDisk) bool { return d.Disk == diskName })
	if held < 0 {
		return nil, diskNotFound(name, diskName)
	}
	base, err := it.openBase(st, diskName, true)
	if err != nil {
		return nil, err
	}
	base.Cap(st.Points[at].Disks[held].SizeBytes) // it may have grown since
	return &pointReader{item: it, point: id, disk: diskName, base: base, opened: map[string]*layer{}}, nil
}

// without says that the item has no such point.
func (i *item) without(point string) error {
	if err := there(filepath.Dir(i.dir)); err != nil {
		return err
	}
	return pointNotFound(i.name, point)
}

// pointReader reads a disk as it was at a point, following the state as newer
// points are made and others removed.
type pointReader struct {
	item  *item
	point string
	disk  string
	base  *disk.File

	mu     sync.Mutex
	state  *state            // that layers belongs to
	layers []*layer          // newest first
	opened map[string]*layer // all ever used; open until Close
}

// Size is what a guest sees, in bytes.
func (r *pointReader) Size() int64 { return r.base.Size() }

// ReadAt reads base and undo logs as one state names them. The disks change only
// where a pending apply has kept the content, so what was read is the point's if
// the state is still the same afterwards.
func (r *pointReader) ReadAt(p []byte, off int64) (int, error) {
	over := off+int64(len(p)) > r.Size()
	if off < 0 || off > r.Size() || over {
		return r.readOverEnd(p, off)
	}
	err := r.steadily(func(layers []*layer) error { return readOver(r.base, layers, p, off) })
	if err != nil {
		return 0, failed(err, "read %d bytes at %d of disk %s at point %s", len(p), off, r.disk, r.point)
	}
	return len(p), nil
}

// readOverEnd is a read that the disk's end cuts short.
func (r *pointReader) readOverEnd(p []byte, off int64) (int, error) {
	n := 0
	if off >= 0 && off < r.Size() {
		var err error
		if n, err = r.ReadAt(p[:r.Size()-off], off); err != nil {
			return n, err
		}
	}
	_, err := r.base.ReadAt(make([]byte, 1), max(off, r.Size())) // says how it ends
	return n, err
}

// Extents returns the ranges where the point may hold anything but zeroes.
func (r *pointReader) Extents(off, n int64) ([]disk.Extent, error) {
	var found []disk.Extent
	err := r.steadily(func(layers []*layer) error {
		data, err := r.base.Extents(off, n)
		if err != nil {
			return err
		}
		found = slices.Clone(data)
		for _, l := range layers {
			found = append(found, disk.ClipExtents(l.extents, off, n)...)
		}
		found = disk.MergeExtents(found)
		return nil
	})
	return found, failed(err, "find data of disk %s at point %s", r.disk, r.point)
}

// steadily calls fn until the state was the same before and after it.
func (r *pointReader) steadily(fn func([]*layer) error) error {
	for {
		st, layers, err := r.current()
		if err != nil {
			return err
		}
		err = fn(layers)
		now, viewErr := r.item.view.current()
		if viewErr != nil {
			return viewErr
		}
		if now == st {
			return err
		}
	}
}

// current returns the undo logs that lead from the disk's newest content to the
// point.
func (r *pointReader) current() (*state, []*layer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		st, err := r.item.view.current()
		if err != nil {
			return nil, nil, err
		}
		if st == r.state && st != nil {
			return st, r.layers, nil
		}
		at := st.find(r.point)
		if at < 0 {
			return nil, nil, r.item.without(r.point)
		}
		layers, err := r.open(st.layers(at, r.disk))
		if errors.Is(err, fs.ErrNotExist) {
			if now, viewErr := r.item.view.current(); viewErr == nil && now != st {
				continue // merged or dropped just now
			}
			return nil, nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
		if err != nil {
			return nil, nil, err
		}
		r.state, r.layers = st, layers
		return st, layers, nil
	}
}

func (r *pointReader) open(names []string) ([]*layer, error) {
	layers := make([]*layer, 0, len(names))
	for _, name := range names {
		l := r.opened[name]
		if l == nil {
			var err error
			if l, err = r.item.openLayer(name); err != nil {
				return nil, err
			}
			r.opened[name] = l
		}
		layers = append(layers, l)
	}
	return layers, nil
}

// Close closes the reader.
func (r *pointReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.opened {
		l.close()
	}
	clear(r.opened)
	r.state, r.layers = nil, nil
	return r.base.Close()
}
