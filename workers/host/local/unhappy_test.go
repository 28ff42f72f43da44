package local_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/host/hosttest"
	"farshore/workers/host/local"
)

func wantCode(t *testing.T, err error, code errorcatalog.Code) {
	t.Helper()
	if err == nil || errorcatalog.Of(err).Code != code {
		t.Errorf("answered %v, want %s", err, code)
	}
}

func TestBrokenDescriptionIsAProblemOfItsVMOnly(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	const good = `{"id":"x","name":"X","generation":1,"cpus":1,"memoryMiB":1,"disks":[{"id":"os","file":"os.raw","format":"raw"}]}`
	for name, text := range map[string]string{
		"malformed":  `{"id":`,
		"unknown":    strings.Replace(good, `"cpus"`, `"cpu"`, 1),
		"trailing":   good + good,
		"wrong-type": strings.Replace(good, `"generation":1`, `"generation":"one"`, 1),
		"traversal":  strings.Replace(good, `"os.raw"`, `"../vm1/os.raw"`, 1),
		"absolute":   strings.Replace(good, `"os.raw"`, `"/etc/passwd"`, 1),
		"itself":     strings.Replace(good, `"os.raw"`, `"vm.json"`, 1),
		"format":     strings.Replace(good, `"format":"raw"`, `"format":"qcow2"`, 1),
		"no-disks":   `{"id":"x","name":"X","generation":1,"cpus":1,"memoryMiB":1,"disks":[]}`,
		"address":    strings.Replace(good, `"disks"`, `"nics":[{"name":"eth0","address":{"type":"static","ip":"ten"}}],"disks"`, 1),
		"bad-id":     strings.Replace(good, `"id":"x"`, `"id":"../x"`, 1),
		"wm1-again":  strings.Replace(good, `"id":"x"`, `"id":"vm1"`, 1),
	} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, name, "vm.json"), []byte(text), 0o600))
	}
	must(t, os.Mkdir(filepath.Join(dir, "no-vm"), 0o700))
	e := engine(t, options(dir, filepath.Join(socketDir(t), "h.sock")))
	vms, err := e.VirtualMachines(within(t))
	must(t, err)
	if len(vms) != 1 || vms[0].ID != vm.ID {
		t.Errorf("inventory is %+v", vms)
	}
	problems, err := e.Problems(within(t))
	must(t, err)
	if len(problems) != 12 {
		t.Errorf("problems are %+v", problems)
	}
	for _, p := range problems {
		if p.Code != errorcatalog.VMDescriptionInvalid || p.Detail == "" {
			t.Errorf("problem is %+v", p)
		}
	}
}

func TestDirectoryIsServedOnce(t *testing.T) {
	t.Parallel()
	dir, _ := site1(t, nil)
	o := options(dir, filepath.Join(socketDir(t), "h.sock"))
	e := engine(t, o)
	_, err := local.Open(o)
	wantCode(t, err, errorcatalog.HostDirectoryLocked)
	must(t, e.Close())
	engine(t, o)
}

// tracked is an engine with a VM that is off and tracked.
func tracked(t *testing.T) (*local.Engine, *hosttest.Subject, string) {
	t.Helper()
	dir, vm := site1(t, nil)
	socket := filepath.Join(socketDir(t), "h.sock")
	s := subject(t, dir, socket, vm)
	e := engine(t, options(dir, socket))
	s.Host = e
	must(t, e.StartReplication(within(t), vm.ID, hosttest.Relationship(s)))
	return e, s, filepath.Join(dir, vm.ID, "os.raw")
}

func cut(t *testing.T, h host.Host) error {
	t.Helper()
	_, err := h.Cut(within(t), "vm1", host.CutRequest{ID: uuid.NewString()})
	return err
}

func TestDiskThatIsChangedWhileItsVMIsOffNeedsResynchronization(t *testing.T) {
	t.Parallel()
	e, s, file := tracked(t)
	must(t, e.CreateSnapshot(within(t), "vm1", "s1"))
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("intruder"), 0)
	must(t, err)
	must(t, f.Close())
	wantCode(t, cut(t, e), errorcatalog.DiskChangedOffline)
	_, err = e.OpenSnapshot(within(t), "vm1", "s1", "os")
	wantCode(t, err, errorcatalog.SnapshotNotFound)
	state, err := e.Replication(within(t), "vm1")
	must(t, err)
	if state.Tracking[0].ResyncReason != string(errorcatalog.DiskChangedOffline) || state.Tracking[1].ResyncReason != "" {
		t.Errorf("tracking is %+v", state.Tracking)
	}
	must(t, e.Start(within(t), "vm1")) // the guest does not suffer
	s.Write(t, "os", make([]byte, 4096), 0)
	must(t, e.Stop(within(t), "vm1"))
	must(t, e.RestartTracking(within(t), "vm1", []string{"os"}))
	must(t, cut(t, e))
}

func TestDiskThatHasGrownOrShrunkIsNotFollowed(t *testing.T) {
	t.Parallel()
	for size, code := range map[int64]errorcatalog.Code{diskSize / 2: errorcatalog.DiskShrunk, diskSize * 2: errorcatalog.DiskChangedOffline} {
		e, _, file := tracked(t)
		must(t, os.Truncate(file, size))
		wantCode(t, cut(t, e), code)
		wantCode(t, cut(t, e), code)
		must(t, e.RestartTracking(within(t), "vm1", []string{"os", "data1"}))
		must(t, cut(t, e))
	}
}

func TestDiskThatIsGoneIsNamed(t *testing.T) {
	t.Parallel()
	e, _, file := tracked(t)
	must(t, os.Rename(file, file+".away"))
	wantCode(t, cut(t, e), errorcatalog.DiskNotFound)
	wantCode(t, e.Start(within(t), "vm1"), errorcatalog.DiskNotFound)
	wantCode(t, e.CreateSnapshot(within(t), "vm1", "s1"), errorcatalog.DiskNotFound)
	must(t, os.Mkdir(file, 0o700))
	wantCode(t, cut(t, e), errorcatalog.DiskUnreadable)
	must(t, os.Remove(file))
	must(t, os.Rename(file+".away", file))
	must(t, cut(t, e))
	must(t, os.Remove(file))
	must(t, e.StopReplication(within(t), "vm1"))
}

func TestDiskThatIsTakenFromARunningGuestIsNamed(t *testing.T) {
	t.Parallel()
	e, s, file := tracked(t)
	must(t, e.Start(within(t), "vm1"))
	must(t, os.Truncate(file, diskSize/2))
	wantCode(t, cut(t, e), errorcatalog.DiskSizeChanged)
	must(t, os.Rename(file, file+".away"))
	wantCode(t, cut(t, e), errorcatalog.DiskNotFound)
	wantCode(t, e.CreateSnapshot(within(t), "vm1", "s1"), errorcatalog.DiskNotFound)
	s.Write(t, "data1", make([]byte, 512), 0) // the guest is not stopped for it
	wantCode(t, e.Stop(within(t), "vm1"), errorcatalog.DiskNotFound)
	if p, err := e.PowerState(within(t), "vm1"); err != nil || p != site.Off {
		t.Errorf("VM is %s, %v", p, err)
	}
	must(t, e.StopReplication(within(t), "vm1"))
}

func TestCutWithoutARecordGoesIntoTheNextOne(t *testing.T) {
	t.Parallel()
	e, s, file := tracked(t)
	r := hosttest.NewReplica(t, s)
	must(t, e.Start(within(t), "vm1"))
	s.Write(t, "os", bytes.Repeat([]byte{1}, 8192), 0)
	id := uuid.NewString()
	obstacle := filepath.Join(filepath.Dir(file), "cut-"+id+".json.tmp")
	must(t, os.Mkdir(obstacle, 0o700))
	if _, err := e.Cut(within(t), "vm1", host.CutRequest{ID: id, Snapshot: "s1"}); err == nil {
		t.Fatal("a cut exists without its record")
	}
	must(t, os.Remove(obstacle))
	_, err := e.OpenSnapshot(within(t), "vm1", "s1", "os")
	wantCode(t, err, errorcatalog.SnapshotNotFound)
	s.Write(t, "os", bytes.Repeat([]byte{2}, 4096), 4096)
	r.Follow("")
	must(t, e.Stop(within(t), "vm1"))
	r.Follow("")
	r.Equals("after the failed cut")
}

func TestSnapshotCostsNothingForALargeDisk(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	must(t, os.Truncate(filepath.Join(dir, vm.ID, "data1.raw"), 1<<40))
	e := engine(t, options(dir, filepath.Join(socketDir(t), "h.sock")))
	must(t, e.CreateSnapshot(within(t), vm.ID, "s1"))
	var used int64
	for _, name := range []string{"os.raw.s1.delta", "os.raw.s1.map", "data1.raw.s1.delta", "data1.raw.s1.map"} {
		var st unix.Stat_t
		must(t, unix.Stat(filepath.Join(dir, vm.ID, name), &st))
		used += st.Blocks * 512
	}
	if used > 64<<10 {
		t.Errorf("snapshot of 1 TiB takes %d bytes", used)
	}
	must(t, e.DeleteSnapshot(within(t), vm.ID, "s1"))
}

// smallVolume mounts a file system of a few MiB, or ends the test.
func smallVolume(t *testing.T, mib string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+mib+"m"); err != nil {
		t.Skipf("mounting a small file system takes root: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestFullVolumeStopsSnapshotAndTrackingButNotTheGuest(t *testing.T) {
	t.Parallel()
	dir := smallVolume(t, "11") // two disks of 4 MiB and little more
	vm := site.VirtualMachine{ID: "vm1", Name: "VM 1", Generation: 1, Disks: []site.Disk{
		{ID: "os", File: "os.raw", Format: site.Raw}, {ID: "data1", File: "data1.raw", Format: site.Raw},
	}}
	addVM(t, dir, vm)
	for _, d := range vm.Disks { // all blocks are there: the guest needs no space
		must(t, os.WriteFile(filepath.Join(dir, "vm1", d.File), bytes.Repeat([]byte{7}, diskSize), 0o600))
	}
	o := options(dir, filepath.Join(socketDir(t), "h.sock"))
	o.Space = func(string) (int64, int64, error) { return 1 << 40, 1 << 41, nil } // so that the reserve does not act first
	e := engine(t, o)
	s := subject(t, dir, o.Socket, vm)
	must(t, e.StartReplication(within(t), vm.ID, hosttest.Relationship(s)))
	must(t, e.CreateSnapshot(within(t), vm.ID, "s1"))
	must(t, e.Start(within(t), vm.ID))
	want := bytes.Repeat([]byte{9}, 64<<10)
	for off := int64(0); off < diskSize; off += int64(len(want)) {
		s.Write(t, "os", want, off)
		s.Write(t, "data1", want, off)
	}
	_, err := e.OpenSnapshot(within(t), vm.ID, "s1", "os")
	wantCode(t, err, errorcatalog.SnapshotNotFound)
	err = cut(t, e)
	if err == nil || errorcatalog.ClassOf(errorcatalog.Of(err).Code) != errorcatalog.Resynchronize {
		t.Errorf("cut answered %v", err)
	}
	must(t, e.Stop(within(t), vm.ID))
	if !bytes.Equal(s.Content(t, "os"), bytes.Repeat([]byte{9}, diskSize)) {
		t.Error("the guest's writes are not all there")
	}
	must(t, e.StopReplication(within(t), vm.ID))
	if left := left(t, dir, vm); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	big := site.VirtualMachine{ID: "vm2", Name: "VM 2", Generation: 1, Disks: []site.Disk{{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: 64 << 20}}}
	must(t, e.CreateVM(within(t), big, owner))
	w, err := e.OpenVMDisk(within(t), "vm2", "os")
	must(t, err)
	_, err = w.WriteAt(bytes.Repeat([]byte{1}, 8<<20), 0)
	wantCode(t, err, errorcatalog.InsufficientRecoverySpace)
	must(t, w.Close())
	must(t, e.DeleteVM(within(t), "vm2", owner))
}

func TestSnapshotLeavesTheReserveToTheGuest(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	must(t, os.WriteFile(filepath.Join(dir, vm.ID, "os.raw"), bytes.Repeat([]byte{7}, 10*diskSize), 0o600))
	o := options(dir, filepath.Join(socketDir(t), "h.sock"))
	var free atomic.Int64
	free.Store(6 << 30)
	o.Space = func(string) (int64, int64, error) { return free.Load(), 100 << 30, nil }
	e := engine(t, o)
	must(t, e.CreateSnapshot(within(t), vm.ID, "s1"))
	must(t, e.Start(within(t), vm.ID))
	free.Store(4 << 30)
	write := writer(o.Socket, vm.ID)
	for off := range int64(10) {
		write(t, "os", bytes.Repeat([]byte{1}, diskSize), off*diskSize)
	}
	_, err := e.OpenSnapshot(within(t), vm.ID, "s1", "os")
	wantCode(t, err, errorcatalog.SnapshotNotFound)
	wantCode(t, e.CreateSnapshot(within(t), vm.ID, "s1"), errorcatalog.InsufficientSourceSpace)
	must(t, e.Stop(within(t), vm.ID))
	if left := left(t, dir, vm); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func TestPeersReadAndWriteTheExports(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	vhd := site.VirtualMachine{ID: "vm-vhd", Name: "VHD", Generation: 1, Disks: []site.Disk{{ID: "os", File: "os.vhd", Format: site.FixedVHD, SizeBytes: diskSize}}}
	socket := filepath.Join(socketDir(t), "h.sock")
	h := served(t, options(dir, socket))
	must(t, h.CreateVM(within(t), vhd, owner))
	must(t, h.CompleteVM(within(t), vhd.ID, owner))
	s := subject(t, dir, socket, vm)
	s.Host = h
	r := hosttest.NewReplica(t, s)
	must(t, h.StartReplication(within(t), vm.ID, hosttest.Relationship(s)))
	must(t, h.Start(within(t), vm.ID))
	must(t, h.Start(within(t), vhd.ID))
	state, err := h.State(within(t))
	must(t, err)
	exports := map[string]string{}
	for _, v := range state.VMs {
		for d, path := range v.Exports {
			exports[v.ID+"/"+d] = path
		}
	}
	source := filepath.Join(t.TempDir(), "source")
	must(t, os.WriteFile(source, bytes.Repeat([]byte("farshore"), diskSize/8), 0o600))
	peer(t, "nbdcopy", "--flush", source, "nbd+unix:///data1?socket="+exports["vm1/data1"])
	peer(t, "nbdcopy", "--flush", source, "nbd+unix:///os?socket="+exports["vm-vhd/os"])
	peer(t, "qemu-io", "-f", "raw", "-c", "write -P 0x5a 4096 65536", "-c", "write -z 1M 1M", "-c", "discard 3M 64k", "-c", "flush", "nbd+unix:///os?socket="+exports["vm1/os"])
	r.Follow("")
	must(t, h.Stop(within(t), vm.ID))
	must(t, h.Stop(within(t), vhd.ID))
	r.Follow("")
	r.Equals("after qemu-io and nbdcopy")
	want, err := os.ReadFile(source)
	must(t, err)
	if !bytes.Equal(s.Content(t, "data1"), want) {
		t.Error("disk is not what nbdcopy wrote")
	}
	d, err := disk.OpenVHD(filepath.Join(dir, "vm-vhd", "os.vhd"), true)
	must(t, err)
	if !bytes.Equal(hosttest.Content(t, d), want) {
		t.Error("VHD is not what nbdcopy wrote")
	}
	if err := exec.CommandContext(within(t), "nbdinfo", "nbd+unix:///os?socket="+exports["vm1/os"]).Run(); err == nil {
		t.Error("the export of a stopped VM answers")
	}
}

func peer(t *testing.T, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
}

func TestSnapshotIsReadThroughTheSocketWhereFilesAreOutOfReach(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	socket := filepath.Join(socketDir(t), "h.sock")
	h := served(t, options(dir, socket))
	s := subject(t, dir, socket, vm)
	want := s.Content(t, "os")
	must(t, h.CreateSnapshot(within(t), vm.ID, "s1"))
	must(t, h.Start(within(t), vm.ID))
	s.Write(t, "os", make([]byte, 1<<20), 100<<10)
	r, err := h.StreamSnapshot(within(t), vm.ID, "s1", "os")
	must(t, err)
	if !bytes.Equal(hosttest.Content(t, r), want) {
		t.Error("the streamed snapshot is another")
	}
	must(t, h.DeleteSnapshot(within(t), vm.ID, "s1"))
	_, err = r.ReadAt(make([]byte, 512), 0)
	wantCode(t, err, errorcatalog.SnapshotNotFound)
	direct, err := h.OpenSnapshot(within(t), vm.ID, "s1", "os")
	wantCode(t, err, errorcatalog.SnapshotNotFound)
	if direct != nil {
		t.Error("a snapshot that is gone was opened")
	}
	must(t, h.Stop(within(t), vm.ID))
}

func TestAHostMakesNoDirectoryInPlaceOfOneThatIsNotMounted(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "volume")
	_, err := local.Open(options(dir, filepath.Join(socketDir(t), "h.sock")))
	wantCode(t, err, errorcatalog.HostDirectoryUnusable)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is there: %v", err)
	}
}

func TestAnEmptyMountPointIsNotAHostThatHasHeldVMs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		folder, file string // what it holds
		inhabited    bool
		want         errorcatalog.Code
	}{
		"nothing":                       {"", "", true, errorcatalog.HostDirectoryUnusable},
		"what a file system comes with": {"lost+found", "", true, errorcatalog.HostDirectoryUnusable},
		"a VM":                          {"web", "vm.json", true, errorcatalog.HostUnreachable},
		"the folder of a host":          {".farshore", "", true, errorcatalog.HostUnreachable},
		"nothing, as ever":              {"", "", false, errorcatalog.HostUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			must(t, os.MkdirAll(filepath.Join(dir, tt.folder), 0o755))
			if tt.file != "" {
				must(t, os.WriteFile(filepath.Join(dir, tt.folder, tt.file), nil, 0o600))
			}
			o := local.SpawnOptions{Program: "/nonexistent", Directory: dir, Socket: filepath.Join(socketDir(t), "h.sock"), Inhabited: tt.inhabited}
			_, err := local.Spawn(within(t), o)
			wantCode(t, err, tt.want)
			if _, err := os.Stat(filepath.Join(dir, ".farshore")); tt.want == errorcatalog.HostDirectoryUnusable && !os.IsNotExist(err) {
				t.Errorf("it has been made one: %v", err)
			}
		})
	}
}
