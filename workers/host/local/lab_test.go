package local_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/host/hosttest"
	"farshore/workers/host/local"
)

// lab is a host process with one VM, whose guest writes numbered records.
type lab struct {
	*testing.T
	dir, socket, journal string
	vm                   site.VirtualMachine
	seeds                map[string][]byte
	client               *local.Client
	subject              *hosttest.Subject
}

func newLab(t *testing.T, words ...string) *lab {
	t.Helper()
	l := &lab{T: t, socket: filepath.Join(socketDir(t), "h.sock"), journal: filepath.Join(t.TempDir(), "journal"), seeds: map[string][]byte{}}
	l.dir, l.vm = site1(t, func(vm *site.VirtualMachine) {
		vm.Guest = &site.Guest{Command: append([]string{os.Args[0], "guest", l.journal}, words...), GraceSeconds: 2}
	})
	l.subject = subject(t, l.dir, l.socket, l.vm)
	for _, d := range l.vm.Disks {
		l.seeds[d.ID] = l.subject.Content(t, d.ID)
	}
	l.spawn()
	t.Cleanup(l.end)
	return l
}

func (l *lab) spawn() {
	l.Helper()
	c, err := local.Spawn(within(l), local.SpawnOptions{Program: os.Args[0], Args: []string{"host"}, Directory: l.dir, Socket: l.socket})
	if err != nil {
		p, _ := os.ReadFile(local.LogFile(l.dir))
		l.Fatalf("%v\n%s", err, p)
	}
	l.client, l.subject.Host = c, c
}

func (l *lab) end() {
	s, err := l.client.State(context.Background())
	if err != nil {
		return
	}
	for _, vm := range s.VMs {
		if vm.GuestPID > 0 {
			_ = syscall.Kill(-vm.GuestPID, syscall.SIGKILL)
		}
	}
	_ = syscall.Kill(s.PID, syscall.SIGKILL)
}

func (l *lab) state() local.State {
	l.Helper()
	s, err := l.client.State(within(l))
	must(l, err)
	return s
}

// kill ends the host process as nothing else can.
func (l *lab) kill() {
	l.Helper()
	l.signal(syscall.SIGKILL)
}

// signal ends the host process and waits until it is gone.
func (l *lab) signal(s syscall.Signal) {
	l.Helper()
	pid := l.state().PID
	must(l, syscall.Kill(pid, s))
	until(l, "the host is gone", func() bool { return syscall.Kill(pid, 0) != nil })
	if _, err := l.client.State(within(l)); errorcatalog.Of(err).Code != errorcatalog.HostUnreachable {
		l.Errorf("a host that is gone answered %v", err)
	}
}

func (l *lab) acknowledged() int {
	p, _ := os.ReadFile(l.journal)
	return strings.Count(string(p), "\n")
}

// more waits until the guest has written some more.
func (l *lab) more() {
	l.Helper()
	n := l.acknowledged() + 50
	until(l, "the guest has written to "+strconv.Itoa(n), func() bool { return l.acknowledged() >= n })
}

// judge compares the disks of the stopped VM with what the guest's journal says.
func (l *lab) judge() {
	l.Helper()
	for d, p := range l.replay(l.acknowledged()) {
		if !bytes.Equal(l.subject.Content(l.T, d), p) {
			l.Errorf("disk %s is not what its guest was told", d)
		}
	}
}

// replay returns the disks after the guest's first n records.
func (l *lab) replay(n int) map[string][]byte {
	disks := map[string][]byte{}
	for d, p := range l.seeds {
		disks[d] = bytes.Clone(p)
	}
	for i := 1; i <= n; i++ {
		d, off := recordAt(i)
		copy(disks[d][off:], record(i))
	}
	return disks
}

// newestRecord finds the highest number of the guest's records on a disk.
func newestRecord(p []byte) int {
	newest := 0
	for off := 0; off < len(p); off += recordSize {
		n, err := strconv.Atoi(strings.TrimSpace(string(p[off : off+16])))
		if err == nil && bytes.Equal(p[off:off+recordSize], record(n)) {
			newest = max(newest, n)
		}
	}
	return newest
}

// repeatUnderKill makes a call while the host is killed at some instant, and
// repeats it until it has an answer.
func (l *lab) repeatUnderKill(f func() error) {
	l.Helper()
	pid := l.state().PID
	killed := make(chan error, 1)
	delay := time.NewTimer(time.Duration(rand.Int64N(int64(15 * time.Millisecond))))
	go func() {
		<-delay.C
		killed <- syscall.Kill(pid, syscall.SIGKILL)
	}()
	err := f()
	must(l, <-killed)
	until(l, "the host is gone", func() bool { return syscall.Kill(pid, 0) != nil })
	l.spawn()
	if err != nil {
		if errorcatalog.Of(err).Code != errorcatalog.HostUnreachable {
			l.Fatal(err)
		}
		must(l, f())
	}
}
