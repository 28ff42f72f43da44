package pageblob_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/replica"
	"farshore/workers/replica/pageblob"
)

func TestADiskIsAFixedVHDThatQEMUReads(t *testing.T) {
	t.Parallel()
	qemu, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Fatal("qemu-img is missing: apt-get install qemu-utils")
	}
	y := newYard(t)
	s := y.other(t)
	const size = 3*mib + 512 // not whole MiB
	data := noise(20, size)
	clear(data[mib : 2*mib])
	mustWrite(t, createDisk(t, s, "os", size, 1), data, 0)
	folder := t.TempDir()
	blob := y.download(t, item+"/disks/os.vhd")
	if len(blob) != 4*mib+disk.FooterSize {
		t.Fatalf("the page blob has %d bytes", len(blob))
	}
	vhd := filepath.Join(folder, "os.vhd")
	raw := filepath.Join(folder, "os.raw")
	if err := os.WriteFile(vhd, blob, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), qemu, "convert", "-f", "vpc", "-O", "raw", vhd, raw).CombinedOutput()
	if err != nil {
		t.Fatalf("convert: %v: %s", err, out)
	}
	got, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 4*mib || !bytes.Equal(got[:size], data) || !bytes.Equal(got[size:], make([]byte, 4*mib-size)) {
		t.Fatalf("qemu-img reads %d other bytes", len(got))
	}
}

func TestADiskThatExistsIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	s := newYard(t).other(t)
	data := noise(21, mib)
	mustWrite(t, createDisk(t, s, "os", 8*mib, 1), data, 0)
	mustHold(t, createDisk(t, s, "os", 8*mib, 2), data, 0)
	err := s.CreateDisk(t.Context(), replica.DiskSpec{Item: item, Disk: "os", SizeBytes: 9 * mib}, 2)
	wantCode(t, err, errorcatalog.ReplicaDiskSizeMismatch)
	if !errors.Is(err, replica.ErrDiskSize) {
		t.Errorf("not ErrDiskSize: %v", err)
	}
}

func TestWhatDoesNotExistIsNamed(t *testing.T) {
	t.Parallel()
	s := newYard(t).other(t)
	ctx := t.Context()
	_, noDisk := s.OpenDisk(ctx, item, "os", 1)
	wantCode(t, noDisk, errorcatalog.ReplicaDiskNotFound)
	_, noObject := s.OpenObject(ctx, item, "logs/1")
	wantCode(t, noObject, errorcatalog.ObjectNotFound)
	_, noPoint := s.OpenPoint(ctx, item, "cut-1", "os")
	wantCode(t, noPoint, errorcatalog.RecoveryPointNotFound)
	wantCode(t, s.CommitPoint(ctx, item, spec("cut-1", "os"), 1), errorcatalog.ReplicaDiskNotFound)
	if err := errors.Join(s.DeleteObject(ctx, item, "logs/1"), s.RemoveItem(ctx, "nothing", 1), s.RemovePoint(ctx, item, "cut-1", 1), s.Rollback(ctx, item, 1)); err != nil {
		t.Errorf("what is not there cannot be removed: %v", err)
	}
}

func TestExtentsNameEverythingThatIsNotZero(t *testing.T) {
	t.Parallel()
	s := newYard(t).other(t)
	d := createDisk(t, s, "os", 8*mib, 1)
	mustWrite(t, d, noise(22, 2*mib), 0)
	mustWrite(t, d, noise(23, 512), 5*mib)
	if err := d.Zero(mib, mib/2); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, d, make([]byte, 64<<10), 0)
	mustCommit(t, s, "cut-1", 1, "os")
	if err := s.BeginApply(t.Context(), item, "cut-2", 1, change(6*mib, mib)); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, d, noise(24, mib), 6*mib)
	r, err := s.OpenPoint(t.Context(), item, "cut-1", "os")
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Extents(0, r.Size())
	want := []disk.Extent{{Offset: 64 << 10, Length: mib - 64<<10}, {Offset: 3 * mib / 2, Length: mib / 2}, {Offset: 5 * mib, Length: 512}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("extents %v, %v", got, err)
	}
	got, err = r.Extents(mib-512, mib/2+1024)
	want = []disk.Extent{{Offset: mib - 512, Length: 512}, {Offset: 3 * mib / 2, Length: 512}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("extents of a part %v, %v", got, err)
	}
}

func TestAnApplyThatIsUndoneLeavesWhatWas(t *testing.T) {
	t.Parallel()
	s := newYard(t).other(t)
	base := noise(25, 8*mib)
	clear(base[2*mib : 3*mib])
	mustWrite(t, createDisk(t, s, "os", 8*mib, 1), base, 0)
	mustCommit(t, s, "cut-1", 1, "os")
	added := createDisk(t, s, "added", 8*mib, 1) // no point has it
	changes := append(change(mib, 3*mib), replica.Change{Disk: "added", Extents: []disk.Extent{{Offset: 0, Length: mib}}})
	if err := s.BeginApply(t.Context(), item, "cut-2", 1, changes); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, added, noise(28, mib), 0)
	mustWrite(t, openDisk(t, s, "os", 1), noise(26, 2*mib), mib)
	if err := s.BeginApply(t.Context(), item, "cut-2", 2, change(mib, mib)); err != nil { // after a crash
		t.Fatal(err)
	}
	d := openDisk(t, s, "os", 2)
	if err := d.Zero(3*mib, mib); err != nil {
		t.Fatal(err)
	}
	if err := s.BeginApply(t.Context(), item, "cut-3", 2, change(0, mib)); !errors.Is(err, replica.ErrApplyOpen) {
		t.Errorf("another cut begins: %v", err)
	}
	for range 2 {
		if err := s.Rollback(t.Context(), item, 3); err != nil {
			t.Fatalf("rollback: %v", err)
		}
	}
	mustHold(t, openDisk(t, s, "os", 3), base, 0)
	mustHold(t, openDisk(t, s, "added", 3), make([]byte, 8*mib), 0)
}

func TestOnlyWhatCanBeUndoneIsWritten(t *testing.T) {
	t.Parallel()
	s := newYard(t).other(t)
	d := createDisk(t, s, "os", 8*mib, 1)
	mustWrite(t, d, noise(29, mib), 0)
	mustCommit(t, s, "cut-1", 1, "os")
	refused := func(when string, err error) {
		t.Helper()
		if !errors.Is(err, replica.ErrUndeclared) {
			t.Errorf("%s: %v", when, err)
		}
	}
	refused("a write outside an apply", d.Zero(0, 512))
	if err := s.BeginApply(t.Context(), item, "cut-2", 1, change(mib, mib)); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, d, noise(30, mib), mib)
	_, err := d.WriteAt(make([]byte, 1024), 2*mib-512)
	refused("a write past what was declared", err)
	refused("more on the second begin", s.BeginApply(t.Context(), item, "cut-2", 1, change(0, mib)))
	if err := s.CommitPoint(t.Context(), item, spec("cut-3", "os"), 1); !errors.Is(err, replica.ErrNoApply) {
		t.Errorf("a point of another cut: %v", err)
	}
	mustCommit(t, s, "cut-2", 1, "os")
	refused("a write after the commit", d.Zero(mib, 512))
}

func TestPointsAreRemovedButForTheNewest(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	s := y.other(t)
	content := map[string][]byte{}
	createDisk(t, s, "os", 8*mib, 1)
	for i, cut := range []string{"cut-1", "cut-2", "cut-3"} {
		content[cut] = noise(uint64(30+i), mib)
		if err := s.BeginApply(t.Context(), item, cut, 1, change(0, mib)); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, openDisk(t, s, "os", 1), content[cut], 0)
		mustCommit(t, s, cut, 1, "os")
		mustCommit(t, s, cut, 1, "os")
	}
	if err := s.RemovePoint(t.Context(), item, "cut-3", 1); !errors.Is(err, replica.ErrNewestPoint) || errorcatalog.Of(err).Code != errorcatalog.NewestPointKept {
		t.Errorf("the newest point was removed: %v", err)
	}
	for range 2 {
		if err := s.RemovePoint(t.Context(), item, "cut-2", 1); err != nil {
			t.Fatalf("remove: %v", err)
		}
	}
	mustPoint(t, s, "cut-1", "os", content["cut-1"], 0)
	mustPoint(t, s, "cut-3", "os", content["cut-3"], 0)
	_, err := s.OpenPoint(t.Context(), item, "cut-2", "os")
	wantCode(t, err, errorcatalog.RecoveryPointNotFound)
	if n := y.snapshots(t); n != 2 {
		t.Errorf("%d snapshots for two points", n)
	}
	for _, cut := range []string{"cut-1", "cut-3"} {
		if err := s.RemovePoint(t.Context(), item, cut, 1); err != nil {
			t.Fatalf("remove %s: %v", cut, err)
		}
	}
	if n := y.snapshots(t); n != 0 {
		t.Errorf("%d snapshots for no point", n)
	}
}

func TestARemovedItemLeavesNothing(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	s := y.other(t)
	mustWrite(t, createDisk(t, s, "os", 8*mib, 1), noise(40, mib), 0)
	mustCommit(t, s, "cut-1", 1, "os")
	if err := s.PutObject(t.Context(), item, "logs/1", strings.NewReader("log"), 3); err != nil {
		t.Fatal(err)
	}
	if err := s.PutObject(t.Context(), item+"0", "logs/1", strings.NewReader("another's"), 9); err != nil {
		t.Fatal(err)
	}
	used, err := s.Usage(t.Context(), item)
	if err != nil || used.Free != -1 || used.Item < mib+3 || used.Item > 2*mib {
		t.Errorf("usage %+v, %v", used, err)
	}
	for range 2 {
		if err := s.RemoveItem(t.Context(), item, 2); err != nil {
			t.Fatalf("remove: %v", err)
		}
	}
	if blobs := y.blobs(t); !slices.Equal(blobs, []string{item + "0/objects/logs/1"}) {
		t.Errorf("left: %v", blobs)
	}
}

func TestObjectsAreListedAndReplaced(t *testing.T) {
	t.Parallel()
	s := newYard(t).other(t)
	for _, name := range []string{"logs/b", "logs/a", "manifest/x", "logs/a"} {
		text := strings.Repeat(name, 400_000)
		if err := s.PutObject(t.Context(), item, name, strings.NewReader(text), int64(len(text))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutObject(t.Context(), item, "empty", strings.NewReader(""), 0); err != nil {
		t.Fatal(err)
	}
	names, err := s.ListObjects(t.Context(), item, "logs/")
	if err != nil || !slices.Equal(names, []string{"logs/a", "logs/b"}) {
		t.Errorf("names %v, %v", names, err)
	}
	if err := s.PutObject(t.Context(), item, "short", strings.NewReader("abc"), 4); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a reader that ends early: %v", err)
	}
	o, err := s.OpenObject(t.Context(), item, "empty")
	if err != nil || o.Size() != 0 {
		t.Fatalf("empty object: %v", err)
	}
	o, err = s.OpenObject(t.Context(), item, "logs/a")
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	if err != nil || string(all) != strings.Repeat("logs/a", 400_000) {
		t.Errorf("%d bytes, %v", len(all), err)
	}
}

func TestASecretIsUnderstoodInEveryForm(t *testing.T) {
	t.Parallel()
	for secret, want := range map[string]pageblob.Credential{
		"a2V5\n":            {Account: "acc", Key: "a2V5"},
		"?sv=2024&sig=x%3D": {SAS: "sv=2024&sig=x%3D"},
		"AccountName=b;AccountKey=a2V5==;EndpointSuffix=core.windows.net": {Account: "b", Key: "a2V5=="},
		"BlobEndpoint=https://b/;SharedAccessSignature=sv=1&sig=2":        {SAS: "sv=1&sig=2"},
	} {
		got, err := pageblob.ParseCredential(secret, "https://acc.blob.core.windows.net")
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", secret, got, err)
		}
	}
	if got, err := pageblob.ParseCredential("a2V5", "http://127.0.0.1:10000/devstoreaccount1"); err != nil || got.Account != "devstoreaccount1" {
		t.Errorf("emulator: %+v, %v", got, err)
	}
	_, err := pageblob.ParseCredential(" ", "https://acc")
	wantCode(t, err, errorcatalog.ReplicaStoreAuthentication)
}
