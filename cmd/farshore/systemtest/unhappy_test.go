package systemtest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"farshore/api/oapi"
	"farshore/cmd/farshore/client"
	"farshore/cmd/farshore/demo"
)

func TestDisablingLeavesTheHostCleanAndProtectionCanBeginAgain(t *testing.T) {
	t.Parallel()
	p := newPlace(t, commonServer(t))
	vm := demo.VM{Name: "left-clean", Disks: []int64{64 * mib, 48 * mib}}
	p.protect(vm)
	p.proveNext(vm)
	p.disable(vm)
	var left []string
	must(t, filepath.WalkDir(p.Source(), func(path string, _ os.DirEntry, err error) error {
		name := filepath.Base(path)
		if strings.HasSuffix(name, ".hrl") || strings.HasPrefix(name, "cut-") || strings.Contains(path, "snapshot") || strings.Contains(name, "replication") {
			left = append(left, path)
		}
		return err
	}))
	names, err := filepath.Glob(filepath.Join(p.Source(), vm.Name, "*"))
	must(t, err)
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	if want := []string{"data1.raw", "os.raw", "vm.json"}; len(left) > 0 || !slices.Equal(names, want) {
		t.Errorf("the host is left with %v and %v, want %v alone", left, names, want)
	}
	if kept, err := filepath.Glob(filepath.Join(p.Replicas(), "*"+vm.Name+"*")); err != nil || len(kept) > 0 {
		t.Errorf("the replica is still there: %v, %v", kept, err)
	}
	p.grows(vm, "the guest writes on")
	p.enable(vm)
	p.becomesProtected(vm)
	if cycle := p.item(vm).Cycle; cycle != 2 {
		t.Errorf("cycle %d, want 2", cycle)
	}
	p.proveNext(vm)
	p.unblemished(vm)
}

// failOver runs a planned failover that is to fail with a code, and sees that
// nothing has changed but a point more.
func (p *place) failOver(vm demo.VM, code oapi.ErrorCode) {
	t := p.t
	t.Helper()
	j := p.wait(client.Call[oapi.Job](p.s.api.PlannedFailover(t.Context(), vault, vm.Name, &oapi.PlannedFailoverParams{})))
	if j.Status != oapi.JobStatusFailed || j.Error == nil {
		t.Fatalf("planned failover: %s, error %+v, want it failed with %s", j.Status, j.Error, code)
	}
	if j.Error.Code != code || j.Error.Remedy == nil || *j.Error.Remedy == "" {
		t.Errorf("the job failed with %s and the remedy %v, want %s and one", j.Error.Code, j.Error.Remedy, code)
	}
	p.becomesProtected(vm)
	if i := p.item(vm); i.ActiveLocation != oapi.ActiveLocationPrimary {
		t.Errorf("%s is active at %s", vm.Name, i.ActiveLocation)
	}
	if len(p.guestPIDs(vm)) != 1 {
		t.Errorf("the source's guests are %v, want one", p.guestPIDs(vm))
	}
	p.grows(vm, "the source's guest writes again")
	p.proveNext(vm)
	p.unblemished(vm)
}

func TestAFailoverWhoseRecoveryVMDoesNotStartIsTakenBack(t *testing.T) {
	t.Parallel()
	p := newPlace(t, commonServer(t))
	vm := demo.VM{Name: "no-guest-there", Disks: []int64{64 * mib}}
	// The guest's program lies in the folder of the source VM alone.
	alone := p.Scene
	alone.Program = "./guest"
	must(t, alone.MakeVM(t.Context(), vm))
	must(t, os.Symlink(shared.program, filepath.Join(p.Source(), vm.Name, "guest")))
	p.run(vm)
	p.enable(vm)
	p.becomesProtected(vm)
	p.failOver(vm, "guest_start_failed")
	if left, err := filepath.Glob(filepath.Join(p.Recovery(), "[^.]*")); err != nil || len(left) > 0 {
		t.Errorf("the recovery host is left with %v, %v", left, err)
	}
}

func TestAFailoverIntoAFolderThatIsTakenIsTakenBack(t *testing.T) {
	t.Parallel()
	p := newPlace(t, commonServer(t))
	vm := demo.VM{Name: "folder-taken", Disks: []int64{64 * mib}}
	p.protect(vm)
	precious := filepath.Join(p.Recovery(), vm.Name, "precious")
	must(t, os.MkdirAll(filepath.Dir(precious), 0o755))
	must(t, os.WriteFile(precious, []byte("of somebody else"), 0o600))
	p.failOver(vm, "vm_exists")
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("what lay in the folder is gone: %v", err)
	}
}

func TestAGuestThatDoesNotShutDownFailsThePlannedFailover(t *testing.T) {
	t.Parallel()
	p := newPlace(t, commonServer(t))
	vm := demo.VM{Name: "stubborn", Disks: []int64{64 * mib}, Stubborn: true, GraceSeconds: 1}
	p.protect(vm)
	guests, sockets := p.guestPIDs(vm), p.sockets(vm)
	p.failOver(vm, "guest_shutdown_timeout")
	if !slices.Equal(guests, p.guestPIDs(vm)) || !slices.Equal(sockets, p.sockets(vm)) {
		t.Errorf("guest %v with sockets %v is now %v with %v", guests, sockets, p.guestPIDs(vm), p.sockets(vm))
	}
}

func TestAVMThatWasKeptOffRunsAgainAtItsOperatorsWord(t *testing.T) {
	t.Parallel()
	p := newPlace(t, commonServer(t))
	vm := demo.VM{Name: "comes-home", Disks: []int64{48 * mib}}
	p.protect(vm)
	j := p.wait(client.Call[oapi.Job](p.s.api.PlannedFailover(t.Context(), vault, vm.Name, &oapi.PlannedFailoverParams{})))
	if j.Status != oapi.JobStatusSucceeded {
		t.Fatalf("planned failover: %s, %+v", j.Status, j.Error)
	}
	p.disable(vm)
	if _, errOut, code := p.s.cli(t.Context(), "host", "stop", vm.Name, "--directory", p.Recovery()); code != 0 {
		t.Fatalf("host stop: exit %d; it said %s", code, errOut)
	}
	_, errOut, code := p.s.cli(t.Context(), "host", "start", vm.Name, "--directory", p.Source())
	if code == 0 || !has(errOut, []string{"vm_not_active", "remedy: ", "--here"}) {
		t.Errorf("host start: exit %d; it said %s", code, errOut)
	}
	if _, errOut, code := p.s.cli(t.Context(), "host", "start", vm.Name, "--directory", p.Source(), "--here"); code != 0 {
		t.Fatalf("host start --here: exit %d; it said %s", code, errOut)
	}
	p.grows(vm, "the guest writes")
}
