package nbd_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestQemuIOWritesZeroesDiscardsAndReadsBack(t *testing.T) {
	t.Parallel()
	s := serve(t, 16<<20, nil, false)
	out := tool(t, "qemu-io", "-f", "raw", s.uri,
		"-c", "write -P 0x5a 0 1M", "-c", "write -f -P 0x11 1M 64k", "-c", "write -z 64k 64k", "-c", "write -z -u 256k 64k",
		"-c", "discard 512k 64k", "-c", "flush",
		"-c", "read -P 0x5a 0 64k", "-c", "read -P 0 64k 64k", "-c", "read -P 0 256k 64k", "-c", "read -P 0 512k 64k",
		"-c", "read -P 0x5a 576k 448k", "-c", "read -P 0x11 1M 64k", "-c", "aio_write -P 7 3M 8M", "-c", "aio_flush", "-c", "read -P 7 3M 8M")
	if strings.Contains(out, "Pattern verification failed") || strings.Contains(out, "error") {
		t.Error(out)
	}
}

func TestNbdcopyAndQemuImgSeeTheSameBytesAndHoles(t *testing.T) {
	t.Parallel()
	s := serve(t, 32<<20, nil, false)
	source := filepath.Join(t.TempDir(), "source.raw")
	image := make([]byte, 32<<20)
	copy(image[3<<20:], noise(5<<20))
	copy(image[20<<20:], noise(1<<20))
	if err := os.WriteFile(source, image, 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "nbdcopy", "--connections=4", "--requests=32", "--flush", source, s.uri)
	tool(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", source, s.uri)
	back := filepath.Join(t.TempDir(), "back.raw")
	tool(t, "nbdcopy", s.uri, back)
	got, err := os.ReadFile(back)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, image) {
		t.Error("nbdcopy read other bytes than it had written")
	}
	var extents []struct {
		Offset, Length int64
		Type           int
	}
	if err := json.Unmarshal([]byte(tool(t, "nbdinfo", "--map", "--json", s.uri)), &extents); err != nil {
		t.Fatal(err)
	}
	holes, at := int64(0), int64(0)
	for _, e := range extents {
		if e.Offset != at {
			t.Errorf("the map has a gap at %d", at)
		}
		at += e.Length
		if e.Type == 3 {
			holes += e.Length
		}
	}
	if at != 32<<20 || holes != 26<<20 {
		t.Errorf("the map covers %d bytes with %d of holes: %v", at, holes, extents)
	}
}

func TestNbdinfoFindsWhatTheServerOffers(t *testing.T) {
	t.Parallel()
	s := serve(t, 16<<20, nil, false)
	out := tool(t, "nbdinfo", "--json", s.uri)
	for _, want := range []string{`"can_fua": true`, `"can_flush": true`, `"can_trim": true`, `"can_zero": true`, `"can_multi_conn": true`, `"can_df": true`, `"is_read_only": false`, `"export-size": 16777216`, `"base:allocation"`} {
		if !strings.Contains(out, want) {
			t.Errorf("nbdinfo lacks %s:\n%s", want, out)
		}
	}
	if list := tool(t, "nbdinfo", "--list", "--json", s.uri); !strings.Contains(list, `"export-name": "os"`) {
		t.Error(list)
	}
}
