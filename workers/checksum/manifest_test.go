package checksum_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/replica"
)

const (
	item = "vault.web.1"
	kib  = 1 << 10
	mib  = 1 << 20
)

// objects is a shelf in memory that counts what is put on it.
type objects struct {
	mu   sync.Mutex
	held map[string][]byte
	puts int
	full bool
}

func newObjects() *objects { return &objects{held: map[string][]byte{}} }

func (o *objects) PutObject(_ context.Context, _, name string, r io.ReadSeeker, size int64) error {
	b, err := io.ReadAll(r)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.full || err != nil || int64(len(b)) != size {
		return errors.New("no space")
	}
	o.puts++
	o.held[name] = b
	return nil
}

func (o *objects) OpenObject(_ context.Context, _, name string) (replica.Object, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b, ok := o.held[name]
	if !ok {
		return nil, errorcatalog.Fail(errorcatalog.ObjectNotFound, "%s", name)
	}
	return object{bytes.NewReader(b)}, nil
}

func (o *objects) ListObjects(_ context.Context, _, prefix string) ([]string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var names []string
	for name := range o.held {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (o *objects) DeleteObject(_ context.Context, _, name string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.held, name)
	return nil
}

type object struct{ *bytes.Reader }

func (o object) Size() int64 { return o.Reader.Size() }

func (o object) Close() error { return nil }

func save(t *testing.T, m *checksum.Manifest) string {
	t.Helper()
	root, err := m.Save(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func set(t *testing.T, m *checksum.Manifest, block int64, d checksum.Digest) {
	t.Helper()
	if err := m.Set(t.Context(), block, d); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, o *objects, root string) *checksum.Manifest {
	t.Helper()
	m, err := checksum.Load(t.Context(), o, item, "os", root)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestADamagedManifestIsFoundAndNeverTrusted(t *testing.T) {
	t.Parallel()
	o := newObjects()
	m := checksum.New(o, item, "os", 3*checksum.ChunkBytes)
	set(t, m, 5, checksum.Digest{1})
	root := save(t, m)
	for name, content := range o.held {
		for _, spoil := range []func([]byte) []byte{
			func(b []byte) []byte { b = slices.Clone(b); b[len(b)/2] ^= 4; return b },
			func(b []byte) []byte { return b[:len(b)-1] },
			func([]byte) []byte { return nil },
		} {
			o.held[name] = spoil(content)
			m, err := checksum.Load(t.Context(), o, item, "os", root)
			if err == nil {
				_, err = m.Get(t.Context(), 5)
			}
			if errorcatalog.Of(err).Code != errorcatalog.ReplicaCorrupt {
				t.Errorf("%s: %v", name, err)
			}
		}
		o.held[name] = content
	}
	if _, err := checksum.Load(t.Context(), o, item, "os", strings.Repeat("0", 64)); errorcatalog.Of(err).Code != errorcatalog.ObjectNotFound {
		t.Errorf("an unknown root: %v", err)
	}
}

func TestAFullStoreLosesNoDigest(t *testing.T) {
	t.Parallel()
	o := newObjects()
	m := checksum.New(o, item, "os", checksum.ChunkBytes)
	set(t, m, 7, checksum.Digest{7})
	o.full = true
	if _, err := m.Save(t.Context()); err == nil {
		t.Fatal("saved to a full store")
	}
	o.full = false
	if d, err := load(t, o, save(t, m)).Get(t.Context(), 7); err != nil || d != (checksum.Digest{7}) {
		t.Fatalf("got %v, %v", d, err)
	}
}

func TestABlockOutsideTheDiskIsRefused(t *testing.T) {
	t.Parallel()
	m := checksum.New(newObjects(), item, "os", 3*checksum.BlockSize-1)
	for _, block := range []int64{-1, 3} {
		if err := m.Set(t.Context(), block, checksum.Digest{}); !errors.Is(err, checksum.ErrNoBlock) {
			t.Errorf("set %d: %v", block, err)
		}
		if _, err := m.Get(t.Context(), block); !errors.Is(err, checksum.ErrNoBlock) {
			t.Errorf("get %d: %v", block, err)
		}
		if err := m.SetZero(t.Context(), block, 1); !errors.Is(err, checksum.ErrNoBlock) {
			t.Errorf("zero %d: %v", block, err)
		}
	}
}

func TestZeroChunksTakeNoObjectsAndEqualContentHasOneRoot(t *testing.T) {
	t.Parallel()
	o := newObjects()
	size := int64(200)*checksum.ChunkBytes + 12345
	m := checksum.New(o, item, "os", size)
	empty := save(t, m)
	if len(o.held) != 1 {
		t.Fatalf("an empty disk has %d objects", len(o.held))
	}
	for _, b := range []int64{0, m.Blocks() / 2, m.Blocks() - 1} {
		set(t, m, b, checksum.Digest{9})
	}
	if save(t, m) == empty {
		t.Fatal("another disk has the same root")
	}
	if err := m.SetZero(t.Context(), 0, m.Blocks()); err != nil {
		t.Fatal(err)
	}
	if save(t, m) != empty {
		t.Fatal("zeroing the disk does not lead back to the empty root")
	}
	if last := checksum.ZeroDigest(12345); m.Zero(m.Blocks()-1) != last {
		t.Fatal("the last block is not hashed by its true length")
	}
	if checksum.New(o, item, "os", size+1) == nil || save(t, checksum.New(o, item, "os", size+1)) == empty {
		t.Fatal("a disk of another size has the same root")
	}
}

func TestPointsShareUnchangedChunksAndDifferOnlyWhereTheyDo(t *testing.T) {
	t.Parallel()
	o := newObjects()
	m := checksum.New(o, item, "os", 300*checksum.ChunkBytes)
	for b := int64(0); b < m.Blocks(); b += checksum.ChunkBlocks / 2 {
		set(t, m, b, checksum.Sum([]byte{byte(b), byte(b >> 8), byte(b >> 16)}))
	}
	first := save(t, m)
	next := load(t, o, first)
	changed := []int64{3, 5000, next.Blocks() - 1}
	for _, b := range changed {
		set(t, next, b, checksum.Digest{byte(b)})
	}
	o.puts = 0
	second := save(t, next)
	if o.puts != 4 {
		t.Errorf("%d objects stored for 3 changed chunks and an index", o.puts)
	}
	var found []int64
	err := checksum.Diff(t.Context(), load(t, o, first), load(t, o, second), func(b int64) error {
		found = append(found, b)
		return nil
	})
	if err != nil || !slices.Equal(found, changed) {
		t.Fatalf("difference %v, %v", found, err)
	}
	before := len(o.held)
	n, err := checksum.Collect(t.Context(), o, item, "os", []string{second})
	if err != nil || n != 4 || len(o.held) != before-4 {
		t.Fatalf("collected %d, %v", n, err)
	}
	for b := range next.Blocks() / 512 {
		if _, err := load(t, o, second).Get(t.Context(), b*512); b%64 == 0 && err != nil {
			t.Fatal(err)
		}
	}
}

func TestDigestsSurviveManyMoreChunksThanMemoryHolds(t *testing.T) {
	t.Parallel()
	o := newObjects()
	m := checksum.New(o, item, "os", 500*checksum.ChunkBytes)
	want := map[int64]checksum.Digest{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		b := r.Int64N(m.Blocks())
		want[b] = checksum.Digest{byte(r.Int64()), byte(b)}
		set(t, m, b, want[b])
	}
	again := load(t, o, save(t, m))
	for b, d := range want {
		if got, err := again.Get(t.Context(), b); err != nil || got != d {
			t.Fatalf("block %d: %v, %v", b, got, err)
		}
	}
}

func newDisk(tb testing.TB, size int64) *disk.File {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "disk")
	if err := disk.CreateRaw(path, size); err != nil {
		tb.Fatal(err)
	}
	d, err := disk.OpenRaw(path, false)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = d.Close() })
	return d
}
