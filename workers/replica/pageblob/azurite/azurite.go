// Package azurite runs the storage emulator that tests and the demonstration
// use in the place of a storage account.
//
// It is an emulator, not a store: it loses what it acknowledged when it is
// killed, and it checks none of the checksums that it is sent.
package azurite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The account that every emulator has; its key is public.
const (
	Account = "devstoreaccount1"
	Key     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// script is the emulator's program within NPMDir.
const script = "node_modules/azurite/dist/src/blob/main.js"

// Options say where the emulator is and where it keeps its data.
type Options struct {
	NPMDir   string        // the folder with its package.json; packages are installed there when missing
	Location string        // of the data; empty: a temporary folder, removed by Stop
	Grace    time.Duration // between the request to stop and the end by force; 0: ten seconds
}

// Server is a running emulator.
type Server struct {
	url       string
	grace     time.Duration
	temporary string
	process   *os.Process
	exited    chan struct{}
	stop      sync.Once
}

// Start installs the emulator if it is missing, starts it on a free loopback
// port and returns when it answers. It ends with this process at the latest.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := install(ctx, o.NPMDir); err != nil {
		return nil, err
	}
	s := &Server{grace: o.Grace, exited: make(chan struct{})}
	if s.grace == 0 {
		s.grace = 10 * time.Second
	}
	if o.Location == "" {
		dir, err := os.MkdirTemp("", "farshore-azurite-")
		if err != nil {
			return nil, fmt.Errorf("make folder for azurite: %w", err)
		}
		s.temporary, o.Location = dir, dir
	}
	if err := s.start(ctx, o); err != nil {
		s.clean()
		return nil, err
	}
	return s, nil
}

// ServiceURL is where the account's blobs are.
func (s *Server) ServiceURL() string { return s.url + "/" + Account }

// Exited is closed when the process has ended.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Stop asks the emulator to write what it holds and end, and waits for it.
func (s *Server) Stop() error {
	var err error
	s.stop.Do(func() {
		err = s.terminate()
		s.clean()
	})
	return err
}

func (s *Server) terminate() error {
	if err := s.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop azurite: %w", err)
	}
	timer := time.NewTimer(s.grace)
	defer timer.Stop()
	select {
	case <-s.exited:
		return nil
	case <-timer.C:
	}
	if err := s.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill azurite: %w", err)
	}
	<-s.exited
	return errors.New("stop azurite: it had to be killed")
}

func (s *Server) clean() {
	if s.temporary != "" {
		_ = os.RemoveAll(s.temporary) // a temporary folder: whatever is left goes with the machine's
	}
}

func (s *Server) start(ctx context.Context, o Options) error {
	//nolint:gosec,noctx // the emulator in the folder the caller named; it outlives the context of its start
	cmd := exec.Command("node", filepath.Join(o.NPMDir, script), "--blobHost", "127.0.0.1", "--blobPort", "0",
		"--location", o.Location, "--skipApiVersionCheck", "--loose", "--disableTelemetry", "--silent")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start azurite: %w", err)
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	lines := make(chan string, 1)
	started := make(chan error, 1)
	go s.run(cmd, out, started, lines)
	if err := <-started; err != nil {
		return fmt.Errorf("start azurite: %w", err)
	}
	select {
	case s.url = <-lines:
		return nil
	case <-s.exited:
		return fmt.Errorf("start azurite: it ended: %s", complaints.String())
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("start azurite: %w", context.Cause(ctx)), s.terminate())
	}
}

// run is the whole life of the process. Its thread stays locked: the kernel
// signals the child when the thread that started it ends, not the process.
func (s *Server) run(cmd *exec.Cmd, out io.Reader, started chan<- error, url chan<- string) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(s.exited)
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	s.process = cmd.Process
	started <- nil
	listening := regexp.MustCompile(`successfully listens on (http://\S+)`)
	scanner := bufio.NewScanner(out)
	for found := false; scanner.Scan(); {
		if m := listening.FindStringSubmatch(scanner.Text()); m != nil && !found {
			found = true
			url <- m[1]
		}
	}
	_ = cmd.Wait() // it ends by our signal; whoever waits for more looks at what it answered
}

// install runs npm once, however many processes ask for it at the same time.
func install(ctx context.Context, dir string) error {
	if installed(dir) {
		return nil
	}
	lock, err := os.Open(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return fmt.Errorf("lock installation of azurite: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock installation of azurite: %w", err)
	}
	if installed(dir) {
		return nil
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install azurite in %s: %w: %s", dir, err, out)
	}
	return nil
}

// installed looks for the file that npm writes last.
func installed(dir string) bool {
	for _, name := range []string{"node_modules/.package-lock.json", script} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}
