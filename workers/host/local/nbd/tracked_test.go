package nbd_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"farshore/workers/changelog"
	"farshore/workers/disk"
)

func TestWhatRealGuestsWriteIsInTheLogs(t *testing.T) {
	t.Parallel()
	const size = 32 << 20
	var gate *changelog.Gate
	s := serve(t, size, func(d disk.Device) disk.Device {
		gate = changelog.NewGate(d)
		return gate
	}, false)
	source := filepath.Join(t.TempDir(), "source.raw")
	if err := os.WriteFile(source, noise(size), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "nbdcopy", source, s.uri)
	seed, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	group, err := changelog.StartGroup(t.Context(), changelog.Options{
		LimitPercent: 1000, BootID: "this one", Now: time.Now, NewID: uuid.NewString,
		Space: func(string) (int64, int64, error) { return 1 << 40, 1 << 40, nil },
	}, []changelog.TrackedDisk{{ID: "os", Gate: gate, Base: s.path}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		tool(t, "qemu-io", "-f", "raw", s.uri,
			"-c", "write -P 0x5a 1234 999999", "-c", "write -f -P 0x11 1M 64k", "-c", "write -z 5M 3M", "-c", "write -z -u 10M 1M",
			"-c", "discard 12M 4M", "-c", "aio_write -P 7 20M 8M", "-c", "aio_write -P 8 22M 8M", "-c", "aio_flush", "-c", "flush")
		err := group.Cut(t.Context(), changelog.CutOptions{Record: func(_ time.Time, disks []changelog.DiskLogs) error {
			return overlay(t, disks[0].Logs, seed)
		}})
		if err != nil {
			t.Fatal(err)
		}
		image, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(seed, image) {
			t.Fatal("the replayed logs are not what the disk holds")
		}
	}
	if err := group.Stop(); err != nil {
		t.Fatal(err)
	}
}

// overlay lays logs over an image.
func overlay(t *testing.T, logs []changelog.Log, image []byte) error {
	t.Helper()
	var readers []*changelog.Reader
	for _, l := range logs {
		f, err := os.Open(l.File)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		r, err := changelog.NewReader(f, l.Bytes)
		if err != nil {
			return err
		}
		readers = append(readers, r)
	}
	x, err := changelog.Open(readers)
	if err != nil {
		return err
	}
	_, err = x.Overlay(image, 0)
	return err
}
