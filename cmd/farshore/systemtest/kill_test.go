package systemtest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/cmd/farshore/demo"
	"farshore/workers/replica"
	"farshore/workers/replica/pageblob"
	"farshore/workers/replica/pageblob/azurite"
)

// victim is what is killed while it works.
type victim struct {
	worker    func() *process // which does the work, and stands still when the victim is killed
	kill      func()
	meanwhile func(vm demo.VM) // while it is dead
	shipped   bool             // a delta is interrupted once it was shipped, not before
	revive    func()
}

// step is how long a worker that is watched works between two looks.
const step = 10 * time.Millisecond

// strike kills once a moment has come, and says whether it did before the moment
// was over. The worker is stopped for each look, so that what it is caught at is not
// over by the time of the kill.
func (v victim) strike(t *testing.T, what string, look func() (come, over bool)) bool {
	t.Helper()
	w, caught := v.worker(), false
	watch(t, long, step, what, func() bool {
		w.signal(syscall.SIGSTOP)
		come, over := look()
		caught = come && !over
		if !come && !over {
			w.signal(syscall.SIGCONT)
		}
		return come || over
	})
	if caught {
		v.kill()
	}
	w.signal(syscall.SIGCONT) // if it is not the victim itself
	return caught
}

func TestAKilledServerIsNotNoticedByGuestsAndGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	p := newPlace(t, s)
	vm := demo.VM{Name: "web", Disks: []int64{96 * mib, 384 * mib}, Filled: true, Pause: 20 * time.Millisecond}
	p.boot(vm)
	hosts, guests, sockets := p.hostPIDs(), p.guestPIDs(vm), p.sockets(vm)
	v := victim{worker: func() *process { return s.proc }, kill: func() { s.proc.kill() }, revive: func() { must(t, s.start()) }}
	v.meanwhile = func(vm demo.VM) { p.grows(vm, "the guest writes while the server is dead") }
	p.surviveInitialReplication(vm, v)
	p.surviveDelta(vm, v)
	if !slices.Equal(hosts, p.hostPIDs()) || !slices.Equal(guests, p.guestPIDs(vm)) || !slices.Equal(sockets, p.sockets(vm)) {
		t.Errorf("host %v, guest %v, its sockets %v are now %v, %v, %v", hosts, guests, sockets, p.hostPIDs(), p.guestPIDs(vm), p.sockets(vm))
	}
	p.unblemished(vm)
}

func TestAKilledWorkersWorkIsTakenOverByAnother(t *testing.T) {
	t.Parallel()
	s := ownServer(t, "--workers=0")
	p := newPlace(t, s)
	p.useBlobs()
	vm := demo.VM{Name: "web", Disks: []int64{64 * mib, 160 * mib}, Filled: true, Pause: 20 * time.Millisecond}
	p.boot(vm)
	var w *process
	hire := func() {
		var err error
		w, err = launch(s.data+".worker.log", "worker", "--data", s.data)
		must(t, err)
		t.Cleanup(w.stop)
	}
	hire()
	v := victim{worker: func() *process { return w }, kill: func() { w.kill() }, revive: hire, shipped: true}
	v.meanwhile = func(vm demo.VM) { p.grows(vm, "the guest writes while there is no worker") }
	p.surviveInitialReplication(vm, v)
	p.surviveDelta(vm, v)
	p.unblemished(vm)
}

func TestAKilledHostIsStartedAgainAndItsLogsAreRecovered(t *testing.T) {
	t.Parallel()
	s := commonServer(t)
	p := newPlace(t, s)
	vm := demo.VM{Name: "killed-host", Disks: []int64{96 * mib, 384 * mib}, Filled: true, Pause: 20 * time.Millisecond}
	p.boot(vm)
	guests := p.guestPIDs(vm)
	aimed := p.hostPIDs() // beforehand: looking for processes takes a while
	v := victim{worker: func() *process { return s.proc }, revive: func() {}, kill: func() {
		for _, pid := range aimed {
			must(t, syscall.Kill(pid, syscall.SIGKILL))
		}
	}}
	v.meanwhile = func(vm demo.VM) {
		eventually(t, patience, "the server has started another host process", func() bool {
			now := p.hostPIDs()
			if len(now) != 1 || slices.Equal(now, aimed) {
				return false
			}
			aimed = now
			return true
		})
		p.grows(vm, "the guest has reconnected and writes")
	}
	p.surviveInitialReplication(vm, v)
	p.surviveDelta(vm, v)
	if !slices.Equal(guests, p.guestPIDs(vm)) {
		t.Errorf("guest %v is now %v", guests, p.guestPIDs(vm))
	}
	p.unblemished(vm)
}

// useBlobs replaces the place's store by page blobs.
func (p *place) useBlobs() {
	p.t.Helper()
	z, err := azurite.Start(p.t.Context(), azurite.Options{NPMDir: filepath.Join("..", "..", "..", "deploy", "npm")})
	must(p.t, err)
	p.t.Cleanup(func() { _ = z.Stop() })
	secret := filepath.Join(p.Root, "azurite.key")
	must(p.t, os.WriteFile(secret, []byte(azurite.Key+"\n"), 0o600))
	in := oapi.StorageAccountInput{
		Name: "Azurite", Kind: oapi.StorageAccountKindAzurePageBlob, Endpoint: new(z.ServiceURL()), Container: new("replicas"), Credential: new("file:" + secret),
	}
	p.useStore(in, func() replica.Store {
		credential, err := pageblob.ParseCredential(azurite.Key, z.ServiceURL())
		must(p.t, err)
		store, err := pageblob.New(pageblob.Options{ServiceURL: z.ServiceURL(), Container: "replicas", Credential: credential, Now: time.Now})
		must(p.t, err)
		return store
	})
}

// sockets are the guest's connections to its disks: a connection that is made
// anew is another.
func (p *place) sockets(vm demo.VM) (open []string) {
	p.t.Helper()
	for _, pid := range p.guestPIDs(vm) {
		dir := fmt.Sprintf("/proc/%d/fd", pid)
		entries, err := os.ReadDir(dir)
		must(p.t, err)
		for _, e := range entries {
			if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && strings.HasPrefix(to, "socket:") {
				open = append(open, to)
			}
		}
	}
	slices.Sort(open)
	return open
}

// copied is how far the lane's checkpoint says that the disks were copied.
func (p *place) copied(vm demo.VM) map[string]int64 {
	var text *string
	err := p.s.pool.QueryRow(p.t.Context(), `SELECT checkpoint::text FROM lanes WHERE item = $1 AND kind = 'replication'`, vault+"."+vm.Name).Scan(&text)
	if err != nil || text == nil {
		return nil
	}
	var c struct {
		Disks map[string]struct {
			Offset int64 `json:"offset"`
		} `json:"disks"`
	}
	must(p.t, json.Unmarshal([]byte(*text), &c))
	out := map[string]int64{}
	for d, at := range c.Disks {
		out[d] = at.Offset
	}
	return out
}

// transferred is the progress of a disk: what was done, and when that was noted.
func (p *place) transferred(vm demo.VM, disk string) (done int64, at time.Time) {
	const query = `SELECT bytes_done, updated_at FROM transfer_progress WHERE item = $1 AND disk = $2 ORDER BY updated_at DESC LIMIT 1`
	if p.s.pool.QueryRow(p.t.Context(), query, vault+"."+vm.Name, disk).Scan(&done, &at) != nil {
		return 0, time.Time{}
	}
	return done, at
}

// tries is how often a moment that was missed is waited for again.
const tries = 5

// surviveInitialReplication kills while the second disk is being copied. What was
// copied before is not copied again.
func (p *place) surviveInitialReplication(vm demo.VM, v victim) {
	t := p.t
	t.Helper()
	const first, second = "os", "data1"
	var before map[string]int64
	var ended time.Time
	for try := 0; ; try++ {
		done := p.counted(vm, "initial_replication_completed")
		p.enable(vm)
		if v.strike(t, "the second disk is being copied", func() (come, over bool) {
			before = p.copied(vm)
			_, ended = p.transferred(vm, first)
			over = before[second] >= vm.Disks[1] || p.counted(vm, "initial_replication_completed") > done
			return before[first] == vm.Disks[0] && before[second] > 0, over
		}) {
			break
		}
		if try == tries {
			t.Fatalf("the copy had ended whenever it was to be interrupted: %v", before)
		}
		p.becomesProtected(vm)
		p.disable(vm)
	}
	killed := time.Now()
	v.meanwhile(vm)
	v.revive()
	eventually(t, long, vm.Name+" is protected", func() bool {
		if done, at := p.transferred(vm, second); at.After(killed) && done < before[second] {
			t.Fatalf("the copy began again: it is at %d, it had been at %d", done, before[second])
		}
		return p.item(vm).ProtectionState == oapi.ProtectionStateProtected
	})
	if _, again := p.transferred(vm, first); !again.Equal(ended) {
		t.Errorf("the first disk, copied by %s, was copied again until %s", ended, again)
	}
	p.prove(vm, p.points(vm)[0])
	p.proveNext(vm)
}

const cutMade = "a cut was made"

// surviveDelta kills when a cut was made and has not been shipped, and when it
// was shipped and is not applied.
func (p *place) surviveDelta(vm demo.VM, v victim) {
	t := p.t
	t.Helper()
	for _, moment := range []struct {
		name string
		sign func() int
	}{
		{cutMade, func() int {
			cuts, err := filepath.Glob(filepath.Join(p.Source(), vm.Name, "cut-*.json"))
			must(t, err)
			return len(cuts)
		}},
		{"a cut was shipped", func() int { return p.counted(vm, "delta_shipped") }},
	} {
		if v.shipped && moment.name == cutMade {
			continue
		}
		caught := false
		for try := 0; try < tries && !caught; try++ {
			was, points := moment.sign(), p.counted(vm, "recovery_point_created")
			p.replicate(vm)
			caught = v.strike(t, moment.name, func() (come, over bool) {
				return moment.sign() > was, p.counted(vm, "recovery_point_created") > points
			})
			if !caught {
				continue
			}
			v.meanwhile(vm)
			v.revive()
			eventually(t, long, "the interrupted delta is a recovery point", func() bool { return p.counted(vm, "recovery_point_created") > points })
			p.proveNext(vm)
		}
		if !caught {
			t.Errorf("%s: every delta was complete before it could be interrupted", moment.name)
		}
	}
}
