package eventstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"github.com/gowebpki/jcs"

	"farshore/domain"
)

// ErrUnknownType reports a stored event whose type this program does not know:
// it was written by a newer one.
var ErrUnknownType = errors.New("event type is unknown")

// maxExact is the largest integer that every reader of JSON keeps exactly. A
// larger one would leave the leaf hash blind to its last digits, so such fields
// are stored as strings.
const maxExact = 1 << 53

// Upcaster rewrites the stored form of an event into that of its next version.
type Upcaster func(data json.RawMessage) (json.RawMessage, error)

// Codec knows the stored form of every event: JSON under a type name that ends
// with its version, such as "protected_item.failover_committed.v1". Stored events
// are never rewritten; old versions are brought up to date as they are read.
type Codec struct {
	types     map[string]reflect.Type
	upcasters map[string]upcast
}

type upcast struct {
	to    string
	apply Upcaster
}

// CodecOption adds to a codec.
type CodecOption func(*Codec) error

// Types makes a codec know the events of which it is given samples; only their
// types matter.
func Types[E domain.Event](samples ...E) CodecOption {
	return func(c *Codec) error {
		for _, sample := range samples {
			name := sample.EventType()
			if _, taken := c.types[name]; taken {
				return fmt.Errorf("register event %s: the name is taken", name)
			}
			c.types[name] = reflect.TypeOf(sample)
		}
		return nil
	}
}

// Upcast makes a codec bring events of one type to another, usually the next
// version. Steps chain: v1 to v2, v2 to v3.
func Upcast(from, to string, apply Upcaster) CodecOption {
	return func(c *Codec) error {
		if _, taken := c.upcasters[from]; taken {
			return fmt.Errorf("register upcaster of %s: there is one", from)
		}
		c.upcasters[from] = upcast{to: to, apply: apply}
		return nil
	}
}

// NewCodec builds a codec. A chain of upcasters that ends at a type without an
// event, or nowhere, is refused.
func NewCodec(options ...CodecOption) (*Codec, error) {
	c := &Codec{types: map[string]reflect.Type{}, upcasters: map[string]upcast{}}
	for _, option := range options {
		if err := option(c); err != nil {
			return nil, err
		}
	}
	for from := range c.upcasters {
		if _, known := c.types[from]; known {
			return nil, fmt.Errorf("register upcaster of %s: the type is a present one", from)
		}
		name := from
		for range len(c.upcasters) {
			if up, ok := c.upcasters[name]; ok {
				name = up.to
			}
		}
		if _, known := c.types[name]; !known {
			return nil, fmt.Errorf("register upcaster of %s: it leads to %s: %w", from, name, ErrUnknownType)
		}
	}
	return c, nil
}

// Encode returns the stored type and form of an event, as canonical JSON.
func (c *Codec) Encode(e domain.Event) (string, json.RawMessage, error) {
	name := e.EventType()
	if known, ok := c.types[name]; !ok || known != reflect.TypeOf(e) {
		return "", nil, fmt.Errorf("encode %T as %s: %w", e, name, ErrUnknownType)
	}
	data, err := json.Marshal(e)
	if err != nil {
		return "", nil, fmt.Errorf("encode %s: %w", name, err)
	}
	data, err = canonical(data)
	if err != nil {
		return "", nil, fmt.Errorf("encode %s: %w", name, err)
	}
	return name, data, nil
}

// Decode returns the event that was stored, in its present version.
func (c *Codec) Decode(name string, data json.RawMessage) (domain.Event, error) {
	stored := name
	for up, ok := c.upcasters[name]; ok; up, ok = c.upcasters[name] {
		var err error
		if data, err = up.apply(data); err != nil {
			return nil, fmt.Errorf("bring %s to %s: %w", stored, up.to, err)
		}
		name = up.to
	}
	known, ok := c.types[name]
	if !ok {
		return nil, fmt.Errorf("decode %s: %w", stored, ErrUnknownType)
	}
	value := reflect.New(known)
	if err := json.Unmarshal(data, value.Interface()); err != nil {
		return nil, fmt.Errorf("decode %s: %w", stored, err)
	}
	event, ok := reflect.TypeAssert[domain.Event](value.Elem())
	if !ok {
		return nil, fmt.Errorf("decode %s: %s is not an event", stored, known)
	}
	return event, nil
}

// leaf is what an event's hash is taken over.
type leaf struct {
	Stream   StreamID        `json:"stream"`
	Version  Version         `json:"version"`
	EventID  string          `json:"eventId"`
	Type     string          `json:"type"`
	Data     json.RawMessage `json:"data"`
	Metadata json.RawMessage `json:"metadata"`
}

// LeafHash is the event's leaf in the log's Merkle tree: the SHA-256 of the
// canonical JSON (RFC 8785) of stream, version, eventId, type, data and metadata.
// Anybody can compute it from the stored row.
func LeafHash(stream StreamID, version Version, eventID, eventType string, data, metadata json.RawMessage) ([32]byte, error) {
	text, err := json.Marshal(leaf{Stream: stream, Version: version, EventID: eventID, Type: eventType, Data: data, Metadata: metadata})
	if err != nil {
		return [32]byte{}, fmt.Errorf("hash event %s: %w", eventID, err)
	}
	text, err = jcs.Transform(text)
	if err != nil {
		return [32]byte{}, fmt.Errorf("hash event %s: %w", eventID, err)
	}
	return sha256.Sum256(text), nil
}

// canonical is JSON in the form of RFC 8785. It refuses what PostgreSQL or a
// reader elsewhere would not give back as it was.
func canonical(data []byte) (json.RawMessage, error) {
	if err := checkPortable(data); err != nil {
		return nil, err
	}
	out, err := jcs.Transform(data)
	if err != nil {
		return nil, fmt.Errorf("bring JSON into canonical form: %w", err)
	}
	return out, nil
}

// checkPortable refuses integers that a 64-bit float cannot hold and text with
// the character U+0000, which jsonb cannot.
func checkPortable(data []byte) error {
	if !suspicious(data) {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return nil //nolint:nilerr // the end; the encoder wrote it, so nothing else can be wrong
		}
		switch v := token.(type) {
		case json.Number:
			n, ok := new(big.Int).SetString(v.String(), 10)
			if ok && n.CmpAbs(big.NewInt(maxExact)) > 0 {
				return fmt.Errorf("integer %s is above 2^53: store it as a string", v)
			}
		case string:
			if strings.IndexByte(v, 0) >= 0 {
				return errors.New("text contains the character U+0000")
			}
		}
	}
}

// suspicious spares nearly every event the closer look: it has neither 16 digits
// in a row nor an escaped U+0000.
func suspicious(data []byte) bool {
	digits := 0
	for _, b := range data {
		if b < '0' || b > '9' {
			digits = 0
			continue
		}
		if digits++; digits == 16 {
			return true
		}
	}
	return bytes.Contains(data, []byte(`\u0000`))
}

// leafHashOf is LeafHash for data and metadata that are canonical already: only
// the order of the keys is left to see to.
func leafHashOf(r row) ([32]byte, error) {
	if !plain(string(r.stream)) || !plain(r.eventType) {
		return LeafHash(r.stream, r.version, r.id, r.eventType, r.data, r.metadata)
	}
	text := make([]byte, 0, len(r.data)+len(r.metadata)+len(r.stream)+len(r.eventType)+150)
	text = append(append(text, `{"data":`...), r.data...)
	text = append(append(text, `,"eventId":"`...), r.id...)
	text = append(append(text, `","metadata":`...), r.metadata...)
	text = append(append(text, `,"stream":"`...), r.stream...)
	text = append(append(text, `","type":"`...), r.eventType...)
	text = append(strconv.AppendInt(append(text, `","version":`...), int64(r.version), 10), '}')
	return sha256.Sum256(text), nil
}

// plain reports whether JSON writes a text as it is.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
