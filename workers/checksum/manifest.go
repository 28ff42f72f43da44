package checksum

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"farshore/workers/replica"
)

// Objects is where a manifest keeps its chunks; a replica.Store is one.
type Objects interface {
	PutObject(ctx context.Context, item, name string, r io.ReadSeeker, size int64) error
	OpenObject(ctx context.Context, item, name string) (replica.Object, error)
}

// What can be wrong with a manifest.
var (
	ErrDamaged    = errors.New("manifest is damaged")
	ErrNoBlock    = errors.New("block outside the disk")
	ErrSizeDiffer = errors.New("manifests of disks of different size")
)

// resident is how many chunks a manifest holds in memory: 2 MiB, and a copy that
// runs ahead of itself in several places stays within it.
const resident = 64

const (
	indexMagic  = "FSMANIF1"
	indexHeader = len(indexMagic) + 8 + 4 + 4
)

// Manifest is the digests of a disk's blocks, being read or built. It may be used
// by several goroutines at once. Its memory does not grow with the disk, but for
// 32 bytes per 64 MiB of it.
type Manifest struct {
	objs               Objects
	item, disk         string
	size               int64
	zero, tail         Digest // of a zero block, and of the last block when it is zero
	zeroFull, zeroLast Digest // of a chunk of zero blocks, and of the last chunk when it is one

	saving sync.Mutex // held by Save; taken before mu
	mu     sync.Mutex
	hashes []Digest         // of all chunks, as stored
	chunks map[int64]*chunk // resident
	clock  int64            // orders uses of resident chunks
}

// chunk is a resident chunk: its digests, one after the other.
type chunk struct {
	digests []byte
	dirty   bool
	pinned  bool // being saved
	used    int64
}

// New begins the manifest of an all-zero disk.
func New(objs Objects, item, disk string, size int64) *Manifest {
	m := &Manifest{
		objs: objs, item: item, disk: disk, size: size,
		zero: ZeroDigest(BlockSize), tail: ZeroDigest(BlockSize), chunks: map[int64]*chunk{},
	}
	blocks := Blocks(size)
	if blocks > 0 {
		m.tail = ZeroDigest(int(blockLength(blocks-1, size)))
	}
	m.hashes = make([]Digest, (blocks+ChunkBlocks-1)/ChunkBlocks)
	if len(m.hashes) == 0 {
		return m
	}
	last := int64(len(m.hashes) - 1)
	m.zeroFull, m.zeroLast = Sum(m.zeroChunk(0)), Sum(m.zeroChunk(last))
	for i := range m.hashes {
		m.hashes[i] = m.zeroFull
	}
	m.hashes[last] = m.zeroLast
	return m
}

// Load opens the manifest with the given root; setting blocks of it leaves the
// stored one as it is.
func Load(ctx context.Context, objs Objects, item, disk, root string) (*Manifest, error) {
	index, err := readObject(ctx, objs, item, indexName(disk, root))
	if err != nil {
		return nil, fmt.Errorf("load manifest %s: %w", root, err)
	}
	if Sum(index).String() != root || len(index) < indexHeader || string(index[:len(indexMagic)]) != indexMagic {
		return nil, fmt.Errorf("load manifest %s: index: %w", root, damaged(item, disk, "the index does not match its root"))
	}
	at := len(indexMagic)
	size := int64(binary.LittleEndian.Uint64(index[at:])) //nolint:gosec // checked below
	block, per := binary.LittleEndian.Uint32(index[at+8:]), binary.LittleEndian.Uint32(index[at+12:])
	body := index[indexHeader:]
	chunks := (Blocks(max(size, 0)) + ChunkBlocks - 1) / ChunkBlocks
	if size < 0 || block != BlockSize || per != ChunkBlocks || int64(len(body)) != chunks*DigestSize {
		return nil, fmt.Errorf("load manifest %s: %w", root, damaged(item, disk, "the index contradicts itself"))
	}
	m := New(objs, item, disk, size)
	for i := range m.hashes {
		m.hashes[i] = Digest(body[i*DigestSize:])
	}
	return m, nil
}

// Grown begins the manifest of the same disk once it is larger by zeroes. Content is
// the disk as it was, of which the last block is read if it was no whole one.
func (m *Manifest) Grown(ctx context.Context, size int64, content io.ReaderAt) (*Manifest, error) {
	if size < m.size {
		return nil, fmt.Errorf("grow manifest of %d bytes to %d: %w", m.size, size, ErrSizeDiffer)
	}
	g := New(m.objs, m.item, m.disk, size)
	whole := m.size / BlockSize // blocks that stay what they are
	for i := range whole / ChunkBlocks {
		g.hashes[i] = m.hashes[i]
	}
	for block := whole / ChunkBlocks * ChunkBlocks; block < whole; block++ {
		d, err := m.Get(ctx, block)
		if err != nil {
			return nil, err
		}
		if err := g.Set(ctx, block, d); err != nil {
			return nil, err
		}
	}
	part := m.size % BlockSize
	if part == 0 {
		return g, nil
	}
	p := make([]byte, blockLength(whole, size))
	if n, err := content.ReadAt(p[:part], whole*BlockSize); int64(n) < part {
		return nil, fmt.Errorf("read block %d: %w", whole, err)
	}
	was, err := m.Get(ctx, whole)
	if err != nil {
		return nil, err
	}
	if Sum(p[:part]) != was {
		return nil, damaged(m.item, m.disk, "its last block is not what the manifest says")
	}
	return g, g.Set(ctx, whole, Sum(p))
}

// Size is the size of the disk, in bytes.
func (m *Manifest) Size() int64 { return m.size }

// Blocks is the number of blocks of the disk.
func (m *Manifest) Blocks() int64 { return Blocks(m.size) }

// Zero returns the digest that a block has when it is all zeroes.
func (m *Manifest) Zero(block int64) Digest {
	if block == m.Blocks()-1 {
		return m.tail
	}
	return m.zero
}

// Get returns the digest of a block.
func (m *Manifest) Get(ctx context.Context, block int64) (Digest, error) {
	if block < 0 || block >= m.Blocks() {
		return Digest{}, fmt.Errorf("block %d of %d: %w", block, m.Blocks(), ErrNoBlock)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.chunk(ctx, block/ChunkBlocks)
	if err != nil {
		return Digest{}, err
	}
	at := block % ChunkBlocks * DigestSize
	return Digest(c.digests[at : at+DigestSize]), nil
}

// Set records the digest of a block.
func (m *Manifest) Set(ctx context.Context, block int64, d Digest) error {
	return m.SetRun(ctx, block, []Digest{d})
}

// SetRun records the digests of neighbouring blocks.
func (m *Manifest) SetRun(ctx context.Context, first int64, digests []Digest) error {
	if first < 0 || first+int64(len(digests)) > m.Blocks() {
		return fmt.Errorf("%d blocks at %d of %d: %w", len(digests), first, m.Blocks(), ErrNoBlock)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, d := range digests {
		block := first + int64(i)
		c, err := m.chunk(ctx, block/ChunkBlocks)
		if err != nil {
			return err
		}
		at := block % ChunkBlocks * DigestSize
		if !bytes.Equal(c.digests[at:at+DigestSize], d[:]) {
			copy(c.digests[at:], d[:])
			c.dirty = true
		}
	}
	return nil
}

// SetZero records that neighbouring blocks are all zeroes. Chunks that are so
// already are not looked at.
func (m *Manifest) SetZero(ctx context.Context, first, count int64) error {
	if first < 0 || count < 0 || first+count > m.Blocks() {
		return fmt.Errorf("%d blocks at %d of %d: %w", count, first, m.Blocks(), ErrNoBlock)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for end := first + count; first < end; {
		index := first / ChunkBlocks
		stop := min(end, (index+1)*ChunkBlocks)
		if err := m.zeroWithin(ctx, index, first, stop); err != nil {
			return err
		}
		first = stop
	}
	return nil
}

func (m *Manifest) zeroWithin(ctx context.Context, index, first, stop int64) error {
	if c := m.chunks[index]; c == nil && m.hashes[index] == m.zeroHash(index) {
		return nil
	}
	c, err := m.chunk(ctx, index)
	if err != nil {
		return err
	}
	for block := first; block < stop; block++ {
		d, at := m.Zero(block), block%ChunkBlocks*DigestSize
		if !bytes.Equal(c.digests[at:at+DigestSize], d[:]) {
			copy(c.digests[at:], d[:])
			c.dirty = true
		}
	}
	return nil
}

// chunk returns a chunk, resident from now on. The lock is held.
func (m *Manifest) chunk(ctx context.Context, index int64) (*chunk, error) {
	m.clock++
	if c := m.chunks[index]; c != nil {
		c.used = m.clock
		return c, nil
	}
	if err := m.evict(ctx); err != nil {
		return nil, err
	}
	digests, err := m.readChunk(ctx, index)
	if err != nil {
		return nil, err
	}
	c := &chunk{digests: digests, used: m.clock}
	m.chunks[index] = c
	return c, nil
}

// evict makes room for one more chunk by storing the one that was not used for
// the longest time.
func (m *Manifest) evict(ctx context.Context) error {
	if len(m.chunks) < resident {
		return nil
	}
	oldest := int64(-1)
	for index, c := range m.chunks {
		if c.pinned {
			continue
		}
		if oldest < 0 || c.used < m.chunks[oldest].used {
			oldest = index
		}
	}
	if oldest < 0 {
		return nil // all are being saved; there are more of them for a moment
	}
	if c := m.chunks[oldest]; c.dirty {
		d, err := m.putChunk(ctx, oldest, c.digests, m.hashes[oldest])
		if err != nil {
			return err
		}
		m.hashes[oldest] = d
	}
	delete(m.chunks, oldest)
	return nil
}

func (m *Manifest) readChunk(ctx context.Context, index int64) ([]byte, error) {
	want := m.hashes[index]
	if want == m.zeroHash(index) {
		return m.zeroChunk(index), nil
	}
	digests, err := readObject(ctx, m.objs, m.item, chunkName(m.disk, want))
	if err != nil {
		return nil, fmt.Errorf("read manifest chunk %d: %w", index, err)
	}
	if Sum(digests) != want || int64(len(digests)) != m.chunkLength(index)*DigestSize {
		return nil, fmt.Errorf("read manifest chunk %d: %w", index, damaged(m.item, m.disk, "a chunk does not match its digest"))
	}
	return digests, nil
}

// putChunk stores a chunk under its digest unless that is known to be there: the
// stored one, and zero chunks, which nobody stores.
func (m *Manifest) putChunk(ctx context.Context, index int64, digests []byte, stored Digest) (Digest, error) {
	d := Sum(digests)
	if d == m.zeroHash(index) || d == stored {
		return d, nil
	}
	err := m.objs.PutObject(ctx, m.item, chunkName(m.disk, d), bytes.NewReader(digests), int64(len(digests)))
	if err != nil {
		return Digest{}, fmt.Errorf("store manifest chunk %d: %w", index, err)
	}
	return d, nil
}

// chunkLength is the number of blocks in a chunk; the last has fewer.
func (m *Manifest) chunkLength(index int64) int64 {
	return min(ChunkBlocks, m.Blocks()-index*ChunkBlocks)
}

func (m *Manifest) zeroChunk(index int64) []byte {
	n := m.chunkLength(index)
	digests := make([]byte, 0, n*DigestSize)
	for i := range n {
		d := m.Zero(index*ChunkBlocks + i)
		digests = append(digests, d[:]...)
	}
	return digests
}

func (m *Manifest) zeroHash(index int64) Digest {
	if index == int64(len(m.hashes)-1) {
		return m.zeroLast
	}
	return m.zeroFull
}
