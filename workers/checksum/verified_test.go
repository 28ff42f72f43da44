package checksum_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/workers/checksum"
	"farshore/workers/disk"
)

// shelf holds one point, as it is now.
type shelf struct {
	*objects

	content []byte
}

func (s *shelf) OpenPoint(context.Context, string, string, string) (disk.Reader, error) {
	return &held{bytes.NewReader(s.content)}, nil
}

type held struct{ *bytes.Reader }

func (h *held) Close() error { return nil }

func (h *held) Extents(off, n int64) ([]disk.Extent, error) {
	return []disk.Extent{{Offset: off, Length: n}}, nil
}

func TestNothingIsReadThatDoesNotMatchTheManifest(t *testing.T) {
	t.Parallel()
	const size = 4*checksum.BlockSize + 777
	s := &shelf{newObjects(), make([]byte, size)}
	for i := range s.content[:3*checksum.BlockSize] {
		s.content[i] = byte(rand.IntN(256))
	}
	m := checksum.New(s, item, "os", size)
	for b := range m.Blocks() {
		p := s.content[b*checksum.BlockSize : min((b+1)*checksum.BlockSize, size)]
		set(t, m, b, checksum.Sum(p))
	}
	root := save(t, m)
	r, err := checksum.OpenVerified(t.Context(), s, item, "p1", "os", root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // read only
	for _, e := range []disk.Extent{{Offset: 0, Length: size}, {Offset: 1, Length: 1}, {Offset: 70000, Length: 140000}, {Offset: size - 5, Length: 5}, {Offset: 9, Length: 0}} {
		got := make([]byte, e.Length)
		if n, err := r.ReadAt(got, e.Offset); err != nil || int64(n) != e.Length || !bytes.Equal(got, s.content[e.Offset:e.End()]) {
			t.Errorf("%d bytes at %d: %d, %v", e.Length, e.Offset, n, err)
		}
	}
	if _, err := r.ReadAt(make([]byte, 6), size-5); err == nil {
		t.Error("what lies behind the disk was read")
	}
	s.content[2*checksum.BlockSize+5] ^= 1
	s.content[size-1] = 1
	for off, sound := range map[int64]bool{0: true, checksum.BlockSize + 100: true, 2 * checksum.BlockSize: false, 3*checksum.BlockSize - 1: false, 3 * checksum.BlockSize: true, size - 700: false} {
		_, err := r.ReadAt(make([]byte, 1), off)
		if sound != (err == nil) || !sound && errorcatalog.Of(err).Code != errorcatalog.ReplicaCorrupt {
			t.Errorf("the byte at %d was answered with %v", off, err)
		}
	}
	s.content = s.content[1:]
	if _, err := checksum.OpenVerified(t.Context(), s, item, "p1", "os", root); errorcatalog.Of(err).Code != errorcatalog.ReplicaCorrupt {
		t.Errorf("a point of another size was opened: %v", err)
	}
}
