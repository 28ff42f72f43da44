package hosttest

import (
	"bytes"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/host"
)

func inactive(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	must(t, h.SetActive(ctx, s.VM.ID, false))
	code(t, h.Start(ctx, s.VM.ID), errorcatalog.VMNotActive)
	p, err := h.PowerState(ctx, s.VM.ID)
	if err != nil || p != site.Off {
		t.Errorf("VM is %s, %v", p, err)
	}
	must(t, h.SetActive(ctx, s.VM.ID, true))
	must(t, h.Start(ctx, s.VM.ID))
	must(t, h.Start(ctx, s.VM.ID))
	if p, err = h.PowerState(ctx, s.VM.ID); err != nil || p != site.Running {
		t.Errorf("VM is %s, %v", p, err)
	}
	must(t, h.Stop(ctx, s.VM.ID))
	if p, err = h.PowerState(ctx, s.VM.ID); err != nil || p != site.Off {
		t.Errorf("VM is %s, %v", p, err)
	}
}

// owner is for whom the suite makes VMs.
const owner = "v.built.1"

func provision(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	vm := site.VirtualMachine{ID: "built", Name: "Built", Generation: 2, CPUs: 1, MemoryMiB: 512, Disks: []site.Disk{
		{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: 5 << 20, OS: true},
		{ID: "data", File: "data.vhd", Format: site.FixedVHD, SizeBytes: 3 << 20},
	}}
	_, err := h.OpenVMDisk(ctx, vm.ID, "os")
	code(t, err, errorcatalog.VMNotFound)
	bad := vm
	bad.Name = s.VM.Name
	code(t, h.CreateVM(ctx, bad, owner), errorcatalog.VMExists)
	bad = vm
	bad.Disks = []site.Disk{{ID: "os", File: "../os.raw", Format: site.Raw, SizeBytes: 1 << 20}}
	code(t, h.CreateVM(ctx, bad, owner), errorcatalog.VMDescriptionInvalid)
	must(t, h.CreateVM(ctx, vm, owner))
	data := noise(5 << 20)
	fill(t, h, vm.ID, "os", data)
	must(t, h.CreateVM(ctx, vm, owner)) // taken up again
	foreign(t, h, vm)
	fill(t, h, vm.ID, "data", data[:1<<20])
	if vms, err := h.VirtualMachines(ctx); err != nil || len(vms) != 1 {
		t.Errorf("a VM under construction is listed: %+v, %v", vms, err)
	}
	must(t, h.CompleteVM(ctx, vm.ID, owner))
	must(t, h.CompleteVM(ctx, vm.ID, owner))
	must(t, h.CreateVM(ctx, vm, owner))
	foreign(t, h, vm)
	_, err = h.OpenVMDisk(ctx, vm.ID, "os")
	code(t, err, errorcatalog.VMNotFound)
	got, err := h.VirtualMachine(ctx, vm.ID)
	must(t, err)
	if got.Disks[0].SizeBytes != 5<<20 || got.Disks[1].SizeBytes != 3<<20 {
		t.Errorf("disks have %+v", got.Disks)
	}
	must(t, h.CreateSnapshot(ctx, vm.ID, "s1"))
	for d, want := range map[string][]byte{"os": data, "data": append(bytes.Clone(data[:1<<20]), make([]byte, 2<<20)...)} {
		r, err := h.OpenSnapshot(ctx, vm.ID, "s1", d)
		must(t, err)
		if !bytes.Equal(Content(t, r), want) {
			t.Errorf("disk %s is not what was written", d)
		}
	}
	must(t, h.Start(ctx, vm.ID))
	must(t, h.DeleteVM(ctx, vm.ID, owner))
	must(t, h.DeleteVM(ctx, vm.ID, owner))
	if _, err := h.VirtualMachine(ctx, vm.ID); err == nil {
		t.Error("a deleted VM is found")
	}
}

func fill(t *testing.T, h host.Host, vm, diskID string, p []byte) {
	t.Helper()
	w, err := h.OpenVMDisk(t.Context(), vm, diskID)
	must(t, err)
	_, err = w.WriteAt(p, 0)
	must(t, err)
	must(t, w.Zero(4096, 1024))
	clear(p[4096:][:1024])
	must(t, w.Flush())
	got := make([]byte, len(p))
	if _, err := w.ReadAt(got, 0); err != nil || !bytes.Equal(got, p) {
		t.Errorf("disk %s under construction is not what was written, %v", diskID, err)
	}
	must(t, w.Close())
}

// foreign checks that another owner can neither take nor delete the VM.
func foreign(t *testing.T, h host.Host, vm site.VirtualMachine) {
	t.Helper()
	for _, other := range []string{"v.built.2", ""} {
		code(t, h.CreateVM(t.Context(), vm, other), errorcatalog.VMExists)
		code(t, h.CompleteVM(t.Context(), vm.ID, other), errorcatalog.VMNotFound)
		must(t, h.DeleteVM(t.Context(), vm.ID, other))
	}
}
