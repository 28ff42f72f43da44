package changelog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"farshore/workers/changelog"
)

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	switch role, dir, _ := strings.Cut(os.Getenv(childVariable), ":"); role {
	case "":
		os.Exit(m.Run())
	default:
		if err := child(role, dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// child tracks the disks in dir, writes to them and cuts until it is killed.
func child(role, dir string) error {
	t := &childT{}
	m, err := openMachine(t, dir)
	if err != nil {
		return err
	}
	if role == "full" {
		return writeUntilFull(m)
	}
	ctx := context.Background()
	g, err := changelog.OpenGroup(ctx, m.o, m.tracked(claimed(dir)...))
	if errors.Is(err, fs.ErrNotExist) {
		g, err = changelog.StartGroup(ctx, m.o, m.tracked(), func() error {
			for i := range m.gates {
				b, err := os.ReadFile(m.base(i))
				if err != nil {
					return err
				}
				if err := os.WriteFile(m.base(i)+".seed", b, 0o600); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	for i := range 4 {
		go m.guest(t, nil, rand.Uint64()+uint64(i))
	}
	fmt.Println("ready")
	for n := len(cuts(dir)); ; n++ {
		err := g.Cut(ctx, changelog.CutOptions{Record: func(_ time.Time, disks []changelog.DiskLogs) error {
			b, err := json.Marshal(disks)
			if err != nil {
				return err
			}
			path := filepath.Join(dir, fmt.Sprintf("cut-%06d.json", n))
			if err := os.WriteFile(path+".new", b, 0o600); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		}})
		if err != nil {
			return err
		}
	}
}

// writeUntilFull writes until logs cannot grow any more, and goes on.
func writeUntilFull(m *machine) error {
	g, err := changelog.StartGroup(context.Background(), m.o, m.tracked(), nil)
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 4 << 20, Max: 4 << 20}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	for i := range 200 {
		if _, err := m.gates[0].WriteAt(bytes.Repeat([]byte{byte(i)}, 64<<10), int64(i%8)<<16); err != nil {
			return err
		}
	}
	s := g.Status()[0]
	if s.Failure == nil {
		return errors.New("tracking goes on")
	}
	fmt.Println("ready", s.Failure.Code)
	select {}
}

func openMachine(tb testing.TB, dir string) (*machine, error) {
	tb.Helper()
	boot, err := changelog.BootID()
	if err != nil {
		return nil, err
	}
	m := &machine{dir: dir, o: changelog.Options{LimitPercent: 1 << 30, BootID: boot, Space: ample, Now: time.Now, NewID: newID}}
	m.open(tb)
	return m, nil
}

// childT reports a guest's trouble outside of a test.
type childT struct{ testing.TB }

func (*childT) Helper() {}

func (*childT) Error(args ...any) { fmt.Fprintln(os.Stderr, args...) }

func (*childT) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(1)
}

func cuts(dir string) [][]changelog.DiskLogs {
	paths, _ := filepath.Glob(filepath.Join(dir, "cut-*.json"))
	slices.Sort(paths)
	var out [][]changelog.DiskLogs
	for _, p := range paths {
		var c []changelog.DiskLogs
		if b, err := os.ReadFile(p); err == nil && json.Unmarshal(b, &c) == nil {
			out = append(out, c)
		}
	}
	return out
}

func claimed(dir string) []string {
	var out []string
	for _, c := range cuts(dir) {
		for _, d := range c {
			for _, l := range d.Logs {
				out = append(out, l.ID)
			}
		}
	}
	return out
}

// startChild runs a child and returns once it has said that it is ready.
func startChild(t *testing.T, role, dir string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+role+":"+dir)
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 100)
	n, err := out.Read(line)
	if err != nil {
		_ = cmd.Wait()
		t.Fatalf("the child said nothing: %v\n%s", err, trouble.String())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	t.Cleanup(func() {
		if trouble.Len() > 0 {
			t.Errorf("the child said: %s", trouble.String())
		}
	})
	return cmd, string(line[:n])
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child was not killed")
	}
}
