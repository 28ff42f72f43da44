package pageblob

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// entry is a blob or a snapshot in a listing.
type entry struct {
	name     string
	snapshot string // empty: the blob itself
	size     int64
	etag     azcore.ETag
	paged    bool
	metadata map[string]*string
}

// list returns the blobs whose names begin with prefix, in the service's order,
// which is ascending.
func (s *Store) list(ctx context.Context, prefix string, snapshots bool) ([]entry, error) {
	var entries []entry
	var marker *string
	for {
		var r container.ListBlobsFlatResponse
		err := s.do(ctx, "list blobs "+prefix, func(ctx context.Context) error {
			var err error
			pager := s.container.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{
				Prefix: &prefix, Marker: marker, Include: container.ListBlobsInclude{Snapshots: snapshots, Metadata: snapshots},
			})
			r, err = pager.NextPage(ctx)
			return raw(err)
		})
		if err != nil {
			return nil, err
		}
		if r.Segment != nil {
			for _, item := range r.Segment.BlobItems {
				entries = append(entries, entryOf(item))
			}
		}
		if r.NextMarker == nil || *r.NextMarker == "" {
			return entries, nil
		}
		marker = r.NextMarker
	}
}

func entryOf(item *container.BlobItem) entry {
	var e entry
	if item.Name != nil {
		e.name = *item.Name
	}
	if item.Snapshot != nil {
		e.snapshot = *item.Snapshot
	}
	if p := item.Properties; p != nil {
		if p.ContentLength != nil {
			e.size = *p.ContentLength
		}
		if p.ETag != nil {
			e.etag = *p.ETag
		}
		e.paged = p.BlobType != nil && *p.BlobType == container.BlobTypePageBlob
	}
	e.metadata = item.Metadata
	return e
}
