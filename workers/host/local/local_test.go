package local_test

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"farshore/domain/site"
	"farshore/workers/host"
	"farshore/workers/host/hosttest"
	"farshore/workers/host/local"
	"farshore/workers/host/local/nbd"
)

const diskSize = 4 << 20

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// within returns a context that ends a test's waiting.
func within(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

func until(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	ctx := within(tb)
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("waited in vain until %s", what)
		}
	}
}

func options(dir, socket string) local.Options {
	return local.Options{
		Directory: dir, Socket: socket, Version: "test", Now: time.Now, NewID: uuid.NewString,
		Log: slog.New(slog.DiscardHandler), OpenBacking: plainPoint,
	}
}

// socketDir is a private folder with a short name.
func socketDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("/tmp", "fsh") //nolint:usetesting // its name is too long for a socket
	must(tb, err)
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// site1 is a directory with one VM of two disks, half of which are data.
func site1(tb testing.TB, change func(vm *site.VirtualMachine)) (string, site.VirtualMachine) {
	tb.Helper()
	dir := tb.TempDir()
	vm := site.VirtualMachine{ID: "vm1", Name: "VM 1", Generation: 2, CPUs: 1, MemoryMiB: 512, Disks: []site.Disk{
		{ID: "os", File: "os.raw", Format: site.Raw, OS: true},
		{ID: "data1", File: "data1.raw", Format: site.Raw},
	}}
	if change != nil {
		change(&vm)
	}
	addVM(tb, dir, vm)
	return dir, vm
}

func addVM(tb testing.TB, dir string, vm site.VirtualMachine) {
	tb.Helper()
	folder := filepath.Join(dir, vm.ID)
	must(tb, os.MkdirAll(folder, 0o700))
	for _, d := range vm.Disks {
		p := make([]byte, diskSize)
		_, _ = crand.Read(p[:diskSize/2])
		must(tb, os.WriteFile(filepath.Join(folder, d.File), p, 0o600))
	}
	p, err := json.Marshal(vm)
	must(tb, err)
	must(tb, os.WriteFile(filepath.Join(folder, "vm.json"), p, 0o600))
}

// owner is for whom the tests' VMs are made.
const owner = "v.vm.1"

// own makes a VM that was added by hand look as one that was made for the owner.
func own(tb testing.TB, dir, vm string) {
	tb.Helper()
	must(tb, os.WriteFile(filepath.Join(dir, vm, ".owner"), []byte(`"`+owner+`"`), 0o600))
}

func engine(tb testing.TB, o local.Options) *local.Engine {
	tb.Helper()
	e, err := local.Open(o)
	must(tb, err)
	tb.Cleanup(func() { _ = e.Close() })
	return e
}

// writer writes to the VM's exports as a guest does.
func writer(socket, vm string) func(t *testing.T, disk string, p []byte, off int64) {
	return func(t *testing.T, disk string, p []byte, off int64) {
		t.Helper()
		c, err := nbd.Dial(within(t), local.SocketPath(socket, vm, disk), disk)
		must(t, err)
		_, err = c.WriteAt(p, off)
		must(t, err)
		must(t, c.Close())
	}
}

func subject(t *testing.T, dir, socket string, vm site.VirtualMachine) *hosttest.Subject {
	t.Helper()
	return &hosttest.Subject{
		VM:    vm,
		Write: writer(socket, vm.ID),
		Content: func(t *testing.T, disk string) []byte {
			t.Helper()
			for _, d := range vm.Disks {
				if d.ID == disk {
					p, err := os.ReadFile(filepath.Join(dir, vm.ID, d.File))
					must(t, err)
					return p
				}
			}
			t.Fatalf("no disk %s", disk)
			return nil
		},
		Back: func(t *testing.T, disk string, content []byte) host.Backing {
			t.Helper()
			return backIn(t, filepath.Join(filepath.Dir(socket), "points"), disk, content)
		},
		Left: func(t *testing.T) []string {
			t.Helper()
			return left(t, dir, vm)
		},
	}
}

// left lists what lies in a VM's folder besides its description and disks.
func left(t *testing.T, dir string, vm site.VirtualMachine) []string {
	t.Helper()
	own := []string{"vm.json", ".owner"}
	for _, d := range vm.Disks {
		own = append(own, d.File)
	}
	entries, err := os.ReadDir(filepath.Join(dir, vm.ID))
	must(t, err)
	var out []string
	for _, e := range entries {
		if !slices.Contains(own, e.Name()) {
			out = append(out, e.Name())
		}
	}
	return out
}

func TestEngineIsAHost(t *testing.T) {
	t.Parallel()
	hosttest.Run(t, func(t *testing.T) *hosttest.Subject {
		t.Helper()
		dir, vm := site1(t, nil)
		socket := filepath.Join(socketDir(t), "h.sock")
		s := subject(t, dir, socket, vm)
		s.Host = engine(t, options(dir, socket))
		return s
	})
}

func TestClientIsAHost(t *testing.T) {
	t.Parallel()
	hosttest.Run(t, func(t *testing.T) *hosttest.Subject {
		t.Helper()
		dir, vm := site1(t, nil)
		socket := filepath.Join(socketDir(t), "h.sock")
		s := subject(t, dir, socket, vm)
		s.Host = served(t, options(dir, socket))
		return s
	})
}

// served runs a host process's work in this process and returns its client.
func served(t *testing.T, o local.Options) *local.Client {
	t.Helper()
	return servedIn(t, o)
}

func servedIn(tb testing.TB, o local.Options) *local.Client {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- local.Serve(ctx, o) }()
	c := local.Dial(o.Socket)
	tb.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("host ended with %v", err)
		}
	})
	until(tb, "the host answers", func() bool {
		_, err := c.State(context.Background())
		return err == nil
	})
	return c
}
