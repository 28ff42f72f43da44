package directory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"

	"github.com/google/uuid"

	"farshore/workers/changelog"
	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/replica"
)

const (
	// undoEntry keeps entries of undo logs small, because reading a part of one
	// verifies all of it.
	undoEntry = 64 << 10
	copyBytes = 1 << 20
)

// layer is an undo log, opened: what lies over the newer content.
type layer struct {
	file    *os.File
	index   *changelog.Index
	extents []disk.Extent
}

func (i *item) openLayer(name string) (*layer, error) {
	f, err := os.Open(i.undoPath(name))
	if err != nil {
		return nil, fmt.Errorf("open undo log: %w", err)
	}
	l, err := newLayer(f)
	if err != nil {
		return nil, fmt.Errorf("open undo log %s: %w", name, errors.Join(err, f.Close()))
	}
	return l, nil
}

func newLayer(f *os.File) (*layer, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the file
	}
	r, err := changelog.NewReader(f, info.Size())
	if err != nil {
		return nil, err
	}
	index, err := changelog.Open([]*changelog.Reader{r})
	if err != nil {
		return nil, err
	}
	return &layer{file: f, index: index, extents: index.Extents()}, nil
}

func (l *layer) close() { _ = l.file.Close() }

// contains says whether e lies within one of ascending, merged ranges.
func contains(extents []disk.Extent, e disk.Extent) bool {
	at := sort.Search(len(extents), func(i int) bool { return extents[i].End() > e.Offset })
	return at < len(extents) && extents[at].Offset <= e.Offset && e.End() <= extents[at].End()
}

// readOver reads base with layers over it, newest first: the oldest one that
// holds a byte decides it.
func readOver(base io.ReaderAt, layers []*layer, p []byte, off int64) error {
	from := -1 // the layer that covers all of p, so that nothing below it matters
	for i, l := range layers {
		if contains(l.extents, disk.Extent{Offset: off, Length: int64(len(p))}) {
			from = i
		}
	}
	if from < 0 {
		if n, err := base.ReadAt(p, off); n < len(p) {
			return err //nolint:wrapcheck // the caller says what was read
		}
		from = 0
	}
	for _, l := range layers[from:] {
		if _, err := l.index.Overlay(p, off); err != nil {
			return err
		}
	}
	return nil
}

// BeginApply writes before-images of the ranges to undo logs and makes the state
// name them.
func (s *Store) BeginApply(ctx context.Context, name, cut string, fence int64, changes []replica.Change) error {
	return repeated(func() error { return s.beginApply(ctx, name, cut, fence, changes) })
}

func (s *Store) beginApply(ctx context.Context, name, cut string, fence int64, changes []replica.Change) error {
	it, err := s.owned(ctx, name, fence)
	if err != nil {
		return err
	}
	st, err := it.view.current()
	if err != nil {
		return err
	}
	if err := checkChanges(it, st, changes); err != nil {
		return fmt.Errorf("begin apply of cut %s: %w", cut, err)
	}
	switch {
	case len(st.Points) == 0:
		return nil // there is nothing to keep
	case st.Pending != nil && st.Pending.Cut != cut:
		return fmt.Errorf("begin apply of cut %s to item %s, cut %s is pending: %w", cut, name, st.Pending.Cut, replica.ErrApplyOpen)
	case st.Pending != nil:
		return failed(it.checkDeclared(st, changes), "begin apply of cut %s to item %s", cut, name)
	case st.find(cut) >= 0 && st.find(cut) < len(st.Points)-1:
		return fmt.Errorf("begin apply of cut %s to item %s, newer ones were applied: %w", cut, name, replica.ErrNoApply)
	}
	return failed(s.begin(ctx, it, st, cut, fence, changes), "begin apply of cut %s to item %s", cut, name)
}

func checkChanges(it *item, st *state, changes []replica.Change) error {
	for _, c := range changes {
		if st == nil || st.Disks[c.Disk] == 0 {
			return diskNotFound(it.name, c.Disk)
		}
		for _, e := range c.Extents {
			if err := replica.CheckRange(e.Offset, e.Length, st.Disks[c.Disk]); err != nil {
				return fmt.Errorf("disk %s: %w", c.Disk, err)
			}
		}
	}
	if st == nil {
		return diskNotFound(it.name, "")
	}
	return nil
}

// checkDeclared verifies that a repeated apply changes nothing that the first one
// has not kept.
func (i *item) checkDeclared(st *state, changes []replica.Change) error {
	for _, c := range changes {
		if disk.TotalLength(c.Extents) == 0 {
			continue
		}
		if st.Pending.Undo[c.Disk] == "" {
			return fmt.Errorf("disk %s: %w", c.Disk, replica.ErrUndeclared)
		}
		l, err := i.openLayer(st.Pending.Undo[c.Disk])
		if err != nil {
			return err
		}
		l.close()
		for _, e := range disk.MergeExtents(c.Extents) {
			if !contains(l.extents, e) {
				return fmt.Errorf("disk %s, %d bytes at %d: %w", c.Disk, e.Length, e.Offset, replica.ErrUndeclared)
			}
		}
	}
	return nil
}

func (s *Store) begin(ctx context.Context, it *item, st *state, cut string, fence int64, changes []replica.Change) error {
	undo := map[string]string{}
	err := func() error {
		for diskName, extents := range byDisk(changes) {
			base, err := it.openBase(st, diskName, true)
			if err != nil {
				return err
			}
			undo[diskName], err = s.writeUndo(ctx, it, base, extents)
			if err := errors.Join(err, base.Close()); err != nil {
				return err
			}
		}
		next := st.clone()
		next.Pending = &pending{Cut: cut, Undo: undo}
		return it.swap(ctx, fence, st, next)
	}()
	if err != nil {
		it.dropUndo(undo)
	}
	return err
}

// byDisk is the changed ranges of each disk that has any.
func byDisk(changes []replica.Change) map[string][]disk.Extent {
	all := map[string][]disk.Extent{}
	for _, c := range changes {
		if merged := disk.MergeExtents(slices.Concat(all[c.Disk], c.Extents)); len(merged) > 0 {
			all[c.Disk] = merged
		}
	}
	return all
}

// dropUndo deletes undo logs unless the state has come to name them.
func (i *item) dropUndo(undo map[string]string) {
	st, err := i.view.current()
	if err != nil {
		return // the next owner sweeps them
	}
	named := st.undoLogs()
	for _, name := range undo {
		if name != "" && !named[name] {
			_ = os.Remove(i.undoPath(name))
		}
	}
}

// source is what before-images are taken from.
type source interface {
	io.ReaderAt
	Extents(off, n int64) ([]disk.Extent, error)
	Size() int64
}

// writeUndo writes the content of the given ranges to a new undo log, closed and
// durable, and returns its name.
func (s *Store) writeUndo(ctx context.Context, it *item, src source, extents []disk.Extent) (string, error) {
	if err := makeDirs(s.root, it.name+"/undo"); err != nil {
		return "", err
	}
	id := uuid.NewString()
	name := id + ".hrl"
	w, err := changelog.Create(it.undoPath(name), changelog.LogOptions{ID: id, DiskSize: src.Size(), Now: s.now})
	if err != nil {
		return "", fmt.Errorf("create undo log: %w", err)
	}
	for _, e := range extents {
		if err = appendRange(ctx, w, src, e); err != nil {
			_ = w.Close()
			return name, err
		}
	}
	if _, err := w.Seal(); err != nil {
		return name, fmt.Errorf("close undo log: %w", err)
	}
	return name, syncDirOf(it.undoPath(name))
}

// appendRange appends the content of a range, its holes as zeroes.
func appendRange(ctx context.Context, w *changelog.Writer, src source, e disk.Extent) error {
	data, err := src.Extents(e.Offset, e.Length)
	if err != nil {
		return err
	}
	buf := make([]byte, undoEntry)
	at := e.Offset
	for _, d := range append(slices.Clone(data), disk.Extent{Offset: e.End()}) {
		if err := w.AppendZero(at, d.Offset-at); err != nil {
			return err
		}
		for at = d.Offset; at < d.End(); {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			p := buf[:min(undoEntry, d.End()-at)]
			if n, err := src.ReadAt(p, at); n < len(p) {
				return fmt.Errorf("read before-image: %w", err)
			}
			if checksum.IsZero(p) {
				err = w.AppendZero(at, int64(len(p)))
			} else {
				err = w.Append(at, p)
			}
			if err != nil {
				return err
			}
			at += int64(len(p))
		}
	}
	return nil
}

// Rollback writes the before-images of the pending apply back to the disks.
func (s *Store) Rollback(ctx context.Context, name string, fence int64) error {
	return repeated(func() error { return s.rollback(ctx, name, fence) })
}

func (s *Store) rollback(ctx context.Context, name string, fence int64) error {
	it, err := s.owned(ctx, name, fence)
	if err != nil {
		return err
	}
	st, err := it.view.current()
	if err != nil || st == nil || st.Pending == nil {
		return err
	}
	for diskName, undo := range st.Pending.Undo {
		if err := it.restore(ctx, st, diskName, undo, fence); err != nil {
			return failed(err, "roll back disk %s of item %s", diskName, name)
		}
	}
	next := st.clone()
	next.Pending = nil
	return failed(it.swap(ctx, fence, st, next), "roll back item %s", name)
}

func (i *item) restore(ctx context.Context, st *state, diskName, undo string, fence int64) error {
	l, err := i.openLayer(undo)
	if err != nil {
		return err
	}
	defer l.close()
	base, err := i.openBase(st, diskName, false)
	if err != nil {
		return err
	}
	defer func() { _ = base.Close() }()
	buf := make([]byte, copyBytes)
	for _, e := range l.extents {
		for at := e.Offset; at < e.End(); {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			p := buf[:min(copyBytes, e.End()-at)]
			if err := i.restoreRange(l, base, p, at, fence); err != nil { //nolint:contextcheck // waits a bounded time, as WriteAt does
				return err
			}
			at += int64(len(p))
		}
	}
	return base.Flush()
}

func (i *item) restoreRange(l *layer, base *disk.File, p []byte, at, fence int64) error {
	if _, err := l.index.Overlay(p, at); err != nil {
		return err
	}
	if err := i.enter(fence); err != nil {
		return err
	}
	defer i.leave()
	if checksum.IsZero(p) {
		return base.Zero(at, int64(len(p)))
	}
	_, err := base.WriteAt(p, at)
	return err
}
