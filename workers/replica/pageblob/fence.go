package pageblob

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/pageblob"

	"farshore/domain/errorcatalog"
)

// counterBits of a sequence number count within a fence.
const counterBits = 20

// maxFence still fits a sequence number.
const maxFence = 1<<(63-counterBits) - 1

func sequenceOf(fence int64) int64 { return fence << counterBits }
func fenceOf(sequence int64) int64 { return sequence >> counterBits }

func fenced(item string, ours, theirs int64) error {
	return errorcatalog.Fail(errorcatalog.Fenced, "replica %s is written with fence %d, this writer has %d", item, theirs, ours)
}

// page is what the service says about a page blob.
type page struct {
	sequence int64
	etag     azcore.ETag
	size     int64
	metadata map[string]*string
}

func (s *Store) inspect(ctx context.Context, client *pageblob.Client) (page, error) {
	var p page
	err := s.ask(ctx, func(ctx context.Context) error {
		r, err := client.GetProperties(ctx, nil)
		if err != nil {
			return raw(err)
		}
		if r.ETag == nil || r.ContentLength == nil {
			return errUnverified
		}
		p = page{etag: *r.ETag, size: *r.ContentLength, metadata: r.Metadata}
		if r.BlobSequenceNumber != nil {
			p.sequence = *r.BlobSequenceNumber
		}
		return nil
	})
	return p, err
}

// own makes the sequence number of a page blob one that nobody else knows and
// returns it. Whoever knew the one before changes nothing any more.
func (s *Store) own(ctx context.Context, item string, client *pageblob.Client, fence int64) (int64, error) {
	for {
		p, err := s.inspect(ctx, client)
		if err != nil {
			return 0, err
		}
		if fenceOf(p.sequence) > fence {
			return 0, fenced(item, fence, fenceOf(p.sequence))
		}
		next := max(sequenceOf(fence), p.sequence+1)
		if fenceOf(next) != fence {
			return 0, errorcatalog.Fail(errorcatalog.Fenced, "fence %d of replica %s is used up", fence, item)
		}
		err = s.ask(ctx, func(ctx context.Context) error {
			_, err := client.UpdateSequenceNumber(ctx, &pageblob.UpdateSequenceNumberOptions{
				ActionType: to.Ptr(pageblob.SequenceNumberActionTypeMax), SequenceNumber: &next,
				AccessConditions: ifMatch(p.etag),
			})
			return raw(err)
		})
		if isConflict(err) {
			continue // by a request of ours that was executed after all, or by another writer: look again
		}
		if err != nil {
			return 0, err
		}
		// An answer alone proves nothing: a gateway may have made it up.
		after, err := s.inspect(ctx, client)
		if err != nil {
			return 0, err
		}
		if fenceOf(after.sequence) > fence {
			return 0, fenced(item, fence, fenceOf(after.sequence))
		}
		if after.sequence == next {
			return next, nil
		}
	}
}

func ifMatch(etag azcore.ETag) *blob.AccessConditions {
	return &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: &etag}}
}

func ifNew() *blob.AccessConditions {
	return &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)}}
}

// claim makes fence the item's, if it is higher than the one before, and shuts
// out the writers of all its disks that have a lower one.
func (s *Store) claim(ctx context.Context, item string, fence int64) error {
	if fence < 0 || fence > maxFence {
		return fmt.Errorf("claim replica %s: fence %d is out of range", item, fence)
	}
	_, err := s.change(ctx, item, fence, func(*index) error { return nil })
	return err
}

// shutOut raises the fence of each disk of an item.
func (s *Store) shutOut(ctx context.Context, item string, fence int64) error {
	blobs, err := s.list(ctx, disksPrefix(item), false)
	if err != nil {
		return fmt.Errorf("list disks of %s: %w", item, err)
	}
	for _, b := range blobs {
		client := s.container.NewPageBlobClient(b.name)
		p, err := s.inspect(ctx, client)
		if err == nil && fenceOf(p.sequence) != fence {
			_, err = s.own(ctx, item, client, fence)
		}
		if err != nil && !isMissing(err) {
			return explain(ctx, err, "take over disk "+b.name)
		}
	}
	return nil
}
