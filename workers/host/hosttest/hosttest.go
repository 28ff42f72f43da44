// Package hosttest is the suite that every implementation of host.Host passes.
package hosttest

import (
	"context"
	"crypto/rand"
	"testing"

	"github.com/google/uuid"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/disk"
	"farshore/workers/host"
)

// Subject is a host under test. It holds one VM, which is off and has at least
// two disks of at least 1 MiB.
type Subject struct {
	Host host.Host
	VM   site.VirtualMachine
	// Write writes to a disk as the guest does, while the VM runs, and returns
	// once it has been acknowledged.
	Write func(t *testing.T, disk string, p []byte, off int64)
	// Content returns what a disk holds, while the VM is off.
	Content func(t *testing.T, disk string) []byte
	// Back offers content as the disk of a recovery point, for the host to read. It
	// returns where it is.
	Back func(t *testing.T, disk string, content []byte) host.Backing
	// Left lists what lies beside the VM's description and disks.
	Left func(t *testing.T) []string
}

// Run runs the suite; open makes a new subject for each test.
func Run(t *testing.T, open func(t *testing.T) *Subject) {
	t.Helper()
	RunReturns(t, open)
	run(t, open, []test{
		{"what does not exist has its codes", unknown},
		{"inventory tells the VM and its space", inventory},
		{"replication is created once and leaves nothing", relationship},
		{"cuts replayed in order are the disk", cuts},
		{"a cut that exists is returned as it is", cutTwice},
		{"a cut that cannot be application-consistent is made and says why", cutWithoutRest},
		{"the last cut of a stopped VM holds everything", cutOff},
		{"a cut names the ranges that were written", writtenRanges},
		{"a snapshot of a cut is what its logs lead to", cutSnapshot},
		{"a snapshot stays what it was", snapshots},
		{"restarted tracking begins a new chain", restart},
		{"a disk grows, and its chain goes on", growing},
		{"disks join and leave, and the others do not notice", joining},
		{"a VM that is not active stays off", inactive},
		{"a VM is built, run and deleted", provision},
		{"a VM runs from recovery points until its disks are filled in", backed},
	})
}

// RunReturns runs the part of the suite that is about returns.
func RunReturns(t *testing.T, open func(t *testing.T) *Subject) {
	t.Helper()
	run(t, open, []test{
		{"a return is written beside the disks, merged and settled", returned},
		{"a return that is undone gives the disks back exactly", undone},
		{"what a guest writes after a merge is undone, too", undoneAfterRunning},
		{"a return begins anew when its disks have changed", returnAnew},
		{"a return is refused while the VM runs", returnRunning},
		{"what a return cannot do has its codes", returnCodes},
		{"a merge beneath a tracked disk asks for resynchronization", returnTracked},
	})
}

type test struct {
	name string
	run  func(t *testing.T, s *Subject)
}

func run(t *testing.T, open func(t *testing.T) *Subject, tests []test) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func code(t *testing.T, err error, want errorcatalog.Code) {
	t.Helper()
	if err == nil || errorcatalog.Of(err).Code != want {
		t.Errorf("answered %v, want %s", err, want)
	}
}

func noise(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.Read(p)
	return p
}

// Footer is how many bytes of a disk's content its guest does not see.
func (s *Subject) Footer(diskID string) int64 {
	for _, d := range s.VM.Disks {
		if d.ID == diskID && d.Format == site.FixedVHD {
			return disk.FooterSize
		}
	}
	return 0
}

func (s *Subject) disks() []string {
	var out []string
	for _, d := range s.VM.Disks {
		out = append(out, d.ID)
	}
	return out
}

// Relationship is one that tracks all disks of the VM without a limit that matters.
func Relationship(s *Subject) host.Relationship {
	return host.Relationship{ID: "relationship-1", Disks: s.disks(), LogLimitPercent: 1000}
}

func unknown(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	_, err := h.VirtualMachine(ctx, "none")
	code(t, err, errorcatalog.VMNotFound)
	_, err = h.Replication(ctx, s.VM.ID)
	code(t, err, errorcatalog.RelationshipNotFound)
	_, err = h.Cut(ctx, s.VM.ID, host.CutRequest{ID: uuid.NewString()})
	code(t, err, errorcatalog.RelationshipNotFound)
	code(t, h.RestartTracking(ctx, s.VM.ID, nil), errorcatalog.RelationshipNotFound)
	code(t, h.UpdateRelationship(ctx, s.VM.ID, Relationship(s)), errorcatalog.RelationshipNotFound)
	_, err = h.OpenSnapshot(ctx, s.VM.ID, "none", s.VM.Disks[0].ID)
	code(t, err, errorcatalog.SnapshotNotFound)
	code(t, h.StartReplication(ctx, "none", Relationship(s)), errorcatalog.VMNotFound)
	code(t, h.Start(ctx, "none"), errorcatalog.VMNotFound)
	r := Relationship(s)
	r.Disks = []string{"none"}
	code(t, h.StartReplication(ctx, s.VM.ID, r), errorcatalog.DiskNotFound)
	_, err = h.OpenLog(ctx, s.VM.ID, s.VM.Disks[0].ID, uuid.NewString())
	code(t, err, errorcatalog.LogMissing)
	must(t, h.StopReplication(ctx, s.VM.ID))
	must(t, h.ReleaseCut(ctx, s.VM.ID, uuid.NewString()))
	must(t, h.DeleteSnapshot(ctx, s.VM.ID, "none"))
	must(t, h.DeleteVM(ctx, "none", owner))
	must(t, h.Stop(ctx, s.VM.ID))
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := h.Cut(canceled, s.VM.ID, host.CutRequest{ID: uuid.NewString()}); err == nil {
		t.Error("a canceled cut succeeded")
	}
}

func inventory(t *testing.T, s *Subject) {
	t.Helper()
	vms, err := s.Host.VirtualMachines(t.Context())
	must(t, err)
	if len(vms) != 1 || vms[0].ID != s.VM.ID || len(vms[0].Disks) != len(s.VM.Disks) {
		t.Fatalf("inventory is %+v", vms)
	}
	for _, d := range vms[0].Disks {
		if d.SizeBytes < 1<<20 {
			t.Errorf("disk %s has %d bytes", d.ID, d.SizeBytes)
		}
	}
	sp, err := s.Host.Space(t.Context(), s.VM.ID)
	if err != nil || sp.Free <= 0 || sp.Total < sp.Free {
		t.Errorf("space is %+v, %v", sp, err)
	}
}

func (s *Subject) scribble(t *testing.T, writes int) {
	t.Helper()
	for i := range writes {
		n := noise(4)
		d := s.disks()[int(n[0])%len(s.disks())]
		off := int64(n[1])<<12 | int64(n[2])&0xe<<9
		s.Write(t, d, noise(512*(1+i%40)), min(off, 1<<20-40*512))
	}
}
