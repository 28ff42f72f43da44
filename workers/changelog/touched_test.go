package changelog_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/workers/changelog"
	"farshore/workers/disk"
)

func openLog(t *testing.T, id, previous string, size int64, writes []write) *changelog.Reader {
	t.Helper()
	path := filepath.Join(t.TempDir(), id)
	writeLog(t, path, id, previous, size, writes)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := changelog.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLogsNameTheRangesTheyWrite(t *testing.T) {
	t.Parallel()
	const size, grain = 1<<20 + 512, 64 << 10
	a := openLog(t, firstLog, "", size, []write{{off: 70000, n: 1, data: []byte{1}}, {off: 5 * grain, n: 2 * grain}})
	b := openLog(t, secondLog, firstLog, size, []write{{off: 2*grain - 1, n: 2, data: []byte{1, 2}}, {off: 1 << 20, n: 512, data: make([]byte, 512)}})
	got, err := changelog.Touched([]*changelog.Reader{a, b}, grain)
	want := []disk.Extent{{Offset: grain, Length: 2 * grain}, {Offset: 5 * grain, Length: 2 * grain}, {Offset: 1 << 20, Length: 512}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("ranges are %v, %v; want %v", got, err, want)
	}
	if got, err := changelog.Touched(nil, grain); err != nil || len(got) > 0 {
		t.Errorf("no logs name %v, %v", got, err)
	}
	if _, err := changelog.Touched([]*changelog.Reader{b, a}, grain); code(err) != errorcatalog.LogChainBroken {
		t.Errorf("logs out of order: %v", err)
	}
	other := openLog(t, secondLog, firstLog, 1<<20, sample())
	if _, err := changelog.Touched([]*changelog.Reader{a, other}, grain); code(err) != errorcatalog.LogChainBroken {
		t.Errorf("logs of two sizes: %v", err)
	}
}

func TestADamagedLogNamesNothing(t *testing.T) {
	t.Parallel()
	log := logBytes(t, sample())
	r, err := changelog.NewReader(bytes.NewReader(log), int64(len(log)))
	if err != nil {
		t.Fatal(err)
	}
	log[len(log)-1] ^= 1
	if got, err := changelog.Touched([]*changelog.Reader{r}, 4096); code(err) != errorcatalog.LogChecksumMismatch || got != nil {
		t.Errorf("it names %v, %v", got, err)
	}
}
