package testfailover_test

import (
	"slices"
	"strings"
	"testing"

	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/runbook"
	"farshore/workers/testfailover"
)

// Step names are journaled: a job that began under one must find it again.
func TestStepNamesAreNeverChanged(t *testing.T) {
	t.Parallel()
	run := []string{
		"inspect_recovery_host", "choose_recovery_point", "create_test_vm", "copy_disks", "start_test_vm", "verify_recovery_point", "complete_test_failover",
	}
	if got := runbook.Names(testfailover.Run{}.Steps()); !slices.Equal(got, run) {
		t.Errorf("the steps of a test failover are %v", got)
	}
	cleanup := []string{"delete_test_vm", "complete_test_failover_cleanup"}
	if got := runbook.Names(testfailover.Cleanup{}.Steps()); !slices.Equal(got, cleanup) {
		t.Errorf("the steps of a cleanup are %v", got)
	}
}

func TestATestVMHasNoAddressAndNoNetworkButTheGivenOne(t *testing.T) {
	t.Parallel()
	s := protecteditem.State{
		VM: site.VirtualMachine{
			ID: "web", Name: "Web", Generation: 2,
			NICs:  []site.NIC{{Name: "lan", MACAddress: "00:15:5d:00:00:01", Network: "production"}, {Name: "san", Network: "storage"}},
			Disks: []site.Disk{{ID: "os"}, {ID: "scratch"}, {ID: "data"}},
		},
		Disks:    []string{"os", "data"},
		Recovery: protecteditem.RecoveryTarget{VMName: "Web-DR"},
	}
	for _, network := range []string{"", "isolated"} {
		s.Test.Network = network
		vm := testfailover.TestVM(s)
		if want := []site.NIC{{Name: "lan", Network: network}, {Name: "san", Network: network}}; !slices.Equal(vm.NICs, want) {
			t.Errorf("in the network %q its adapters are %+v", network, vm.NICs)
		}
		// Its disks are those that the point holds.
		if vm.ID != "web-dr-test" || vm.Name != "Web-DR-test" || len(vm.Disks) != 0 {
			t.Errorf("the test VM is %+v", vm)
		}
	}
	if s.VM.NICs[0].Network != "production" || s.VM.NICs[0].MACAddress == "" {
		t.Errorf("the source's description has changed: %+v", s.VM)
	}
}

func TestATestVMOfALongNameCanBeCreated(t *testing.T) {
	t.Parallel()
	for _, name := range []string{strings.Repeat("x", 63), strings.Repeat("x", 57) + "-yyyyy"} {
		vm := testfailover.TestVM(protecteditem.State{Recovery: protecteditem.RecoveryTarget{VMName: name}})
		if len(vm.Name) > 63 || !strings.HasSuffix(vm.Name, "x-test") {
			t.Errorf("the test VM of %s is %s", name, vm.Name)
		}
	}
}
