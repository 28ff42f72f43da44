package eventstore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"farshore/domain"
	"farshore/eventstore"
)

type renamedV3 struct {
	Name  string `json:"name"`
	Title string `json:"title"`
}

func (renamedV3) EventType() string { return "thing.renamed.v3" }

// rewrite is an upcaster made of a function over the event's fields.
func rewrite(change func(map[string]any)) eventstore.Upcaster {
	return func(data json.RawMessage) (json.RawMessage, error) {
		var fields map[string]any
		if err := json.Unmarshal(data, &fields); err != nil {
			return nil, err
		}
		change(fields)
		return json.Marshal(fields)
	}
}

func TestOldEventsAreReadAsPresentOnes(t *testing.T) {
	t.Parallel()
	codec, err := eventstore.NewCodec(
		eventstore.Types(renamedV3{}),
		eventstore.Upcast("thing.renamed.v1", "thing.renamed.v2", rewrite(func(f map[string]any) { f["name"] = f["n"] })),
		eventstore.Upcast("thing.renamed.v2", "thing.renamed.v3", rewrite(func(f map[string]any) { f["title"] = fmt.Sprint("Thing ", f["name"]) })),
	)
	if err != nil {
		t.Fatal(err)
	}
	for stored, data := range map[string]string{
		"thing.renamed.v1": `{"n":"a"}`,
		"thing.renamed.v2": `{"name":"a"}`,
		"thing.renamed.v3": `{"name":"a","title":"Thing a"}`,
	} {
		got, err := codec.Decode(stored, json.RawMessage(data))
		if err != nil || got != (renamedV3{Name: "a", Title: "Thing a"}) {
			t.Errorf("%s: %+v, %v", stored, got, err)
		}
	}
}

func TestACodecRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	same := rewrite(func(map[string]any) {})
	for name, options := range map[string][]eventstore.CodecOption{
		"two events of one name":            {eventstore.Types(renamedV3{}), eventstore.Types(renamedV3{})},
		"an upcaster to nowhere":            {eventstore.Upcast("a.v1", "a.v2", same)},
		"upcasters in a circle":             {eventstore.Upcast("a.v1", "a.v2", same), eventstore.Upcast("a.v2", "a.v1", same)},
		"two upcasters of one version":      {eventstore.Upcast("a.v1", "thing.renamed.v3", same), eventstore.Upcast("a.v1", "thing.renamed.v3", same), eventstore.Types(renamedV3{})},
		"an upcaster of the present":        {eventstore.Types(renamedV3{}), eventstore.Upcast("thing.renamed.v3", "thing.renamed.v3", same)},
		"samples of different sorts, twice": {eventstore.Types[domain.Event](renamedV3{}, renamedV3{})},
	} {
		if _, err := eventstore.NewCodec(options...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	codec, err := eventstore.NewCodec(eventstore.Types(renamedV3{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := codec.Decode("thing.removed.v1", nil); !errors.Is(err, eventstore.ErrUnknownType) {
		t.Errorf("an unknown type: %v", err)
	}
	if _, err := codec.Decode("thing.renamed.v3", json.RawMessage(`{"name":7}`)); err == nil {
		t.Error("data of another shape: accepted")
	}
}

func TestEventsAreStoredInCanonicalForm(t *testing.T) {
	t.Parallel()
	codec, err := eventstore.NewCodec(eventstore.Types(renamedV3{}))
	if err != nil {
		t.Fatal(err)
	}
	name, data, err := codec.Encode(renamedV3{Title: "<z>", Name: "é\u2028"})
	if err != nil || name != "thing.renamed.v3" || string(data) != "{\"name\":\"é\u2028\",\"title\":\"<z>\"}" {
		t.Fatalf("%s %s %v", name, data, err)
	}
}

func TestTheLeafHashDoesNotDependOnHowJSONIsWritten(t *testing.T) {
	t.Parallel()
	one, err := eventstore.LeafHash("s-1", 1, "id", "t.v1", json.RawMessage(`{"b":1.0,"a":"\u00e9"}`), json.RawMessage(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	two, err := eventstore.LeafHash("s-1", 1, "id", "t.v1", json.RawMessage(` { "a" : "é", "b" : 1 } `), json.RawMessage(`{}`))
	if err != nil || one != two {
		t.Fatalf("%x and %x, %v", one, two, err)
	}
	for _, other := range []string{`{"a":"é","b":2}`, `{"a":"e","b":1}`} {
		three, err := eventstore.LeafHash("s-1", 1, "id", "t.v1", json.RawMessage(other), json.RawMessage(`{}`))
		if err != nil || one == three {
			t.Fatalf("%s has the same hash, %v", other, err)
		}
	}
	if _, err := eventstore.LeafHash("s-1", 1, "id", "t.v1", json.RawMessage(`{`), nil); err == nil || !strings.Contains(err.Error(), "id") {
		t.Fatalf("broken JSON: %v", err)
	}
}
