package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"farshore/domain/errorcatalog"
)

// watchInterval is how long a watcher of a guest is deaf to the engine's end, in
// milliseconds.
const watchInterval = 200

// gatekeeper starts a guest only once its process is on record, so that a host
// killed in between leaves no guest that nobody knows.
const gatekeeper = `read -r go <&3 || exit 125; exec 3<&-; exec "$@"`

// guest is the process that plays a VM's operating system.
type guest struct {
	record guestRecord
	cmd    *exec.Cmd     // nil for one that an earlier host process started
	gone   chan struct{} // closed once the VM is off
	err    error         // of switching off; read after gone
	asked  atomic.Bool   // to shut down
	again  bool          // to be started once it has shut down; guarded by the machine
	seen   atomic.Bool   // whether a client has been connected since this process began
}

type guestRecord struct {
	PID    int    `json:"pid"`
	Start  string `json:"start"` // in clock ticks since boot: tells a PID from its next bearer
	BootID string `json:"bootId"`
}

func (m *machine) ownFile(prefix, suffix string) string {
	return filepath.Join(m.e.o.Directory, ownFolder, prefix+"-"+m.id()+suffix)
}

func (m *machine) guestFile() string { return m.ownFile("guest", ".json") }

// findGuest returns the guest that an earlier process started, if it lives.
func (m *machine) findGuest() (*guest, error) {
	var r guestRecord
	if err := loadJSON(m.guestFile(), &r); err != nil {
		return nil, err
	}
	if !m.lives(r) {
		return nil, nil //nolint:nilnil // no guest is no error
	}
	return &guest{record: r, gone: make(chan struct{})}, nil
}

// lives says whether the process on record is still the one.
func (m *machine) lives(r guestRecord) bool {
	return r.PID > 0 && r.BootID == m.e.boot && r.Start != "" && processStart(r.PID) == r.Start
}

// processStart returns when a process was started, or "" when it is gone.
func processStart(pid int) string {
	p, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// The name, in parentheses, may hold anything.
	i := bytes.LastIndexByte(p, ')')
	fields := strings.Fields(string(p[i+1:]))
	const state, start = 0, 19
	if i < 0 || len(fields) <= start || fields[state] == "Z" || fields[state] == "X" {
		return ""
	}
	return fields[start]
}

// spawn starts the guest's process.
func (m *machine) spawn() (*guest, error) {
	g := &guest{gone: make(chan struct{})}
	log, err := os.OpenFile(m.ownFile("guest", ".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		defer log.Close() //nolint:errcheck // the child has its own
		g.cmd, g.record, err = m.launch(m.vm.Load().Guest.Command, log, func(r guestRecord) error { return saveJSON(m.guestFile(), r) })
	}
	if err != nil {
		return nil, errorcatalog.Fail(errorcatalog.GuestStartFailed, "guest of VM %s", m.id()).Because(err)
	}
	return g, nil
}

// launch starts a command in the VM's folder, in a session of its own, once keep
// has put its process on record.
func (m *machine) launch(command []string, log *os.File, keep func(guestRecord) error) (*exec.Cmd, guestRecord, error) {
	var r guestRecord
	program := command[0]
	if strings.Contains(program, "/") && !filepath.IsAbs(program) {
		program = m.path(program)
	}
	if _, err := exec.LookPath(program); err != nil {
		return nil, r, fmt.Errorf("find program: %w", err)
	}
	gate, open, err := os.Pipe()
	if err != nil {
		return nil, r, fmt.Errorf("make pipe: %w", err)
	}
	defer open.Close()                                                                                      //nolint:errcheck // closing it unopened ends the child
	cmd := exec.Command("/bin/sh", append([]string{"-c", gatekeeper, "guest", program}, command[1:]...)...) //nolint:gosec,noctx // the owner of the VM names its guest, which outlives this process
	cmd.Dir, cmd.Stdout, cmd.Stderr = m.dir, log, log
	cmd.Env = append(cmd.Environ(), "FARSHORE_VM="+m.id())
	if m.stack != nil {
		for _, x := range m.stack.exports {
			cmd.Env = append(cmd.Env, variable(x.disk)+"="+x.socket)
		}
	}
	if m.guest != nil {
		cmd.Env = append(cmd.Env, "FARSHORE_GUEST_PID="+strconv.Itoa(m.guest.record.PID))
	}
	cmd.ExtraFiles = []*os.File{gate}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = gate.Close()
	if err != nil {
		return nil, r, fmt.Errorf("start: %w", err)
	}
	r = guestRecord{PID: cmd.Process.Pid, Start: processStart(cmd.Process.Pid), BootID: m.e.boot}
	if err = keep(r); err == nil {
		_, err = open.WriteString("go\n")
	}
	if err != nil {
		_ = open.Close()
		_ = cmd.Wait()
		return nil, r, fmt.Errorf("put on record: %w", err)
	}
	return cmd, r, nil
}

// watch waits for the guest's end and switches the VM off then.
func (m *machine) watch(ctx context.Context, g *guest) {
	m.e.watchers.Go(func() {
		if err := g.wait(ctx, m.connected); err != nil {
			return // the host ends; the next process takes the guest up
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		lost := g.cmd == nil && !g.seen.Load() && !g.asked.Load()
		g.err = m.switchOff() //nolint:contextcheck // an end is not cut short
		if (lost || g.again) && m.power.Active {
			// It had lost its disks with the process before and ended of it, or was
			// wanted again while it shut down.
			m.e.o.Log.InfoContext(ctx, "guest started again", "vm", m.id(), "lost", lost)
			g.err = errors.Join(g.err, m.start(ctx))
		}
		if g.err != nil {
			m.e.o.Log.ErrorContext(ctx, "VM switched off badly", "vm", m.id(), "error", g.err)
		}
		close(g.gone)
	})
}

// connected tells whether a client uses one of the VM's exports now.
func (m *machine) connected() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stack == nil {
		return false
	}
	return slices.ContainsFunc(m.stack.exports, func(x *export) bool { return x.server.Connections() > 0 })
}

// wait returns nil once the process has ended.
func (g *guest) wait(ctx context.Context, connected func() bool) error {
	fd, err := unix.PidfdOpen(g.record.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("watch guest: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	for {
		if !g.seen.Load() && connected() {
			g.seen.Store(true)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, watchInterval) //nolint:gosec // a descriptor fits
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("watch guest: %w", err)
		case n > 0:
			if g.cmd != nil {
				_ = g.cmd.Wait()
			}
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

// signal sends a signal to the guest and everything it has started.
func (g *guest) signal(s syscall.Signal) error {
	if err := syscall.Kill(-g.record.PID, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal guest: %w", err)
	}
	return nil
}
