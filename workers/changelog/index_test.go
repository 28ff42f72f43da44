package changelog_test

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/zeebo/blake3"
	"pgregory.net/rapid"

	"farshore/domain/errorcatalog"
	"farshore/workers/changelog"
	"farshore/workers/disk"
)

func drawWrites(t *rapid.T, size int64, label string) []write {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) write {
		off := rapid.Int64Range(0, size-1).Draw(t, "off")
		n := rapid.Int64Range(1, min(size-off, 9000)).Draw(t, "n")
		if rapid.IntRange(0, 4).Draw(t, "zero") == 0 {
			return write{off: off, n: n}
		}
		data := make([]byte, n)
		source := rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)
		for i := range data {
			data[i] = byte(source.Uint64())
		}
		return write{off: off, n: n, data: data}
	}), 0, 300).Draw(t, label)
}

func TestAReplayedLogGivesTheDiskItWasWrittenFrom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		const size = 200_000
		writes := drawWrites(rt, size, "writes")
		path := filepath.Join(dir, uuid.NewString())
		sealed := writeLog(t, path, firstLog, "", size, writes)
		log, err := os.ReadFile(path)
		if err != nil {
			rt.Fatal(err)
		}
		_ = os.Remove(path)
		sum := blake3.Sum256(log)
		if int64(len(log)) != sealed.Bytes || hex.EncodeToString(sum[:]) != sealed.Digest || sealed.Entries != int64(len(writes)) {
			rt.Fatalf("sealed as %+v", sealed)
		}
		want, got := make([]byte, size), make([]byte, size)
		for _, w := range writes {
			w.apply(want)
		}
		if err := replay(got, log); err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			rt.Fatal("the replayed disk differs")
		}
	})
}

func TestAnIndexGivesWhatReplayingAllItsLogsGives(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		const size = 100_000
		want := bytes.Repeat([]byte{0xee}, size)
		base := bytes.Clone(want)
		touched := make([]bool, size)
		var readers []*changelog.Reader
		previous := ""
		for range rapid.IntRange(1, 3).Draw(rt, "logs") {
			id := uuid.NewString()
			path := filepath.Join(dir, id)
			writes := drawWrites(rt, size, "writes")
			writeLog(t, path, id, previous, size, writes)
			log, err := os.ReadFile(path)
			if err != nil {
				rt.Fatal(err)
			}
			_ = os.Remove(path)
			r, err := changelog.NewReader(bytes.NewReader(log), int64(len(log)))
			if err != nil {
				rt.Fatal(err)
			}
			for _, w := range writes {
				w.apply(want)
				for i := w.off; i < w.off+w.n; i++ {
					touched[i] = true
				}
			}
			readers, previous = append(readers, r), id
		}
		x, err := changelog.Open(readers)
		if err != nil {
			rt.Fatal(err)
		}
		checkIndex(rt, x, base, want, touched)
	})
}

func checkIndex(rt *rapid.T, x *changelog.Index, base, want []byte, touched []bool) {
	size := int64(len(want))
	got := make([]byte, size)
	if _, err := x.Over(bytes.NewReader(base)).ReadAt(got, 0); err != nil {
		rt.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		rt.Fatal("the overlaid disk differs")
	}
	covered := make([]bool, size)
	last := int64(-1)
	for _, e := range x.Extents() {
		if e.Offset <= last || e.Length <= 0 {
			rt.Fatalf("extent %+v after %d", e, last)
		}
		last = e.End()
		for i := e.Offset; i < e.End(); i++ {
			covered[i] = true
		}
	}
	for i := range covered {
		if covered[i] != touched[i] {
			rt.Fatalf("byte %d: covered %v, written %v", i, covered[i], touched[i])
		}
	}
	for range 20 {
		off := rapid.Int64Range(0, size-1).Draw(rt, "off")
		p := make([]byte, rapid.Int64Range(1, min(20_000, size-off)).Draw(rt, "n"))
		all, zero := true, true
		for i := range p {
			all = all && touched[off+int64(i)]
			zero = zero && want[off+int64(i)] == 0
		}
		ok, err := x.Overlay(p, off)
		if err != nil || ok != all {
			rt.Fatalf("overlay of %d at %d: %v %v, want %v", len(p), off, ok, err, all)
		}
		if x.Zero(off, int64(len(p))) && (!zero || !all) {
			rt.Fatal("data are called zeroes")
		}
	}
}

func TestAnIndexRefusesLogsThatDoNotFollowEachOther(t *testing.T) {
	t.Parallel()
	log := logBytes(t, sample())
	r, err := changelog.NewReader(bytes.NewReader(log), int64(len(log)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := changelog.Open([]*changelog.Reader{r, r}); code(err) != errorcatalog.LogChainBroken {
		t.Errorf("%v", err)
	}
}

func TestAnIndexFindsDamagedDataWhicheverPartIsRead(t *testing.T) {
	t.Parallel()
	log := logBytes(t, sample())
	log[4096+512+65536+4000] ^= 4
	r, err := changelog.NewReader(bytes.NewReader(log), int64(len(log)))
	if err != nil {
		t.Fatal(err)
	}
	x, err := changelog.Open([]*changelog.Reader{r})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Overlay(make([]byte, 10), 4200); code(err) != errorcatalog.LogChecksumMismatch {
		t.Errorf("%v", err)
	}
}

func TestAlignedExtentsCoverWholeSectors(t *testing.T) {
	t.Parallel()
	log := logBytes(t, []write{{off: 100, n: 10, data: make([]byte, 10)}, {off: 500, n: 20, data: make([]byte, 20)}, {off: 5000, n: 1, data: []byte{1}}})
	r, err := changelog.NewReader(bytes.NewReader(log), int64(len(log)))
	if err != nil {
		t.Fatal(err)
	}
	x, err := changelog.Open([]*changelog.Reader{r})
	if err != nil {
		t.Fatal(err)
	}
	got := x.AlignedExtents()
	if len(got) != 2 || got[0] != (disk.Extent{Length: 1024}) || got[1] != (disk.Extent{Offset: 4608, Length: 512}) {
		t.Error(got)
	}
}
