package local

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"farshore/domain/errorcatalog"
)

// SpawnOptions say how a host process is started.
type SpawnOptions struct {
	// Program and Args are the command to which "--directory D --socket S" is
	// appended: "farshore", "host".
	Program   string
	Args      []string
	Env       []string // added to this process's own
	Directory string
	Socket    string
	// Inhabited says that the directory holds VMs, or has held some.
	Inhabited bool
	// Patience is how long the process may take until it answers; 20 s when zero.
	// It has to bring every VM of the directory back first.
	Patience time.Duration
}

const (
	defaultPatience = 20 * time.Second
	// rivalPatience is for the case that somebody else has started a process for
	// the directory a moment before: ours has ended, theirs will answer.
	rivalPatience = time.Second
	askInterval   = 20 * time.Millisecond
)

// Spawn returns a client of the directory's host process: the one that lives, or
// else one that it starts. The process stands on its own: the end of this one,
// however it comes, does not touch it.
func Spawn(ctx context.Context, o SpawnOptions) (*Client, error) {
	dir, err := filepath.Abs(o.Directory)
	if err != nil {
		return nil, fmt.Errorf("resolve directory: %w", err)
	}
	c := Dial(o.Socket)
	if s, err := c.State(ctx); err == nil {
		if s.Directory != dir {
			return nil, errorcatalog.Fail(errorcatalog.HostUnreachable, "the process at %s serves %s", o.Socket, s.Directory)
		}
		return c, nil
	}
	if o.Inhabited && emptied(dir) {
		return nil, errorcatalog.Fail(errorcatalog.HostDirectoryUnusable,
			"directory %s is empty, and its host has held VMs; if that is how it is meant to be, make the folder %s in it", dir, ownFolder)
	}
	child, err := startProcess(o, dir)
	if errorcatalog.Of(orNone(err)).Code == errorcatalog.HostDirectoryUnusable {
		return nil, err
	}
	if err != nil {
		return nil, errorcatalog.Fail(errorcatalog.HostUnreachable, "start of the host process of %s", dir).Because(err)
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	return c, awaitState(ctx, c, o, child)
}

// child is a host process that was started here.
type child struct {
	pid   int
	ended <-chan error
}

// startProcess starts a host process as the leader of a session of its own.
func startProcess(o SpawnOptions, dir string) (*child, error) {
	if err := makeOwnFolder(dir); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(LogFile(dir), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open host log: %w", err)
	}
	defer log.Close() //nolint:errcheck // the child has its own
	args := append(append([]string(nil), o.Args...), "--directory", dir, "--socket", o.Socket)
	cmd := exec.Command(o.Program, args...) //nolint:gosec,noctx // the caller's own program, which outlives this one
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append(cmd.Environ(), o.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	ended := make(chan error, 1)
	// Nobody waits for this goroutine: it only reaps a process that may well
	// outlive this one.
	go func() { ended <- cmd.Wait() }()
	return &child{pid: cmd.Process.Pid, ended: ended}, nil
}

// awaitState waits until the process answers, or has ended because another does.
func awaitState(ctx context.Context, c *Client, o SpawnOptions, p *child) error {
	deadline := time.NewTimer(o.Patience)
	defer deadline.Stop()
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	failure := errorcatalog.Fail(errorcatalog.HostUnreachable, "the host process of %s does not answer after %s, see %s", o.Directory, o.Patience, LogFile(o.Directory))
	gone := false
	for {
		s, err := c.State(ctx)
		if err == nil && (s.PID == p.pid || gone) {
			return nil
		}
		select {
		case err := <-p.ended:
			gone = true
			failure = errorcatalog.Fail(errorcatalog.HostUnreachable, "the host process of %s ended at once, see %s: %v", o.Directory, LogFile(o.Directory), err)
			deadline.Reset(rivalPatience)
		case <-deadline.C:
			if err == nil { // it is one, whoever started it
				return nil
			}
			return failure
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("start host process: %w", ctx.Err())
		}
	}
}
