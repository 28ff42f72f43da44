package pageblob

import (
	"context"
	"fmt"
	"strconv"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/pageblob"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/replica"
)

// GrowDisk makes a disk larger: the blob says how long it may become, is resized,
// loses all that lies behind the disk's end, gets a footer at its own, and says what
// it is. After a crash anywhere in it, it is repeated, with the same size or with
// another: what is left from before is no longer than the blob says, and cleared.
func (s *Store) GrowDisk(ctx context.Context, spec replica.DiskSpec, fence int64) error {
	what := fmt.Sprintf("grow disk %s of %s", spec.Disk, spec.Item)
	if err := replica.CheckRange(0, spec.SizeBytes, spec.SizeBytes); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := s.claim(ctx, spec.Item, fence); err != nil {
		return err
	}
	v, err := s.openVolume(ctx, spec.Item, spec.Disk, fence)
	if err != nil {
		return err
	}
	defer v.cancel()
	before := v.size
	switch {
	case spec.SizeBytes < before:
		return errorcatalog.Fail(errorcatalog.DiskShrunk, "%s: it has %d bytes and cannot have %d", what, before, spec.SizeBytes)
	case spec.SizeBytes == before:
		return nil
	}
	if err := s.describe(ctx, v, spec, before, max(spec.SizeBytes, v.most)); err != nil {
		return explainDisk(ctx, err, what)
	}
	if err := s.lengthen(ctx, v, spec.SizeBytes); err != nil {
		return explainDisk(ctx, err, what)
	}
	if err := v.change(ctx, part{off: before, n: padded(spec.SizeBytes) - before}); err != nil {
		return explainDisk(ctx, err, what)
	}
	v.size = spec.SizeBytes
	if err := v.writeFooter(s.footer(spec)); err != nil {
		return err
	}
	return explainDisk(ctx, s.describe(ctx, v, spec, spec.SizeBytes, spec.SizeBytes), what)
}

// lengthen resizes the blob.
func (s *Store) lengthen(ctx context.Context, v *volume, size int64) error {
	return s.adjust(ctx, v, func(ctx context.Context, etag azcore.ETag) error {
		_, err := v.blob.Resize(ctx, padded(size)+disk.FooterSize, &pageblob.ResizeOptions{AccessConditions: ifMatch(etag)})
		return raw(err)
	}, func(p page) bool { return p.size == padded(size)+disk.FooterSize })
}

// describe says what the disk's size is, and the most that it may be about to
// become.
func (s *Store) describe(ctx context.Context, v *volume, spec replica.DiskSpec, size, most int64) error {
	is, becomes := strconv.FormatInt(size, 10), ""
	about := map[string]*string{metaSize: &is, metaDisk: &spec.Disk}
	if most != size {
		becomes = strconv.FormatInt(most, 10)
		about[metaGrow] = &becomes
	}
	return s.adjust(ctx, v, func(ctx context.Context, etag azcore.ETag) error {
		_, err := v.blob.SetMetadata(ctx, about, &blob.SetMetadataOptions{AccessConditions: ifMatch(etag)})
		return raw(err)
	}, func(p page) bool { return meta(p.metadata, metaSize) == is && meta(p.metadata, metaGrow) == becomes })
}

// adjust repeats a request until the blob is seen to be as it should, as long as it
// is this writer's.
func (s *Store) adjust(ctx context.Context, v *volume, request func(context.Context, azcore.ETag) error, done func(page) bool) error {
	for {
		p, err := s.inspect(ctx, v.blob)
		if err != nil {
			return err
		}
		if fenceOf(p.sequence) != v.fence {
			return fenced(v.item, v.fence, fenceOf(p.sequence))
		}
		if done(p) {
			return nil
		}
		err = s.ask(ctx, func(ctx context.Context) error { return request(ctx, p.etag) })
		if err != nil && !isConflict(err) {
			return err
		}
	}
}

// RemoveDisk deletes a disk that no point holds, with what is left of its snapshots.
// It deletes the blob as it was before it was looked whether a point holds it: a
// writer that has come since has changed it.
func (s *Store) RemoveDisk(ctx context.Context, item, name string, fence int64) error {
	if err := s.claim(ctx, item, fence); err != nil {
		return err
	}
	what := fmt.Sprintf("remove disk %s of %s", name, item)
	client := s.container.NewPageBlobClient(diskName(item, name))
	for {
		p, err := s.inspect(ctx, client)
		missing := isMissing(err)
		if err != nil && !missing {
			return explain(ctx, err, what)
		}
		if !missing && fenceOf(p.sequence) > fence {
			return fenced(item, fence, fenceOf(p.sequence))
		}
		x, err := s.change(ctx, item, fence, func(*index) error { return nil })
		if err != nil {
			return err
		}
		if x.held()[name] {
			return errorcatalog.Fail(errorcatalog.DiskInRecoveryPoints, "disk %s of %s", name, item)
		}
		s.grants.forget(item)
		if missing {
			return nil
		}
		o := withSnapshots()
		o.AccessConditions = ifMatch(p.etag)
		if err := s.erase(ctx, diskName(item, name), o); !isConflict(err) {
			return explain(ctx, err, what)
		}
	}
}
