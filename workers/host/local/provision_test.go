package local_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
)

func TestNewVMInheritsNothingFromOneOfItsIDThatWasRemoved(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	e := engine(t, options(dir, filepath.Join(socketDir(t), "h.sock")))
	must(t, e.SetActive(within(t), vm.ID, false))
	must(t, os.RemoveAll(filepath.Join(dir, vm.ID)))
	_, err := e.VirtualMachine(within(t), vm.ID)
	wantCode(t, err, errorcatalog.VMNotFound)
	for i := range vm.Disks {
		vm.Disks[i].SizeBytes = diskSize
	}
	must(t, e.CreateVM(within(t), vm, owner))
	must(t, e.CompleteVM(within(t), vm.ID, owner))
	must(t, e.Start(within(t), vm.ID))
	must(t, e.Stop(within(t), vm.ID))
}

func TestDeletingWhatIsNoVMTouchesNothing(t *testing.T) {
	t.Parallel()
	dir, _ := site1(t, nil)
	must(t, os.Mkdir(filepath.Join(dir, "precious"), 0o700))
	e := engine(t, options(dir, filepath.Join(socketDir(t), "h.sock")))
	for _, id := range []string{"precious", "../precious", "", ".", ".farshore"} {
		must(t, e.DeleteVM(within(t), id, owner))
	}
	for _, name := range []string{"precious", ".farshore", "vm1"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestAnOwnerIsTheVMsWhateverItsFolderIsCalled(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	e := engine(t, options(dir, filepath.Join(socketDir(t), "h.sock")))
	made := vm
	made.ID, made.Name, made.Disks = "made", "made", []site.Disk{{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: 1 << 20, OS: true}}
	must(t, e.CreateVM(within(t), made, owner))
	foreign := made
	foreign.Name = "foreign"
	p, err := json.Marshal(foreign)
	must(t, err)
	folder := filepath.Join(dir, "elsewhere")
	must(t, os.Mkdir(folder, 0o700))
	must(t, os.WriteFile(filepath.Join(folder, "os.raw"), make([]byte, 1<<20), 0o600))
	must(t, os.WriteFile(filepath.Join(folder, "vm.json"), p, 0o600))
	wantCode(t, e.CreateVM(within(t), made, owner), errorcatalog.VMExists)
	wantCode(t, e.CompleteVM(within(t), made.ID, owner), errorcatalog.VMNotFound)
	must(t, e.DeleteVM(within(t), made.ID, owner))
	if _, err := os.Stat(filepath.Join(folder, "os.raw")); err != nil {
		t.Errorf("somebody else's VM is gone: %v", err)
	}
}
