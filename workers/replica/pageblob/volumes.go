package pageblob

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/pageblob"
	"github.com/zeebo/blake3"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/replica"
)

// Metadata of page blobs and their snapshots.
const (
	metaSize  = "sourcesize" // what the guest sees, in bytes
	metaCut   = "cut"
	metaDisk  = "disk"
	metaFence = "fence"
	metaRoot  = "root"
	metaGrow  = "growing" // the most that the guest may be about to see: the blob may be as long already
)

// Check makes the container if there is none, refuses accounts that cannot hold
// replicas and tries a write.
func (s *Store) Check(ctx context.Context) error {
	err := s.ask(ctx, func(ctx context.Context) error {
		_, err := s.container.GetProperties(ctx, nil)
		if bloberror.HasCode(err, bloberror.ContainerNotFound) {
			_, err = s.container.Create(ctx, nil)
		}
		if bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
			return nil
		}
		return raw(err)
	})
	if err != nil {
		return explain(ctx, err, "open the container")
	}
	if err := s.checkKind(ctx); err != nil {
		return err
	}
	_, err = s.checksums(ctx)
	return err
}

func (s *Store) checkKind(ctx context.Context) error {
	var sku, kind string
	err := s.do(ctx, "ask for the kind of the account", func(ctx context.Context) error {
		r, err := s.container.GetAccountInfo(ctx, nil)
		if err != nil {
			return raw(err)
		}
		if r.SKUName != nil {
			sku = string(*r.SKUName)
		}
		if r.AccountKind != nil {
			kind = string(*r.AccountKind)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if strings.HasPrefix(sku, "Premium") || kind == "BlockBlobStorage" || kind == "FileStorage" || kind == "BlobStorage" {
		return errorcatalog.Fail(errorcatalog.ReplicaStoreUnsupportedKind, "the account is %s of kind %s", sku, kind)
	}
	return nil
}

// CreateDisk makes an all-zero disk. One of the same size is left as it is.
func (s *Store) CreateDisk(ctx context.Context, spec replica.DiskSpec, fence int64) error {
	if err := replica.CheckRange(0, spec.SizeBytes, spec.SizeBytes); err != nil {
		return fmt.Errorf("create disk %s of %s: %w", spec.Disk, spec.Item, err)
	}
	if err := s.establish(ctx, spec.Item, fence); err != nil {
		return err
	}
	if err := s.claim(ctx, spec.Item, fence); err != nil {
		return err
	}
	what := fmt.Sprintf("create disk %s of %s", spec.Disk, spec.Item)
	client := s.container.NewPageBlobClient(diskName(spec.Item, spec.Disk))
	err := s.ask(ctx, func(ctx context.Context) error {
		_, err := client.Create(ctx, padded(spec.SizeBytes)+disk.FooterSize, &pageblob.CreateOptions{
			SequenceNumber:   new(sequenceOf(fence)),
			Metadata:         map[string]*string{metaSize: new(strconv.FormatInt(spec.SizeBytes, 10)), metaDisk: &spec.Disk},
			AccessConditions: ifNew(),
		})
		if isConflict(err) {
			return nil // one exists; the next lines find out which
		}
		if err != nil {
			return raw(err)
		}
		if _, err = client.GetProperties(ctx, nil); isMissing(err) {
			return errUnverified
		}
		return raw(err)
	})
	if err != nil {
		return explain(ctx, err, what)
	}
	v, err := s.openVolume(ctx, spec.Item, spec.Disk, fence)
	if err != nil {
		return err
	}
	defer v.cancel()
	if v.size != spec.SizeBytes {
		return errorcatalog.Fail(errorcatalog.ReplicaDiskSizeMismatch, "disk %s of %s has %d bytes, not %d",
			spec.Disk, spec.Item, v.size, spec.SizeBytes).Because(replica.ErrDiskSize)
	}
	return v.writeFooter(s.footer(spec))
}

// footer makes the blob a VHD. Its identity is made from the disk's name, so that
// writing it again after a crash changes nothing that matters.
func (s *Store) footer(spec replica.DiskSpec) []byte {
	sum := blake3.Sum256([]byte(diskName(spec.Item, spec.Disk)))
	return disk.FooterFor(padded(spec.SizeBytes), [16]byte(sum[:16]), s.now()).Encode()
}

// OpenDisk opens a disk for applying changes and shuts out older fences. The
// handle works as long as ctx lives.
func (s *Store) OpenDisk(ctx context.Context, item, name string, fence int64) (replica.Disk, error) {
	if err := s.claim(ctx, item, fence); err != nil {
		return nil, err
	}
	v, err := s.openVolume(ctx, item, name, fence)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (s *Store) openVolume(ctx context.Context, item, name string, fence int64) (*volume, error) {
	what := fmt.Sprintf("open disk %s of %s", name, item)
	checksums, err := s.checksums(ctx)
	if err != nil {
		return nil, err
	}
	client := s.container.NewPageBlobClient(diskName(item, name))
	sequence, err := s.own(ctx, item, client, fence)
	if err != nil {
		return nil, explainDisk(ctx, err, what)
	}
	p, err := s.inspect(ctx, client)
	if err != nil {
		return nil, explainDisk(ctx, err, what)
	}
	size, most, err := sizes(p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	return &volume{
		source: source{store: s, ctx: ctx, cancel: cancel, blob: client, name: what, size: size, gone: errorcatalog.ReplicaDiskNotFound},
		item:   item, disk: name, fence: fence, most: most, sequence: sequence, checksums: checksums,
	}, nil
}

func explainDisk(ctx context.Context, err error, what string) error {
	if isMissing(err) {
		return errorcatalog.Fail(errorcatalog.ReplicaDiskNotFound, "%s", what)
	}
	return explain(ctx, err, what)
}

func sourceSize(p page) (int64, error) {
	size, _, err := sizes(p)
	return size, err
}

// sizes returns what the guest sees and the most that it may be about to see. While
// a disk grows, its blob is as long as either, or as a growth before that needed it.
func sizes(p page) (size, most int64, err error) {
	size, err = strconv.ParseInt(meta(p.metadata, metaSize), 10, 64)
	most = size
	if next, bad := strconv.ParseInt(meta(p.metadata, metaGrow), 10, 64); bad == nil {
		most = max(most, next)
	}
	held := p.size - disk.FooterSize
	if err != nil || size < 0 || held%mib != 0 || held < padded(size) || held > padded(most) {
		return 0, 0, errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "a page blob of %d bytes says its disk has %q", p.size, meta(p.metadata, metaSize))
	}
	return size, most, nil
}

// meta looks a name up as the service may have spelt it: a header's case is lost.
func meta(m map[string]*string, name string) string {
	for k, v := range m {
		if strings.EqualFold(k, name) && v != nil {
			return *v
		}
	}
	return ""
}

// RemoveItem deletes everything of an item. The index goes first of its points
// and last of its blobs: no point outlives its snapshots, and no older writer
// comes in between.
func (s *Store) RemoveItem(ctx context.Context, item string, fence int64) error {
	blobs, err := s.list(ctx, item+"/", false)
	if err != nil || len(blobs) == 0 {
		return err
	}
	_, err = s.change(ctx, item, fence, func(x *index) error {
		x.Points, x.Apply = nil, nil
		return nil
	})
	if err != nil {
		return err
	}
	for _, b := range blobs {
		if b.name == indexName(item) {
			continue
		}
		remove := s.remove
		if b.paged {
			remove = s.removeDisk
		}
		if err := remove(ctx, b.name); err != nil {
			return err
		}
	}
	return s.remove(ctx, indexName(item))
}

func (s *Store) remove(ctx context.Context, name string) error {
	return explain(ctx, s.erase(ctx, name, nil), "delete "+name)
}

// removeDisk removes a disk and its snapshots.
func (s *Store) removeDisk(ctx context.Context, name string) error {
	return explain(ctx, s.erase(ctx, name, withSnapshots()), "delete "+name)
}

func withSnapshots() *blob.DeleteOptions {
	return &blob.DeleteOptions{DeleteSnapshots: to.Ptr(blob.DeleteSnapshotsOptionTypeInclude)}
}

func (s *Store) erase(ctx context.Context, name string, o *blob.DeleteOptions) error {
	return s.ask(ctx, func(ctx context.Context) error {
		client := s.container.NewBlobClient(name)
		_, err := client.Delete(ctx, o)
		if isMissing(err) {
			return nil
		}
		if err != nil {
			return raw(err)
		}
		_, err = client.GetProperties(ctx, nil)
		if isMissing(err) {
			return nil
		}
		return errors.Join(err, errUnverified)
	})
}

// Usage counts an item's objects and the pages of its disks' newest state. What
// its snapshots hold besides is not counted: the service does not tell.
func (s *Store) Usage(ctx context.Context, item string) (replica.Usage, error) {
	u := replica.Usage{Free: -1}
	blobs, err := s.list(ctx, item+"/", false)
	if err != nil {
		return u, err
	}
	for _, b := range blobs {
		if !b.paged {
			u.Item += b.size
			continue
		}
		extents, err := s.pages(ctx, s.container.NewPageBlobClient(b.name), 0, b.size)
		if err != nil && !isMissing(err) {
			return u, explain(ctx, err, "list pages of "+b.name)
		}
		for _, e := range extents {
			u.Item += e.Length
		}
	}
	return u, nil
}
