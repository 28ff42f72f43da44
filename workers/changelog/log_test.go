package changelog_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/workers/changelog"
	"farshore/workers/disk"
)

var update = flag.Bool("update", false, "rewrite golden files")

const (
	firstLog  = "018f0000-0000-7000-8000-000000000001"
	secondLog = "018f0000-0000-7000-8000-000000000002"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// write is what a test did to a disk; zeroes if data is nil.
type write struct {
	off, n int64
	data   []byte
}

func (w write) apply(image []byte) {
	if w.data == nil {
		clear(image[w.off : w.off+w.n])
		return
	}
	copy(image[w.off:], w.data)
}

func writeLog(tb testing.TB, path, id, previous string, size int64, writes []write) changelog.Sealed {
	tb.Helper()
	w, err := changelog.Create(path, changelog.LogOptions{ID: id, PreviousID: previous, DiskSize: size, Now: noon})
	if err != nil {
		tb.Fatal(err)
	}
	for _, o := range writes {
		if o.data == nil {
			err = w.AppendZero(o.off, o.n)
		} else {
			err = w.Append(o.off, o.data)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	sealed, err := w.Seal()
	if err != nil {
		tb.Fatal(err)
	}
	return sealed
}

func logBytes(tb testing.TB, writes []write) []byte {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "log.hrl")
	writeLog(tb, path, firstLog, secondLog, 1<<20, writes)
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// replay applies a log to an image, entry by entry.
func replay(image, log []byte) error {
	r, err := changelog.NewReader(bytes.NewReader(log), int64(len(log)))
	if err != nil {
		return err
	}
	for e, err := range r.Entries() {
		if err != nil {
			return err
		}
		if e.Length > int64(len(image)) || e.Offset > int64(len(image))-e.Length {
			return errors.New("an entry lies outside of its disk")
		}
		if err := r.ReadData(e, image[e.Offset:e.Offset+e.Length]); err != nil {
			return err
		}
	}
	return nil
}

func sample() []write {
	data := make([]byte, 5000)
	for i := range data {
		data[i] = byte(i * 7)
	}
	return []write{{off: 4096, n: 512, data: data[:512]}, {off: 8192, n: 65536}, {off: 4100, n: 5000, data: data}, {off: 1<<20 - 1, n: 1, data: []byte{9}}}
}

func code(err error) errorcatalog.Code {
	if err == nil {
		return ""
	}
	return errorcatalog.Of(err).Code
}

func TestEveryDamagedByteOfALogIsFound(t *testing.T) {
	t.Parallel()
	log := logBytes(t, sample())
	hole := [2]int{4096 + 512, 4096 + 512 + 65536}
	image := make([]byte, 1<<20)
	for i := range log {
		if i >= hole[0] && i < hole[1] {
			continue // says of itself that it is zeroes, and is not read
		}
		log[i] ^= 1 << (i % 8)
		switch err := replay(image, log); code(err) {
		case errorcatalog.LogChecksumMismatch, errorcatalog.LogTruncated, errorcatalog.LogChainBroken, errorcatalog.LogUnclean:
		default:
			t.Fatalf("byte %d damaged: %v", i, err)
		}
		log[i] ^= 1 << (i % 8)
	}
}

func TestEveryTruncatedLogIsFound(t *testing.T) {
	t.Parallel()
	log := logBytes(t, sample())
	image := make([]byte, 1<<20)
	for n := 0; n < len(log); n += 37 {
		if got := code(replay(image, log[:n])); got != errorcatalog.LogTruncated {
			t.Fatalf("%d bytes of %d: %s", n, len(log), got)
		}
	}
	short := bytes.NewReader(log[:len(log)-9000])
	if _, err := changelog.NewReader(short, int64(len(log))); code(err) != errorcatalog.LogTruncated {
		t.Errorf("a source that ends early: %v", err)
	}
}

func TestALogThatWasNotClosedIsUnclean(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.hrl")
	w, err := changelog.Create(path, changelog.LogOptions{ID: firstLog, DiskSize: 1 << 20, Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if err := w.Append(0, []byte("abc")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := code(replay(make([]byte, 1<<20), b)); got != errorcatalog.LogUnclean {
		t.Errorf("code %s", got)
	}
	if err := w.Append(0, []byte("x")); code(err) != errorcatalog.LogWriteFailed {
		t.Errorf("append to a closed log: %v", err)
	}
	if _, err := w.Seal(); code(err) != errorcatalog.LogWriteFailed {
		t.Errorf("seal after a failed write: %v", err)
	}
}

// resum gives a damaged header or block its checksum back, as an attacker would.
func resum(b []byte, at, sumAt, n int) {
	var sum uint32
	for i, c := range b[at : at+n] {
		if i < sumAt || i >= sumAt+4 {
			sum += uint32(c)
		}
	}
	binary.LittleEndian.PutUint32(b[at+sumAt:], ^sum)
}

func TestALogThatLiesWithValidChecksumsIsRefused(t *testing.T) {
	t.Parallel()
	good := logBytes(t, sample())
	block := len(good) - 4096
	for name, forge := range map[string]func([]byte){
		"more entries than there are":   func(b []byte) { b[96]++; resum(b, 0, 40, 4096) },
		"no entries":                    func(b []byte) { b[96] = 0; resum(b, 0, 40, 4096) },
		"an end within the header":      func(b []byte) { binary.LittleEndian.PutUint64(b[44:], 17); resum(b, 0, 40, 4096) },
		"a negative end":                func(b []byte) { binary.LittleEndian.PutUint64(b[44:], 1<<63); resum(b, 0, 40, 4096) },
		"blocks too small for an entry": func(b []byte) { b[57] = 0; resum(b, 0, 40, 4096) },
		"another version":               func(b []byte) { b[10] = 1; resum(b, 0, 40, 4096) },
		"a block that points to itself": func(b []byte) { b[block] = 1; resum(b, block, 12, 4096) },
		"a block before the beginning":  func(b []byte) { b[block+7] = 1; resum(b, block, 12, 4096) },
		"a block of no entries":         func(b []byte) { b[block+8] = 0; resum(b, block, 12, 4096) },
		"a block of too many":           func(b []byte) { b[block+9] = 1; resum(b, block, 12, 4096) },
		"an entry outside of the disk":  func(b []byte) { b[block+32+6] = 1; resum(b, block+32, 8, 32); resum(b, block, 12, 4096) },
		"an entry of no bytes": func(b []byte) {
			clear(b[block+32+12 : block+32+16])
			resum(b, block+32, 8, 32)
			resum(b, block, 12, 4096)
		},
		"an unknown operation":            func(b []byte) { b[block+32+20] = 2; resum(b, block+32, 8, 32); resum(b, block, 12, 4096) },
		"data longer than what is there":  func(b []byte) { b[block+32+14] = 1; resum(b, block+32, 8, 32); resum(b, block, 12, 4096) },
		"data shorter than what is there": func(b []byte) { b[block+32+13] = 1; resum(b, block+32, 8, 32); resum(b, block, 12, 4096) },
	} {
		b := bytes.Clone(good)
		forge(b)
		if err := replay(make([]byte, 1<<20), b); code(err) != errorcatalog.LogChainBroken {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheBytesOfALogArePinned(t *testing.T) {
	t.Parallel()
	log := logBytes(t, sample())
	// The hole is left out; the rest is the whole format.
	got := []byte(hex.Dump(append(bytes.Clone(log[:4096+512]), log[4096+512+65536:]...)))
	golden := filepath.Join("testdata", "sample.hrl.hex")
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the bytes of a log have changed: they are read by other versions and other programs")
	}
}

func TestAnEmptyLogHasNoEntries(t *testing.T) {
	t.Parallel()
	log := logBytes(t, nil)
	r, err := changelog.NewReader(bytes.NewReader(log), int64(len(log)))
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range r.Entries() {
		t.Error(e, err)
	}
	if h := r.Header(); h.ID != firstLog || h.PreviousID != secondLog || h.DiskSize != 1<<20 || !h.Created.Equal(noon()) {
		t.Errorf("header %+v", h)
	}
}

func TestZeroesOfAnyLengthAreHoles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.hrl")
	const size = 5 << 28 // over one entry
	sealed := writeLog(t, path, firstLog, "", size, []write{{off: 4096, n: size - 4096}})
	if sealed.Stored != 8192 || sealed.Entries != 2 {
		t.Errorf("%+v", sealed)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r, err := changelog.NewReader(f, sealed.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	x, err := changelog.Open([]*changelog.Reader{r})
	if err != nil {
		t.Fatal(err)
	}
	if !x.Zero(4096, size-4096) || x.Zero(0, 8192) {
		t.Error("the zeroes are not known as such")
	}
	if got := x.Extents(); len(got) != 1 || got[0] != (disk.Extent{Offset: 4096, Length: size - 4096}) {
		t.Error(got)
	}
}

func TestTheChecksumOfZeroesIsTheOneOfTheirData(t *testing.T) {
	t.Parallel()
	// A reader that knows nothing of our mark reads the hole and compares.
	for _, n := range []int64{1, 511, 4096, 65537} {
		log := logBytes(t, []write{{off: 0, n: n}})
		entry := log[len(log)-4096+32:]
		entry[26] = 0
		resum(log, len(log)-4096+32, 8, 32)
		resum(log, len(log)-4096, 12, 4096)
		if err := replay(make([]byte, 1<<20), log); err != nil {
			t.Errorf("%d zeroes: %v", n, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	// Short ones: most of a long log is data, where a change finds nothing.
	good := logBytes(f, []write{{off: 0, n: 3, data: []byte("abc")}, {off: 1, n: 700}, {off: 9, n: 2, data: []byte("de")}})
	f.Add(good)
	f.Add(logBytes(f, nil))
	f.Add(good[:4096])
	f.Fuzz(func(t *testing.T, b []byte) {
		// Without valid checksums little of the reader is ever reached.
		if len(b) >= 4096 {
			resum(b, 0, 40, 4096)
		}
		r, err := changelog.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			checkCode(t, err)
			return
		}
		h := r.Header()
		for e, err := range r.Entries() {
			if err != nil {
				checkCode(t, err)
				break
			}
			if e.Length <= 0 || e.Offset < 0 || e.Offset+e.Length > h.DiskSize {
				t.Fatalf("entry %+v outside of %d", e, h.DiskSize)
			}
			if !e.Zero && e.Length <= int64(len(b)) {
				if err := r.ReadData(e, make([]byte, e.Length)); err != nil {
					checkCode(t, err)
				}
			}
		}
		if x, err := changelog.Open([]*changelog.Reader{r}); err != nil {
			checkCode(t, err)
		} else if _, err := x.Overlay(make([]byte, 4096), 0); err != nil {
			checkCode(t, err)
		}
	})
}

func checkCode(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, io.EOF) || errorcatalog.ClassOf(code(err)) != errorcatalog.Resynchronize {
		t.Fatalf("not a failure of the catalogue: %v", err)
	}
}
