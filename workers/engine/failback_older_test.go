package engine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/host/local"
	"farshore/workers/host/local/nbd"
)

// grownBytes is what the second disk has after the point that is failed over to.
const grownBytes = diskBytes + 3<<20

// failOverToOlder takes the VM to the recovery side as it was before its second disk
// had grown and its third was protected. It returns what the recovery VM's disks
// hold; nothing writes to them any more.
func (s *scene) failOverToOlder() [][]byte {
	s.t.Helper()
	s.enable()
	s.until("protected", protected)
	old := s.replicate()
	must(s.t, s.host.Stop(s.t.Context(), "web"))
	must(s.t, s.host.GrowDisk(s.t.Context(), "web", "data", grownBytes))
	must(s.t, s.host.Start(s.t.Context(), "web"))
	c := s.dial("data")
	_, err := c.WriteAt(bytes.Repeat([]byte{0x5a}, 4096), grownBytes-4096)
	must(s.t, errors.Join(err, c.Close()))
	s.replicate()
	s.until("grown", func(st protecteditem.State) bool { return st.DiskJob == nil && st.VM.Disks[1].SizeBytes == grownBytes })
	s.add()
	s.until("the disk is protected", func(st protecteditem.State) bool { return slices.Contains(st.Disks, logs) })
	s.do(protecteditem.StartUnplannedFailover{JobID: newID(), Choice: protecteditem.PointChoice(old.ID), ShutDownSource: true, At: s.now()})
	s.until("failed over", is(protecteditem.FailoverCommitRequired))
	s.do(protecteditem.CommitFailover{JobID: newID(), At: s.now()})
	s.until("committed", is(protecteditem.FailedOver))
	must(s.t, os.Remove(filepath.Join(s.source, "journal"))) // no guest writes any more
	var want [][]byte
	for n, d := range disks {
		c, err := nbd.Dial(s.t.Context(), local.SocketPath(s.Hosts["h2"], "web-dr", d), d)
		must(s.t, err)
		_, err = c.WriteAt(bytes.Repeat([]byte{byte(n + 1)}, 8192), diskBytes-8192)
		p := make([]byte, diskBytes)
		_, failed := io.ReadFull(io.NewSectionReader(c, 0, diskBytes), p)
		must(s.t, errors.Join(err, failed, c.Close()))
		want = append(want, p)
	}
	return want
}

// comesBack completes a failback to its commit and protects the VM again.
func (s *scene) comesBack(target protecteditem.FailbackTarget) (failback string) {
	s.t.Helper()
	id := newID()
	s.do(protecteditem.StartFailback{JobID: id, Mode: protecteditem.MinimizeDowntime, Target: target, At: s.now()})
	s.until("synchronized", is(protecteditem.FailbackAwaitingCompletion))
	s.do(protecteditem.CompleteFailback{At: s.now()})
	s.until("failed back", is(protecteditem.FailbackCommitRequired))
	s.endedWell(id)
	if last := s.completed(id); last.Compared != "" {
		s.t.Errorf("all was compared for the last changes: %s", last.Compared)
	}
	s.do(protecteditem.CommitFailback{JobID: newID(), At: s.now()})
	s.until("failback committed", is(protecteditem.FailedBack))
	s.do(protecteditem.ReProtect{JobID: newID(), At: s.now()})
	s.until("protected again", protected)
	return id
}

// pointIs holds the newest point's disks against files, in their order.
func (s *scene) pointIs(folder string, ids ...string) {
	s.t.Helper()
	p := s.replicate()
	var held []string
	for _, d := range p.Disks {
		held = append(held, d.Disk)
		want, err := os.ReadFile(filepath.Join(folder, d.Disk+".raw"))
		must(s.t, err)
		r, err := s.replica.OpenPoint(s.t.Context(), s.state().ReplicaID(), p.ID, d.Disk)
		must(s.t, err)
		got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		must(s.t, errors.Join(err, r.Close()))
		if !bytes.Equal(got, want) {
			s.t.Errorf("disk %s of the point has %d bytes and is not the VM's of %d", d.Disk, len(got), len(want))
		}
	}
	if !slices.Equal(held, ids) {
		s.t.Errorf("the point holds %v, want %v", held, ids)
	}
}

// broughtBack checks the VM's disks: what the recovery VM had, and behind it what
// the larger disk held there.
func (s *scene) broughtBack(folder string, want [][]byte, behind []byte) {
	s.t.Helper()
	for n, d := range disks {
		got, err := os.ReadFile(filepath.Join(folder, d+".raw"))
		must(s.t, err)
		if !bytes.Equal(got[:diskBytes], want[n]) {
			s.t.Errorf("disk %s is not the recovery VM's", d)
		}
		if d == "data" && !bytes.Equal(got[diskBytes:], behind) {
			s.t.Errorf("disk %s has other %d bytes behind the recovery VM's end", d, len(got)-diskBytes)
		}
	}
}

func TestAFailbackFromAnOlderPointKeepsWhatTheOriginalHasBeyondIt(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Third, c.Frequency = true, 900 })
	s.work()
	want := s.failOverToOlder()
	beyond, err := os.ReadFile(filepath.Join(s.source, "data.raw"))
	must(t, err)
	third, err := os.ReadFile(filepath.Join(s.source, "logs.raw"))
	must(t, err)
	id := s.comesBack(protecteditem.FailbackTarget{})
	s.broughtBack(s.source, want, beyond[diskBytes:])
	if now, err := os.ReadFile(filepath.Join(s.source, "logs.raw")); err != nil || !bytes.Equal(now, third) {
		t.Errorf("the disk that had not failed over is not what it was: %v", err)
	}
	s.warnedOf(id, logs)
	s.pointIs(s.source, "os", "data", logs)
}

func TestANewVMHasTheDisksThatHadFailedOver(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Third, c.Frequency = true, 900 })
	e := s.third()
	s.work()
	want := s.failOverToOlder()
	id := s.comesBack(e.target())
	s.broughtBack(e.vm, want, make([]byte, grownBytes-diskBytes))
	s.warnedOf(id, logs)
	vm, err := e.there.VirtualMachine(t.Context(), "web-new")
	must(t, err)
	var there []string
	for _, d := range vm.Disks {
		there = append(there, d.ID)
	}
	s.pointIs(e.vm, disks...)
	st := s.until("the former disk is gone", func(st protecteditem.State) bool { return len(st.FormerDisks) == 0 })
	if !slices.Equal(there, disks) || !slices.Equal(st.Disks, disks) {
		t.Errorf("the new VM has the disks %v, and %v are protected", there, st.Disks)
	}
}

// warnedOf checks that the first step of a job tells of one disk that stays behind.
func (s *scene) warnedOf(id, disk string) {
	s.t.Helper()
	w := s.job(id).Tasks[0].Warnings()
	if len(w) != 1 || w[0].Code != errorcatalog.DiskNotInRecoveryPoint || !strings.Contains(w[0].Detail, disk) {
		s.t.Errorf("the warnings are %v", w)
	}
}

func TestAFailbackNeedsTheDisksOfTheOriginal(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.work()
	s.failOver()
	path := filepath.Join(s.source, "vm.json")
	var vm site.VirtualMachine
	b, err := os.ReadFile(path)
	must(t, errors.Join(err, json.Unmarshal(b, &vm)))
	vm.Disks = slices.DeleteFunc(vm.Disks, func(d site.Disk) bool { return d.ID == "data" })
	b, err = json.Marshal(vm)
	must(t, errors.Join(err, os.WriteFile(path, b, 0o600)))
	id := newID()
	s.do(protecteditem.StartFailback{JobID: id, Mode: protecteditem.MinimizeDowntime, At: s.now()})
	s.jobIs(id, job.Failed)
	st := s.until("failed over still", is(protecteditem.FailedOver))
	if st.Failure == nil || st.Failure.Code != errorcatalog.DiskNotFound {
		t.Errorf("the failback has left %v", st.Failure)
	}
	s.awayPower(site.Running)
	s.writesOn()
}
