package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"farshore/domain/errorcatalog"
	"farshore/workers/replica"
)

// objectPath is where an object lies.
func (s *Store) objectPath(item, name string) (string, error) {
	if err := checkName("item", item); err != nil {
		return "", err
	}
	for part := range strings.SplitSeq(name, "/") {
		if err := checkName("object", part); err != nil {
			return "", fmt.Errorf("object %q: %w", name, err)
		}
	}
	return filepath.Join(s.root, item, "objects", filepath.FromSlash(name)), nil
}

// PutObject stores an object and reads it back.
func (s *Store) PutObject(ctx context.Context, item, name string, r io.ReadSeeker, size int64) error {
	target, err := s.objectPath(item, name)
	if err != nil {
		return err
	}
	if err := makeDirs(s.root, path.Join(item, "objects", path.Dir(name))); err != nil {
		return failed(err, "store object %s of item %s", name, item)
	}
	err = replaceFile(target, func(f *os.File) error { return fill(ctx, f, r, size) })
	return failed(err, "store object %s of item %s", name, item)
}

// fill writes size bytes of r, makes them durable and compares them with what the
// medium then returns.
func fill(ctx context.Context, f *os.File, r io.ReadSeeker, size int64) error {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return sourceError{err}
	}
	buf, back := make([]byte, copyBytes), make([]byte, copyBytes)
	n, err := io.CopyBuffer(struct{ io.Writer }{f}, contextReader{ctx, io.LimitReader(r, size)}, buf)
	if err == nil && n < size {
		err = sourceError{io.ErrUnexpectedEOF}
	}
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err //nolint:wrapcheck // the caller says what was written
	}
	dropCache(f)
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return sourceError{err}
	}
	for at := int64(0); at < size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := min(size-at, copyBytes)
		if _, err := io.ReadFull(r, buf[:n]); err != nil {
			return sourceError{err}
		}
		if _, err := f.ReadAt(back[:n], at); err != nil || !bytes.Equal(buf[:n], back[:n]) {
			return errorcatalog.Fail(errorcatalog.TransferVerificationFailed, "what was stored at %d is not what was sent", at).Because(err)
		}
		at += n
	}
	return nil
}

// contextReader ends reading when its context ends.
type contextReader struct {
	ctx context.Context //nolint:containedctx // lives as long as one copy
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = sourceError{err}
	}
	return n, err
}

// sourceError is a failure of what is to be stored, not of the store.
type sourceError struct{ error }

func (e sourceError) Error() string { return "read what is to be stored: " + e.error.Error() }

func (e sourceError) Unwrap() error { return e.error }

// OpenObject reads an object.
func (s *Store) OpenObject(_ context.Context, item, name string) (replica.Object, error) {
	target, err := s.objectPath(item, name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(target)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.there(); err != nil {
			return nil, err
		}
		return nil, errorcatalog.Fail(errorcatalog.ObjectNotFound, "object %s of item %s", name, item)
	}
	if err != nil {
		return nil, failed(err, "open object %s of item %s", name, item)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errDamaged
	}
	if err != nil {
		return nil, failed(errors.Join(err, f.Close()), "open object %s of item %s", name, item)
	}
	return &object{File: f, size: info.Size()}, nil
}

type object struct {
	*os.File
	size int64
}

var _ replica.Near = (*object)(nil)

// Size is the object's length in bytes.
func (o *object) Size() int64 { return o.size }

// Near says that the object is a local file.
func (o *object) Near() {}

// ListObjects returns the names that begin with prefix.
func (s *Store) ListObjects(ctx context.Context, item, prefix string) ([]string, error) {
	if err := checkName("item", item); err != nil {
		return nil, err
	}
	root := filepath.Join(s.root, item, "objects")
	start := root
	if i := strings.LastIndex(prefix, "/"); i > 0 {
		dir, err := s.objectPath(item, prefix[:i])
		if err != nil {
			return nil, err
		}
		start = dir
	}
	var names []string
	err := filepath.WalkDir(start, func(file string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile, or nothing was ever stored
		}
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		if d.IsDir() || strings.HasPrefix(d.Name(), temporary) {
			return nil
		}
		name, err := filepath.Rel(root, file)
		if name = filepath.ToSlash(name); strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
		return err //nolint:wrapcheck // cannot be: file lies below root
	})
	slices.Sort(names)
	return names, failed(err, "list objects of item %s", item)
}

// DeleteObject removes an object.
func (s *Store) DeleteObject(_ context.Context, item, name string) error {
	target, err := s.objectPath(item, name)
	if err != nil {
		return err
	}
	err = os.Remove(target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncDirOf(target)
	}
	return failed(err, "delete object %s of item %s", name, item)
}
