// Package hosttest is the suite that every implementation of host.Host passes.
package hosttest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/zeebo/blake3"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/changelog"
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
	// Left lists what lies beside the VM's description and disks.
	Left func(t *testing.T) []string
}

// Run runs the suite; open makes a new subject for each test.
func Run(t *testing.T, open func(t *testing.T) *Subject) {
	t.Helper()
	tests := []struct {
		name string
		run  func(t *testing.T, s *Subject)
	}{
		{"what does not exist has its codes", unknown},
		{"inventory tells the VM and its space", inventory},
		{"replication is created once and leaves nothing", relationship},
		{"cuts replayed in order are the disk", cuts},
		{"a cut that exists is returned as it is", cutTwice},
		{"the last cut of a stopped VM holds everything", cutOff},
		{"a snapshot of a cut is what its logs lead to", cutSnapshot},
		{"a snapshot stays what it was", snapshots},
		{"restarted tracking begins a new chain", restart},
		{"a VM that is not active stays off", inactive},
		{"a VM is built, run and deleted", provision},
	}
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
	must(t, h.DeleteVM(ctx, "none"))
	must(t, h.Stop(ctx, s.VM.ID))
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := h.Cut(canceled, s.VM.ID, host.CutRequest{ID: uuid.NewString()}); err == nil {
		t.Error("a canceled cut succeeded")
	}
}

func inventory(t *testing.T, s *Subject) {
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

func relationship(t *testing.T, s *Subject) {
	ctx, h := t.Context(), s.Host
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	r := Relationship(s)
	r.ID = "another"
	if h.StartReplication(ctx, s.VM.ID, r) == nil {
		t.Error("a second relationship was created")
	}
	r = Relationship(s)
	r.LogLimitPercent = 50
	must(t, h.UpdateRelationship(ctx, s.VM.ID, r))
	got, err := h.Replication(ctx, s.VM.ID)
	must(t, err)
	if got.LogLimitPercent != 50 || !slices.Equal(got.Disks, r.Disks) || len(got.Tracking) != len(r.Disks) || len(got.Cuts) != 0 {
		t.Errorf("replication is %+v", got)
	}
	must(t, h.Start(ctx, s.VM.ID))
	s.Write(t, s.VM.Disks[0].ID, noise(4096), 0)
	_, err = h.Cut(ctx, s.VM.ID, host.CutRequest{ID: uuid.NewString(), Snapshot: "s1"})
	must(t, err)
	must(t, h.StopReplication(ctx, s.VM.ID))
	must(t, h.StopReplication(ctx, s.VM.ID))
	s.Write(t, s.VM.Disks[0].ID, noise(4096), 0) // the guest goes on
	if left := s.Left(t); len(left) > 0 {
		t.Errorf("stopped replication has left %v", left)
	}
	must(t, h.Stop(ctx, s.VM.ID))
}

// Replica follows a VM by its cuts.
type Replica struct {
	t     *testing.T
	s     *Subject
	Disks map[string][]byte // what the logs lead to
	last  map[string]string // the newest log applied, by disk
	cut   string
}

// NewReplica returns a replica of the VM as it is now, off.
func NewReplica(t *testing.T, s *Subject) *Replica {
	t.Helper()
	r := &Replica{t: t, s: s, Disks: map[string][]byte{}, last: map[string]string{}}
	for _, d := range s.disks() {
		r.Disks[d] = s.Content(t, d)
	}
	return r
}

// Follow makes a cut, applies and releases it.
func (r *Replica) Follow(snapshot string) host.Cut {
	r.t.Helper()
	c, err := r.s.Host.Cut(r.t.Context(), r.s.VM.ID, host.CutRequest{ID: uuid.NewString(), Snapshot: snapshot})
	must(r.t, err)
	r.apply(c)
	must(r.t, r.s.Host.ReleaseCut(r.t.Context(), r.s.VM.ID, c.ID))
	must(r.t, r.s.Host.ReleaseCut(r.t.Context(), r.s.VM.ID, c.ID))
	return c
}

func (r *Replica) apply(c host.Cut) {
	r.t.Helper()
	if c.PreviousID != r.cut {
		r.t.Fatalf("cut %s follows %q, not %q", c.ID, c.PreviousID, r.cut)
	}
	r.cut = c.ID
	for _, d := range c.Disks {
		var logs []*changelog.Reader
		for _, l := range d.Logs {
			if last := r.last[d.Disk]; last != "" && l.PreviousID != last {
				r.t.Fatalf("log %s follows %q, not %q", l.ID, l.PreviousID, last)
			}
			r.last[d.Disk] = l.ID
			logs = append(logs, r.open(d.Disk, l))
		}
		if len(logs) == 0 {
			continue
		}
		x, err := changelog.Open(logs)
		must(r.t, err)
		for _, e := range x.Extents() {
			if _, err := x.Overlay(r.Disks[d.Disk][e.Offset:e.End()], e.Offset); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

func (r *Replica) open(diskID string, l host.LogFile) *changelog.Reader {
	r.t.Helper()
	f, err := r.s.Host.OpenLog(r.t.Context(), r.s.VM.ID, diskID, l.ID)
	must(r.t, err)
	p, err := io.ReadAll(f)
	must(r.t, errors.Join(err, f.Close()))
	sum := blake3.Sum256(p)
	if int64(len(p)) != l.Bytes || hex.EncodeToString(sum[:]) != l.Digest {
		r.t.Fatalf("log %s has %d bytes of another digest than its cut says", l.ID, len(p))
	}
	log, err := changelog.NewReader(bytes.NewReader(p), l.Bytes)
	must(r.t, err)
	return log
}

// Equals compares the replica with the stopped VM's disks.
func (r *Replica) Equals(what string) {
	r.t.Helper()
	r.equals(what, func(d string) []byte { return r.s.Content(r.t, d) })
}

func (r *Replica) equals(what string, content func(disk string) []byte) {
	r.t.Helper()
	for _, d := range r.s.disks() {
		if !bytes.Equal(r.Disks[d], content(d)) {
			r.t.Errorf("%s: disk %s is not what its logs lead to", what, d)
		}
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

func cuts(t *testing.T, s *Subject) {
	ctx, h := t.Context(), s.Host
	r := NewReplica(t, s)
	must(t, h.Start(ctx, s.VM.ID))
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	for range 4 {
		s.scribble(t, 10)
		r.Follow("")
	}
	s.scribble(t, 10)
	must(t, h.Stop(ctx, s.VM.ID))
	r.Follow("")
	r.equals("after stop", func(d string) []byte { return s.Content(t, d) })
	state, err := h.Replication(ctx, s.VM.ID)
	must(t, err)
	if len(state.Cuts) != 0 {
		t.Errorf("released cuts are listed: %+v", state.Cuts)
	}
}

func cutTwice(t *testing.T, s *Subject) {
	ctx, h := t.Context(), s.Host
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 3)
	req := host.CutRequest{ID: uuid.NewString()}
	a, err := h.Cut(ctx, s.VM.ID, req)
	must(t, err)
	s.scribble(t, 3)
	b, err := h.Cut(ctx, s.VM.ID, req)
	must(t, err)
	if a.Instant != b.Instant || len(a.Disks) != len(b.Disks) || a.Disks[0].Logs[0] != b.Disks[0].Logs[0] {
		t.Errorf("cut %+v became %+v", a, b)
	}
	c, err := h.Cut(ctx, s.VM.ID, host.CutRequest{ID: uuid.NewString()})
	must(t, err)
	if c.PreviousID != a.ID {
		t.Errorf("the next cut follows %q", c.PreviousID)
	}
	state, err := h.Replication(ctx, s.VM.ID)
	must(t, err)
	if len(state.Cuts) != 2 || state.Cuts[0].ID != a.ID || state.Cuts[1].ID != c.ID {
		t.Errorf("cuts are %+v", state.Cuts)
	}
	must(t, h.Stop(ctx, s.VM.ID))
}

func cutOff(t *testing.T, s *Subject) {
	ctx, h := t.Context(), s.Host
	r := NewReplica(t, s)
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 20)
	must(t, h.Stop(ctx, s.VM.ID))
	must(t, h.Stop(ctx, s.VM.ID))
	r.Follow("")
	r.Follow("")
	r.equals("off", func(d string) []byte { return s.Content(t, d) })
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 5)
	must(t, h.Stop(ctx, s.VM.ID))
	r.Follow("")
	r.equals("off again", func(d string) []byte { return s.Content(t, d) })
}

func (s *Subject) snapshot(t *testing.T, id, diskID string) []byte {
	t.Helper()
	r, err := s.Host.OpenSnapshot(t.Context(), s.VM.ID, id, diskID)
	must(t, err)
	return Content(t, r)
}

// Content reads and closes a disk.
func Content(t *testing.T, r disk.Reader) []byte {
	t.Helper()
	p := make([]byte, r.Size())
	ext, err := r.Extents(0, r.Size())
	must(t, err)
	for _, e := range ext {
		_, err := r.ReadAt(p[e.Offset:e.End()], e.Offset)
		must(t, err)
	}
	must(t, r.Close())
	return p
}

func cutSnapshot(t *testing.T, s *Subject) {
	ctx, h := t.Context(), s.Host
	r := NewReplica(t, s)
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 10)
	r.Follow("at-cut")
	s.scribble(t, 10)
	r.equals("at the cut", func(d string) []byte { return s.snapshot(t, "at-cut", d) })
	must(t, h.DeleteSnapshot(ctx, s.VM.ID, "at-cut"))
	must(t, h.Stop(ctx, s.VM.ID))
}

func snapshots(t *testing.T, s *Subject) {
	ctx, h := t.Context(), s.Host
	want := map[string][]byte{}
	for _, d := range s.disks() {
		want[d] = s.Content(t, d)
	}
	check := func(when string) {
		t.Helper()
		for d, w := range want {
			if !bytes.Equal(s.snapshot(t, "s1", d), w) {
				t.Errorf("%s: snapshot of disk %s has changed", when, d)
			}
		}
	}
	must(t, h.CreateSnapshot(ctx, s.VM.ID, "s1"))
	check("off")
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 20)
	check("running")
	must(t, h.CreateSnapshot(ctx, s.VM.ID, "s1")) // exists: left as it is
	must(t, h.CreateSnapshot(ctx, s.VM.ID, "s2"))
	must(t, h.Stop(ctx, s.VM.ID))
	now := s.Content(t, s.VM.Disks[0].ID)
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 20)
	check("running again")
	if !bytes.Equal(s.snapshot(t, "s2", s.VM.Disks[0].ID), now) {
		t.Error("the second snapshot has changed")
	}
	must(t, h.DeleteSnapshot(ctx, s.VM.ID, "s1"))
	must(t, h.DeleteSnapshot(ctx, s.VM.ID, "s1"))
	_, err := h.OpenSnapshot(ctx, s.VM.ID, "s1", s.VM.Disks[0].ID)
	code(t, err, errorcatalog.SnapshotNotFound)
	must(t, h.DeleteSnapshot(ctx, s.VM.ID, "s2"))
	must(t, h.Stop(ctx, s.VM.ID))
	if left := s.Left(t); len(left) > 0 {
		t.Errorf("deleted snapshots have left %v", left)
	}
}

func restart(t *testing.T, s *Subject) {
	ctx, h := t.Context(), s.Host
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 10)
	_, err := h.Cut(ctx, s.VM.ID, host.CutRequest{ID: uuid.NewString()})
	must(t, err)
	s.scribble(t, 10)
	must(t, h.Stop(ctx, s.VM.ID))
	r := NewReplica(t, s)
	must(t, h.RestartTracking(ctx, s.VM.ID, s.disks()))
	state, err := h.Replication(ctx, s.VM.ID)
	must(t, err)
	if len(state.Cuts) != 0 {
		t.Errorf("cuts of the old chain are left: %+v", state.Cuts)
	}
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 10)
	must(t, h.Stop(ctx, s.VM.ID))
	c, err := h.Cut(ctx, s.VM.ID, host.CutRequest{ID: uuid.NewString()})
	must(t, err)
	r.cut = c.PreviousID
	r.apply(c)
	r.equals("restarted", func(d string) []byte { return s.Content(t, d) })
}

func inactive(t *testing.T, s *Subject) {
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

func provision(t *testing.T, s *Subject) {
	ctx, h := t.Context(), s.Host
	vm := site.VirtualMachine{ID: "built", Name: "Built", Generation: 2, CPUs: 1, MemoryMiB: 512, Disks: []site.Disk{
		{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: 5 << 20, OS: true},
		{ID: "data", File: "data.vhd", Format: site.FixedVHD, SizeBytes: 3 << 20},
	}}
	_, err := h.OpenVMDisk(ctx, vm.ID, "os")
	code(t, err, errorcatalog.VMNotFound)
	bad := vm
	bad.Name = s.VM.Name
	code(t, h.CreateVM(ctx, bad), errorcatalog.VMExists)
	bad = vm
	bad.Disks = []site.Disk{{ID: "os", File: "../os.raw", Format: site.Raw, SizeBytes: 1 << 20}}
	code(t, h.CreateVM(ctx, bad), errorcatalog.VMDescriptionInvalid)
	must(t, h.CreateVM(ctx, vm))
	data := noise(5 << 20)
	fill(t, h, vm.ID, "os", data)
	must(t, h.CreateVM(ctx, vm)) // taken up again
	fill(t, h, vm.ID, "data", data[:1<<20])
	if vms, err := h.VirtualMachines(ctx); err != nil || len(vms) != 1 {
		t.Errorf("a VM under construction is listed: %+v, %v", vms, err)
	}
	must(t, h.CompleteVM(ctx, vm.ID))
	must(t, h.CompleteVM(ctx, vm.ID))
	must(t, h.CreateVM(ctx, vm))
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
	must(t, h.DeleteVM(ctx, vm.ID))
	must(t, h.DeleteVM(ctx, vm.ID))
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
	must(t, w.Flush())
	must(t, w.Close())
}
