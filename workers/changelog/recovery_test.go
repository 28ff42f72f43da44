package changelog_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/workers/changelog"
)

const childVariable = "FARSHORE_CHANGELOG_CHILD"

func TestAKilledProcessLosesNothingOfTheLogs(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 3, 2<<20)
	m.o.LimitPercent = 1 << 30
	for round := range 6 {
		cmd, _ := startChild(t, "write", m.dir)
		// Let it write for a while that differs from round to round; where exactly
		// it is killed is left to chance.
		timer := time.NewTimer(time.Duration(50+80*round) * time.Millisecond)
		<-timer.C
		kill(t, cmd)
	}
	g := m.reopen(t, claimed(m.dir)...)
	for _, s := range g.Status() {
		if s.Failure != nil {
			t.Fatalf("%+v", s.Failure)
		}
	}
	var images [][]byte
	for i := range m.gates {
		b, err := os.ReadFile(m.base(i) + ".seed")
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, b)
	}
	all := make([][]*changelog.Reader, len(images))
	recorded := cuts(m.dir)
	err := g.Cut(t.Context(), changelog.CutOptions{Record: func(_ time.Time, disks []changelog.DiskLogs) error {
		recorded = append(recorded, disks)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range recorded {
		for i, d := range c {
			for _, l := range d.Logs {
				b, err := os.ReadFile(l.File)
				if err != nil {
					t.Fatal(err)
				}
				r, err := changelog.NewReader(bytes.NewReader(b), int64(len(b)))
				if err != nil {
					t.Fatal(err)
				}
				all[i] = append(all[i], r)
			}
		}
	}
	t.Logf("%d cuts, %d logs of the first disk", len(recorded), len(all[0]))
	for i := range images {
		x, err := changelog.Open(all[i]) // refuses a chain with a gap
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Overlay(images[i], 0); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "after the kills", images, m.images(t))
}

func TestALogThatCannotBeWrittenEndsTrackingAndNotTheGuest(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1, 1<<20)
	cmd, said := startChild(t, "full", m.dir)
	kill(t, cmd)
	if !strings.Contains(said, string(errorcatalog.LogWriteFailed)) {
		t.Errorf("the child said %q", said)
	}
	g := m.reopen(t)
	m.expectFailure(t, g, errorcatalog.LogWriteFailed)
}

// crash begins tracking, writes, and leaves everything as a killed process does.
func crash(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t, 1, 1<<20)
	g := m.start(t)
	if _, err := m.gates[0].WriteAt(bytes.Repeat([]byte{1}, 70_000), 100_000); err != nil {
		t.Fatal(err)
	}
	if err := g.Cut(t.Context(), changelog.CutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.gates[0].WriteAt(bytes.Repeat([]byte{2}, 70_000), 300_000); err != nil {
		t.Fatal(err)
	}
	// The group is kept, but never closed: what is on disk is what a kill leaves.
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(m.dir)); err != nil {
		t.Fatal(err)
	}
	copied, err := openMachine(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	copied.seeds = m.seeds
	t.Cleanup(copied.close)
	return copied
}

func only(t *testing.T, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) != 1 {
		t.Fatalf("%s: %v %v", pattern, paths, err)
	}
	return paths[0]
}

func TestARecoveredDiskGoesOnWithItsChain(t *testing.T) {
	t.Parallel()
	m := crash(t)
	g := m.reopen(t)
	if s := g.Status()[0]; s.Failure != nil {
		t.Fatal(s.Failure)
	}
	images := clone(m.seeds)
	m.cut(t, g, images, nil)
	same(t, "after a crash", images, m.images(t))
}

func TestLogsThatCannotBeTrustedAreNotFollowed(t *testing.T) {
	t.Parallel()
	sealed := func(m *machine) string { // the larger of two logs
		paths, _ := filepath.Glob(filepath.Join(m.dir, "*.hrl"))
		slices.Sort(paths)
		return paths[0]
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, m *machine) error
		want   errorcatalog.Code
	}{
		"the machine lost power": {func(_ *testing.T, m *machine) error { m.o.BootID = "another boot"; return nil }, errorcatalog.LogUnclean},
		"the dirty map is gone": {func(t *testing.T, m *machine) error {
			t.Helper()
			return os.Remove(only(t, filepath.Join(m.dir, "*.dirty")))
		}, errorcatalog.LogUnclean},
		"the dirty map is short": {func(t *testing.T, m *machine) error {
			t.Helper()
			return os.Truncate(only(t, filepath.Join(m.dir, "*.dirty")), 4096)
		}, errorcatalog.LogUnclean},
		"the dirty map is another's": {func(t *testing.T, m *machine) error {
			t.Helper()
			f, err := os.OpenFile(only(t, filepath.Join(m.dir, "*.dirty")), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte{0xff}, 40)
			return errors.Join(err, f.Close())
		}, errorcatalog.LogUnclean},
		"a sealed log is missing": {func(_ *testing.T, m *machine) error { return os.Remove(sealed(m)) }, errorcatalog.LogMissing},
		"a sealed log is short":   {func(_ *testing.T, m *machine) error { return os.Truncate(sealed(m), 5000) }, errorcatalog.LogTruncated},
		"a sealed log is damaged": {func(_ *testing.T, m *machine) error {
			f, err := os.OpenFile(sealed(m), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte{0xff}, 50)
			return errors.Join(err, f.Close())
		}, errorcatalog.LogChecksumMismatch},
		"the disk has grown": {func(_ *testing.T, m *machine) error { return os.Truncate(m.base(0), 2<<20) }, errorcatalog.DiskChangedOffline},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := crash(t)
			if err := c.damage(t, m); err != nil {
				t.Fatal(err)
			}
			m.expectFailure(t, m.reopen(t), c.want)
		})
	}
}

func TestAReasonThatCouldNotBeSavedIsKeptInTheMap(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1, 1<<20)
	m.o.LimitPercent = 10
	g := m.start(t)
	m.cut(t, g, clone(m.seeds), nil)
	// Where the new state would be written lies a folder: nothing can be saved.
	obstacle := m.base(0) + ".tracking.json.new"
	if err := os.MkdirAll(filepath.Join(obstacle, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := m.gates[0].WriteAt(make([]byte, 100), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := m.gates[0].WriteAt(bytes.Repeat([]byte{1}, 200_000), 0); err != nil {
		t.Fatal(err)
	}
	if f := g.Status()[0].Failure; f == nil || f.Code != errorcatalog.LogThresholdExceeded {
		t.Fatalf("%+v", f)
	}
	if err := os.RemoveAll(obstacle); err != nil {
		t.Fatal(err)
	}
	for _, boot := range []string{m.o.BootID, "another boot"} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(m.dir)); err != nil {
			t.Fatal(err)
		}
		copied, err := openMachine(t, dir)
		if err != nil {
			t.Fatal(err)
		}
		copied.o.BootID = boot
		t.Cleanup(copied.close)
		copied.expectFailure(t, copied.reopen(t), errorcatalog.LogThresholdExceeded)
	}
}

func TestADiskChangedWhileItWasClosedIsNotFollowed(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1, 1<<20)
	stamped := func() []changelog.TrackedDisk {
		disks := m.tracked()
		disks[0].Stamp = func() (string, error) {
			info, err := os.Stat(m.base(0))
			if err != nil {
				return "", err
			}
			return info.ModTime().Format(time.RFC3339Nano), nil
		}
		return disks
	}
	g, err := changelog.StartGroup(t.Context(), m.o, stamped(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, touched := range []bool{false, true} {
		if _, err := m.gates[0].WriteAt([]byte("abc"), 0); err != nil {
			t.Fatal(err)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		if touched {
			if err := os.Chtimes(m.base(0), time.Time{}, noon()); err != nil {
				t.Fatal(err)
			}
		}
		m.open(t)
		if g, err = changelog.OpenGroup(t.Context(), m.o, stamped()); err != nil {
			t.Fatal(err)
		}
		if f := g.Status()[0].Failure; (f != nil) != touched || touched && f.Code != errorcatalog.DiskChangedOffline {
			t.Errorf("changed: %v, failure: %v", touched, f)
		}
	}
	_ = g.Close()
}
