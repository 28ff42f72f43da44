package eventstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// row is an event in its stored form.
type row struct {
	stream    StreamID
	version   Version
	position  Position
	id        string
	eventType string
	data      json.RawMessage
	metadata  json.RawMessage
	at        time.Time
	leafHash  [32]byte
}

// errNoEvents is a mistake of the caller: an append must change something.
var errNoEvents = errors.New("append without events")

// rowsOf brings a request's events into their stored form. Position and time are
// given by the store.
func (c *Codec) rowsOf(a Append) ([]row, error) {
	if len(a.Events) == 0 {
		return nil, fmt.Errorf("append to %s: %w", a.Stream, errNoEvents)
	}
	metadata, err := encodeMetadata(a.Metadata)
	if err != nil {
		return nil, err
	}
	rows := make([]row, len(a.Events))
	for i, e := range a.Events {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("draw event id: %w", err)
		}
		r := row{stream: a.Stream, version: a.Expected + Version(i) + 1, id: id.String(), metadata: metadata}
		if r.eventType, r.data, err = c.Encode(e); err != nil {
			return nil, err
		}
		if r.leafHash, err = leafHashOf(r); err != nil {
			return nil, err
		}
		rows[i] = r
	}
	return rows, nil
}

// encodeMetadata returns the canonical JSON of metadata. Its keys are in order
// already, so only text that JSON escapes needs the full treatment.
func encodeMetadata(m Metadata) (json.RawMessage, error) {
	text, err := json.Marshal(m) //nolint:errchkjson // a later field may be one that can fail
	if err != nil {
		return nil, fmt.Errorf("encode metadata: %w", err)
	}
	for _, b := range text {
		if b < 0x20 || b > 0x7e || b == '\\' {
			if text, err = canonical(text); err != nil {
				return nil, fmt.Errorf("encode metadata: %w", err)
			}
			break
		}
	}
	return text, nil
}

// record is the reverse of rowsOf.
func (c *Codec) record(r row) (Recorded, error) {
	event, err := c.Decode(r.eventType, r.data)
	if err != nil {
		return Recorded{}, fmt.Errorf("read event at position %d: %w", r.position, err)
	}
	rec := Recorded{
		Stream: r.stream, Version: r.version, Position: r.position, ID: r.id,
		At: r.at, Event: event, LeafHash: r.leafHash,
	}
	if err := json.Unmarshal(r.metadata, &rec.Metadata); err != nil {
		return Recorded{}, fmt.Errorf("read metadata at position %d: %w", r.position, err)
	}
	return rec, nil
}

// category is a stream's name without the aggregate's id.
func category(id StreamID) string {
	name, _, _ := strings.Cut(string(id), "-")
	return name
}
