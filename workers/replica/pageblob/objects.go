package pageblob

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/minio/crc64nvme"
	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"

	"farshore/domain/errorcatalog"
	"farshore/workers/replica"
)

// PutObject stores size bytes of r, from where it stands, as a block blob.
func (s *Store) PutObject(ctx context.Context, item, name string, r io.ReadSeeker, size int64) error {
	what := fmt.Sprintf("put object %s of %s", name, item)
	start, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	checksums, err := s.checksums(ctx)
	if err != nil {
		return err
	}
	path := objectName(item, name)
	u := upload{store: s, client: s.container.NewBlockBlobClient(path), name: path, size: size, checksums: checksums}
	var unusable error
	err = s.patience.unhurried().repeat(ctx, func(ctx context.Context) error {
		if _, unusable = r.Seek(start, io.SeekStart); unusable != nil {
			return nil //nolint:nilerr // told apart below: it is not repeated
		}
		var digest []byte
		if digest, unusable, err = u.send(ctx, r); err != nil || unusable != nil {
			return err
		}
		return u.prove(ctx, digest)
	}, func(verdict) {})
	if unusable != nil {
		return fmt.Errorf("%s: read what is to be stored: %w", what, unusable)
	}
	if errors.Is(err, errUnverified) {
		// Better none than a wrong one.
		err = errors.Join(err, s.remove(ctx, objectName(item, name)))
	}
	return explain(ctx, err, what)
}

// upload is an object on its way.
type upload struct {
	store     *Store
	client    *blockblob.Client
	name      string
	size      int64
	checksums bool
}

// send transfers r in blocks and makes them the object's content. A failure of r
// comes apart from one of the service: it is not repeated.
func (u upload) send(ctx context.Context, r io.Reader) (digest []byte, unusable, err error) {
	if u.size <= window {
		return u.sendSmall(ctx, r)
	}
	hash := blake3.New()
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(u.store.inFlight)
	var ids []string
	for at := int64(0); at < u.size && gctx.Err() == nil; at += maxPut {
		buffer, ok := u.store.buffers.Get().(*[]byte)
		if !ok {
			return nil, nil, errors.New("the pool holds something else than buffers")
		}
		block := (*buffer)[:min(maxPut, u.size-at)]
		if _, unusable = io.ReadFull(r, block); unusable != nil {
			break
		}
		_, _ = hash.Write(block) // a hash never fails
		id := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(len(ids))))
		ids = append(ids, id)
		group.Go(func() error {
			defer u.store.buffers.Put(buffer)
			return u.stage(gctx, id, block)
		})
	}
	if err := group.Wait(); err != nil || unusable != nil {
		return nil, unusable, raw(err) //nolint:wrapcheck // PutObject says what was read
	}
	err = u.store.ask(ctx, func(ctx context.Context) error {
		_, err := u.client.CommitBlockList(ctx, ids, nil)
		return raw(err)
	})
	if bloberror.HasCode(err, bloberror.InvalidBlockList) {
		err = errUnverified // a block was acknowledged and lost
	}
	return hash.Sum(nil), nil, err
}

// sendSmall transfers r by one request.
func (u upload) sendSmall(ctx context.Context, r io.Reader) (digest []byte, unusable, err error) {
	data := make([]byte, u.size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, err, nil //nolint:wrapcheck // PutObject says what was read
	}
	sum := blake3.Sum256(data)
	return sum[:], nil, u.store.ask(ctx, func(ctx context.Context) error { return u.store.store(ctx, u.name, data, nil) })
}

func (u upload) stage(ctx context.Context, id string, block []byte) error {
	if err := u.store.slot(ctx); err != nil {
		return err
	}
	defer u.store.release()
	return u.store.ask(ctx, func(ctx context.Context) error {
		var o blockblob.StageBlockOptions
		sum := uint64(0)
		if u.checksums {
			sum = crc64nvme.Checksum(block)
			o.TransactionalValidation = blob.TransferValidationTypeCRC64(sum)
		}
		r, err := u.client.StageBlock(ctx, id, body(block), &o)
		if err == nil && u.checksums && !confirms(r.ContentCRC64, sum) {
			return errUnverified
		}
		return raw(err)
	})
}

// prove compares the object's length and, unless each block was confirmed, its
// content with what was sent.
func (u upload) prove(ctx context.Context, digest []byte) error {
	if u.size <= window {
		return u.proveSmall(ctx, digest)
	}
	o, err := u.store.openBlob(ctx, u.client.BlobClient(), "object")
	if isMissing(err) {
		return errUnverified
	}
	if err != nil {
		return err
	}
	defer func() { _ = o.Close() }() // it holds nothing
	if o.size != u.size {
		return errUnverified
	}
	if u.checksums {
		return nil
	}
	hash := blake3.New()
	if _, err := io.Copy(hash, io.NewSectionReader(o, 0, o.size)); err != nil {
		return raw(err)
	}
	if !bytes.Equal(hash.Sum(nil), digest) {
		return errUnverified
	}
	return nil
}

func (u upload) proveSmall(ctx context.Context, digest []byte) error {
	data, _, err := u.store.fetch(ctx, u.name)
	if isMissing(err) {
		return errUnverified
	}
	if err != nil {
		return err
	}
	if sum := blake3.Sum256(data); !bytes.Equal(sum[:], digest) {
		return errUnverified
	}
	return nil
}

// OpenObject reads an object, as long as ctx lives.
func (s *Store) OpenObject(ctx context.Context, item, name string) (replica.Object, error) {
	what := fmt.Sprintf("object %s of %s", name, item)
	o, err := s.openBlob(ctx, s.container.NewBlobClient(objectName(item, name)), what)
	if isMissing(err) {
		return nil, errorcatalog.Fail(errorcatalog.ObjectNotFound, "%s", what)
	}
	if err != nil {
		return nil, explain(ctx, err, "open "+what)
	}
	return o, nil
}

// ListObjects returns the names that begin with prefix, ascending.
func (s *Store) ListObjects(ctx context.Context, item, prefix string) ([]string, error) {
	blobs, err := s.list(ctx, objectName(item, prefix), false)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(blobs))
	for _, b := range blobs {
		names = append(names, strings.TrimPrefix(b.name, objectsPrefix(item)))
	}
	return names, nil
}

// DeleteObject removes an object. Without it, it succeeds.
func (s *Store) DeleteObject(ctx context.Context, item, name string) error {
	return s.remove(ctx, objectName(item, name))
}
