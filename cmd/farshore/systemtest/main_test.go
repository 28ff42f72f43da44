package systemtest_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// reaper ends whatever still runs below the folder in ROOT once its standard
// input ends: also when the tests were killed themselves.
const reaper = `cat >/dev/null
for p in /proc/[0-9]*; do
	if tr '\0' ' ' 2>/dev/null <$p/cmdline | grep -q "$ROOT"; then kill -9 ${p#/proc/}; fi
done
rm -rf "$ROOT"`

// lab is what all tests share.
type lab struct {
	root    string // everything lies below it
	program string // the binary under test
}

var shared lab

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	root, err := os.MkdirTemp("", "farshore-system-")
	if err != nil {
		return 0, fmt.Errorf("make the tests' folder: %w", err)
	}
	if err := os.Chmod(root, 0o755); err != nil { // the database's user passes through
		return 0, fmt.Errorf("open the tests' folder: %w", err)
	}
	shared = lab{root: root, program: filepath.Join(root, "farshore")}
	end := exec.CommandContext(context.Background(), "/bin/sh", "-c", reaper)
	end.Env = append(end.Environ(), "ROOT="+root)
	end.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	held, err := end.StdinPipe()
	if err != nil {
		return 0, fmt.Errorf("hold the reaper: %w", err)
	}
	if err := end.Start(); err != nil {
		return 0, fmt.Errorf("start the reaper: %w", err)
	}
	defer func() {
		_ = held.Close()
		_ = end.Wait()
	}()
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", shared.program, "farshore/cmd/farshore").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the program: %w: %s", err, out)
	}
	// The tests mostly wait: for leases, for a database that is away.
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		return 0, fmt.Errorf("let more tests wait at once: %w", err)
	}
	code := m.Run()
	endShared()
	return code, nil
}

// processes lists the processes whose command line holds all of the words, each
// an argument or a part of one.
func processes(words ...string) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil || len(line) == 0 {
			continue
		}
		text := string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})) + " "
		if has(text, words) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func has(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// end asks processes to end and, when they do not, makes them.
func end(list func() []int) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		for _, pid := range list() {
			_ = syscall.Kill(pid, sig)
		}
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(tick) {
			if len(list()) == 0 {
				return
			}
		}
	}
}

// tick is how often a condition is looked at.
const tick = 20 * time.Millisecond

// eventually waits for a condition.
func eventually(t *testing.T, patience time.Duration, what string, met func() bool) {
	t.Helper()
	watch(t, patience, tick, what, met)
}

// watch waits for a condition and looks at it often: what is waited for may pass.
func watch(t *testing.T, patience, tick time.Duration, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !met(); time.Sleep(tick) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
