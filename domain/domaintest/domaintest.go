// Package domaintest holds the tests that every aggregate passes: that its rules
// answer as a table says, and that the stored form of its events never changes.
package domaintest

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// StoredForm fails when the JSON of an aggregate's events changes: what is in the
// log stays readable for ever, and a new shape is a new version of the event.
// known is what the aggregate's Events lists, samples holds one of each, filled.
func StoredForm[E domain.Event](t *testing.T, category string, known, samples []E) {
	t.Helper()
	shown := map[string]bool{}
	for _, e := range samples {
		shown[e.EventType()] = true
		t.Run(e.EventType(), func(t *testing.T) {
			t.Parallel()
			golden(t, e)
		})
	}
	for _, e := range known {
		if !shown[e.EventType()] {
			t.Errorf("%s has no golden file", e.EventType())
		}
		if !strings.HasPrefix(e.EventType(), category+".") || !strings.HasSuffix(e.EventType(), ".v1") {
			t.Errorf("%T is stored as %q", e, e.EventType())
		}
	}
	if len(shown) != len(known) {
		t.Errorf("%d types are stored, Events lists %d", len(shown), len(known))
	}
}

func golden(t *testing.T, e domain.Event) {
	t.Helper()
	got, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", e.EventType()+".json")
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got)+"\n" != string(want) {
		t.Errorf("stored form changed:\n got %s\nwant %s", got, want)
	}
	back := reflect.New(reflect.TypeOf(e))
	if err := json.Unmarshal(want, back.Interface()); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back.Elem().Interface(), e) {
		t.Errorf("read back = %+v, want %+v", back.Elem().Interface(), e)
	}
}

// Scenario is a row of a table of rules.
type Scenario[C, E any] struct {
	Given   []E
	When    C
	Then    []E               // none and not refused: nothing changes
	Refused errorcatalog.Code // with nothing then
	Field   string            // that the refusal names
}

// Decide runs a table: the name of a row is the rule.
func Decide[C, E, S any](t *testing.T, d domain.Decider[C, E, S], rows map[string]Scenario[C, E]) {
	t.Helper()
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var zero S
			got, err := d.Decide(d.Fold(zero, row.Given...), row.When)
			if code, field := Refusal(t, err); code != row.Refused || field != row.Field {
				t.Fatalf("refusal = %q at %q (%v), want %q at %q", code, field, err, row.Refused, row.Field)
			}
			if !reflect.DeepEqual(got, row.Then) {
				t.Errorf("events = %+v\nwant %+v", got, row.Then)
			}
		})
	}
}

// Refusal returns the code and the field of a refusal, which the catalogue must
// list and which must say why; nothing when there is none.
func Refusal(t *testing.T, err error) (errorcatalog.Code, string) {
	t.Helper()
	if err == nil {
		return "", ""
	}
	r, ok := errors.AsType[*domain.RejectionError](err)
	if !ok {
		t.Fatalf("%v is not a refusal", err)
	}
	if e, ok := errorcatalog.Lookup(r.Code); !ok || e.Class != errorcatalog.Refusal {
		t.Errorf("%s is not a refusal of the catalogue", r.Code)
	}
	if r.Detail == "" {
		t.Errorf("%s does not say why", r.Code)
	}
	return r.Code, r.Field
}

// Shape fails when the fields of a state change and its version does not: the
// golden file holds both.
func Shape(t *testing.T, version int, state reflect.Type) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "version %d\n", version)
	describe(&b, "", state, map[reflect.Type]bool{})
	path := filepath.Join("testdata", "state.txt")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the state has another form: raise its version, then run with -update. It is\n%s", b.String())
	}
}

func describe(b *strings.Builder, at string, of reflect.Type, seen map[reflect.Type]bool) {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || !strings.HasPrefix(of.PkgPath(), "farshore/") || seen[of] {
		return
	}
	seen[of] = true
	for f := range of.Fields() {
		fmt.Fprintf(b, "%s%s %s\n", at, f.Name, f.Type)
		describe(b, at+f.Name+".", f.Type, seen)
	}
}
