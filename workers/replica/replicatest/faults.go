package replicatest

import (
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/replica"
)

// filled writes random data, makes it a point and returns the manifest of what
// was sent.
func filled(t *testing.T, s replica.Store, d replica.Disk) *checksum.Manifest {
	t.Helper()
	data := randomBytes(4, osSize)
	m := checksum.New(s, item, "os", osSize)
	for block := range m.Blocks() {
		end := min((block+1)*checksum.BlockSize, osSize)
		if err := m.Set(t.Context(), block, checksum.Sum(data[block*checksum.BlockSize:end])); err != nil {
			t.Fatal(err)
		}
	}
	write(t, d, data[:mib], 0)
	write(t, d, data[mib:], mib)
	return m
}

func flippedBitIsFound(t *testing.T, medium Medium) {
	t.Helper()
	if medium.Faults.FlipBit == nil {
		return
	}
	s := medium.Open(t)
	d := newDisk(t, s, "os", osSize, 1)
	m := filled(t, s, d)
	flush(t, d)
	commit(t, s, "p1", osSize)
	wantVerified(t, s, m, -1)
	medium.Faults.FlipBit(t, item, "os", 2*mib+12345)
	wantVerified(t, s, m, (2*mib+12345)/checksum.BlockSize)
}

func wantVerified(t *testing.T, s replica.Store, m *checksum.Manifest, want int64) {
	t.Helper()
	r, err := s.OpenPoint(t.Context(), item, "p1", "os")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if block, err := m.Verify(t.Context(), wholeDisk{r}); err != nil || block != want {
		t.Errorf("verify found block %d, %v; want %d", block, err, want)
	}
}

// wholeDisk reads holes, too: damage may lie there.
type wholeDisk struct{ disk.Reader }

// Extents is all of it.
func (wholeDisk) Extents(off, n int64) ([]disk.Extent, error) {
	return []disk.Extent{{Offset: off, Length: n}}, nil
}

func badWritesAreFound(t *testing.T, medium Medium) {
	t.Helper()
	for what, inject := range map[string]func(testing.TB) func(){
		"lost": medium.Faults.LoseWrites, "changed": medium.Faults.FlipWrites,
	} {
		if inject == nil {
			continue
		}
		s := medium.Open(t)
		if err := s.RemoveItem(t.Context(), item, 1); err != nil {
			t.Fatal(err)
		}
		d := newDisk(t, s, "os", osSize, 1)
		restore := inject(t)
		data := randomBytes(4, mib)
		_, err := d.WriteAt(data, mib)
		if err == nil {
			err = d.Flush(t.Context())
		}
		restore()
		if medium.Faults.FlushVerifies {
			if err == nil {
				t.Errorf("a %s write was reported as durable and verified", what)
			}
			continue
		}
		if got := readDisk(t, d, osSize); err == nil && checksum.Sum(got[mib:2*mib]) == checksum.Sum(data) {
			t.Errorf("the fault was not injected: a %s write is there", what)
		}
	}
}

func truncationIsFound(t *testing.T, medium Medium) {
	t.Helper()
	if medium.Faults.Truncate == nil {
		return
	}
	s := medium.Open(t)
	d := newDisk(t, s, "os", osSize, 1)
	filled(t, s, d)
	flush(t, d)
	commit(t, s, "p1", osSize)
	r, err := s.OpenPoint(t.Context(), item, "p1", "os")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	medium.Faults.Truncate(t, item, "os", mib)
	_, err = r.ReadAt(make([]byte, mib), mib)
	wantCode(t, "read a point of it", err, errorcatalog.ReplicaCorrupt)
	_, err = medium.Open(t).OpenDisk(t.Context(), item, "os", 1)
	wantCode(t, "open it", err, errorcatalog.ReplicaCorrupt)
	if err := d.Flush(t.Context()); err == nil {
		t.Error("flush did not find it")
	}
}
