package planrun

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// scriptGrace is how long a script has to end that was told to.
const scriptGrace = 2 * time.Second

// runProgram runs a program and everything it starts, in a process group that ends
// with the program or, asked first, with ctx. The group ends with this process, too.
func runProgram(ctx context.Context, path string, arguments, environment []string, printed *tail) error {
	watch, err := newGuard(ctx)
	if err != nil {
		return err
	}
	defer watch.dismiss()
	ended := make(chan error, 1)
	go func() {
		// The signal at the parent's death is bound to the thread that starts the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		cmd := exec.CommandContext(ctx, path, arguments...) //nolint:gosec // from the scripts directory, which is the administrator's
		cmd.Env, cmd.Dir = environment, filepath.Dir(path)
		cmd.Stdout, cmd.Stderr = printed, printed
		cmd.SysProcAttr = ownGroup()
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
		cmd.WaitDelay = scriptGrace
		err := cmd.Start()
		if err == nil {
			watch.over(cmd.Process.Pid)
			err = cmd.Wait()
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it has left in the background ends with it
		}
		if errors.Is(err, exec.ErrWaitDelay) { // only what it has left still held its output
			err = nil
		}
		ended <- err
	}()
	if err := <-ended; err != nil {
		return fmt.Errorf("run %s: %w", filepath.Base(path), errors.Join(err, ctx.Err()))
	}
	return nil
}

// guard is a process that ends a script's group when this one is gone, however it
// went: then nobody else does.
type guard struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser // ends with this process
}

func newGuard(ctx context.Context) (*guard, error) {
	script := fmt.Sprintf(`read -r group || exit 0; read -r gone; kill -TERM "-$group"; sleep %d; kill -KILL "-$group"`, scriptGrace/time.Second)
	g := &guard{cmd: exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", "-c", script)} //nolint:gosec // a constant
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if g.stdin, err = g.cmd.StdinPipe(); err == nil {
		err = g.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the guard of a script: %w", err)
	}
	return g, nil
}

// over tells the guard which group it is for.
func (g *guard) over(group int) {
	_, _ = fmt.Fprintln(g.stdin, group)
}

// dismiss ends the guard of a script that has ended.
func (g *guard) dismiss() {
	_ = g.cmd.Process.Kill() // before its input ends, which would be its call
	_ = g.cmd.Wait()
}

// keptOutput bounds what is kept of a script's output: the task keeps its end.
const keptOutput = 8 << 10

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
	cut  bool
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - keptOutput; over > 0 {
		t.kept, t.cut = append([]byte(nil), t.kept[over:]...), true
	}
	return len(p), nil
}

// text is the end of the output, as text that can be stored.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.ReplaceAll(strings.ToValidUTF8(string(t.kept), "?"), "\x00", "?")
	if t.cut {
		return "…" + text
	}
	return text
}
