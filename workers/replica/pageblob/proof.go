package pageblob

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/pageblob"
	"github.com/google/uuid"
	"github.com/minio/crc64nvme"
)

// proof is how written bytes are proved, found out once for each store.
type proof struct {
	mu       sync.Mutex
	known    bool
	checksum bool // the service verifies a CRC64 of each request and says so
}

// checksums tells whether the service verifies checksums. It is believed only if
// it refuses a wrong one and confirms a right one; else everything is read back.
func (s *Store) checksums(ctx context.Context) (bool, error) {
	s.proof.mu.Lock()
	defer s.proof.mu.Unlock()
	if s.proof.known {
		return s.proof.checksum, nil
	}
	ok, err := s.probe(ctx)
	if err != nil {
		return false, explain(ctx, err, "find out whether the store verifies checksums")
	}
	s.proof.known, s.proof.checksum = true, ok
	return ok, nil
}

func (s *Store) probe(ctx context.Context) (bool, error) {
	client := s.container.NewPageBlobClient("probe/" + uuid.NewString())
	err := s.ask(ctx, func(ctx context.Context) error {
		_, err := client.Create(ctx, pageSize, nil)
		return raw(err)
	})
	if err != nil {
		return false, err
	}
	page := bytes.Repeat([]byte{0x5a}, pageSize)
	right := crc64nvme.Checksum(page)
	ok := probePut(ctx, client, page, right, true)
	if ok == nil {
		ok = probePut(ctx, client, page, right^1, false)
	}
	err = s.ask(ctx, func(ctx context.Context) error {
		_, err := client.Delete(ctx, nil)
		if isMissing(err) {
			return nil
		}
		return raw(err)
	})
	if err != nil {
		return false, err
	}
	// Whatever the service answered but what it should have, it cannot be relied
	// on; no answer leaves the question open.
	if ok != nil && !errors.Is(ok, errNoChecksums) {
		return false, ok
	}
	return ok == nil, nil
}

var errNoChecksums = errors.New("checksums are not verified")

func probePut(ctx context.Context, client *pageblob.Client, page []byte, sum uint64, right bool) error {
	response, err := client.UploadPages(ctx, body(page), blob.HTTPRange{Count: pageSize},
		&pageblob.UploadPagesOptions{TransactionalValidation: blob.TransferValidationTypeCRC64(sum)})
	if err != nil {
		if _, answered := errors.AsType[*azcore.ResponseError](err); !answered {
			return raw(err)
		}
	}
	switch {
	case right && err == nil && confirms(response.ContentCRC64, sum):
		return nil
	case !right && bloberror.HasCode(err, bloberror.CRC64Mismatch):
		return nil
	}
	return errNoChecksums
}

func confirms(answer []byte, sum uint64) bool {
	return bytes.Equal(answer, binary.LittleEndian.AppendUint64(nil, sum))
}

func body(p []byte) streamingBody { return streamingBody{bytes.NewReader(p)} }

type streamingBody struct{ *bytes.Reader }

// Close does nothing: the bytes are in memory.
func (streamingBody) Close() error { return nil }
