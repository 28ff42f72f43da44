package systemtest_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/cmd/farshore/demo"
	"farshore/eventstore/pgcluster"
)

// away is how long PostgreSQL is kept from answering.
const away = 10 * time.Second

func TestWhilePostgreSQLIsAwayCommandsAreRefusedAndTrackingGoesOn(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	p := newPlace(t, s)
	vm := demo.VM{Name: "web", Disks: []int64{64 * mib}}
	p.protect(vm)
	// Down: the server starts it again as soon as its folder is back.
	p.duringDelta(vm)
	postgres := filepath.Join(s.data, "postgres")
	pid := p.postmaster()
	must(t, os.Rename(postgres, postgres+".away"))
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	p.grows(vm, "the guest writes while PostgreSQL is down")
	refused := p.refusals(vm, 5*time.Second)
	must(t, os.Rename(postgres+".away", postgres))
	if refused < 3 {
		t.Errorf("%d commands were refused while PostgreSQL was down, want all of them", refused)
	}
	eventually(t, long, "the server is ready again", s.ready)
	p.proveNext(vm)
	p.unblemished(vm)
}

func TestAPostgreSQLThatHangsIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	p := newPlace(t, s)
	vm := demo.VM{Name: "web", Disks: []int64{64 * mib}}
	p.protect(vm)
	p.duringDelta(vm)
	frozen := p.freeze()
	t.Cleanup(func() { thaw(frozen) })
	p.grows(vm, "the guest writes while PostgreSQL hangs")
	refused := p.refusals(vm, 12*time.Second)
	thaw(frozen)
	if refused == 0 {
		t.Error("no command was refused while PostgreSQL hung")
	}
	eventually(t, long, "the server is ready again", s.ready)
	p.proveNext(vm)
	p.unblemished(vm)
}

func TestADatabaseRestoredFromABackupCatchesUpWithStoreAndHosts(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	p := newPlace(t, s)
	vm := demo.VM{Name: "web", Disks: []int64{64 * mib}, Pause: 50 * time.Millisecond}
	p.protect(vm)
	p.proveNext(vm)
	database := filepath.Join(s.data, "postgres")
	backup := database + ".backup"
	s.proc.stop()
	must(t, exec.CommandContext(t.Context(), "cp", "-a", database, backup).Run()) // with its owner
	must(t, s.start())
	p.proveNext(vm)
	p.proveNext(vm)
	forgotten := p.points(vm)
	item, fence := p.replica(vm), int64(0)
	p.look(`SELECT max(fence) FROM lanes WHERE item = $1`, []any{vault + "." + vm.Name}, &fence)
	s.proc.stop()
	removed, forgotten := forgotten[0], forgotten[1:]
	must(t, p.store().RemovePoint(t.Context(), item, removed.ID, fence)) // as retention does
	must(t, os.RemoveAll(database))
	must(t, os.Rename(backup, database))
	must(t, s.start())
	p.proveNext(vm)
	now := p.points(vm)
	for _, f := range forgotten {
		n := slices.IndexFunc(now, func(p oapi.RecoveryPoint) bool { return p.ID == f.ID })
		if n < 0 {
			t.Errorf("point %s of %s is listed no more", f.ID, f.Instant)
			continue
		}
		p.prove(vm, now[n])
	}
	if slices.ContainsFunc(now, func(p oapi.RecoveryPoint) bool { return p.ID == removed.ID }) {
		t.Errorf("point %s is listed, and the store has it no longer", removed.ID)
	}
	p.unblemished(vm)
	p.disable(vm)
}

// duringDelta returns when a delta is under way.
func (p *place) duringDelta(vm demo.VM) {
	p.t.Helper()
	p.replicate(vm)
	watch(p.t, patience, time.Millisecond, "a cut was made", func() bool {
		cuts, err := filepath.Glob(filepath.Join(p.Source(), vm.Name, "cut-*.json"))
		return err == nil && len(cuts) > 0
	})
}

func (p *place) postmaster() int {
	p.t.Helper()
	pid, err := pgcluster.Postmaster(filepath.Join(p.s.data, "postgres"))
	must(p.t, err)
	if pid == 0 {
		p.t.Fatal("there is no postmaster")
	}
	return pid
}

// freeze stops PostgreSQL with all its processes.
func (p *place) freeze() []int {
	p.t.Helper()
	postmaster := p.postmaster()
	pids := []int{postmaster}
	must(p.t, syscall.Kill(postmaster, syscall.SIGSTOP)) // it starts no more
	entries, err := filepath.Glob("/proc/[0-9]*/stat")
	must(p.t, err)
	for _, e := range entries {
		text, err := os.ReadFile(e)
		if err != nil {
			continue
		}
		var pid, parent int
		var state string
		if _, rest, ok := strings.Cut(string(text), ") "); ok {
			_, _ = fmt.Sscan(string(text), &pid)
			_, _ = fmt.Sscan(rest, &state, &parent)
		}
		if parent == postmaster && syscall.Kill(pid, syscall.SIGSTOP) == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func thaw(pids []int) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}

// refusals sends commands for as long as PostgreSQL is to be away. Each must be
// answered within a time, and refused with the advice to come back.
func (p *place) refusals(vm demo.VM, within time.Duration) (refused int) {
	p.t.Helper()
	c := &http.Client{Timeout: within}
	for began := time.Now(); time.Since(began) < away; time.Sleep(tick) {
		req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.s.url+"/v1/vaults/"+vault+"/protectedItems/"+vm.Name+"/replicateNow", nil)
		must(p.t, err)
		req.Header.Set("Authorization", "Bearer "+p.s.key)
		asked := time.Now()
		resp, err := c.Do(req)
		if err != nil {
			p.t.Fatalf("a command was not answered within %s: %v", within, err)
		}
		_ = resp.Body.Close()
		switch {
		case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
			refused++
		default:
			p.t.Fatalf("a command was answered with %s after %s, Retry-After %q", resp.Status, time.Since(asked), resp.Header.Get("Retry-After"))
		}
	}
	return refused
}
