package pageblob

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/google/uuid"
	"github.com/minio/crc64nvme"
	"github.com/zeebo/blake3"

	"farshore/domain/errorcatalog"
)

// index is what an item consists of. Each version replaces the one its writer
// has read, so a list of points never forgets one or gets one back.
type index struct {
	Fence   int64    `json:"fence"`
	Version string   `json:"version"` // unique; tells a writer whether what is stored is what it wrote
	Points  []point  `json:"points"`  // oldest first
	Apply   *pending `json:"apply,omitempty"`
}

type point struct {
	ID          string      `json:"id"`
	CommittedAt time.Time   `json:"committedAt"`
	Disks       []pointDisk `json:"disks"`
}

type pointDisk struct {
	Disk      string `json:"disk"`
	SizeBytes int64  `json:"sizeBytes"`
	Root      string `json:"root"`
	Snapshot  string `json:"snapshot"`
}

// pending is an apply that has begun; its ranges are in an object of their own.
type pending struct {
	Cut    string `json:"cut"`
	Object string `json:"object"`
}

func (x index) find(id string) (point, bool) {
	for _, p := range x.Points {
		if p.ID == id {
			return p, true
		}
	}
	return point{}, false
}

// newest is the last point, or an empty one.
func (x index) newest() point {
	if len(x.Points) == 0 {
		return point{}
	}
	return x.Points[len(x.Points)-1]
}

// held is the set of disks that a point holds.
func (x index) held() map[string]bool {
	held := map[string]bool{}
	for _, p := range x.Points {
		for _, d := range p.Disks {
			held[d.Disk] = true
		}
	}
	return held
}

func (p point) disk(name string) (pointDisk, bool) {
	for _, d := range p.Disks {
		if d.Disk == name {
			return d, true
		}
	}
	return pointDisk{}, false
}

// establish makes the index of an item that has none.
func (s *Store) establish(ctx context.Context, item string, fence int64) error {
	_, etag, err := s.load(ctx, item)
	if err != nil || etag != "" {
		return err
	}
	err = s.save(ctx, item, index{Fence: fence, Version: uuid.NewString()}, "")
	if errors.Is(err, errConflict) {
		return nil // somebody else has made it
	}
	return err
}

// change replaces an item's index by what edit makes of it, and claims the fence
// first. edit may run more than once. An item that has no index gets none.
func (s *Store) change(ctx context.Context, item string, fence int64, edit func(*index) error) (index, error) {
	for {
		x, etag, err := s.loadFor(ctx, item, fence)
		if err != nil {
			return index{}, err
		}
		changed, err := alter(&x, item, edit)
		if err != nil {
			return index{}, err
		}
		if etag == "" && (len(x.Points) > 0 || x.Apply != nil) {
			return index{}, errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "the index of %s is gone", item)
		}
		if !changed || etag == "" {
			return x, nil
		}
		x.Version = uuid.NewString()
		s.grants.forget(item)
		err = s.save(ctx, item, x, etag)
		s.grants.forget(item)
		if errors.Is(err, errConflict) {
			continue
		}
		return x, err
	}
}

// loadFor loads an item's index once it belongs to the fence.
func (s *Store) loadFor(ctx context.Context, item string, fence int64) (index, azcore.ETag, error) {
	for {
		x, etag, err := s.load(ctx, item)
		if err != nil {
			return index{}, "", err
		}
		if x.Fence > fence {
			return index{}, "", fenced(item, fence, x.Fence)
		}
		if x.Fence == fence || etag == "" {
			return x, etag, nil
		}
		if err := s.take(ctx, item, fence, x, etag); err != nil && !errors.Is(err, errConflict) {
			return index{}, "", err
		}
	}
}

// alter edits the index and reports whether that has changed it.
func alter(x *index, item string, edit func(*index) error) (changed bool, err error) {
	before, err := json.Marshal(*x)
	if err != nil {
		return false, fmt.Errorf("encode index of %s: %w", item, err)
	}
	if err := edit(x); err != nil {
		return false, err
	}
	after, err := json.Marshal(*x)
	if err != nil {
		return false, fmt.Errorf("encode index of %s: %w", item, err)
	}
	return !bytes.Equal(before, after), nil
}

// take gives an item to a higher fence, whatever its owner goes on to do: first
// the disks, then the index. The other way round, a crash between would leave
// disks open to the writer before.
func (s *Store) take(ctx context.Context, item string, fence int64, x index, etag azcore.ETag) error {
	if err := s.shutOut(ctx, item, fence); err != nil {
		return err
	}
	x.Fence, x.Version = fence, uuid.NewString()
	return s.save(ctx, item, x, etag)
}

// load returns an item's index and the version of its blob, both empty if there
// is none.
func (s *Store) load(ctx context.Context, item string) (index, azcore.ETag, error) {
	var x index
	var etag azcore.ETag
	err := s.do(ctx, "read index of "+item, func(ctx context.Context) error {
		x, etag = index{}, ""
		data, tag, err := s.fetch(ctx, indexName(item))
		if isMissing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		etag = tag
		return unseal(data, &x)
	})
	if err != nil && errorcatalog.Of(err).Code == errorcatalog.TransferVerificationFailed {
		err = errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "the index of %s is damaged", item)
	}
	return x, etag, err
}

func (s *Store) save(ctx context.Context, item string, x index, etag azcore.ETag) error {
	data, err := seal(x)
	if err != nil {
		return fmt.Errorf("encode index of %s: %w", item, err)
	}
	name := indexName(item)
	return s.do(ctx, "write index of "+item, func(ctx context.Context) error {
		conditions := ifNew()
		if etag != "" {
			conditions = ifMatch(etag)
		}
		err := s.store(ctx, name, data, conditions)
		if err != nil && !isConflict(err) && judge(err) == final {
			return err
		}
		// Whatever the answer was, what is there now decides.
		now, tag, read := s.fetch(ctx, name)
		lost := tag == etag
		if isMissing(read) {
			read, lost = nil, etag == ""
		}
		switch {
		case read != nil:
			return read
		case bytes.Equal(now, data):
			return nil
		case lost && err != nil:
			return err
		case lost:
			return errUnverified
		case len(now) == 0:
			return errConflict
		case unseal(now, &index{}) != nil:
			etag = tag // garbled on its way: it is ours, so replace it
			return errUnverified
		}
		return errConflict
	})
}

// store writes a small blob at once.
func (s *Store) store(ctx context.Context, name string, data []byte, conditions *blob.AccessConditions) error {
	checksums, err := s.checksums(ctx)
	if err != nil {
		return err
	}
	o := &blockblob.UploadOptions{AccessConditions: conditions}
	sum := crc64nvme.Checksum(data)
	if checksums {
		o.TransactionalValidation = blob.TransferValidationTypeCRC64(sum)
	}
	_, err = s.container.NewBlockBlobClient(name).Upload(ctx, body(data), o)
	return raw(err)
}

// fetch reads a small blob at once.
func (s *Store) fetch(ctx context.Context, name string) ([]byte, azcore.ETag, error) {
	r, err := s.container.NewBlobClient(name).DownloadStream(ctx, nil)
	if err != nil {
		return nil, "", raw(err)
	}
	data, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return nil, "", err
	}
	if r.ETag == nil || r.ContentLength != nil && *r.ContentLength != int64(len(data)) {
		return nil, "", errUnverified
	}
	return data, *r.ETag, nil
}

// seal encodes v with a digest before it, so that a garbled one is never taken
// for what was written.
func seal(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, raw(err)
	}
	sum := blake3.Sum256(data)
	return append(append([]byte(hex.EncodeToString(sum[:])), '\n'), data...), nil
}

func unseal(data []byte, v any) error {
	sealed, content, _ := bytes.Cut(data, []byte{'\n'})
	sum := blake3.Sum256(content)
	if string(sealed) != hex.EncodeToString(sum[:]) {
		return errUnverified
	}
	return raw(json.Unmarshal(content, v))
}
