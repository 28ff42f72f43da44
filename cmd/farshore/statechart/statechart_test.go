package statechart_test

import (
	"os"
	"slices"
	"testing"

	"farshore/cmd/farshore/statechart"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

func TestTheDocumentationIsWhatTheDomainSays(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"errors.md": errorcatalog.Markdown(errorcatalog.All()),
		"states.md": statechart.Markdown(),
	} {
		got, err := os.ReadFile("../../../docs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("docs/%s is stale: run make generate", file)
		}
	}
}

func TestTheChartMissesNothing(t *testing.T) {
	t.Parallel()
	met := statechart.Events()
	for _, e := range protecteditem.Events() {
		if !slices.Contains(met, e.EventType()) {
			t.Errorf("no move leads to %s", e.EventType())
		}
	}
	for _, m := range statechart.Unmade() {
		t.Errorf("%s can never be made", m)
	}
	for _, w := range statechart.Missing() {
		t.Errorf("%s: cannot be", w)
	}
}

func TestWhatIsAllowedCanBeDone(t *testing.T) {
	t.Parallel()
	for _, c := range statechart.Contradictions() {
		t.Error(c)
	}
}
