package systemtest_test

import (
	"path/filepath"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/cmd/farshore/client"
	"farshore/cmd/farshore/demo"
	"farshore/workers/disk"
	"farshore/workers/proof"
)

func TestAVMRunsFromItsPageBlobsAtOnce(t *testing.T) {
	t.Parallel()
	p := newPlace(t, commonServer(t))
	p.useBlobs()
	vm := demo.VM{Name: "in-blobs", Disks: []int64{64 * mib, 96 * mib}, Filled: true, Pause: 5 * time.Millisecond}
	p.protect(vm)
	j := p.wait(client.Call[oapi.Job](p.s.api.PlannedFailover(t.Context(), vault, vm.Name, &oapi.PlannedFailoverParams{})))
	if j.Status != oapi.JobStatusSucceeded {
		t.Fatalf("planned failover: %s, %+v", j.Status, j.Error)
	}
	if n := p.counted(vm, "background_copy_started"); n != 1 {
		t.Errorf("%d background copies have begun: the host did not read the blobs by itself", n)
	}
	p.grows(vm, "the guest writes on the recovery side")
	eventually(t, patience, "the disks do without the blobs", func() bool { return p.item(vm).BackgroundCopy == nil })
	p.grows(vm, "the guest writes on")
	if out, errOut, code := p.s.cli(t.Context(), "host", "stop", vm.Name, "--directory", p.Recovery()); code != 0 {
		t.Fatalf("host stop: exit %d: %s%s", code, out, errOut)
	}
	var images []proof.Image
	for d := range vm.Disks {
		image, err := disk.OpenRaw(filepath.Join(p.Recovery(), vm.Name, demo.DiskID(d)+".raw"), true)
		must(t, err)
		t.Cleanup(func() { _ = image.Close() })
		images = append(images, image)
	}
	v, err := p.Examine(t.Context(), vm, images)
	must(t, err)
	if told := p.acknowledged(vm); v.Last < told {
		t.Errorf("the disks end with record %d, %d had been acknowledged", v.Last, told)
	}
}
