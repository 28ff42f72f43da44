package checksum

import (
	"context"
	"errors"
	"fmt"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
)

// Points is where a recovery point and its manifest lie; a replica.Store is one.
type Points interface {
	Objects
	OpenPoint(ctx context.Context, item, point, disk string) (disk.Reader, error)
}

// verified is a disk of a recovery point of which no byte is handed out that does
// not match the point's manifest.
type verified struct {
	disk.Reader

	ctx      context.Context //nolint:containedctx // io.ReaderAt has none; it lives as long as the reader
	manifest *Manifest
	disk     string
}

// OpenVerified reads a disk as it was at a recovery point. What does not match the
// manifest of the given root is a replica_corrupt failure. The reader is of use
// until ctx ends.
func OpenVerified(ctx context.Context, store Points, item, point, id, root string) (disk.Reader, error) {
	manifest, err := Load(ctx, store, item, id, root)
	if err != nil {
		return nil, err
	}
	r, err := store.OpenPoint(ctx, item, point, id)
	if err != nil {
		return nil, fmt.Errorf("open recovery point %s: %w", point, err)
	}
	if r.Size() != manifest.Size() {
		corrupt := errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "disk %s of the recovery point holds %d bytes, its manifest tells of %d", id, r.Size(), manifest.Size())
		return nil, errors.Join(corrupt, r.Close())
	}
	return &verified{Reader: r, ctx: ctx, manifest: manifest, disk: id}, nil
}

// ReadAt reads within the disk.
func (v *verified) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || int64(len(p)) > v.Size()-off {
		return 0, fmt.Errorf("read %d bytes at %d of %d: %w", len(p), off, v.Size(), disk.ErrOutOfRange)
	}
	first, end := off/BlockSize*BlockSize, off+int64(len(p))
	if rest := end % BlockSize; rest != 0 {
		end = min(end-rest+BlockSize, v.Size())
	}
	whole := p
	if first != off || end != off+int64(len(p)) {
		whole = make([]byte, end-first)
	}
	if _, err := v.Reader.ReadAt(whole, first); err != nil {
		return 0, err //nolint:wrapcheck // a store's errors have codes
	}
	for at := int64(0); at < int64(len(whole)); at += BlockSize {
		if err := v.check((first+at)/BlockSize, whole[at:min(at+BlockSize, int64(len(whole)))]); err != nil {
			return 0, err
		}
	}
	if first != off || len(whole) != len(p) {
		copy(p, whole[off-first:])
	}
	return len(p), nil
}

func (v *verified) check(block int64, p []byte) error {
	want, err := v.manifest.Get(v.ctx, block)
	if err != nil {
		return err
	}
	got := v.manifest.Zero(block)
	if !IsZero(p) {
		got = Sum(p)
	}
	if got != want {
		return errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "disk %s of the recovery point does not match its manifest at %d", v.disk, block*BlockSize)
	}
	return nil
}
