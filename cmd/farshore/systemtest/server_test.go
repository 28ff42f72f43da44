package systemtest_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"farshore/api/oapi"
	"farshore/cmd/farshore/client"
)

// server is a farshore server with a PostgreSQL of its own.
type server struct {
	data, url, key string
	args           []string
	api            *oapi.Client
	pool           *pgxpool.Pool
	proc           *process
}

// process is a program that a test has started.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// launch starts the program under test; what it prints is added to a file.
func launch(log string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer func() { _ = out.Close() }()
	p := &process{cmd: exec.CommandContext(context.Background(), shared.program, args...), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends the process at once, as a crash would.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// stop asks the process to end, and makes it if it does not.
func (p *process) stop() {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(20 * time.Second):
		p.kill()
	}
}

// newServer starts a server below a folder.
func newServer(root string, args ...string) (*server, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("make the server's folder: %w", err)
	}
	s := &server{data: filepath.Join(root, "server"), url: "http://" + address}
	s.args = append([]string{"serve", "--data", s.data, "--listen", address}, args...)
	if err := s.start(); err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(s.data, "admin.key"))
	if err != nil {
		return nil, fmt.Errorf("read the admin key: %w", err)
	}
	s.key = strings.TrimSpace(string(key))
	if s.api, err = client.NewAPI(s.url, s.key); err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	at, err := os.ReadFile(filepath.Join(s.data, "database.url"))
	if err != nil {
		return nil, fmt.Errorf("find the database: %w", err)
	}
	if s.pool, err = pgxpool.New(context.Background(), strings.TrimSpace(string(at))); err != nil {
		return nil, fmt.Errorf("look into the database: %w", err)
	}
	return s, nil
}

func (s *server) log() string { return s.data + ".log" }

// start starts the server, again if need be, and returns once it is ready.
func (s *server) start() (err error) {
	if s.proc, err = launch(s.log(), s.args...); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(tick) {
		if s.ready() {
			return nil
		}
		select {
		case <-s.proc.exited:
			return fmt.Errorf("the server ended: %s", tail(s.log()))
		default:
		}
	}
	s.proc.kill()
	return fmt.Errorf("the server is not ready: %s", tail(s.log()))
}

func (s *server) ready() bool {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (s *server) close() {
	if s.pool != nil {
		s.pool.Close()
	}
	s.proc.stop()
}

// ownServer starts a server for one test.
func ownServer(t *testing.T, args ...string) *server {
	t.Helper()
	s, err := newServer(filepath.Join(shared.root, strings.ToLower(t.Name())), args...)
	must(t, err)
	t.Cleanup(func() {
		s.close()
		if t.Failed() {
			t.Logf("the server said:\n%s", tail(s.log()))
		}
	})
	return s
}

var (
	common     *server
	errCommon  error
	commonOnce sync.Once
)

// commonServer is for tests that do no harm to a server.
func commonServer(t *testing.T) *server {
	t.Helper()
	commonOnce.Do(func() { common, errCommon = newServer(filepath.Join(shared.root, "common")) })
	must(t, errCommon)
	return common
}

func endShared() {
	if common != nil {
		common.close()
	}
}

func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-6000):])
}

// cli runs a client command against the server.
func (s *server) cli(ctx context.Context, args ...string) (stdout, stderr string, code int) {
	cmd := exec.CommandContext(ctx, shared.program, args...)
	cmd.Env = append(cmd.Environ(), "FARSHORE_SERVER="+s.url, "FARSHORE_DATA="+s.data)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	_ = cmd.Run()
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}
