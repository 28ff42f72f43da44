package planrun_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/recoveryplan"
)

const scriptTask = "group_1_post_1"

// newScripted is a stage whose plan runs a script of its own.
func newScripted(t *testing.T, script string) stage {
	t.Helper()
	s := newScriptedIn(t, t.TempDir())
	s.write(script)
	return s
}

// newScriptedIn is a stage whose plan runs the script of a directory.
func newScriptedIn(t *testing.T, dir string) stage {
	t.Helper()
	s := newStage(t, recoveryplan.Definition{Name: "Shop", OnFailure: recoveryplan.Stop, Groups: []recoveryplan.Group{{
		Items: []string{"web"}, PostActions: []recoveryplan.Action{{Name: "script", Kind: recoveryplan.Script, Script: "script.sh", TimeoutSeconds: 60}},
	}}})
	s.Scripts = dir
	return s
}

// write writes the script while no process is begun, which could hold it open.
func (s stage) write(script string) {
	s.t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(filepath.Join(s.Scripts, "script.sh"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		s.t.Fatal(err)
	}
}

// begin begins a run that has nothing to do but its script.
func (s stage) begin() string {
	s.t.Helper()
	id := uuid.Must(uuid.NewV7()).String()
	s.plan(recoveryplan.StartRun{JobID: id, Operation: recoveryplan.Failback, At: noon})
	return id
}

// task is the script's task in a run.
func (s stage) task(run string) job.Task {
	s.t.Helper()
	journal, _, err := s.Jobs.Load(s.t.Context(), run)
	if err != nil {
		s.t.Fatal(err)
	}
	task, _ := journal.Task(scriptTask)
	return task
}

// interrupted lets the run go on until its script has begun, ends the worker, and
// returns the script's process group.
func (s stage) interrupted() (group int) {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := s.Handle(ctx, hold{})
		ended <- err
	}()
	eventually(s.t, "the script has begun", func() bool {
		text, err := os.ReadFile(filepath.Join(s.Scripts, "begun"))
		group, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil && group > 0
	})
	stop()
	if err := <-ended; err != nil {
		s.t.Fatal(err)
	}
	return group
}

func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("still not: %s", what)
		}
	}
}

func TestAScriptIsAskedToEndThenMadeToAndRunsAgain(t *testing.T) {
	t.Parallel()
	const again = "if [ -e begun ]; then exit 0; fi\n"
	for name, tt := range map[string]struct {
		script string
		asked  bool // the script could put its things in order
	}{
		"asked": {again + "trap 'echo yes > asked; exit 0' TERM\necho $$ > new; mv new begun\nsleep 300 & wait\n", true},
		// Neither it nor what it has started listens.
		"stubborn": {again + "trap '' TERM\n(sleep 300; true) &\necho $$ > new; mv new begun\nwhile :; do sleep 1; done\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScripted(t, tt.script)
			run := s.begin()
			group := s.interrupted()
			eventually(t, "all of the script's group has ended", func() bool { return ended(group) })
			if _, err := os.Stat(filepath.Join(s.Scripts, "asked")); (err == nil) != tt.asked {
				t.Errorf("was it asked: %v, want %v", err == nil, tt.asked)
			}
			if task := s.task(run); task.Status != job.Running || task.Attempts != 1 {
				t.Errorf("the task is %s in attempt %d", task.Status, task.Attempts)
			}
			s.turn()
			s.ended(recoveryplan.Succeeded, recoveryplan.Skipped)
			if task := s.task(run); task.Attempts != 2 {
				t.Errorf("the script has succeeded in attempt %d", task.Attempts)
			}
			if told := s.failures(run); len(told) != 1 || told[0].Code != errorcatalog.ScriptInterrupted || !strings.Contains(told[0].Detail, "attempt 1") {
				t.Errorf("of the first attempt the journal says %+v", told)
			}
		})
	}
}

// ended says whether nothing of a group runs; nobody may have waited for orphans.
func ended(group int) bool {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		_, rest, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(rest); err == nil && len(f) > 2 && f[2] == strconv.Itoa(group) && f[0] != "Z" {
			return false
		}
	}
	return true
}

// failures are what the attempts at the script have failed with.
func (s stage) failures(run string) (all []errorcatalog.Failure) {
	s.t.Helper()
	for rec, err := range s.Jobs.Store.Stream(s.t.Context(), s.Jobs.StreamOf(run), 0) {
		if err != nil {
			s.t.Fatal(err)
		}
		if e, ok := rec.Event.(job.TaskFailed); ok && e.Task == scriptTask {
			all = append(all, e.Failure)
		}
	}
	return all
}

func TestAScriptWaitsForAPlaceAndIsSeenToWait(t *testing.T) {
	t.Parallel()
	s := newScripted(t, "echo ran >> ran\n")
	s.Places = make(chan struct{}, 1)
	s.Places <- struct{}{}
	run := s.begin()
	for range 2 { // waiting on is nothing new
		res, err := s.Handle(t.Context(), hold{})
		if err != nil || !res.DueAt.Equal(noon.Add(time.Second)) {
			t.Errorf("the run that waits is due at %s, %v", res.DueAt, err)
		}
	}
	if task := s.task(run); task.Status != job.Waiting || task.Attempts != 0 || task.Failure == nil || task.Failure.Code != errorcatalog.ScriptsBusy {
		t.Errorf("the task is %s with %+v in attempt %d", task.Status, task.Failure, task.Attempts)
	}
	<-s.Places
	s.turn()
	s.ended(recoveryplan.Succeeded, recoveryplan.Skipped)
	if task := s.task(run); task.Attempts != 1 || task.Failure != nil {
		t.Errorf("the script ran in attempt %d with %+v", task.Attempts, task.Failure)
	}
	if len(s.Places) != 0 {
		t.Error("the script has kept its place")
	}
}

func TestNoMoreScriptsRunThanThereArePlaces(t *testing.T) {
	t.Parallel()
	dir, places := t.TempDir(), make(chan struct{}, 2)
	// A script counts those that run beside it, itself among them.
	const script = "touch runs.$$; ls runs.* | wc -l >> counts; sleep 0.1; rm runs.$$\n"
	var working sync.WaitGroup
	for n := range 6 {
		s := newScriptedIn(t, dir)
		if n == 0 {
			s.write(script)
		}
		s.Places = places
		s.begin()
		working.Go(func() {
			for {
				res, err := s.Handle(t.Context(), hold{})
				if err != nil {
					t.Error(err)
				}
				if err != nil || res.DueAt.IsZero() {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	working.Wait()
	text, err := os.ReadFile(filepath.Join(dir, "counts"))
	if err != nil {
		t.Fatal(err)
	}
	counts := strings.Fields(string(text))
	for _, c := range counts {
		if c != "1" && c != "2" {
			t.Errorf("%s scripts ran in 2 places", c)
		}
	}
	if len(counts) != 6 {
		t.Errorf("%d scripts have run", len(counts))
	}
}
