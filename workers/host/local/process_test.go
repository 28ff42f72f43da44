package local_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/host"
	"farshore/workers/host/hosttest"
	"farshore/workers/host/local"
)

func TestPlannedStopLosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := hosttest.NewReplica(t, l.subject)
	must(t, l.client.StartReplication(within(t), l.vm.ID, hosttest.Relationship(l.subject)))
	must(t, l.client.Start(within(t), l.vm.ID))
	for range 3 {
		l.more()
		r.Follow("")
	}
	must(t, l.client.Stop(within(t), l.vm.ID))
	if p, err := l.client.PowerState(within(t), l.vm.ID); err != nil || p != site.Off {
		t.Errorf("stopped VM is %s, %v", p, err)
	}
	r.Follow("")
	r.Equals("after the last cut")
	l.judge()
}

func TestKilledHostLosesNoWriteAndItsGuestComesBack(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := hosttest.NewReplica(t, l.subject)
	must(t, l.client.StartReplication(within(t), l.vm.ID, hosttest.Relationship(l.subject)))
	must(t, l.client.Start(within(t), l.vm.ID))
	l.more()
	r.Follow("initial")
	at := map[string][]byte{}
	for d, p := range r.Disks {
		at[d] = bytes.Clone(p)
	}
	reader, err := l.client.OpenSnapshot(within(t), l.vm.ID, "initial", "os")
	must(t, err)
	half := make([]byte, diskSize/2)
	_, err = reader.ReadAt(half, 0)
	must(t, err)
	must(t, reader.Close())
	for i := range 4 {
		l.more()
		guest := l.state().VMs[0].GuestPID
		if i == 2 {
			l.signal(syscall.SIGTERM)
		} else {
			l.signal(syscall.SIGKILL)
		}
		l.spawn()
		if now := l.state().VMs[0].GuestPID; now != guest {
			t.Errorf("guest %d became %d", guest, now)
		}
		l.more()
		r.Follow("")
	}
	reader, err = l.client.OpenSnapshot(within(t), l.vm.ID, "initial", "os")
	must(t, err)
	rest := make([]byte, diskSize/2)
	_, err = reader.ReadAt(rest, diskSize/2)
	must(t, err)
	must(t, reader.Close())
	if !bytes.Equal(slices.Concat(half, rest), at["os"]) {
		t.Error("the snapshot has changed across the restarts")
	}
	must(t, l.client.Stop(within(t), l.vm.ID))
	r.Follow("")
	r.Equals("after the last stop")
	l.judge()
	must(t, l.client.StopReplication(within(t), l.vm.ID))
	if rest := l.subject.Left(t); len(rest) > 0 {
		t.Errorf("stopped replication has left %v", rest)
	}
}

func TestSnapshotIsOneInstantOfAllDisks(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	must(t, l.client.Start(within(t), l.vm.ID))
	for i := range 6 {
		l.more()
		id := "s" + strconv.Itoa(i)
		before := l.acknowledged()
		must(t, l.client.CreateSnapshot(within(t), l.vm.ID, id))
		l.more()
		got, newest := map[string][]byte{}, 0
		for d := range l.seeds {
			r, err := l.client.OpenSnapshot(within(t), l.vm.ID, id, d)
			must(t, err)
			got[d] = hosttest.Content(t, r)
			newest = max(newest, newestRecord(got[d]))
		}
		if newest < before {
			t.Errorf("record %d had been acknowledged, the snapshot ends with %d", before, newest)
		}
		for d, want := range l.replay(newest) {
			if !bytes.Equal(got[d], want) {
				t.Errorf("disk %s is not as it was when record %d had been written", d, newest)
			}
		}
	}
	must(t, l.client.Stop(within(t), l.vm.ID))
	l.judge()
}

func TestKillsDuringCutsAndReleasesLeaveAWholeChain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	r := hosttest.NewReplica(t, l.subject)
	must(t, l.client.StartReplication(within(t), l.vm.ID, hosttest.Relationship(l.subject)))
	must(t, l.client.Start(within(t), l.vm.ID))
	l.more()
	var shipped []string
	for i := range 8 {
		req := host.CutRequest{ID: uuid.NewString(), Snapshot: "s" + strconv.Itoa(i)}
		var c host.Cut
		l.repeatUnderKill(func() (err error) {
			c, err = l.client.Cut(within(t), l.vm.ID, req)
			return err
		})
		r.Apply(c)
		shipped = append(shipped, c.ID)
		for i%2 == 0 && len(shipped) > 0 {
			l.repeatUnderKill(func() error { return l.client.ReleaseCut(within(t), l.vm.ID, shipped[0]) })
			shipped = shipped[1:]
		}
		l.repeatUnderKill(func() error { return l.client.DeleteSnapshot(within(t), l.vm.ID, req.Snapshot) })
	}
	l.more()
	must(t, l.client.Stop(within(t), l.vm.ID))
	r.Follow("")
	r.Equals("after kills during cuts")
	l.judge()
	must(t, l.client.StopReplication(within(t), l.vm.ID))
	if rest := l.subject.Left(t); len(rest) > 0 {
		t.Errorf("stopped replication has left %v", rest)
	}
}

func TestGuestThatDiedWithItsHostIsStartedAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t, "mortal")
	r := hosttest.NewReplica(t, l.subject)
	must(t, l.client.StartReplication(within(t), l.vm.ID, hosttest.Relationship(l.subject)))
	must(t, l.client.Start(within(t), l.vm.ID))
	l.more()
	l.kill()
	l.spawn()
	l.more()
	must(t, l.client.Stop(within(t), l.vm.ID))
	r.Follow("")
	r.Equals("after the restart")
	l.judge()
}

func TestVMThatMustNotRunStaysOffAfterTheHostsRestart(t *testing.T) {
	t.Parallel()
	l := newLab(t, "mortal")
	must(t, l.client.Start(within(t), l.vm.ID))
	l.more()
	must(t, l.client.SetActive(within(t), l.vm.ID, false))
	guest := l.state().VMs[0].GuestPID
	l.kill()
	until(t, "the guest has ended", func() bool { return syscall.Kill(-guest, 0) != nil })
	l.spawn()
	if s := l.state().VMs[0]; s.Power != site.Off || s.Active {
		t.Errorf("VM is %+v", s)
	}
}

func TestGuestThatIgnoresItsShutdownIsLeftRunning(t *testing.T) {
	t.Parallel()
	l := newLab(t, "stubborn")
	must(t, l.client.Start(within(t), l.vm.ID))
	l.more()
	err := l.client.Stop(within(t), l.vm.ID)
	if errorcatalog.Of(err).Code != errorcatalog.GuestShutdownTimeout {
		t.Fatalf("stop answered %v", err)
	}
	if p, err := l.client.PowerState(within(t), l.vm.ID); err != nil || p != site.Running {
		t.Errorf("VM is %s, %v", p, err)
	}
	l.more()
	own(t, l.dir, l.vm.ID)
	must(t, l.client.DeleteVM(within(t), l.vm.ID, owner))
	if _, err := os.Stat(filepath.Join(l.dir, l.vm.ID)); !os.IsNotExist(err) {
		t.Errorf("folder of the deleted VM: %v", err)
	}
}

func TestGuestThatIsWantedAgainWhileItShutsDownIsStartedAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t, "reluctant")
	tooSlow := func() {
		t.Helper()
		if err := l.client.Stop(within(t), l.vm.ID); errorcatalog.Of(err).Code != errorcatalog.GuestShutdownTimeout {
			t.Fatalf("stop answered %v", err)
		}
	}
	must(t, l.client.Start(within(t), l.vm.ID))
	l.more()
	first := l.state().VMs[0].GuestPID
	tooSlow()
	must(t, l.client.Start(within(t), l.vm.ID))
	must(t, os.WriteFile(l.journal+".end", nil, 0o600))
	until(t, "another guest runs", func() bool {
		s := l.state().VMs[0]
		return s.Power == site.Running && s.GuestPID > 0 && s.GuestPID != first
	})
	must(t, os.Remove(l.journal+".end"))
	l.more()
	tooSlow()
	must(t, l.client.Start(within(t), l.vm.ID))
	tooSlow() // the last word counts
	must(t, os.WriteFile(l.journal+".end", nil, 0o600))
	until(t, "the VM is off", func() bool { return l.state().VMs[0].Power == site.Off })
	l.judge()
}

func TestGuestThatEndsByItselfSwitchesItsVMOff(t *testing.T) {
	t.Parallel()
	l := newLab(t, "brief")
	must(t, l.client.Start(within(t), l.vm.ID))
	until(t, "the VM is off", func() bool { return l.state().VMs[0].Power == site.Off })
	l.judge()
	if s := l.state().VMs[0]; len(s.Exports) != 0 || s.GuestPID != 0 {
		t.Errorf("VM is off and has %+v", s)
	}
	l.kill()
	l.spawn()
	if s := l.state().VMs[0]; s.Power != site.Off {
		t.Errorf("after the restart the VM is %s", s.Power)
	}
}

func TestGuestThatCannotBeStartedLeavesItsVMOff(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, func(vm *site.VirtualMachine) { vm.Guest = &site.Guest{Command: []string{"./no-such-guest"}} })
	e := engine(t, options(dir, filepath.Join(socketDir(t), "h.sock")))
	if err := e.Start(within(t), vm.ID); errorcatalog.Of(err).Code != errorcatalog.GuestStartFailed {
		t.Errorf("start answered %v", err)
	}
	if p, err := e.PowerState(within(t), vm.ID); err != nil || p != site.Off {
		t.Errorf("VM is %s, %v", p, err)
	}
}

func TestHostOutlivesWhoeverSpawnedIt(t *testing.T) {
	t.Parallel()
	dir, _ := site1(t, nil)
	socket := filepath.Join(socketDir(t), "h.sock")
	spawner := exec.Command(os.Args[0], "spawner", dir, socket) //nolint:noctx // this test's own binary, which is killed
	spawner.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, spawner.Start())
	c := local.Dial(socket)
	var pid int
	until(t, "the host answers", func() bool {
		s, err := c.State(context.Background())
		pid = s.PID
		return err == nil
	})
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	must(t, syscall.Kill(-spawner.Process.Pid, syscall.SIGKILL))
	_ = spawner.Wait()
	adopted, err := local.Spawn(within(t), local.SpawnOptions{Program: "/nonexistent", Directory: dir, Socket: socket})
	must(t, err)
	s, err := adopted.State(within(t))
	must(t, err)
	if s.PID != pid || s.Directory != dir || s.Version != "test" {
		t.Errorf("adopted %+v, not process %d", s, pid)
	}
	other := filepath.Join(filepath.Dir(socket), "other.sock")
	_, err = local.Spawn(within(t), local.SpawnOptions{Program: os.Args[0], Args: []string{"host"}, Directory: dir, Socket: other})
	if errorcatalog.Of(err).Code != errorcatalog.HostUnreachable || !strings.Contains(err.Error(), "ended at once") {
		t.Errorf("a second host of the directory answered %v", err)
	}
}

func TestHostSpawnedFromTwoSidesIsOneProcess(t *testing.T) {
	t.Parallel()
	dir, _ := site1(t, nil)
	socket := filepath.Join(socketDir(t), "h.sock")
	var pids [4]int
	var g errgroup.Group
	for i := range pids {
		g.Go(func() error {
			c, err := local.Spawn(within(t), local.SpawnOptions{Program: os.Args[0], Args: []string{"host"}, Directory: dir, Socket: socket})
			if err != nil {
				return err
			}
			s, err := c.State(within(t))
			pids[i] = s.PID
			return err
		})
	}
	must(t, g.Wait())
	t.Cleanup(func() { _ = syscall.Kill(pids[0], syscall.SIGKILL) })
	if pids[0] == 0 || pids != [4]int{pids[0], pids[0], pids[0], pids[0]} {
		t.Errorf("processes are %v", pids)
	}
}

func TestUnreachableHostIsToldFromACanceledCall(t *testing.T) {
	t.Parallel()
	c := local.Dial(filepath.Join(socketDir(t), "none.sock"))
	if _, err := c.VirtualMachines(within(t)); errorcatalog.Of(err).Code != errorcatalog.HostUnreachable {
		t.Errorf("answered %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := c.Cut(ctx, "vm1", host.CutRequest{ID: uuid.NewString()})
	if err == nil || errorcatalog.Of(err).Code == errorcatalog.HostUnreachable {
		t.Errorf("canceled call answered %v", err)
	}
}
