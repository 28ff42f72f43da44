package protecteditem_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"farshore/domain/domaintest"
	"farshore/domain/protecteditem"
)

// TestAStateSurvivesASnapshot holds for the state after each event of a life.
func TestAStateSurvivesASnapshot(t *testing.T) {
	t.Parallel()
	var s protecteditem.State
	for _, e := range history(protected, shipped2, secondPoint, required, resyncing, paused) {
		s = protecteditem.Decider.Evolve(s, e)
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back protecteditem.State
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(back)
		if err != nil {
			t.Fatal(err)
		}
		if string(again) != string(text) || !reflect.DeepEqual(protecteditem.AllowedOperations(back, noon), protecteditem.AllowedOperations(s, noon)) {
			t.Fatalf("after %s the state reads back as %s, want %s", e.EventType(), again, text)
		}
	}
}

func TestAnotherFormOfTheStateIsAnotherVersion(t *testing.T) {
	t.Parallel()
	domaintest.Shape(t, protecteditem.StateVersion, reflect.TypeFor[protecteditem.State]())
}
