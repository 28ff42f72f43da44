package storageaccount_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"farshore/domain/storageaccount"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestStoredForm fails when an event's JSON changes: what is in the log stays
// readable for ever. A new shape is a new version of the event.
func TestStoredForm(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{}
	for _, e := range stored() {
		shown[e.EventType()] = true
		t.Run(e.EventType(), func(t *testing.T) {
			t.Parallel()
			got, err := json.MarshalIndent(e, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", e.EventType()+".json")
			if *update {
				if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
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
		})
	}
	for _, e := range storageaccount.Events() {
		if !shown[e.EventType()] {
			t.Errorf("%s has no golden file", e.EventType())
		}
		if !strings.HasPrefix(e.EventType(), storageaccount.Category+".") || !strings.HasSuffix(e.EventType(), ".v1") {
			t.Errorf("%T is stored as %q", e, e.EventType())
		}
	}
	if len(shown) != len(storageaccount.Events()) {
		t.Errorf("%d types are stored, Events lists %d", len(shown), len(storageaccount.Events()))
	}
}
