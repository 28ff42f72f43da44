package hosttest

import (
	"bytes"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/host"
)

const fillBlock = 64 << 10

// backed runs a VM from recovery points, has its disks filled in beneath it, and
// takes the points away.
func backed(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	vm := site.VirtualMachine{ID: "backed", Name: "Backed", Generation: 2, CPUs: 1, MemoryMiB: 512, Disks: []site.Disk{
		{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: 3<<20 + 512, OS: true},
		{ID: "data", File: "data.vhd", Format: site.FixedVHD, SizeBytes: 2 << 20},
	}}
	want := map[string][]byte{"os": noise(3<<20 + 512), "data": noise(1 << 20)}
	clear(want["os"][1<<20 : 2<<20])
	points := []host.Backing{s.Back(t, "os", want["os"]), s.Back(t, "data", want["data"])}
	want["data"] = append(want["data"], make([]byte, 1<<20)...) // the disk has been grown since
	code(t, h.BackVM(ctx, vm.ID, points), errorcatalog.VMNotFound)
	must(t, h.CreateVM(ctx, vm, owner))
	lost := points[0]
	lost.Point = "lost"
	code(t, h.BackVM(ctx, vm.ID, []host.Backing{lost, points[1]}), errorcatalog.BackingUnavailable)
	must(t, h.BackVM(ctx, vm.ID, points))
	must(t, h.BackVM(ctx, vm.ID, points))
	must(t, h.CompleteVM(ctx, vm.ID, owner))
	must(t, h.Start(ctx, vm.ID))
	disks, err := h.BackedDisks(ctx, vm.ID)
	must(t, err)
	if len(disks) != 2 || disks[0].Backing != points[0] || disks[0].Absent != 3<<20+512 || disks[1].Total != 2<<20 {
		t.Errorf("the backed disks are %+v", disks)
	}
	code(t, h.CreateSnapshot(ctx, vm.ID, "s1"), errorcatalog.BackgroundCopyUnfinished)
	code(t, h.StartReplication(ctx, vm.ID, host.Relationship{ID: "r", Disks: []string{"os"}, LogLimitPercent: 50}), errorcatalog.BackgroundCopyUnfinished)
	code(t, h.SettleDisk(ctx, vm.ID, "os"), errorcatalog.BackgroundCopyUnfinished)
	for disk, point := range map[string]string{"none": points[0].Point, "os": "another"} {
		_, err = h.OpenBacked(ctx, vm.ID, disk, point)
		code(t, err, errorcatalog.DiskNotFound)
	}
	for _, d := range disks {
		fillIn(t, h, vm.ID, d, want[d.Disk])
		must(t, h.SettleDisk(ctx, vm.ID, d.Disk))
		must(t, h.SettleDisk(ctx, vm.ID, d.Disk))
	}
	if disks, err = h.BackedDisks(ctx, vm.ID); err != nil || len(disks) != 0 {
		t.Errorf("the disks have %+v, %v", disks, err)
	}
	must(t, h.CreateSnapshot(ctx, vm.ID, "s1"))
	for d, p := range want {
		r, err := h.OpenSnapshot(ctx, vm.ID, "s1", d)
		must(t, err)
		if !bytes.Equal(Content(t, r), p) {
			t.Errorf("disk %s is not its recovery point", d)
		}
	}
	must(t, h.DeleteVM(ctx, vm.ID, owner))
	_, err = h.BackedDisks(ctx, vm.ID)
	code(t, err, errorcatalog.VMNotFound)
}

// fillIn gives a disk what its backing holds, every other block once more.
func fillIn(t *testing.T, h host.Host, vm string, d host.BackedDisk, content []byte) {
	t.Helper()
	f, err := h.OpenBacked(t.Context(), vm, d.Disk, d.Point)
	must(t, err)
	_, err = f.WriteAt(content[100:fillBlock], 100)
	code(t, err, errorcatalog.ValidationFailed)
	for off := int64(0); off < d.Total; off += fillBlock {
		p := content[off:min(off+fillBlock, d.Total)]
		if !bytes.Equal(p, make([]byte, len(p))) {
			_, err = f.WriteAt(p, off)
			must(t, err)
		}
	}
	must(t, f.Flush())
	absent, err := f.Absent(0, d.Total)
	must(t, err)
	for _, e := range absent { // all of it zeroes
		must(t, f.Zero(e.Offset, e.Length))
	}
	_, err = f.WriteAt(bytes.Repeat([]byte{1}, fillBlock), 0) // it holds that block
	must(t, err)
	must(t, f.Close())
}
