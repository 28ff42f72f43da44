package proof_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"farshore/workers/proof"
)

const diskSize = 1 << 20

// memory is a virtual disk that counts down to the end of the guest's work.
type memory struct {
	mu     *sync.Mutex
	data   []byte
	writes *int
	stop   func()
	fail   func(write int) bool
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*m.writes++
	if *m.writes >= 400 {
		m.stop()
	}
	if m.fail != nil && m.fail(*m.writes) {
		return 0, errors.New("connection lost")
	}
	return copy(m.data[off:], p), nil
}

func (m *memory) Zero(off, n int64) error {
	_, err := m.WriteAt(make([]byte, n), off)
	return err
}
func (m *memory) Flush() error { return nil }
func (m *memory) Close() error { return nil }

type image []byte

func (i image) ReadAt(p []byte, off int64) (int, error) { return copy(p, i[off:]), nil }
func (i image) Size() int64                             { return int64(len(i)) }

// play runs a guest on two disks and returns what they hold and its judge.
func play(t *testing.T, fail func(write int) bool) (disks []proof.Image, judge *proof.Judge) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var (
		mu     sync.Mutex
		writes int
		data   = [][]byte{bytes.Repeat([]byte("seed"), diskSize/4), make([]byte, diskSize)}
	)
	judge = &proof.Judge{}
	for _, d := range data {
		judge.Seeds = append(judge.Seeds, image(bytes.Clone(d)))
		disks = append(disks, image(d))
	}
	guest := &proof.Guest{
		Journal: filepath.Join(t.TempDir(), "journal"),
		Areas:   []proof.Area{{Start: 4096, End: diskSize}, {Start: 0, End: diskSize / 2}},
		Dial: func(_ context.Context, d int) (proof.Target, error) {
			return &memory{mu: &mu, data: data[d], writes: &writes, stop: stop, fail: fail}, nil
		},
		MaxLength: 8 << 10,
	}
	if err := guest.Run(ctx); err != nil {
		t.Fatal(err)
	}
	var err error
	if judge.Journal, err = proof.ReadJournal(guest.Journal); err != nil {
		t.Fatal(err)
	}
	return disks, judge
}

func TestDisksThatHoldEverythingPass(t *testing.T) {
	t.Parallel()
	disks, judge := play(t, nil)
	v, err := judge.Examine(t.Context(), disks)
	if err != nil {
		t.Fatal(err)
	}
	if want := judge.Journal.Acknowledged(); v.Records != want || want < 400 {
		t.Errorf("the disks hold %d records, want %d", v.Records, want)
	}
}

func TestAGuestThatLostItsDisksRepeatsWhatWasNotAcknowledged(t *testing.T) {
	t.Parallel()
	disks, judge := play(t, func(write int) bool { return write%97 == 0 })
	if _, err := judge.Examine(t.Context(), disks); err != nil {
		t.Fatal(err)
	}
	if got, want := judge.Journal.Acknowledged(), int64(len(judge.Journal.Records)); got != want {
		t.Errorf("%d of %d records are acknowledged", got, want)
	}
}

func TestWhatIsNoInstantFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil  func(disks []proof.Image, j *proof.Judge)
		reason string
	}{
		"a flipped bit": {
			spoil:  func(d []proof.Image, _ *proof.Judge) { mem(d[0])[17] ^= 1 },
			reason: "differs from the replayed source at byte 17",
		},
		"an early record that is missing": {
			spoil: func(d []proof.Image, j *proof.Judge) {
				unwrite(d, j, j.Journal.Records[300])
			},
			reason: "differs from the replayed source",
		},
		"an acknowledged record that is missing though a later one is there": {
			spoil: func(d []proof.Image, j *proof.Judge) {
				unwrite(d, j, last(j, proof.Depth+1))
			},
			reason: "is missing",
		},
		"a torn record": {
			spoil: func(d []proof.Image, j *proof.Judge) {
				r := last(j, 1)
				for n := 1; r.Length == proof.SectorSize; n++ {
					r = last(j, n)
				}
				r.Length = proof.SectorSize
				unwrite(d, j, r)
			},
			reason: "is torn",
		},
		"a record from the future": {
			spoil: func(_ []proof.Image, j *proof.Judge) {
				j.Journal.Records = j.Journal.Records[:len(j.Journal.Records)-2*proof.Depth]
			},
			reason: "the guest never began",
		},
		"a disk of another size": {
			spoil:  func(d []proof.Image, _ *proof.Judge) { d[1] = mem(d[1])[:diskSize/2] },
			reason: "disk 1 holds 524288 bytes, its source 1048576",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disks, judge := play(t, nil)
			tt.spoil(disks, judge)
			_, err := judge.Examine(t.Context(), disks)
			if d, ok := errors.AsType[*proof.DifferenceError](err); !ok || !strings.Contains(d.Reason, tt.reason) {
				t.Errorf("err = %v, want a difference: %s", err, tt.reason)
			}
		})
	}
}

// mem is the content of an image of these tests.
func mem(i proof.Image) image {
	m, _ := i.(image)
	return m
}

// last returns the nth last record that is not a range of zeroes.
func last(j *proof.Judge, n int) proof.Record {
	for i := len(j.Journal.Records) - 1; ; i-- {
		if r := j.Journal.Records[i]; !r.Zeroes() {
			if n--; n == 0 {
				return r
			}
		}
	}
}

// unwrite gives a record's range back what the seed holds there.
func unwrite(disks []proof.Image, j *proof.Judge, r proof.Record) {
	copy(mem(disks[r.Disk])[r.Offset:r.Offset+r.Length], mem(j.Seeds[r.Disk])[r.Offset:])
}

func TestAJournalThatEndsInTheMiddleOfALineIsRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(path, []byte("w 1 0 0 512\na 1 0 0 512\nw 2 0 10"), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := proof.ReadJournal(path)
	if err != nil || len(j.Records) != 1 || j.Acknowledged() != 1 {
		t.Errorf("journal = %+v, err = %v", j, err)
	}
}

func TestAJournalThatContradictsItselfIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(path, []byte("w 1 0 0 512\nw 3 0 512 512\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := proof.ReadJournal(path); err == nil {
		t.Error("a journal with a gap was read")
	}
}
