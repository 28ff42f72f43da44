package deltareplication_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/zeebo/blake3"

	"farshore/domain/errorcatalog"
	"farshore/workers/deltareplication"
	"farshore/workers/disk"
	"farshore/workers/host"
)

// tracker is a host whose sealed log is what a test says.
type tracker struct {
	host.Tracker
	content []byte
	opened  int
}

// OpenLog implements host.Tracker.
func (s *tracker) OpenLog(context.Context, string, string, string) (io.ReadCloser, error) {
	s.opened++
	return io.NopCloser(iotest.OneByteReader(bytes.NewReader(s.content))), nil
}

func sealed(content []byte) host.LogFile {
	sum := blake3.Sum256(content)
	return host.LogFile{ID: "l1", Bytes: int64(len(content)), Digest: hex.EncodeToString(sum[:])}
}

func TestALogIsVerifiedOnItsWay(t *testing.T) {
	t.Parallel()
	content := []byte("what the guest wrote")
	for name, tt := range map[string]struct {
		holds []byte
		code  errorcatalog.Code
	}{
		"as it was sealed": {content, ""},
		"a flipped bit":    {[]byte("what the guesT wrote"), errorcatalog.LogChecksumMismatch},
		"cut off":          {content[:7], errorcatalog.LogTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, settle := deltareplication.Body(t.Context(), &tracker{content: tt.holds}, sealed(content))
			_, err := io.ReadAll(body)
			err = settle(err)
			switch {
			case tt.code == "" && err != nil:
				t.Error(err)
			case tt.code != "" && (err == nil || errorcatalog.Of(err).Code != tt.code):
				t.Errorf("answered %v, want %s", err, tt.code)
			}
		})
	}
}

func TestAnUploadThatIsRepeatedReadsTheLogAgain(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789"), 10)
	source := &tracker{content: content}
	body, settle := deltareplication.Body(t.Context(), source, sealed(content))
	if _, err := io.CopyN(io.Discard, body, 37); err != nil {
		t.Fatal(err)
	}
	if n, err := body.Seek(0, io.SeekEnd); n != 100 || err != nil {
		t.Errorf("the end is at %d, %v", n, err)
	}
	for _, from := range []int64{0, 42} {
		if _, err := body.Seek(from, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		if err != nil || !bytes.Equal(got, content[from:]) {
			t.Errorf("from %d: %q, %v", from, got, err)
		}
	}
	if err := settle(nil); err != nil {
		t.Error(err)
	}
	if err := settle(errors.New("connection lost")); err == nil {
		t.Error("the store's failure was lost")
	}
}

func TestChangesAreWholeBlocksAndCovered(t *testing.T) {
	t.Parallel()
	const k = 1 << 10
	got := deltareplication.BlocksOf(
		[]disk.Extent{{Offset: 1, Length: 512}, {Offset: 64 * k, Length: 1}, {Offset: 300 * k, Length: 30 * k}},
		[]disk.Extent{{Offset: 192 * k, Length: 64 * k}},
		330*k,
	)
	want := []disk.Extent{{Offset: 0, Length: 128 * k}, {Offset: 192 * k, Length: 138 * k}}
	if !slices.Equal(got, want) {
		t.Errorf("blocks are %v, want %v", got, want)
	}
}

func TestObjectNamesAscendInChainOrder(t *testing.T) {
	t.Parallel()
	var logs, cuts []string
	for number := int64(1); number < 1200; number += 113 {
		for i := range 3 {
			log, cut := deltareplication.Names(number, i)
			ofLog, ofCut := deltareplication.Numbers(log, cut)
			if ofLog != number || ofCut != number {
				t.Errorf("%s is of cut %d, %s of %d, want %d", log, ofLog, cut, ofCut, number)
			}
			logs, cuts = append(logs, log), append(cuts, cut)
		}
	}
	if !slices.IsSorted(logs) || !slices.IsSorted(cuts) {
		t.Errorf("names do not ascend: %v", logs)
	}
}
