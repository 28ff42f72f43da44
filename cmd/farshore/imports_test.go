package main_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "farshore/"

// layers says which of our packages each of our packages may import. The first
// row that matches applies; "..." stands for a package and all below it.
var layers = []struct{ pkg, may string }{
	{"domain", "domain/errorcatalog"},
	{"domain/errorcatalog", ""},
	{"domain/domaintest", "domain domain/errorcatalog"},
	{"domain/protecteditem", "domain domain/errorcatalog domain/networkmapping domain/policy domain/site"}, // their value types
	{"domain/...", "domain domain/errorcatalog"},
	{"migrations", ""},
	{"eventstore/pgcluster", ""},
	{"eventstore/pgtest", "eventstore/... migrations"},
	{"eventstore/schema", "migrations"},
	{"eventstore/...", "domain eventstore"},
	{"projections", "domain/... eventstore"},
	{"workers/disk", "domain/site domain/errorcatalog"},
	{"workers/changelog", "domain/errorcatalog workers/disk"},
	{"workers/replica", "workers/disk"},                                      // the seam
	{"workers/checksum", "domain/errorcatalog workers/disk workers/replica"}, // manifests are objects of a store
	{"workers/transfer", "domain/errorcatalog workers/disk workers/checksum"},
	{"workers/proof", ""},
	{"workers/host/local/nbd", "domain/errorcatalog workers/disk"},
	{"workers/host/...", "domain/... workers/host/... workers/changelog workers/disk"},
	{"workers/replica/...", "domain/... workers/replica/... workers/changelog workers/checksum workers/disk"},
	{"workers/...", "domain/... eventstore workers/..."},
	{"api/...", "domain/... eventstore projections api/..."},
	{"cmd/...", "domain/... migrations eventstore/... projections workers/... api/... cmd/..."},
}

func TestImportsPointInward(t *testing.T) {
	t.Parallel()
	const edges = `{{$p := .ImportPath}}{{range .Imports}}{{$p}} {{.}}{{"\n"}}{{end}}`
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", edges, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for edge := range strings.Lines(string(out)) {
		from, to, _ := strings.Cut(strings.TrimSpace(edge), " ")
		from = strings.TrimPrefix(from, module)
		if to, ours := strings.CutPrefix(to, module); ours && !allowed(from, to) {
			t.Errorf("%s must not import %s", from, to)
		}
	}
}

// The tests' own packages bring test servers, fault injection and package testing.
func TestTheProgramHoldsNoTestCode(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"cmd/farshore").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		pkg := strings.TrimSpace(line)
		ours, isOurs := strings.CutPrefix(pkg, module)
		if pkg == "testing" || isOurs && (strings.HasSuffix(ours, "test") || strings.HasSuffix(ours, "/faultproxy")) {
			t.Errorf("the program imports %s", pkg)
		}
	}
}

func allowed(from, to string) bool {
	i := slices.IndexFunc(layers, func(l struct{ pkg, may string }) bool { return matches(l.pkg, from) })
	return i >= 0 && slices.ContainsFunc(strings.Fields(layers[i].may), func(p string) bool { return matches(p, to) })
}

func matches(pattern, pkg string) bool {
	root, below := strings.CutSuffix(pattern, "/...")
	return pkg == root || below && strings.HasPrefix(pkg, root+"/")
}
