package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"farshore/cmd/farshore/client"
	"farshore/workers/replica/pageblob/azurite"
)

// server is the farshore server and the Azurite of a demo, as processes.
type server struct {
	url, key   string
	data       string // its data directory
	credential string // file that holds Azurite's account and key
	azurite    *azurite.Server
	cmd        *exec.Cmd
	exited     chan struct{}
	exit       error
}

// startServer starts both and returns once the server is ready.
func startServer(ctx context.Context, o Options, s Scene) (*server, error) {
	v := &server{data: filepath.Join(s.Root, "server"), credential: filepath.Join(s.Root, "azurite.key"), exited: make(chan struct{})}
	var err error
	if v.azurite, err = azurite.Start(ctx, azurite.Options{NPMDir: filepath.Join("deploy", "npm")}); err != nil {
		return nil, fmt.Errorf("start Azurite: %w", err)
	}
	if err := os.WriteFile(v.credential, []byte(azurite.Key+"\n"), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("write Azurite's key: %w", err), v.azurite.Stop())
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, errors.Join(err, v.azurite.Stop())
	}
	v.url = "http://" + address
	log, err := os.Create(filepath.Join(s.Root, "server.log"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the server's log: %w", err), v.azurite.Stop())
	}
	defer func() { _ = log.Close() }()                                              // the server has its own
	v.cmd = exec.Command(o.Program, "serve", "--data", v.data, "--listen", address) //nolint:gosec,noctx // this program itself, stopped in order by stop
	v.cmd.Stdout, v.cmd.Stderr = log, log
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := v.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the server: %w", err), v.azurite.Stop())
	}
	go func() {
		v.exit = v.cmd.Wait()
		close(v.exited)
	}()
	if err := v.ready(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w; see %s", err, log.Name()), v.stop())
	}
	return v, nil
}

func (v *server) ready(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.url+"/readyz", nil)
		if err != nil {
			return fmt.Errorf("ask whether the server is ready: %w", err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		select {
		case <-v.exited:
			return fmt.Errorf("the server ended: %w", v.exit)
		default:
		}
		if err := client.Pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("wait for the server: %w", err)
		}
	}
	key, err := os.ReadFile(filepath.Join(v.data, "admin.key"))
	if err != nil {
		return fmt.Errorf("read the admin key: %w", err)
	}
	v.key = strings.TrimSpace(string(key))
	return nil
}

// stop ends the server, then Azurite.
func (v *server) stop() error {
	if v.cmd != nil && v.cmd.Process != nil {
		_ = v.cmd.Process.Signal(syscall.SIGTERM)
		<-v.exited
	}
	return v.azurite.Stop()
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}
