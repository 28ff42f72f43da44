package disk_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"farshore/domain/site"
	"farshore/workers/disk"
)

func created() time.Time { return time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC) }

func qemuImg(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "qemu-img", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("qemu-img %v: %v\n%s", args, err, out)
	}
	return out
}

func newVHD(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.vhd")
	if err := disk.CreateVHD(path, disk.FooterFor(size, [16]byte{1, 2, 3}, created())); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAVHDThatContradictsItselfIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func([]byte) []byte
		want  error
	}{
		"a flipped bit in the footer": {func(b []byte) []byte { b[len(b)-100] ^= 1; return b }, disk.ErrVHDDamaged},
		"a longer file":               {func(b []byte) []byte { return append(make([]byte, 512), b...) }, disk.ErrVHDDamaged},
		"a file cut short":            {func(b []byte) []byte { return b[:len(b)-512] }, disk.ErrNotVHD},
		"hardly any file":             {func(b []byte) []byte { return b[:100] }, disk.ErrNotVHD},
		"a dynamic disk": {func(b []byte) []byte {
			f, err := disk.ParseFooter(b[len(b)-512:])
			if err != nil {
				t.Error(err)
			}
			f.Type = disk.VHDDynamic
			copy(b[len(b)-512:], f.Encode())
			return b
		}, disk.ErrVHDNotFixed},
	} {
		path := newVHD(t, mib)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, c.spoil(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := disk.OpenVHD(path, true); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestOnlyWholeMebibytesBecomeAVHD(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, -mib, mib + 512} {
		path := filepath.Join(t.TempDir(), "disk.vhd")
		if err := disk.CreateVHD(path, disk.FooterFor(size, [16]byte{}, created())); !errors.Is(err, disk.ErrVHDSize) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestQEMUReadsOurVHDByteForByte(t *testing.T) {
	t.Parallel()
	path := newVHD(t, 37*mib)
	d, err := disk.Open(path, site.FixedVHD, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteAt([]byte("farshore"), 37*mib-8); err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteAt([]byte{1}, 37*mib); !errors.Is(err, disk.ErrOutOfRange) {
		t.Fatalf("the footer can be written: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var info struct {
		Format string `json:"format"`
		Size   int64  `json:"virtual-size"` //nolint:tagliatelle // as QEMU writes it
	}
	if err := json.Unmarshal(qemuImg(t, "info", "-f", "vpc", "--output=json", path), &info); err != nil {
		t.Fatal(err)
	}
	if info.Format != "vpc" || info.Size != 37*mib {
		t.Fatalf("QEMU sees %+v", info)
	}
	raw := filepath.Join(t.TempDir(), "raw")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(raw, content[:37*mib], 0o600); err != nil {
		t.Fatal(err)
	}
	qemuImg(t, "compare", "-f", "vpc", "-F", "raw", path, raw)
}

func TestQEMUsFooterHasTheFieldsWeCompute(t *testing.T) {
	t.Parallel()
	for _, size := range []string{"3M", "100M", "600M", "3G", "40G", "130G"} {
		path := filepath.Join(t.TempDir(), "qemu.vhd")
		qemuImg(t, "create", "-f", "vpc", "-o", "subformat=fixed", path, size)
		d, err := disk.OpenVHD(path, true)
		if err != nil {
			t.Fatal(err)
		}
		theirs, _ := d.Footer()
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		ours := disk.FooterFor(theirs.CurrentSize, theirs.ID, theirs.Created)
		theirs.CreatorApp, theirs.CreatorVersion, theirs.CreatorHostOS = ours.CreatorApp, ours.CreatorVersion, ours.CreatorHostOS
		if ours != theirs {
			t.Errorf("%s: ours %+v, QEMU's %+v", size, ours, theirs)
		}
		if parsed, err := disk.ParseFooter(ours.Encode()); err != nil || parsed != ours {
			t.Errorf("%s: read back as %+v, %v", size, parsed, err)
		}
	}
}

func FuzzParseFooter(f *testing.F) {
	f.Add(disk.FooterFor(5*mib, [16]byte{9}, created()).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		footer, err := disk.ParseFooter(b)
		if err != nil {
			return
		}
		if again, err := disk.ParseFooter(footer.Encode()); err != nil || again != footer {
			t.Fatalf("%+v reads back as %+v, %v", footer, again, err)
		}
	})
}

func TestADiskGrowsByZeroesAndAVHDKeepsItsFooterAtTheEnd(t *testing.T) {
	t.Parallel()
	for _, format := range []site.DiskFormat{site.Raw, site.FixedVHD} {
		path := filepath.Join(t.TempDir(), "disk")
		if err := disk.Create(path, format, 4*mib, disk.FooterFor(4*mib, [16]byte{1}, time.Now())); err != nil {
			t.Fatal(err)
		}
		d, err := disk.Open(path, format, false)
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.WriteAt([]byte("farshore"), 4*mib-8)
		if err := errors.Join(err, d.Close()); err != nil {
			t.Fatal(err)
		}
		for range 2 { // as after a crash
			if err := disk.Grow(path, format, 4*mib, 7*mib); err != nil {
				t.Fatal(err)
			}
		}
		want := make([]byte, 7*mib)
		copy(want[4*mib-8:], "farshore")
		if d, err = disk.Open(path, format, true); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, d.Size())
		_, err = d.ReadAt(got, 0)
		if err := errors.Join(err, d.Close()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of other content, %v", format, len(got), err)
		}
		if err := disk.Grow(path, format, 7*mib, 4*mib); !errors.Is(err, disk.ErrOutOfRange) {
			t.Errorf("%s has shrunk: %v", format, err)
		}
	}
}
