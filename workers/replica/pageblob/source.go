package pageblob

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/pageblob"
	"golang.org/x/sync/errgroup"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/replica"
)

// source reads a page blob or a snapshot of one.
type source struct {
	store  *Store
	ctx    context.Context //nolint:containedctx // io.ReaderAt has none; it lives as long as the handle
	cancel context.CancelFunc
	blob   *pageblob.Client
	name   string
	size   int64
	gone   errorcatalog.Code // says that the blob is no longer there
}

var _ disk.Reader = (*source)(nil)

func (r *source) explain(err error, verb string) error {
	if isMissing(err) {
		return errorcatalog.Fail(r.gone, "%s: %s", r.name, verb)
	}
	return explain(r.ctx, err, r.name+": "+verb)
}

// ReadAt reads whole sectors or, at the end of the disk, what there is.
func (r *source) ReadAt(p []byte, off int64) (int, error) {
	n, short := int64(len(p)), false
	if off >= 0 && off <= r.size && n > r.size-off {
		n, short = r.size-off, true
	}
	if off < 0 || n < 0 || off > r.size {
		return 0, fmt.Errorf("%s: read: %w", r.name, replica.CheckRange(off-off%pageSize, 0, r.size))
	}
	group, ctx := errgroup.WithContext(r.ctx)
	group.SetLimit(r.store.inFlight)
	for at := int64(0); at < n; at += maxPut {
		part := p[at:min(at+maxPut, n)]
		group.Go(func() error { return r.store.readPart(ctx, r.blob, part, off+at) })
	}
	if err := group.Wait(); err != nil {
		return 0, r.explain(err, "read")
	}
	if short {
		return int(n), io.EOF
	}
	return int(n), nil
}

// Size is what a guest sees, in bytes.
func (r *source) Size() int64 { return r.size }

// Close gives up the requests that are still under way.
func (r *source) Close() error {
	r.cancel()
	return nil
}

// Extents returns the ranges of a range that have pages.
func (r *source) Extents(off, n int64) ([]disk.Extent, error) {
	end := min(off+n, r.size)
	if off < 0 || n < 0 || off > r.size {
		return nil, fmt.Errorf("%s: extents: %w", r.name, replica.ErrOutOfRange)
	}
	extents, err := r.store.pages(r.ctx, r.blob, off, end-off)
	return extents, r.explain(err, "extents")
}

// readPart fills p with what is at off of a blob.
func (s *Store) readPart(ctx context.Context, client *pageblob.Client, p []byte, off int64) error {
	if err := s.slot(ctx); err != nil {
		return err
	}
	defer s.release()
	return s.ask(ctx, func(ctx context.Context) error {
		return readOnce(ctx, client.BlobClient(), p, off, nil)
	})
}

func readOnce(ctx context.Context, client *blob.Client, p []byte, off int64, conditions *blob.AccessConditions) error {
	if len(p) == 0 {
		return nil
	}
	r, err := client.DownloadStream(ctx, &blob.DownloadStreamOptions{
		Range: blob.HTTPRange{Offset: off, Count: int64(len(p))}, AccessConditions: conditions,
	})
	if err != nil {
		return raw(err)
	}
	_, err = io.ReadFull(r.Body, p)
	return errors.Join(err, r.Body.Close())
}

// pages lists the ranges within n bytes from off that have pages.
func (s *Store) pages(ctx context.Context, client *pageblob.Client, off, n int64) ([]disk.Extent, error) {
	if n == 0 {
		return nil, nil
	}
	var extents []disk.Extent
	var marker *string
	for {
		var r pageblob.GetPageRangesResponse
		err := s.ask(ctx, func(ctx context.Context) error {
			var err error
			r, err = client.NewGetPageRangesPager(&pageblob.GetPageRangesOptions{Range: blob.HTTPRange{Offset: off, Count: n}, Marker: marker}).NextPage(ctx)
			return raw(err)
		})
		if err != nil {
			return nil, err
		}
		for _, e := range r.PageRange {
			if e.Start != nil && e.End != nil {
				extents = join(extents, max(*e.Start, off), min(*e.End+1, off+n))
			}
		}
		if r.NextMarker == nil || *r.NextMarker == "" {
			return extents, nil
		}
		marker = r.NextMarker
	}
}

// join appends a range that comes after all others, or widens the last one.
func join(extents []disk.Extent, from, end int64) []disk.Extent {
	switch last := len(extents) - 1; {
	case from >= end:
		return extents
	case last >= 0 && extents[last].End() >= from:
		extents[last].Length = max(end, extents[last].End()) - extents[last].Offset
		return extents
	default:
		return append(extents, disk.Extent{Offset: from, Length: end - from})
	}
}
