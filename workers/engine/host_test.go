package engine_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/workers/host/local"
	"farshore/workers/workflow"
)

// childHost is a source host in a process of its own, to be killed.
func childHost(dir, socket string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return local.Serve(ctx, local.Options{
		Directory: dir, Socket: socket, Version: "test", Now: clock(1), NewID: newID, Log: slog.New(slog.DiscardHandler),
		OpenBacking: openBacking,
	})
}

// mortalHost serves the source from a process of its own.
func (s *scene) mortalHost(socket string) *local.Client {
	s.t.Helper()
	s.spawnHost(socket)
	c := local.Dial(socket)
	s.t.Cleanup(func() {
		s.returnHost()
		_ = c.Stop(context.Background(), "web")
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
	})
	return c
}

func (s *scene) spawnHost(socket string) {
	s.t.Helper()
	s.process = s.startHost(filepath.Join(s.dir, "primary"), socket)
}

func (s *scene) startHost(dir, socket string) *exec.Cmd {
	s.t.Helper()
	self, err := os.Executable()
	must(s.t, err)
	process := exec.CommandContext(context.WithoutCancel(s.t.Context()), self, "host", dir, socket)
	process.Stderr = testLog{s.t}
	must(s.t, process.Start())
	c := local.Dial(socket)
	eventually(s.t, 20*time.Second, "the host answers", func() bool {
		_, err := c.State(context.Background())
		return err == nil
	})
	return process
}

// mortalRecovery serves the recovery side from a process of its own.
func (s *scene) mortalRecovery(socket string) *local.Client {
	s.t.Helper()
	s.recovery = s.startHost(filepath.Join(s.dir, "away"), socket)
	c := local.Dial(socket)
	s.t.Cleanup(func() {
		_ = c.Stop(context.Background(), "web-dr")
		_ = s.recovery.Process.Kill()
		_ = s.recovery.Wait()
	})
	return c
}

// killRecovery ends the recovery host as nothing else can; another one takes its
// place.
func (s *scene) killRecovery() {
	s.t.Helper()
	must(s.t, s.recovery.Process.Kill())
	_ = s.recovery.Wait()
	s.recovery = s.startHost(filepath.Join(s.dir, "away"), s.Hosts["h2"])
}

// loseHost is the disaster: the source host dies and its directory is gone.
func (s *scene) loseHost() {
	s.t.Helper()
	must(s.t, s.process.Process.Kill())
	_ = s.process.Wait()
	must(s.t, os.Rename(filepath.Join(s.dir, "primary"), filepath.Join(s.dir, "lost")))
	s.source = filepath.Join(s.dir, "lost", "web")
}

// returnHost is the end of the disaster: all is there again, and the VM's guest
// has gone on all the while.
func (s *scene) returnHost() {
	s.t.Helper()
	if _, err := os.Stat(filepath.Join(s.dir, "lost")); err != nil {
		return
	}
	must(s.t, os.Rename(filepath.Join(s.dir, "lost"), filepath.Join(s.dir, "primary")))
	s.source = filepath.Join(s.dir, "primary", "web")
	s.spawnHost(filepath.Join(s.dir, "h1.sock"))
}

func TestHostsTurnAwayAWorkerThatHasLostItsLane(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.work()
	s.enable()
	s.until("protected", protected)
	parts := workflow.Parts{Items: s.items, Jobs: s.jobs, Hosts: s.config, Stores: s, Now: s.now, NewID: newID, Logger: s.log}
	i, err := workflow.Open(t.Context(), parts, holder{}) // of an earlier token than the worker's
	must(t, err)
	source, err := i.Source(t.Context())
	must(t, err)
	if err := source.SetActive(t.Context(), "web", false); !workflow.Is(err, errorcatalog.Fenced) {
		t.Errorf("the source is kept off by whoever: %v", err)
	}
	s.judge(s.replicate())
}
