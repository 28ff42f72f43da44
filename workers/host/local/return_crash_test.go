package local_test

import (
	"bytes"
	crand "crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/workers/host/hosttest"
)

// returnState is how far the VM's return has come, as its record tells.
func returnState(dir string) string {
	p, err := os.ReadFile(filepath.Join(dir, "vm1", "return.json"))
	if err != nil {
		return ""
	}
	var r struct {
		State string `json:"state"`
	}
	_ = json.Unmarshal(p, &r)
	return r.State
}

// instants of a merge and of its undoing.
func instants() map[string]func(dir string) bool {
	return map[string]func(dir string) bool{
		"saving": func(dir string) bool {
			_, err := os.Stat(filepath.Join(dir, "vm1", "os.raw.return-1.undo"))
			return err == nil
		},
		"merging": func(dir string) bool { return returnState(dir) == "merging" },
		"merged":  func(dir string) bool { return returnState(dir) == "merged" },
		"undoing": func(dir string) bool { return returnState(dir) == "undoing" },
	}
}

// killAt makes a call, kills the host when the instant has come, and tells how
// far the return had come.
func (l *lab) killAt(instant string, f func() error) string {
	l.Helper()
	pid := l.state().PID
	come := instants()[instant]
	done := make(chan error, 1)
	go func() { done <- f() }()
	var err error
	for answered := false; !answered && !come(l.dir); {
		select {
		case err = <-done:
			answered = true
			done <- err
		default:
		}
	}
	must(l, syscall.Kill(pid, syscall.SIGKILL))
	if err = <-done; err != nil && errorcatalog.Of(err).Code != errorcatalog.HostUnreachable {
		l.Fatal(err)
	}
	until(l, "the host is gone", func() bool { return syscall.Kill(pid, 0) != nil })
	at := returnState(l.dir)
	l.spawn()
	return at
}

// largeLab is a lab whose disks take a while to merge.
func largeLab(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	for _, d := range l.vm.Disks {
		p := make([]byte, 12<<20)
		_, _ = crand.Read(p[:8<<20])
		must(t, os.WriteFile(filepath.Join(l.dir, l.vm.ID, d.File), p, 0o600))
	}
	return l
}

func (l *lab) fillBeside(b *hosttest.Beside) {
	l.Helper()
	b.Scribble(l.T)
	for id, want := range b.Want {
		d := b.Open(l.T, id)
		p := make([]byte, 9<<20+4096)
		_, _ = crand.Read(p)
		_, err := d.WriteAt(p, 1<<20)
		must(l, err)
		copy(want[1<<20:], p)
	}
	b.Scribble(l.T)
}

func TestMergeThatIsKilledAtAnyInstantIsMergedOrUndoneExactly(t *testing.T) {
	t.Parallel()
	l := largeLab(t)
	hit := map[string]int{}
	for round := range 6 {
		for _, instant := range []string{"saving", "merging", "merged"} {
			b := hosttest.BeginReturn(t, l.subject, "return-1")
			l.fillBeside(b)
			at := l.killAt(instant, func() error { return b.Merge(t) })
			hit[at]++
			switch at {
			case "begun":
				b.Holds(t, "killed before the merge", b.Original)
			case "merging":
				wantCode(t, l.client.Start(within(t), l.vm.ID), errorcatalog.OperationInProgress)
				wantCode(t, l.client.CreateSnapshot(within(t), l.vm.ID, "s1"), errorcatalog.OperationInProgress)
				l.kill()
				otherBoot(t, l.dir)
				l.spawn()
			}
			if round%2 == 0 {
				l.killAt("merged", func() error { return b.Merge(t) })
				must(t, b.Merge(t))
				b.Holds(t, "merged after a kill while "+at, b.Want)
			}
			must(t, b.Undo(t))
			b.Holds(t, "undone after a kill while "+at, b.Original)
			b.Gone(t)
		}
	}
	for _, at := range []string{"begun", "merging", "merged"} {
		if hit[at] == 0 {
			t.Errorf("no kill came while the return was %s: %v", at, hit)
		}
	}
	b := hosttest.BeginReturn(t, l.subject, "return-1")
	l.fillBeside(b)
	l.killAt("merged", func() error { return b.Merge(t) })
	must(t, b.Merge(t))
	l.repeatUnderKill(func() error { return b.Settle(t) })
	must(t, b.Settle(t))
	b.Holds(t, "settled", b.Want)
	b.Gone(t)
}

func TestUndoThatIsKilledAtAnyInstantIsExact(t *testing.T) {
	t.Parallel()
	l := largeLab(t)
	hit := map[string]int{}
	for range 5 {
		b := hosttest.BeginReturn(t, l.subject, "return-1")
		l.fillBeside(b)
		must(t, b.Merge(t))
		must(t, l.client.Start(within(t), l.vm.ID)) // its guest writes after the merge
		l.more()
		l.kill()
		l.spawn()
		l.more()
		must(t, l.client.Stop(within(t), l.vm.ID))
		at := l.killAt("undoing", func() error { return b.Undo(t) })
		hit[at]++
		if at == "undoing" {
			wantCode(t, l.client.Start(within(t), l.vm.ID), errorcatalog.OperationInProgress)
			wantCode(t, b.Merge(t), errorcatalog.OperationInProgress)
			l.repeatUnderKill(func() error { return b.Undo(t) })
		}
		must(t, b.Undo(t))
		b.Holds(t, "undone", b.Original)
		b.Gone(t)
	}
	if hit["undoing"] == 0 {
		t.Errorf("no kill came while the return was being undone: %v", hit)
	}
}

func TestWritesBesideADiskOutliveTheHost(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	b := hosttest.BeginReturn(t, l.subject, "return-1")
	for range 5 {
		d := b.Open(t, "os")
		var acknowledged atomic.Int64
		pid := l.state().PID
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for i := range int64(400) {
				p := bytes.Repeat([]byte{byte(i)}, 3000)
				if _, err := d.WriteAt(p, i*10000); err != nil {
					return
				}
				copy(b.Want["os"][i*10000:], p)
				acknowledged.Store(i + 1)
			}
		}()
		until(t, "some are written", func() bool { return acknowledged.Load() > 40 })
		must(t, syscall.Kill(pid, syscall.SIGKILL))
		<-ended
		until(t, "the host is gone", func() bool { return syscall.Kill(pid, 0) != nil })
		l.spawn()
		if b.Begin(t) {
			t.Fatal("the return was begun anew")
		}
		// The write that was cut off may be there in part.
		n := acknowledged.Load() * 10000
		if n < diskSize {
			d := b.Open(t, "os")
			_, err := d.ReadAt(b.Want["os"][n:min(n+3000, diskSize)], n)
			must(t, err)
		}
		b.Reads(t)
		b.Scribble(t)
		b.Holds(t, "before the merge", b.Original)
	}
	must(t, b.Merge(t))
	b.Holds(t, "merged", b.Want)
	must(t, b.Undo(t))
	b.Holds(t, "undone", b.Original)
}
