// Package eventstoretest states what every event store promises, as tests that
// any implementation runs.
package eventstoretest

import (
	"context"
	"fmt"
	"testing"

	"farshore/domain"
	"farshore/eventstore"
)

// Subject is a store under test.
type Subject struct {
	Store eventstore.Store
	// SetFence makes a lane known with a fence, as claiming it would.
	SetFence func(tb testing.TB, item, kind string, token int64)
}

// Noted is the suite's event.
type Noted struct {
	Text  string `json:"text"`
	Bytes int64  `json:"bytes,string"` // above 2^53 only a string keeps it
}

// EventType implements domain.Event.
func (Noted) EventType() string { return "note.noted.v2" }

// Counted is an event that makes the mistake of storing a large integer as a
// number.
type Counted struct {
	Bytes int64 `json:"bytes"`
}

// EventType implements domain.Event.
func (Counted) EventType() string { return "note.counted.v1" }

// Codec knows the suite's events.
func Codec(tb testing.TB) *eventstore.Codec {
	tb.Helper()
	codec, err := eventstore.NewCodec(eventstore.Types[domain.Event](Noted{}, Counted{}))
	if err != nil {
		tb.Fatal(err)
	}
	return codec
}

// Run tests a store. open returns an empty one for each test.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Subject){
		"an append at a stale version is a conflict":              staleVersion,
		"an append past the end is a conflict":                    pastTheEnd,
		"an append without events is refused":                     noEvents,
		"an event of an unknown type is refused":                  unknownType,
		"of racing appends exactly one wins":                      race,
		"positions are gapless and in commit order":               gapless,
		"a stream is read in order from any version":              readStream,
		"the log is read in order from any position":              readLog,
		"what is read is what was appended":                       roundTrip,
		"a repeated key gets the first answer":                    replay,
		"a repeated key gets the first answer at a stale version": replayStale,
		"a key used for another request is refused":               mismatch,
		"a refused append does not use up its key":                keyAfterConflict,
		"an append without a known lane is fenced":                unknownLane,
		"an append behind the lane's fence is fenced":             fencedOff,
		"a large integer survives as a string":                    bigInteger,
		"a large integer stored as a number is refused":           bigNumber,
		"text that the database cannot hold is refused alone":     nulText,
		"a cancelled caller gets its own error":                   cancelled,
		"waiting ends when the event can be read":                 waitForEvent,
		"waiting for what is there ends at once":                  waitForPast,
		"waiting ends with its context":                           waitCancelled,
		"an empty log has head zero":                              emptyHead,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// note is an append of one event.
func note(stream string, expected eventstore.Version, text string) eventstore.Append {
	return eventstore.Append{
		Stream: eventstore.StreamID(stream), Expected: expected,
		Events: []domain.Event{Noted{Text: text}}, Metadata: eventstore.Metadata{Actor: "system", Vault: "v1"},
	}
}

func mustAppend(t *testing.T, s eventstore.Store, a eventstore.Append) eventstore.Appended {
	t.Helper()
	done, err := s.Append(t.Context(), a)
	if err != nil {
		t.Fatalf("append to %s at %d: %v", a.Stream, a.Expected, err)
	}
	return done
}

func readAll(t *testing.T, s eventstore.Store) []eventstore.Recorded {
	t.Helper()
	var all []eventstore.Recorded
	for batch, err := range eventstore.Batches(t.Context(), s, 0, 7) {
		if err != nil {
			t.Fatalf("read the log: %v", err)
		}
		all = append(all, batch...)
	}
	return all
}

func texts(recs []eventstore.Recorded) string {
	var out []string
	for _, r := range recs {
		out = append(out, r.Event.(Noted).Text) //nolint:forcetypeassert // the suite appended it
	}
	return fmt.Sprint(out)
}

func streamOf(t *testing.T, s eventstore.Store, id string, after eventstore.Version) []eventstore.Recorded {
	t.Helper()
	var all []eventstore.Recorded
	for rec, err := range s.Stream(context.WithoutCancel(t.Context()), eventstore.StreamID(id), after) {
		if err != nil {
			t.Fatalf("read stream %s: %v", id, err)
		}
		all = append(all, rec)
	}
	return all
}
