package migrations_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"farshore/migrations"
)

// released reads the pinned hash of every migration. A database that has applied a
// file will never see its change: mend what is wrong with a new file, and add it
// with: cd migrations && sha256sum NNNNNN_*.sql >> released.sum.
func released(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("released.sum")
	if err != nil {
		t.Fatal(err)
	}
	pinned := map[string]string{}
	for line := range strings.Lines(string(text)) {
		hash, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			t.Fatalf("released.sum holds the line %q", line)
		}
		pinned[name] = hash
	}
	return pinned
}

func TestAppliedMigrationsNeverChange(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	pinned, seen := released(t), map[string]bool{}
	for _, name := range files {
		text, err := migrations.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		seen[name] = true
		sum := sha256.Sum256(text)
		if got := hex.EncodeToString(sum[:]); got != pinned[name] {
			t.Errorf("%s has hash %s, pinned is %q", name, got, pinned[name])
		}
	}
	for name := range pinned {
		if !seen[name] {
			t.Errorf("%s is pinned and gone", name)
		}
	}
}

func TestMigrationsComeInNumberedPairs(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^\d{6}_[a-z0-9_]+\.up\.sql$`)
	ups, err := fs.Glob(migrations.Files, "*.up.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, up := range ups {
		if !name.MatchString(up) {
			t.Errorf("%s is not named NNNNNN_title.up.sql", up)
		}
		if _, err := fs.Stat(migrations.Files, strings.Replace(up, ".up.", ".down.", 1)); err != nil {
			t.Errorf("%s has no way down: %v", up, err)
		}
		text, err := migrations.Files.ReadFile(up)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "SET lock_timeout") {
			t.Errorf("%s does not bound its wait for locks", up)
		}
	}
}
