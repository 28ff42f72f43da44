package pgtest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"farshore/eventstore/pgcluster"
)

// warden takes the cluster down once nobody uses it. Every test holds a shared
// lock on the file "users", which the kernel releases even if the test is
// killed; whoever gets it exclusively is alone. The pause lets the next test
// package find the cluster still running. A newcomer that meets a take-down
// waits for it at the same lock.
const warden = `cd "$1" || exit 1
exec 9<users
while :; do
	flock -x 9; flock -u 9
	sleep 2
	flock -n -x 9 && break
done
pid=$(head -n 1 data/postmaster.pid 2>/dev/null)
if [ -n "$pid" ] && [ "$(cat /proc/$pid/comm 2>/dev/null)" = postgres ]; then
	kill -INT "$pid"
	n=0
	while kill -0 "$pid" 2>/dev/null && [ $n -lt 100 ]; do n=$((n+1)); sleep 0.05; done
	kill -QUIT "$pid" 2>/dev/null
fi
rm -rf data data.new "$2"
`

// shared is a test's hold on the cluster of all tests.
type shared struct {
	dir     string
	cluster address
}

// address is what is needed to connect to a cluster somebody else started.
type address struct{ socket string }

func (a address) url(role, db string) string {
	u := url.URL{Scheme: "postgres", User: url.User(role), Path: "/" + db}
	u.RawQuery = url.Values{"host": {a.socket}, "sslmode": {"disable"}}.Encode()
	return u.String()
}

// join finds or starts the shared cluster and holds it until the test ends.
func join(tb testing.TB) *shared {
	tb.Helper()
	dir := sharedDir(tb)
	start := flock(tb, filepath.Join(dir, "start"), syscall.LOCK_EX)
	defer func() { _ = start.Close() }()
	users := flock(tb, filepath.Join(dir, "users"), syscall.LOCK_SH)
	tb.Cleanup(func() { _ = users.Close() })

	s := &shared{dir: dir}
	if socket, err := os.ReadFile(filepath.Join(dir, "data", "socket")); err == nil {
		s.cluster = address{socket: string(socket)}
		ctx, cancel := deadline()
		defer cancel()
		if pgcluster.Answers(ctx, s.cluster.url("postgres", "postgres")) {
			return s
		}
	}
	s.start(tb)
	return s
}

// start makes the cluster anew: what a crashed one left is not worth mending.
func (s *shared) start(tb testing.TB) {
	tb.Helper()
	ctx, cancel := deadline()
	defer cancel()
	data := filepath.Join(s.dir, "data")
	if err := pgcluster.StopPostmaster(ctx, data); err != nil {
		tb.Fatal(err)
	}
	if err := os.RemoveAll(data); err != nil {
		tb.Fatalf("clear the old test cluster: %v", err)
	}
	c, err := pgcluster.Start(ctx, pgcluster.Options{
		DataDir: data, NoSync: true, Detached: true,
		Settings: map[string]string{"max_connections": "500", "shared_buffers": "64MB", "max_wal_size": "256MB"},
	})
	if err != nil {
		tb.Fatalf("start the test cluster: %v", err)
	}
	s.cluster = address{socket: c.SocketDir()}
	if err := s.watch(); err != nil {
		c.Kill()
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "socket"), []byte(c.SocketDir()), 0o600); err != nil {
		c.Kill()
		tb.Fatalf("write down where the test cluster is: %v", err)
	}
}

// watch starts the warden, detached: it outlives us by design and the cluster
// never outlives it.
func (s *shared) watch() error {
	if _, err := exec.LookPath("flock"); err != nil {
		return fmt.Errorf("find flock, which guards the test cluster (apt-get install -y util-linux): %w", err)
	}
	cmd := exec.Command("/bin/sh", "-c", warden, "farshore-test-warden", s.dir, s.cluster.socket) //nolint:noctx // outlives us
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the test cluster's warden: %w", err)
	}
	if err := cmd.Process.Release(); err != nil {
		return fmt.Errorf("let go of the test cluster's warden: %w", err)
	}
	return nil
}

// sharedDir is the folder of the cluster and its locks, in memory where possible.
func sharedDir(tb testing.TB) string {
	tb.Helper()
	root := "/dev/shm"
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		root = "/tmp"
	}
	dir := filepath.Join(root, fmt.Sprintf("farshore-test-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o711); err != nil { // the database's user passes through
		tb.Fatalf("make the test cluster's folder: %v", err)
	}
	return dir
}

func flock(tb testing.TB, path string, how int) *os.File {
	tb.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		tb.Fatalf("open lock: %v", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if err == nil {
			return f
		}
		if !errors.Is(err, syscall.EINTR) {
			tb.Fatalf("lock %s: %v", path, err)
		}
	}
}
