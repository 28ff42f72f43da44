package local_test

import (
	"bytes"
	crand "crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/disk"
	"farshore/workers/host/hosttest"
)

func TestFixedVHDsReturnLikeRawDisks(t *testing.T) {
	t.Parallel()
	hosttest.RunReturns(t, func(t *testing.T) *hosttest.Subject {
		t.Helper()
		dir, vm := site1(t, func(vm *site.VirtualMachine) {
			vm.Disks[1] = site.Disk{ID: "data1", File: "data1.vhd", Format: site.FixedVHD}
		})
		path := filepath.Join(dir, vm.ID, "data1.vhd")
		must(t, os.Remove(path))
		must(t, disk.Create(path, site.FixedVHD, diskSize, disk.FooterFor(diskSize, [16]byte{1}, time.Now())))
		d, err := disk.OpenVHD(path, false)
		must(t, err)
		p := make([]byte, diskSize/2)
		_, _ = crand.Read(p)
		_, err = d.WriteAt(p, 0)
		must(t, err)
		must(t, d.Close())
		socket := filepath.Join(socketDir(t), "h.sock")
		s := subject(t, dir, socket, vm)
		s.Host = engine(t, options(dir, socket))
		return s
	})
}

// otherBoot makes a return's record one of an earlier boot, as a loss of power does.
func otherBoot(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "vm1", "return.json")
	p, err := os.ReadFile(path)
	must(t, err)
	var r map[string]any
	must(t, json.Unmarshal(p, &r))
	r["bootId"] = "another"
	p, err = json.Marshal(r)
	must(t, err)
	must(t, os.WriteFile(path, p, 0o600))
}

func TestReturnOutlivesALossOfPowerAsFarAsItWasFlushed(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	o := options(dir, filepath.Join(socketDir(t), "h.sock"))
	s := subject(t, dir, o.Socket, vm)
	e := engine(t, o)
	s.Host = e
	b := hosttest.BeginReturn(t, s, "return-1")
	b.Scribble(t) // flushed
	d := b.Open(t, "os")
	untouched := int64(-1) // a block that only the lost write touches
	p := make([]byte, 1000)
	for off := int64(512 << 10); off < diskSize && untouched < 0; off += 64 << 10 {
		if bytes.Equal(b.Want["os"][off:off+64<<10], b.Original["os"][off:off+64<<10]) {
			untouched = off
		}
	}
	_, err := d.WriteAt(p, untouched+100) // not flushed
	must(t, err)
	must(t, e.Close())
	f, err := os.OpenFile(filepath.Join(dir, vm.ID, "os.raw.return-1.overlay"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(make([]byte, 64<<10), untouched) // the delta of it did not get to the disk; its mark did
	must(t, err)
	must(t, f.Close())
	otherBoot(t, dir)
	e = engine(t, o)
	s.Host = e
	if b.Begin(t) {
		t.Fatal("the return was begun anew")
	}
	b.Reads(t)
	must(t, b.Merge(t))
	b.Holds(t, "merged", b.Want)
	must(t, e.Start(within(t), vm.ID))
	s.Write(t, "os", make([]byte, 4096), 0)
	must(t, e.Stop(within(t), vm.ID)) // what is kept is durable from here
	must(t, e.Close())
	otherBoot(t, dir)
	e = engine(t, o)
	s.Host = e
	must(t, b.Undo(t))
	b.Holds(t, "undone", b.Original)
	b.Gone(t)
}

func TestReturnSeesWhoHidesAChangeOfItsDisk(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	o := options(dir, filepath.Join(socketDir(t), "h.sock"))
	s := subject(t, dir, o.Socket, vm)
	s.Host = engine(t, o)
	b := hosttest.BeginReturn(t, s, "return-1")
	path := filepath.Join(dir, vm.ID, "os.raw")
	intrude := func() {
		st, err := os.Stat(path)
		must(t, err)
		p := s.Content(t, "os")
		p[77]++
		must(t, os.WriteFile(path, p, 0o600))
		must(t, os.Chtimes(path, st.ModTime(), st.ModTime()))
	}
	intrude()
	wantCode(t, b.Merge(t), errorcatalog.DiskChangedOffline)
	must(t, b.Undo(t))
	b = hosttest.BeginReturn(t, s, "return-1")
	b.Scribble(t)
	must(t, b.Merge(t))
	intrude()
	changed := s.Content(t, "os")
	wantCode(t, b.Undo(t), errorcatalog.ReturnNotUndoable)
	if !bytes.Equal(s.Content(t, "os"), changed) {
		t.Error("an undo that was refused has written")
	}
	must(t, b.Settle(t))
	b.Gone(t)
}

func TestMergeAsksForItsSpaceFirst(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	o := options(dir, filepath.Join(socketDir(t), "h.sock"))
	var free atomic.Int64
	free.Store(1<<30 + 2<<20)
	o.Space = func(string) (int64, int64, error) { return free.Load(), 2 << 30, nil }
	s := subject(t, dir, o.Socket, vm)
	s.Host = engine(t, o)
	b := hosttest.BeginReturn(t, s, "return-1")
	d := b.Open(t, "os")
	p := bytes.Repeat([]byte{5}, 3<<20)
	_, err := d.WriteAt(p, 0)
	must(t, err)
	copy(b.Want["os"], p)
	wantCode(t, b.Merge(t), errorcatalog.InsufficientSourceSpace)
	b.Holds(t, "without space", b.Original)
	for _, name := range s.Left(t) {
		if strings.HasSuffix(name, ".undo") {
			t.Errorf("%s is left", name)
		}
	}
	free.Store(4 << 30)
	b.Reads(t)
	must(t, b.Merge(t))
	b.Holds(t, "with space", b.Want)
	must(t, b.Undo(t))
	b.Holds(t, "undone", b.Original)
}

func TestReturnOnAFullVolumeHarmsNoDisk(t *testing.T) {
	t.Parallel()
	dir := smallVolume(t, "14") // two disks of 4 MiB and 6 MiB more
	vm := site.VirtualMachine{ID: "vm1", Name: "VM 1", Generation: 1, Disks: []site.Disk{
		{ID: "os", File: "os.raw", Format: site.Raw}, {ID: "data1", File: "data1.raw", Format: site.Raw},
	}}
	addVM(t, dir, vm)
	for _, d := range vm.Disks {
		must(t, os.WriteFile(filepath.Join(dir, "vm1", d.File), bytes.Repeat([]byte{7}, diskSize), 0o600))
	}
	o := options(dir, filepath.Join(socketDir(t), "h.sock"))
	o.Space = func(string) (int64, int64, error) { return 1 << 40, 1 << 41, nil } // it is wrong
	s := subject(t, dir, o.Socket, vm)
	s.Host = engine(t, o)
	b := hosttest.BeginReturn(t, s, "return-1")
	d := b.Open(t, "os")
	_, err := d.WriteAt(bytes.Repeat([]byte{9}, diskSize), 0)
	must(t, err)
	wantCode(t, b.Merge(t), errorcatalog.InsufficientSourceSpace) // the undo log does not fit
	b.Holds(t, "no room for the undo log", b.Original)
	d = b.Open(t, "data1")
	_, err = d.WriteAt(bytes.Repeat([]byte{9}, diskSize), 0)
	wantCode(t, err, errorcatalog.InsufficientSourceSpace)
	must(t, b.Undo(t))
	b.Holds(t, "undone", b.Original)
	b.Gone(t)
}

func TestDamagedUndoLogWritesNothing(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	o := options(dir, filepath.Join(socketDir(t), "h.sock"))
	s := subject(t, dir, o.Socket, vm)
	s.Host = engine(t, o)
	b := hosttest.BeginReturn(t, s, "return-1")
	b.Scribble(t)
	must(t, b.Merge(t))
	path := filepath.Join(dir, vm.ID, "data1.raw.return-1.undo")
	p, err := os.ReadFile(path)
	must(t, err)
	p[4096]++ // of the first entry's data
	must(t, os.WriteFile(path, p, 0o600))
	wantCode(t, b.Undo(t), errorcatalog.ReturnNotUndoable)
	b.Holds(t, "refused", b.Want)
	must(t, os.Remove(path))
	wantCode(t, b.Undo(t), errorcatalog.ReturnNotUndoable)
	b.Holds(t, "refused", b.Want)
	p[4096]--
	must(t, os.WriteFile(path, p, 0o600))
	must(t, b.Undo(t))
	b.Holds(t, "undone", b.Original)
	b.Gone(t)
}

func TestGuestDoesNotSufferWhereItsWritesCannotBeKept(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	must(t, os.WriteFile(filepath.Join(dir, vm.ID, "os.raw"), bytes.Repeat([]byte{7}, 10*diskSize), 0o600))
	o := options(dir, filepath.Join(socketDir(t), "h.sock"))
	var free atomic.Int64
	free.Store(6 << 30)
	o.Space = func(string) (int64, int64, error) { return free.Load(), 100 << 30, nil }
	s := subject(t, dir, o.Socket, vm)
	e := engine(t, o)
	s.Host = e
	b := hosttest.BeginReturn(t, s, "return-1")
	b.Scribble(t)
	must(t, b.Merge(t))
	must(t, e.Start(within(t), vm.ID))
	free.Store(4 << 30)
	for off := range int64(10) {
		p := bytes.Repeat([]byte{1}, diskSize)
		s.Write(t, "os", p, off*diskSize)
		copy(b.Want["os"][off*diskSize:], p)
	}
	must(t, e.Stop(within(t), vm.ID))
	b.Holds(t, "what the guest wrote", b.Want)
	wantCode(t, b.Undo(t), errorcatalog.ReturnNotUndoable)
	b.Holds(t, "refused", b.Want)
	must(t, b.Settle(t))
	b.Gone(t)
}

func TestDeletedVMTakesItsReturnAlong(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	o := options(dir, filepath.Join(socketDir(t), "h.sock"))
	s := subject(t, dir, o.Socket, vm)
	e := engine(t, o)
	s.Host = e
	b := hosttest.BeginReturn(t, s, "return-1")
	b.Scribble(t)
	own(t, dir, vm.ID)
	must(t, e.DeleteVM(within(t), vm.ID, owner)) // with everything beside its disks
	if _, err := os.Stat(filepath.Join(dir, vm.ID)); !os.IsNotExist(err) {
		t.Errorf("folder of the deleted VM: %v", err)
	}
	wantCode(t, b.Merge(t), errorcatalog.VMNotFound)
}
