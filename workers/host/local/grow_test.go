package local_test

import (
	"os"
	"path/filepath"
	"testing"

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
