package engine_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore/pgtest"
	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/failback"
	"farshore/workers/host/local"
	"farshore/workers/proof"
	"farshore/workers/reversereplication"
	"farshore/workers/runbook"
)

// elsewhere is a third host, to which a VM fails back that makes it anew there.
type elsewhere struct {
	*scene
	there *local.Client
	dir   string
	vm    string // folder of the new VM
}

// third adds the host; it must come before the workers. A bystander on it is to stay
// what it is.
func (s *scene) third(changes ...func(*local.Options)) *elsewhere {
	s.t.Helper()
	e := &elsewhere{scene: s, dir: filepath.Join(s.dir, "third")}
	e.vm = filepath.Join(e.dir, "web-new")
	must(s.t, os.MkdirAll(filepath.Join(e.dir, "bystander"), 0o700))
	must(s.t, os.WriteFile(filepath.Join(e.dir, "bystander", "vm.json"),
		[]byte(`{"id":"bystander","name":"Bystander","generation":2,"cpus":1,"memoryMiB":64,"disks":[{"id":"os","file":"os.raw","format":"raw","os":true}]}`), 0o600))
	must(s.t, os.WriteFile(filepath.Join(e.dir, "bystander", "os.raw"), make([]byte, 1<<20), 0o600))
	s.Hosts["h3"] = filepath.Join(s.dir, "h3.sock")
	e.there = s.serveHost(e.dir, s.Hosts["h3"], s.Speed, changes...)
	return e
}

func (e *elsewhere) target() protecteditem.FailbackTarget {
	return protecteditem.FailbackTarget{Site: "s3", Host: "h3", VMName: "Web-New"}
}

func (e *elsewhere) start(id string, mode protecteditem.FailbackMode) {
	e.t.Helper()
	e.do(protecteditem.StartFailback{JobID: id, Mode: mode, Target: e.target(), At: e.now()})
}

// alone checks that the host holds what it held before, and nothing else.
func (e *elsewhere) alone() {
	e.t.Helper()
	entries, err := os.ReadDir(e.dir)
	must(e.t, err)
	for _, entry := range entries {
		if entry.Name() != "bystander" && !strings.HasPrefix(entry.Name(), ".") {
			e.t.Errorf("%s is left on the third host", entry.Name())
		}
	}
	b, err := os.ReadFile(filepath.Join(e.dir, "bystander", "os.raw"))
	if err != nil || !bytes.Equal(b, make([]byte, 1<<20)) {
		e.t.Errorf("the bystander is not what it was: %v", err)
	}
}

// same checks that the new VM's disks are the recovery VM's; both are off.
func (e *elsewhere) same() {
	e.t.Helper()
	for _, d := range disks {
		want, err := os.ReadFile(filepath.Join(e.scene.dir, "away", "web-dr", d+".raw"))
		must(e.t, err)
		got, err := os.ReadFile(filepath.Join(e.vm, d+".raw"))
		must(e.t, err)
		if !bytes.Equal(got, want) {
			e.t.Errorf("disk %s of the new VM is not the recovery VM's", d)
		}
	}
}

// goesOn lets the guest in the new VM write on into the same journal.
func (e *elsewhere) goesOn() {
	e.t.Helper()
	must(e.t, e.there.Stop(e.t.Context(), "web-new"))
	must(e.t, os.Symlink(filepath.Join(e.source, "journal"), filepath.Join(e.vm, "journal")))
	must(e.t, e.there.Start(e.t.Context(), "web-new"))
	e.writesOn()
}

// cleanRecovery checks that the recovery VM's host keeps nothing of a failback.
func (s *scene) cleanRecovery() {
	s.t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.dir, "away", "web-dr"))
	must(s.t, err)
	for _, e := range entries {
		if !slices.Contains([]string{"os.raw", "data.raw", "vm.json", ".owner", "journal"}, e.Name()) {
			s.t.Errorf("%s is left beside the recovery VM", e.Name())
		}
	}
}

// completed is the event that ended the failback of a job.
func (s *scene) completed(id string) protecteditem.FailbackCompleted {
	s.t.Helper()
	for rec, err := range s.store.Stream(s.t.Context(), s.items.StreamOf(itemKey), 0) {
		must(s.t, err)
		if e, ok := rec.Event.(protecteditem.FailbackCompleted); ok && e.JobID == id {
			return e
		}
	}
	s.t.Fatalf("the failback of job %s has not completed", id)
	return protecteditem.FailbackCompleted{}
}

// records is how many records the guest has begun.
func (s *scene) records() int {
	s.t.Helper()
	journal, err := proof.ReadJournal(filepath.Join(s.source, "journal"))
	must(s.t, err)
	return len(journal.Records)
}

// blocksSince is the size of the blocks that the guest has written to since a
// record.
func (s *scene) blocksSince(record int) int64 {
	s.t.Helper()
	journal, err := proof.ReadJournal(filepath.Join(s.source, "journal"))
	must(s.t, err)
	written := make([][]disk.Extent, len(disks))
	for _, r := range journal.Records[record:] {
		written[r.Disk] = append(written[r.Disk], disk.Extent{Offset: r.Offset, Length: r.Length})
	}
	var sum int64
	for _, w := range written {
		sum += disk.TotalLength(disk.AlignExtents(w, checksum.BlockSize))
	}
	return sum
}

func TestAFailbackToAnotherHostMakesTheVMAnew(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	e := s.third()
	s.child("w")
	s.failOver()
	before := s.originals()
	id, recorded := newID(), s.records()
	for range 2 { // the same request twice is one
		e.start(id, protecteditem.MinimizeDowntime)
	}
	s.until("synchronized", is(protecteditem.FailbackAwaitingCompletion))
	s.refused(protecteditem.StartFailback{JobID: newID(), Mode: protecteditem.MinimizeDowntime, Target: e.target(), At: s.now()}, errorcatalog.FailbackOpen)
	s.awayPower(site.Running)
	s.writesOn()
	for range 2 {
		s.do(protecteditem.CompleteFailback{At: s.now()})
	}
	st := s.until("failed back", is(protecteditem.FailbackCommitRequired))
	s.endedWell(id)
	s.awayPower(site.Off)
	s.cleanRecovery()
	if st.ActiveLocation != protecteditem.Primary || st.Failback.VM != "web-new" {
		t.Errorf("the %s side is active with %q", st.ActiveLocation, st.Failback.VM)
	}
	last, written := s.completed(id), s.blocksSince(recorded)
	t.Logf("last changes: %d bytes scanned, %d differing, %d sent of %d written", last.BytesScanned, last.BytesDiffering, last.BytesSent, written)
	if last.Compared != "" || last.BytesScanned <= 0 || last.BytesScanned > written || last.BytesSent > last.BytesScanned {
		t.Errorf("the last changes were %+v; %d bytes had been written", last, written)
	}
	if rel, err := e.there.Replication(t.Context(), "web-new"); err != nil || rel.ID != st.ReplicaID() {
		t.Errorf("the new VM is not tracked: %+v, %v", rel, err)
	}
	e.goesOn()
	commit := newID()
	s.do(protecteditem.CommitFailback{JobID: commit, At: s.now()})
	st = s.until("committed, and the source told", func(st protecteditem.State) bool {
		return is(protecteditem.FailedBack)(st) && len(st.LeftBehind) == 0
	})
	s.endedWell(commit)
	s.nothingOf("web-dr")
	s.untouched(before)
	s.power(site.Off)
	s.cleanHost()
	if err := s.host.Start(t.Context(), "web"); errorcatalog.Of(err).Code != errorcatalog.VMNotActive {
		t.Errorf("the former source can be started: %v", err)
	}
	if st.Site != "s3" || st.Host != "h3" || st.VM.ID != "web-new" || st.VM.Name != "Web-New" {
		t.Errorf("the item's source is %s/%s %s %q", st.Site, st.Host, st.VM.ID, st.VM.Name)
	}
	s.reProtect()
}

// making lists the steps of a failback to a new VM that waits.
func making() []string {
	return []string{
		"inspect_hosts", "create_primary_vm", "synchronize_disks", "await_completion", "stop_recovery_vm", "synchronize_last_changes",
		"complete_primary_vm", "start_primary_vm", "complete_failback",
	}
}

func TestAFailbackToANewVMCanceledAtAnyStepLeavesNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := newScene(t, func(c *config) { c.Database = db.URL })
	e := s.third()
	w := s.child("w")
	s.failOver()
	before := s.originals()
	h := s.holdTasks(pgtest.Open(t, db.OwnerURL))
	for _, step := range making() {
		id := newID()
		h.at(step)
		e.start(id, protecteditem.MinimizeDowntime)
		s.completes(step)
		h.await(step)
		end(w)
		h.at("")
		w = s.child("w" + step)
		want := job.Canceled
		if step == "complete_failback" { // which had been recorded
			s.until("failed back", is(protecteditem.FailbackCommitRequired))
			want = job.Succeeded
		}
		s.do(protecteditem.CancelFailback{JobID: newID(), At: s.now()})
		st := s.until("failed over again", is(protecteditem.FailedOver))
		s.jobIs(id, want)
		if len(st.LeftBehind) > 0 {
			t.Errorf("after %s %+v is left", step, st.LeftBehind)
		}
		e.alone()
		s.cleanRecovery()
		s.awayPower(site.Running)
		s.power(site.Off)
		s.writesOn()
	}
	s.untouched(before)
	s.gapless()
}

func TestAWorkerKilledAtAnyStepOfAFailbackToANewVMFinishesIt(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := newScene(t, func(c *config) { c.Database, c.Stretch = db.URL, 1<<20 })
	e := s.third()
	w := s.child("w")
	s.failOver()
	h := s.holdTasks(pgtest.Open(t, db.OwnerURL))
	w = s.walk(h, w, making(), func(id string) { e.start(id, protecteditem.MinimizeDowntime) }, func(step string) {
		if step == "complete_primary_vm" {
			s.awayPower(site.Off)
			e.same()
		}
	})
	s.until("failed back", is(protecteditem.FailbackCommitRequired))
	e.goesOn()
	w = s.walk(h, w, runbook.Names(failback.Commit{}.Steps()), func(id string) {
		s.do(protecteditem.CommitFailback{JobID: id, At: s.now()})
	}, nil)
	s.until("failback committed", is(protecteditem.FailedBack))
	s.walk(h, w, runbook.Names(reversereplication.ReverseReplication{}.Steps()), func(id string) {
		s.do(protecteditem.ReProtect{JobID: id, At: s.now()})
	}, nil)
	st := s.until("protected again", protected)
	newest, _ := st.NewestPoint()
	s.judge(newest)
	s.judge(s.replicate())
	s.gapless()
}

func TestAFullDownloadMakesANewVM(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	e := s.third()
	s.child("w")
	s.failOver()
	id := newID()
	e.start(id, protecteditem.FullDownload)
	s.until("failed back", is(protecteditem.FailbackCommitRequired))
	s.endedWell(id)
	s.awayPower(site.Off)
	s.cleanRecovery()
	if last := s.completed(id); last.BytesScanned != 0 || last.Compared != "" {
		t.Errorf("a full download has brought last changes: %+v", last)
	}
	must(t, e.there.Stop(t.Context(), "web-new"))
	e.same()
	must(t, e.there.Start(t.Context(), "web-new"))
	s.do(protecteditem.CancelFailback{JobID: newID(), At: s.now()})
	s.until("failed over again", is(protecteditem.FailedOver))
	e.alone()
	s.awayPower(site.Running)
	s.writesOn()
}
