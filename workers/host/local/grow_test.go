package local_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"farshore/domain/site"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/host/hosttest"
	"farshore/workers/host/local"
)

// A host that is killed while it grows a disk has said so before, and goes on when it
// comes back: before the file was changed, after, and after the tracking was told.
func TestGrowingGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	const larger = diskSize + 4<<20
	for name, already := range map[string]bool{"the file is as it was": false, "the file has grown": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, vm := site1(t, nil)
			socket := filepath.Join(socketDir(t), "h.sock")
			s := subject(t, dir, socket, vm)
			e, err := local.Open(options(dir, socket))
			must(t, err)
			s.Host = e
			must(t, e.StartReplication(within(t), vm.ID, hosttest.Relationship(s)))
			must(t, cut(t, e))
			must(t, e.Close())
			intend(t, filepath.Join(dir, vm.ID, "replication.json"), "os", larger)
			if already {
				must(t, os.Truncate(filepath.Join(dir, vm.ID, "os.raw"), larger))
			}
			s.Host = engine(t, options(dir, socket))
			must(t, cut(t, s.Host))
			state, err := s.Host.Replication(within(t), vm.ID)
			must(t, err)
			if n := len(state.Cuts); n != 2 || sizeIn(state.Cuts[1], "os") != larger || state.Cuts[1].PreviousID != state.Cuts[0].ID {
				t.Errorf("cuts are %+v", state.Cuts)
			}
		})
	}
}

// Without tracking to go on with, too, the host ends what it has begun: the footer of
// before does not stay within the disk.
func TestADiskThatIsNotTrackedIsGrownToItsEndAfterACrash(t *testing.T) {
	t.Parallel()
	const larger = diskSize + 4<<20
	for name, already := range map[string]bool{"the file is as it was": false, "there are two footers": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, vm := site1(t, func(vm *site.VirtualMachine) {
				vm.Disks[1] = site.Disk{ID: "data1", File: "data1.vhd", Format: site.FixedVHD}
			})
			path := filepath.Join(dir, vm.ID, "data1.vhd")
			must(t, os.Remove(path))
			footer := disk.FooterFor(diskSize, [16]byte{1}, time.Now())
			must(t, disk.Create(path, site.FixedVHD, diskSize, footer))
			if already {
				footer.CurrentSize, footer.Geometry = larger, disk.GeometryFor(larger)
				f, err := os.OpenFile(path, os.O_RDWR, 0)
				must(t, err)
				_, err = f.WriteAt(footer.Encode(), larger)
				must(t, err)
				must(t, f.Close())
			}
			record := filepath.Join(dir, ".farshore", "growing-"+vm.ID+".json")
			must(t, os.MkdirAll(filepath.Dir(record), 0o700))
			p, err := json.Marshal(map[string]any{"disk": "data1", "from": int64(diskSize), "to": int64(larger)})
			must(t, err)
			must(t, os.WriteFile(record, p, 0o600))
			e := engine(t, options(dir, filepath.Join(socketDir(t), "h.sock")))
			must(t, e.GrowDisk(within(t), vm.ID, "data1", larger))
			d, err := disk.OpenVHD(path, true)
			must(t, err)
			defer d.Close() //nolint:errcheck // it was read only
			if got := hosttest.Content(t, d); len(got) != larger || !bytes.Equal(got, make([]byte, larger)) {
				t.Errorf("of %d bytes, some are not zeroes", len(got))
			}
			if _, err := os.Stat(record); !os.IsNotExist(err) {
				t.Errorf("the record is there: %v", err)
			}
		})
	}
}

func sizeIn(c host.Cut, disk string) int64 {
	for _, d := range c.Disks {
		if d.Disk == disk {
			return d.SizeBytes
		}
	}
	return 0
}

// intend writes what a host says before it grows a disk.
func intend(t *testing.T, path, disk string, size int64) {
	t.Helper()
	rewrite(t, path, "growing", map[string]int64{disk: size})
}
