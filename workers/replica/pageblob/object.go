package pageblob

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"

	"farshore/domain/errorcatalog"
	"farshore/workers/replica"
)

// window is how much of an object is read at once when less is asked for: logs
// are read in small pieces, one after the other.
const window = 1 << 20

// object reads one version of a block blob.
type object struct {
	store  *Store
	ctx    context.Context //nolint:containedctx // io.ReaderAt has none; it lives as long as the handle
	cancel context.CancelFunc
	blob   *blob.Client
	name   string
	size   int64
	etag   azcore.ETag

	mu   sync.Mutex
	off  int64 // of held
	held []byte
}

var _ replica.Object = (*object)(nil)

func (s *Store) openBlob(ctx context.Context, client *blob.Client, name string) (*object, error) {
	o := &object{store: s, blob: client, name: name}
	err := s.ask(ctx, func(ctx context.Context) error {
		r, err := client.GetProperties(ctx, nil)
		if err != nil {
			return raw(err)
		}
		if r.ContentLength == nil || r.ETag == nil {
			return errUnverified
		}
		o.size, o.etag = *r.ContentLength, *r.ETag
		return nil
	})
	if err != nil {
		return nil, err
	}
	o.ctx, o.cancel = context.WithCancel(ctx)
	return o, nil
}

// ReadAt fails if the object is replaced while it is open, rather than mix two.
func (o *object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s at %d: %w", o.name, off, replica.ErrOutOfRange)
	}
	if off >= o.size {
		return 0, io.EOF
	}
	n, err := len(p), error(nil)
	if int64(n) > o.size-off {
		n, err = int(o.size-off), io.EOF
	}
	if failed := o.fill(p[:n], off); failed != nil {
		if isMissing(failed) || isConflict(failed) {
			return 0, errorcatalog.Fail(errorcatalog.ObjectNotFound, "%s was replaced or deleted while it was read", o.name)
		}
		return 0, explain(o.ctx, failed, "read "+o.name)
	}
	return n, err
}

func (o *object) fill(p []byte, off int64) error {
	if len(p) >= window {
		return o.read(p, off)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(p) > 0 {
		if off < o.off || off >= o.off+int64(len(o.held)) {
			next := make([]byte, min(window, o.size-off))
			if err := o.read(next, off); err != nil {
				return err
			}
			o.off, o.held = off, next
		}
		n := copy(p, o.held[off-o.off:])
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func (o *object) read(p []byte, off int64) error {
	for len(p) > 0 {
		part := p[:min(len(p), maxPut)]
		err := o.store.ask(o.ctx, func(ctx context.Context) error {
			return readOnce(ctx, o.blob, part, off, ifMatch(o.etag))
		})
		if err != nil {
			return err
		}
		p, off = p[len(part):], off+int64(len(part))
	}
	return nil
}

// Size is the object's length in bytes.
func (o *object) Size() int64 { return o.size }

// Close gives up the requests that are still under way.
func (o *object) Close() error {
	o.cancel()
	return nil
}
