package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/host"
	"farshore/workers/host/hosttest"
)

// What a restful guest is asked by. J stands for its journal.
const (
	freezes = "rm -f J.frozen; touch J.freeze; until [ -e J.frozen ]; do sleep 0.01; done; cp J.frozen J.last"
	thaws   = "echo thawed >> J.thaws; rm -f J.freeze"
)

// hooks gives the VM other commands, while it runs or not.
func (l *lab) hooks(pre, post string, seconds int) {
	l.Helper()
	vm := l.vm
	if pre != "" {
		command := func(text string) []string {
			return []string{"/bin/sh", "-c", strings.ReplaceAll(text, "J.", l.journal+".")}
		}
		vm.Freeze = &site.Freeze{Pre: command(pre), Post: command(post), TimeoutSeconds: seconds}
	}
	p, err := json.Marshal(vm)
	must(l, err)
	path := filepath.Join(l.dir, l.vm.ID, "vm.json")
	must(l, os.WriteFile(path+".new", p, 0o600))
	must(l, os.Rename(path+".new", path))
}

func (l *lab) exists(ending string) bool {
	_, err := os.Stat(l.journal + ending)
	return err == nil
}

func (l *lab) thaws() int {
	p, _ := os.ReadFile(l.journal + ".thaws")
	return strings.Count(string(p), "\n")
}

// frozenFile is what the host remembers of a guest that it has asked.
func (l *lab) frozenFile() string {
	return filepath.Join(l.dir, ".farshore", "freeze-"+l.vm.ID+".json")
}

func (l *lab) cut(atRest bool) host.Cut {
	l.Helper()
	c, err := l.client.Cut(within(l), l.vm.ID, host.CutRequest{ID: uuid.NewString(), AppConsistent: atRest})
	must(l, err)
	return c
}

// restful is a lab whose restful guest runs and is tracked.
func restful(t *testing.T) *lab {
	t.Helper()
	l := newLab(t, "restful")
	must(t, l.client.StartReplication(within(t), l.vm.ID, hosttest.Relationship(l.subject)))
	must(t, l.client.Start(within(t), l.vm.ID))
	l.more()
	return l
}

func TestAnAppConsistentCutHoldsWhatWasWrittenBeforeTheFreeze(t *testing.T) {
	t.Parallel()
	l := newLab(t, "restful")
	l.hooks(freezes, thaws, 0)
	r := hosttest.NewReplica(t, l.subject)
	must(t, l.client.StartReplication(within(t), l.vm.ID, hosttest.Relationship(l.subject)))
	must(t, l.client.Start(within(t), l.vm.ID))
	for n := 1; n <= 3; n++ {
		l.more()
		c := l.cut(true)
		if !c.AppConsistent || c.Freeze == nil || c.Freeze.Failure != nil || c.Freeze.Milliseconds > 10_000 {
			t.Fatalf("the cut is %+v with %+v", c, c.Freeze)
		}
		r.Apply(c)
		p, err := os.ReadFile(l.journal + ".last")
		must(t, err)
		last, err := strconv.Atoi(string(p))
		must(t, err)
		for d, want := range l.replay(last) {
			if !bytes.Equal(r.Disks[d], want) {
				t.Errorf("disk %s of the cut is not as it was after record %d, the last before the freeze", d, last)
			}
		}
		if l.exists(".freeze") || l.thaws() != n {
			t.Errorf("the guest was thawed %d times", l.thaws())
		}
		if _, err := os.Stat(l.frozenFile()); err == nil {
			t.Error("the host takes the guest for frozen")
		}
		state, err := l.client.Replication(within(t), l.vm.ID)
		must(t, err)
		if kept := state.Cuts[len(state.Cuts)-1]; !kept.AppConsistent || *kept.Freeze != *c.Freeze {
			t.Errorf("the record says %+v", kept)
		}
	}
	l.more()
	if c := l.cut(false); c.AppConsistent || c.Freeze != nil {
		t.Errorf("a cut for which nobody asked is %+v", c)
	}
}

func TestAFreezeThatFailsLeavesACrashConsistentCut(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		pre, post string
		code      errorcatalog.Code
		says      string
		thaws     int
	}{
		"no commands":        {"", "", errorcatalog.FreezeHookMissing, "describes no freeze", 0},
		"pre fails":          {"touch J.freeze; echo 'no   room\n' >&2; exit 3", thaws, errorcatalog.FreezeHookFailed, "exit status 3: no room", 1},
		"pre takes too long": {"touch J.freeze; sleep 100", thaws, errorcatalog.FreezeHookFailed, "deadline exceeded", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := restful(t)
			l.hooks(tt.pre, tt.post, 1)
			c := l.cut(true)
			if c.AppConsistent || c.Freeze == nil || c.Freeze.Failure == nil {
				t.Fatalf("the cut is %+v with %+v", c, c.Freeze)
			}
			if f := c.Freeze.Failure; f.Code != tt.code || !strings.Contains(f.Detail, tt.says) {
				t.Errorf("it failed with %v, want %s: %s", f, tt.code, tt.says)
			}
			if l.exists(".freeze") || l.thaws() != tt.thaws {
				t.Errorf("the guest was thawed %d times, want %d", l.thaws(), tt.thaws)
			}
			l.more()
		})
	}
}

func TestAVMThatIsOffIsNotAskedToFreeze(t *testing.T) {
	t.Parallel()
	l := restful(t)
	l.hooks("touch J.freeze", thaws, 1)
	must(t, l.client.Stop(within(t), l.vm.ID))
	if c := l.cut(true); c.AppConsistent || c.Freeze.Failure.Code != errorcatalog.VMNotRunning || l.exists(".freeze") {
		t.Errorf("the cut is %+v with %+v", c, c.Freeze)
	}
}

func TestAThawThatFailsIsTriedAgainWithEachCut(t *testing.T) {
	t.Parallel()
	l := restful(t)
	l.hooks(freezes, "echo stuck; exit 1", 5)
	c := l.cut(true)
	if !c.AppConsistent || c.Freeze.Failure == nil || c.Freeze.Failure.Code != errorcatalog.ThawHookFailed {
		t.Fatalf("the cut is %+v with %+v", c, c.Freeze)
	}
	for _, atRest := range []bool{false, true} {
		if c = l.cut(atRest); c.AppConsistent || c.Freeze.Failure.Code != errorcatalog.ThawHookFailed || !strings.Contains(c.Freeze.Failure.Detail, "stuck") {
			t.Errorf("the next cut is %+v with %+v", c, c.Freeze)
		}
	}
	l.hooks(freezes, thaws, 5)
	if c = l.cut(false); c.AppConsistent || c.Freeze == nil || c.Freeze.Failure != nil || l.exists(".freeze") {
		t.Errorf("the cut after the mending is %+v with %+v", c, c.Freeze)
	}
	l.more()
	if c = l.cut(true); !c.AppConsistent || c.Freeze.Failure != nil {
		t.Errorf("the last cut is %+v with %+v", c, c.Freeze)
	}
}

func TestAGuestThatWasLeftFrozenIsThawedWithoutAnotherCut(t *testing.T) {
	t.Parallel()
	l := restful(t)
	l.hooks(freezes, "touch J.tried; exit 1", 5)
	if c := l.cut(true); c.Freeze.Failure == nil || c.Freeze.Failure.Code != errorcatalog.ThawHookFailed || !l.exists(".freeze") {
		t.Fatalf("the cut is %+v with %+v", c, c.Freeze)
	}
	must(t, os.Remove(l.journal+".tried"))
	until(t, "it is tried again", func() bool { return l.exists(".tried") })
	l.hooks(freezes, thaws, 5)
	until(t, "the guest is thawed", func() bool { _, err := os.Stat(l.frozenFile()); return err != nil })
	if l.exists(".freeze") || l.thaws() != 1 {
		t.Errorf("the guest was thawed %d times", l.thaws())
	}
	l.more()
	if c := l.cut(false); c.AppConsistent || c.Freeze == nil || c.Freeze.Failure != nil {
		t.Errorf("the next cut does not tell that the guest was thawed: %+v with %+v", c, c.Freeze)
	}
	if c := l.cut(false); c.Freeze != nil {
		t.Errorf("the cut after it tells it once more: %+v", c.Freeze)
	}
}

func TestAHostKilledWhileItsGuestIsFrozenThawsItWhenItIsBack(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ pre, post, reached string }{
		"while pre runs": {"echo $$ > J.pid; touch J.freeze J.reached; until [ -e J.go ] || [ ! -e J.reached ]; do sleep 0.02; done; touch J.freeze", thaws, ".reached"},
		"before post has ended": {
			freezes, "if [ ! -e J.reached ]; then echo $$ > J.pid; touch J.reached; until [ -e J.go ] || [ ! -e J.reached ]; do sleep 0.02; done; fi; " + thaws, ".reached",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := restful(t)
			t.Cleanup(func() { _ = os.WriteFile(l.journal+".go", nil, 0o600) })
			l.hooks(tt.pre, tt.post, 30)
			answered := make(chan error, 1)
			ctx := within(t)
			go func() {
				_, err := l.client.Cut(ctx, l.vm.ID, host.CutRequest{ID: uuid.NewString(), AppConsistent: true})
				answered <- err
			}()
			until(t, "the guest is frozen", func() bool { return l.exists(tt.reached) && l.exists(".freeze") })
			l.kill()
			if err := <-answered; err == nil {
				t.Error("a host that was killed has answered")
			}
			l.spawn()
			until(t, "the guest is thawed", func() bool { _, err := os.Stat(l.frozenFile()); return err != nil })
			if l.exists(".freeze") || l.thaws() == 0 {
				t.Errorf("the guest was thawed %d times", l.thaws())
			}
			if strings.HasPrefix(tt.pre, "echo") {
				p, err := os.ReadFile(l.journal + ".pid")
				must(t, err)
				pid, err := strconv.Atoi(strings.TrimSpace(string(p)))
				must(t, err)
				until(t, "nothing freezes it any more", func() bool { return syscall.Kill(pid, 0) != nil })
			}
			l.more()
			if c := l.cut(false); c.AppConsistent || c.Freeze == nil || c.Freeze.Failure != nil {
				t.Errorf("the next cut is %+v with %+v", c, c.Freeze)
			}
		})
	}
}

func TestAnOutrankedFreezeEndsAtOnce(t *testing.T) {
	t.Parallel()
	l := restful(t)
	l.hooks("touch J.freeze J.reached; sleep 100", thaws, 60)
	ctx, cancel := context.WithCancel(within(t))
	answered := make(chan error, 1)
	go func() {
		_, err := l.client.Cut(ctx, l.vm.ID, host.CutRequest{ID: uuid.NewString(), AppConsistent: true})
		answered <- err
	}()
	until(t, "the guest is frozen", func() bool { return l.exists(".reached") })
	cancel()
	if err := <-answered; err == nil {
		t.Error("a canceled cut was made")
	}
	until(t, "the guest is thawed", func() bool { return !l.exists(".freeze") })
	if c := l.cut(false); c.AppConsistent || c.Freeze != nil {
		t.Errorf("the next cut is %+v", c)
	}
}

func TestFreezeCommandsThatCannotBeRunAreAProblem(t *testing.T) {
	t.Parallel()
	for name, freeze := range map[string]site.Freeze{
		"no pre":   {Post: []string{"true"}},
		"no post":  {Pre: []string{"true"}},
		"no name":  {Pre: []string{""}, Post: []string{"true"}},
		"too long": {Pre: []string{"true"}, Post: []string{"true"}, TimeoutSeconds: site.MaxFreezeSeconds + 1},
		"negative": {Pre: []string{"true"}, Post: []string{"true"}, TimeoutSeconds: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, _ := site1(t, func(vm *site.VirtualMachine) { vm.Freeze = &freeze })
			problems, err := engine(t, options(dir, filepath.Join(socketDir(t), "h.sock"))).Problems(within(t))
			must(t, err)
			if len(problems) != 1 || problems[0].Code != errorcatalog.VMDescriptionInvalid || !strings.Contains(problems[0].Detail, "freeze") {
				t.Errorf("problems are %+v", problems)
			}
		})
	}
}
