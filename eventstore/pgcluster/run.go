package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxLog is the size at which the database's log is begun anew.
const maxLog = 8 << 20

// run is one life of the database.
type run struct {
	pid  int
	done chan struct{} // closed when the process has ended
	err  error         // how; read after done
}

// launch starts the postmaster. Pdeathsig is tied to the thread that forks, not
// to the process, so the child is started and awaited on a thread of its own.
func (c *Cluster) launch() (*run, error) {
	log, err := c.openLog()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(c.bin, "postgres"), "-D", c.dataDir) //nolint:gosec,noctx // ended by Halt, not by a context
	cmd.Dir = c.dataDir
	cmd.Env = []string{"PATH=" + c.bin, "LC_ALL=C", "TZ=UTC"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attached(c.account)
	if c.options.Detached {
		cmd.SysProcAttr = detached(c.account)
	}

	r := &run{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the child
		defer close(r.done)
		err := cmd.Start()
		closeErr := log.Close()
		if err != nil {
			started <- errors.Join(err, closeErr)
			return
		}
		r.pid = cmd.Process.Pid
		started <- nil
		r.err = cmd.Wait()
		if r.err == nil {
			r.err = errors.New("it ended")
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start the database in %s: %w", c.dataDir, err)
	}
	return r, nil
}

func (c *Cluster) openLog() (*os.File, error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(c.logFile()); err == nil && info.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	log, err := os.OpenFile(c.logFile(), flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the database's log: %w", err)
	}
	return log, nil
}

func (r *run) signal(sig syscall.Signal) error {
	select {
	case <-r.done:
		return os.ErrProcessDone
	default:
	}
	if err := syscall.Kill(r.pid, sig); err != nil {
		return fmt.Errorf("signal the database: %w", err)
	}
	return nil
}

// kill takes the backends along: each is a session of its own, so a signal to
// the group would miss them, and one that lives on bars the next start.
func (r *run) kill() {
	if r.signal(syscall.SIGSTOP) != nil {
		return
	}
	for _, pid := range children(r.pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = r.signal(syscall.SIGKILL)
	<-r.done
}

// stopLeftOver ends a postmaster that an earlier owner of the data directory has
// left behind. We hold the directory's lock, so nobody else can be using it.
func (c *Cluster) stopLeftOver(ctx context.Context) error {
	pid, err := Postmaster(c.dataDir)
	if err != nil || pid == 0 {
		return err
	}
	c.logger.WarnContext(ctx, "stopping a database left over from an earlier run", "pid", pid, "data_dir", c.dataDir)
	return StopPostmaster(ctx, c.dataDir)
}

// Postmaster finds the database that runs in a data directory by its pid file;
// 0 is none. The pid file of a dead one is removed, because its number may by now
// belong to a process that PostgreSQL would take for a living postmaster.
func Postmaster(dataDir string) (int, error) {
	path := filepath.Join(dataDir, "postmaster.pid")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the database's pid file: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err == nil && isPostmaster(pid, dataDir) {
		return pid, nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("remove the pid file of a dead database: %w", err)
	}
	return 0, nil
}

// StopPostmaster ends the database that runs in a data directory, whoever started
// it, and returns when it has gone.
func StopPostmaster(ctx context.Context, dataDir string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	const patience = 250 // ticks: 5 s for a fast shutdown, then at once
	for n := 0; ; n++ {
		pid, err := Postmaster(dataDir)
		if err != nil || pid == 0 {
			return err
		}
		switch n {
		case 0:
			_ = syscall.Kill(pid, syscall.SIGINT)
		case patience:
			_ = syscall.Kill(pid, syscall.SIGQUIT)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stop the database in %s: %w", dataDir, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
