package planrun_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"farshore/domain/errorcatalog"
	"farshore/workers/planrun"
)

func TestOnlyProgramsOfTheScriptsDirectoryAreRun(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	for path, mode := range map[string]os.FileMode{
		filepath.Join(dir, "good.sh"): 0o700, filepath.Join(dir, "text.md"): 0o600, filepath.Join(outside, "bad.sh"): 0o700,
	} {
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"inside": filepath.Join(dir, "good.sh"), "outside": filepath.Join(outside, "bad.sh"), "dangling": filepath.Join(dir, "none")} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]errorcatalog.Code{
		"good.sh": "", "inside": "",
		"text.md": errorcatalog.ScriptNotFound, "folder": errorcatalog.ScriptNotFound, "none": errorcatalog.ScriptNotFound,
		"outside": errorcatalog.ScriptNotFound, "dangling": errorcatalog.ScriptNotFound, "../good.sh": errorcatalog.ScriptNotFound, "": errorcatalog.ScriptNotFound,
		filepath.Join(outside, "bad.sh"): errorcatalog.ScriptNotFound,
	} {
		path, err := planrun.FindScript(dir, name)
		if code := codeOf(err); code != want || (want == "") != (filepath.Base(path) == "good.sh") {
			t.Errorf("%q is %q, %v; want %q", name, path, err, want)
		}
	}
	if _, err := planrun.FindScript(filepath.Join(dir, "gone"), "good.sh"); codeOf(err) != errorcatalog.ScriptsNotAvailable {
		t.Errorf("without a directory: %v", err)
	}
}

func codeOf(err error) errorcatalog.Code {
	if err == nil {
		return ""
	}
	return errorcatalog.Of(err).Code
}

func TestAnItemsJobHasOneIDInARun(t *testing.T) {
	t.Parallel()
	run := uuid.Must(uuid.NewV7()).String()
	id := planrun.ChildID(run, "web")
	if again := planrun.ChildID(run, "web"); again != id {
		t.Errorf("%s became %s", id, again)
	}
	if planrun.ChildID(run, "db") == id || planrun.ChildID(uuid.Must(uuid.NewV7()).String(), "web") == id {
		t.Error("two jobs have one id")
	}
	if u, err := uuid.Parse(id); err != nil || u.Version() != 7 || id[:13] != run[:13] {
		t.Errorf("%s of run %s is %v, %v", id, run, u.Version(), err)
	}
}
