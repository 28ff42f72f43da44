package testfailover

import (
	"context"
	"fmt"
	"strings"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/failover"
	"farshore/workers/workflow"
)

// The name of a test VM is that of the recovery VM with an ending, cut to what a
// VM can be called.
const (
	ending      = "-test"
	longestName = 63
)

func vmName(s protecteditem.State) string {
	name := s.Recovery.VMName
	if longest := longestName - len(ending); len(name) > longest {
		name = strings.TrimRight(name[:longest], "-")
	}
	return name + ending
}

// VM is the test VM's id on the recovery host.
func VM(s protecteditem.State) string { return strings.ToLower(vmName(s)) }

// testVM describes the copy, but for the disks, which are those of its recovery
// point: adapters that reach nothing
// but the network of the test and have none of the source's addresses.
func testVM(s protecteditem.State) site.VirtualMachine {
	vm := s.VM
	vm.ID, vm.Name = VM(s), vmName(s)
	vm.NICs, vm.Disks = nil, nil
	for _, n := range s.VM.NICs {
		vm.NICs = append(vm.NICs, site.NIC{Name: n.Name, Network: s.Test.Network})
	}
	return vm
}

// target is the test VM as it is brought up on the recovery host.
func target(i *workflow.Item) failover.Target {
	return failover.Target{Item: i, Job: jobOf(i.State), Machine: testVM(i.State)}
}

// jobOf is the job of the test failover or of its cleanup.
func jobOf(s protecteditem.State) string {
	if s.TestJob == nil {
		return ""
	}
	return s.TestJob.ID
}

// record executes a command in the name of the test failover's job, which runs
// beside the item's.
func record(ctx context.Context, i *workflow.Item, cmd protecteditem.Command) error {
	how := i.Execution()
	how.Metadata.Job = jobOf(i.State)
	out, err := i.Items.Execute(ctx, i.Item(), cmd, how)
	if err != nil {
		return fmt.Errorf("record %T of %s: %w", cmd, i.Item(), err)
	}
	i.State, i.Version = out.State, out.Version
	return nil
}

// overtaken reports that the item has moved on under a running test failover.
func overtaken(s protecteditem.State) error {
	return domain.Reject(domain.Conflict, errorcatalog.StaleJob, "the test failover is %s (%s)", s.TestFailover, s.Protection)
}
