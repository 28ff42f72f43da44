package pageblob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/pageblob"
	"github.com/minio/crc64nvme"
	"golang.org/x/sync/errgroup"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/replica"
)

// volume is a disk's page blob, open for writing.
type volume struct {
	source
	item      string
	disk      string
	fence     int64
	most      int64 // the size that a growth which was begun may have left it with
	checksums bool

	mu       sync.Mutex
	sequence int64 // of the blob, as far as this writer knows
	suspect  bool  // a request was given up that may still be executed
}

var _ replica.Disk = (*volume)(nil)

// part is a range that one request changes: to data, or to zeroes.
type part struct {
	off, n int64
	data   []byte
}

// WriteAt writes p at off. When it returns, what is stored has been proved.
func (v *volume) WriteAt(p []byte, off int64) (int, error) {
	if err := replica.CheckRange(off, int64(len(p)), v.size); err != nil {
		return 0, fmt.Errorf("%s: write: %w", v.name, err)
	}
	if err := v.permitted(off, int64(len(p))); err != nil {
		return 0, fmt.Errorf("%s: write: %w", v.name, err)
	}
	if err := v.apply(split(p, off)); err != nil {
		return 0, v.explain(err, "write")
	}
	return len(p), nil
}

// Zero makes a range read as zeroes.
func (v *volume) Zero(off, n int64) error {
	if err := replica.CheckRange(off, n, v.size); err != nil {
		return fmt.Errorf("%s: zero: %w", v.name, err)
	}
	if n == 0 {
		return nil
	}
	if err := v.permitted(off, n); err != nil {
		return fmt.Errorf("%s: zero: %w", v.name, err)
	}
	return v.explain(v.apply([]part{{off: off, n: n}}), "zero")
}

// Flush makes sure that nothing comes after what has been written: requests that
// were given up are shut out, and the disk is still this writer's. The bytes
// themselves were durable and proved when their writes returned.
func (v *volume) Flush(ctx context.Context) error {
	if err := v.settle(ctx); err != nil {
		return explainDisk(ctx, err, v.name+": flush")
	}
	p, err := v.store.inspect(ctx, v.blob)
	if err != nil {
		return explainDisk(ctx, err, v.name+": flush")
	}
	if fenceOf(p.sequence) != v.fence {
		return fenced(v.item, v.fence, fenceOf(p.sequence))
	}
	return nil
}

// writeFooter ends the VHD, unless it has its end.
func (v *volume) writeFooter(footer []byte) error {
	stored := make([]byte, disk.FooterSize)
	if err := v.store.readPart(v.ctx, v.blob, stored, padded(v.size)); err != nil {
		return v.explain(err, "read footer")
	}
	if f, err := disk.ParseFooter(stored); err == nil && f.CurrentSize == padded(v.size) {
		return nil
	}
	return v.explain(v.change(v.ctx, part{off: padded(v.size), n: disk.FooterSize, data: footer}), "write footer")
}

// split cuts p into puts and, where whole grains are zero, clears.
func split(p []byte, off int64) []part {
	var parts []part
	for at := 0; at < len(p); {
		end := min(at+grain-int((off+int64(at))%grain), len(p))
		chunk := p[at:end]
		from, zero := off+int64(at), end-at == grain && allZero(chunk)
		last := len(parts) - 1
		switch {
		case last >= 0 && zero && parts[last].data == nil:
			parts[last].n += grain
		case last >= 0 && !zero && parts[last].data != nil && parts[last].n+int64(len(chunk)) <= maxPut:
			parts[last].n += int64(len(chunk))
			parts[last].data = p[parts[last].off-off : end]
		case zero:
			parts = append(parts, part{off: from, n: grain})
		default:
			parts = append(parts, part{off: from, n: int64(len(chunk)), data: chunk})
		}
		at = end
	}
	return parts
}

func allZero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

func (v *volume) apply(parts []part) error {
	if len(parts) == 1 {
		return v.change(v.ctx, parts[0])
	}
	group, ctx := errgroup.WithContext(v.ctx)
	group.SetLimit(v.store.inFlight)
	for _, p := range parts {
		group.Go(func() error { return v.change(ctx, p) })
	}
	return group.Wait()
}

// change makes one part what it should be, by as many requests as it takes.
func (v *volume) change(ctx context.Context, p part) error {
	if err := v.store.slot(ctx); err != nil {
		return err
	}
	defer v.store.release()
	return v.store.patience.repeat(ctx, func(ctx context.Context) error {
		for {
			if err := v.settle(ctx); err != nil {
				return err
			}
			used := v.known()
			err := v.changeOnce(ctx, p, used)
			if !isOutdated(err) {
				return err
			}
			if err := v.follow(ctx, used); err != nil {
				return err
			}
		}
	}, func(failure verdict) {
		if failure == unclear {
			v.distrust()
		}
	})
}

func (v *volume) changeOnce(ctx context.Context, p part, sequence int64) error {
	only := &pageblob.SequenceNumberAccessConditions{IfSequenceNumberEqualTo: &sequence}
	where := blob.HTTPRange{Offset: p.off, Count: p.n}
	if p.data == nil {
		if _, err := v.blob.ClearPages(ctx, where, &pageblob.ClearPagesOptions{SequenceNumberAccessConditions: only}); err != nil {
			return raw(err)
		}
		return v.proveZero(ctx, p)
	}
	o := &pageblob.UploadPagesOptions{SequenceNumberAccessConditions: only}
	sum := uint64(0)
	if v.checksums {
		sum = crc64nvme.Checksum(p.data)
		o.TransactionalValidation = blob.TransferValidationTypeCRC64(sum)
	}
	r, err := v.blob.UploadPages(ctx, body(p.data), where, o)
	if err != nil {
		return raw(err)
	}
	if v.checksums && confirms(r.ContentCRC64, sum) {
		return nil
	}
	return v.prove(ctx, p)
}

// prove reads a part back and compares.
func (v *volume) prove(ctx context.Context, p part) error {
	buffer, ok := v.store.buffers.Get().(*[]byte)
	if !ok {
		return errors.New("the pool holds something else than buffers")
	}
	defer v.store.buffers.Put(buffer)
	stored := (*buffer)[:p.n]
	if err := readOnce(ctx, v.blob.BlobClient(), stored, p.off, nil); err != nil {
		return err
	}
	if !bytes.Equal(stored, p.data) {
		return errUnverified
	}
	return nil
}

func (v *volume) proveZero(ctx context.Context, p part) error {
	extents, err := v.store.pages(ctx, v.blob, p.off, p.n)
	if err != nil {
		return err
	}
	if len(extents) > 0 {
		return errUnverified
	}
	return nil
}

func (v *volume) known() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sequence
}

func (v *volume) distrust() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.suspect = true
}

// settle shuts out requests of this writer that were given up.
func (v *volume) settle(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.suspect {
		return nil
	}
	next, err := v.store.own(ctx, v.item, v.blob, v.fence)
	if err != nil {
		return err
	}
	v.sequence, v.suspect = next, false
	return nil
}

// follow finds out why the sequence number that was used is no longer the blob's.
func (v *volume) follow(ctx context.Context, used int64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sequence != used {
		return nil // another request of this writer was given up
	}
	p, err := v.store.inspect(ctx, v.blob)
	if err != nil {
		return err
	}
	if fenceOf(p.sequence) != v.fence {
		return errorcatalog.Fail(errorcatalog.Fenced, "%s: fence %d has taken over from %d", v.name, fenceOf(p.sequence), v.fence)
	}
	v.sequence = p.sequence
	return nil
}
