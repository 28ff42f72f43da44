package pgcluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrNotInstalled reports that PostgreSQL's programs were not found. Its text
// names the command that installs them.
var ErrNotInstalled = errors.New("PostgreSQL 15 or newer is not installed; install it with: apt-get install -y postgresql (Debian, Ubuntu), brew install postgresql@17 (macOS)")

// installations lists where PostgreSQL's packages put their programs.
func installations() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	}
}

// findBinaries returns the folder that holds initdb and postgres. A data
// directory that exists already can only be opened by its own major version,
// so that one is preferred; otherwise the newest wins.
func findBinaries(dataDir string) (string, error) {
	var found []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			path = target // its folder tells the version and holds the other programs
		}
		found = append(found, filepath.Dir(path))
	}
	for _, pattern := range installations() {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("list %s: %w", pattern, err)
		}
		slices.SortFunc(dirs, func(a, b string) int { return majorIn(b) - majorIn(a) })
		found = append(found, dirs...)
	}
	found = slices.DeleteFunc(found, func(dir string) bool {
		return !exists(filepath.Join(dir, "initdb")) || !exists(filepath.Join(dir, "postgres"))
	})
	if len(found) == 0 {
		return "", ErrNotInstalled
	}
	if want := majorOf(dataDir); want != 0 {
		for _, dir := range found {
			if majorIn(dir) == want {
				return dir, nil
			}
		}
	}
	return found[0], nil
}

// majorOf is the major version that made a data directory, 0 for none.
func majorOf(dataDir string) int {
	text, err := os.ReadFile(filepath.Join(dataDir, "PG_VERSION"))
	if err != nil {
		return 0
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return major
}

// majorIn reads the major version out of an installation's path, 0 when the
// path does not tell.
func majorIn(dir string) int {
	digits := strings.FieldsFunc(dir, func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) == 0 {
		return 0
	}
	major, err := strconv.Atoi(digits[0])
	if err != nil {
		return 0
	}
	return major
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
