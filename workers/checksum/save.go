package checksum

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"farshore/domain/errorcatalog"
)

// saving is how many chunks are stored at once.
const saving = 8

// Save stores what has changed, durably, and returns the root in hex. Blocks set
// while it runs may or may not be in it; setting them does not wait for it.
func (m *Manifest) Save(ctx context.Context) (string, error) {
	m.saving.Lock()
	defer m.saving.Unlock()
	hashes, pending := m.begin()
	stored := make([]Digest, len(pending))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(saving)
	for i, p := range pending {
		g.Go(func() (err error) {
			stored[i], err = m.putChunk(gctx, p.index, p.digests, hashes[p.index])
			return err
		})
	}
	err := g.Wait()
	m.end(pending, stored, err)
	if err != nil {
		return "", fmt.Errorf("save manifest of %s: %w", m.disk, err)
	}
	for i, p := range pending {
		hashes[p.index] = stored[i]
	}
	index := m.index(hashes)
	root := Sum(index).String()
	if err := m.objs.PutObject(ctx, m.item, indexName(m.disk, root), bytes.NewReader(index), int64(len(index))); err != nil {
		return "", fmt.Errorf("save manifest of %s: %w", m.disk, err)
	}
	return root, nil
}

// unsaved is a chunk as it was when Save began.
type unsaved struct {
	index   int64
	digests []byte
}

// begin copies what is to be stored and keeps it resident until end.
func (m *Manifest) begin() (hashes []Digest, pending []unsaved) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for index, c := range m.chunks {
		if c.dirty {
			c.dirty, c.pinned = false, true
			pending = append(pending, unsaved{index: index, digests: slices.Clone(c.digests)})
		}
	}
	return slices.Clone(m.hashes), pending
}

func (m *Manifest) end(pending []unsaved, stored []Digest, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, p := range pending {
		c := m.chunks[p.index]
		c.pinned = false
		if err == nil {
			m.hashes[p.index] = stored[i]
		} else {
			c.dirty = true
		}
	}
}

// index is what the root is the digest of: the disk's size, the grain and the
// digests of all chunks.
func (m *Manifest) index(hashes []Digest) []byte {
	b := make([]byte, 0, indexHeader+len(hashes)*DigestSize)
	b = append(b, indexMagic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.size))
	b = binary.LittleEndian.AppendUint32(b, BlockSize)
	b = binary.LittleEndian.AppendUint32(b, ChunkBlocks)
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

// Diff calls fn with each block whose digest differs, ascending. Equal chunks are
// not read.
func Diff(ctx context.Context, a, b *Manifest, fn func(block int64) error) error {
	if a.size != b.size {
		return fmt.Errorf("%d and %d bytes: %w", a.size, b.size, ErrSizeDiffer)
	}
	for index := range int64(len(a.hashes)) {
		if a.hash(index) == b.hash(index) {
			continue
		}
		one, err := a.peek(ctx, index)
		if err != nil {
			return err
		}
		other, err := b.peek(ctx, index)
		if err != nil {
			return err
		}
		for at := 0; at < len(one); at += DigestSize {
			if bytes.Equal(one[at:at+DigestSize], other[at:at+DigestSize]) {
				continue
			}
			if err := fn(index*ChunkBlocks + int64(at/DigestSize)); err != nil {
				return err
			}
		}
	}
	return nil
}

// hash is the digest of a chunk as it is now.
func (m *Manifest) hash(index int64) Digest {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.chunks[index]; c != nil {
		return Sum(c.digests)
	}
	return m.hashes[index]
}

// peek returns a copy of a chunk without making it resident.
func (m *Manifest) peek(ctx context.Context, index int64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.chunks[index]; c != nil {
		return slices.Clone(c.digests), nil
	}
	return m.readChunk(ctx, index)
}

// Chunks lists the names of the objects that hold the manifest with the given
// root; every other name under Prefix may be deleted once no point has it.
func Chunks(ctx context.Context, objs Objects, item, disk, root string) ([]string, error) {
	m, err := Load(ctx, objs, item, disk, root)
	if err != nil {
		return nil, err
	}
	names := []string{indexName(disk, root)}
	for index, h := range m.hashes {
		if h != m.zeroHash(int64(index)) {
			names = append(names, chunkName(disk, h))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Prefix is what the names of all manifest objects of a disk begin with.
func Prefix(disk string) string { return path.Join("manifest", disk) + "/" }

// Collection is Objects that can also be listed and deleted.
type Collection interface {
	Objects
	ListObjects(ctx context.Context, item, prefix string) ([]string, error)
	DeleteObject(ctx context.Context, item, name string) error
}

// Collect deletes the manifest objects of a disk that none of the given roots
// needs, and returns how many. Nobody may be building a manifest of the disk
// meanwhile.
func Collect(ctx context.Context, objs Collection, item, disk string, roots []string) (int, error) {
	needed := map[string]bool{}
	for _, root := range roots {
		names, err := Chunks(ctx, objs, item, disk, root)
		if err != nil {
			return 0, err
		}
		for _, name := range names {
			needed[name] = true
		}
	}
	names, err := objs.ListObjects(ctx, item, Prefix(disk))
	if err != nil {
		return 0, fmt.Errorf("list manifest objects of %s: %w", disk, err)
	}
	deleted := 0
	for _, name := range names {
		if needed[name] {
			continue
		}
		if err := objs.DeleteObject(ctx, item, name); err != nil {
			return deleted, fmt.Errorf("delete manifest object %s: %w", name, err)
		}
		deleted++
	}
	return deleted, nil
}

func chunkName(disk string, d Digest) string { return Prefix(disk) + d.String() }

func indexName(disk, root string) string { return Prefix(disk) + root + ".index" }

// objectLimit is more than the index of the largest disk needs: 64 TiB.
const objectLimit = 64 << 20

func readObject(ctx context.Context, objs Objects, item, name string) (content []byte, err error) {
	if strings.Contains(name, "..") {
		return nil, fmt.Errorf("open object %q: %w", name, ErrDamaged)
	}
	o, err := objs.OpenObject(ctx, item, name)
	if err != nil {
		return nil, fmt.Errorf("open object %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	if o.Size() > objectLimit {
		return nil, fmt.Errorf("object %s has %d bytes: %w", name, o.Size(), ErrDamaged)
	}
	content = make([]byte, o.Size())
	if _, err := io.ReadFull(io.NewSectionReader(o, 0, o.Size()), content); err != nil {
		return nil, fmt.Errorf("read object %s: %w", name, err)
	}
	return content, nil
}

// damaged is a failure of the catalogue: trying again would find the same bytes.
func damaged(item, disk, what string) error {
	return errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "manifest of disk %s of %s: %s", disk, item, what).Because(ErrDamaged)
}
