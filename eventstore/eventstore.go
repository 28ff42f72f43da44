// Package eventstore records events in streams and replays them. It knows how
// events are stored, never what they mean: the meaning stays in package domain.
//
// Guaranteed:
//   - Positions have no gaps and are given out in commit order, so a reader that
//     keeps one integer misses nothing.
//   - An append that was answered is durable, and all of its events are there or none.
//   - A stream grows only from the version its writer has seen.
//   - A repeated idempotency key gets its first answer, however often and late.
//   - Stored events are never changed: the service's role can only add to them.
//
// Not guaranteed:
//   - After ErrUnavailable or a cancelled call the append may or may not have
//     happened; repeating it with its idempotency key finds out.
//   - A fence is compared when the append runs. A lane claimed while that
//     transaction commits does not undo it; the new holder then meets a version
//     conflict and reads again.
//   - Subscribers and wake-ups deliver at least once.
package eventstore

import (
	"context"
	"errors"
	"iter"
	"time"

	"farshore/domain"
)

// The errors that control what a caller does next.
var (
	// ErrVersionConflict reports that the stream has moved on since it was read.
	ErrVersionConflict = errors.New("stream is not at the expected version")
	// ErrFenced reports that the lane's work has passed to another worker.
	ErrFenced = errors.New("the fence is older than the lane's")
	// ErrIdempotencyMismatch reports a key that was used for another request.
	ErrIdempotencyMismatch = errors.New("idempotency key was used for another request")
	// ErrUnavailable reports that the database cannot be reached: nothing is known
	// about whether the append happened, and a retry with the same idempotency key
	// is safe.
	ErrUnavailable = errors.New("event store is unavailable")
)

type (
	// StreamID names a stream: "protected_item-<uuid>".
	StreamID string
	// Version counts the events of one stream, from 1; 0 is an empty stream.
	Version int64
	// Position orders the events of all streams: gapless, in commit order, from 1.
	Position int64
)

// Metadata says how an event came about. Its fields stand in the order of their
// JSON names, so that what is written is canonical as it is.
type Metadata struct {
	Actor       string `json:"actor,omitempty"`       // "apikey:<id>", "worker:<name>", "system"
	Causation   string `json:"causation,omitempty"`   // id of the event that led to it
	Correlation string `json:"correlation,omitempty"` // id of the first event of the thread
	Job         string `json:"job,omitempty"`         // the job whose thread it belongs to
	Request     string `json:"request,omitempty"`     // X-Request-Id
	Vault       string `json:"vault,omitempty"`       // the tenant
}

// Recorded is an event as it was stored.
type Recorded struct {
	Stream   StreamID
	Version  Version
	Position Position
	ID       string // UUIDv7
	At       time.Time
	Metadata Metadata
	Event    domain.Event
	LeafHash [32]byte
}

// Append is a request to add events to one stream.
type Append struct {
	Stream      StreamID
	Expected    Version // the version the stream is at
	Events      []domain.Event
	Metadata    Metadata
	Idempotency *Idempotency // nil: none
	Fence       *Fence       // nil: none
}

// Idempotency makes a repeated request return its first answer.
type Idempotency struct {
	Key         string // unique within the vault and actor; the caller scopes it
	Fingerprint string // of the request; another one under the same key is refused
}

// Fence proves that a worker still holds a lane.
type Fence struct {
	Lane  string // the lane's key: "<item>/<kind>"
	Token int64
}

// Appended is the answer to an Append.
type Appended struct {
	Version  Version  // of the stream, after
	Position Position // of the last event
	Replayed bool     // the answer is that of an earlier request with the same key
}

// Store is an append-only log of events.
type Store interface {
	Appender
	Reader
}

// Appender adds to the log.
type Appender interface {
	// Append adds events to a stream: all of them or none. It returns one of the
	// package's errors when the stream, the key or the fence forbids it. A caller
	// whose ctx ends gets its error, while the append may still happen.
	Append(ctx context.Context, a Append) (Appended, error)
	// Replayed returns the answer that was given under an idempotency key, and
	// whether there was one. ErrIdempotencyMismatch says that the key belongs to
	// another request.
	Replayed(ctx context.Context, key Idempotency) (Appended, bool, error)
}

// Reader reads the log.
type Reader interface {
	// Stream yields a stream's events after the given version, in order. Reading
	// stops at the first error.
	Stream(ctx context.Context, id StreamID, after Version) iter.Seq2[Recorded, error]
	// Read returns up to limit events after a position, in order.
	Read(ctx context.Context, after Position, limit int) ([]Recorded, error)
	// Head is the position of the newest event, 0 when there is none.
	Head(ctx context.Context) (Position, error)
	// Wait returns once an event after the given position can be read.
	Wait(ctx context.Context, after Position) error
}

// Batches yields the log after a position in batches of up to size events, until
// its end is reached.
func Batches(ctx context.Context, r Reader, after Position, size int) iter.Seq2[[]Recorded, error] {
	return func(yield func([]Recorded, error) bool) {
		for {
			batch, err := r.Read(ctx, after, size)
			if err != nil {
				yield(nil, err)
				return
			}
			if len(batch) == 0 || !yield(batch, nil) {
				return
			}
			after = batch[len(batch)-1].Position
		}
	}
}
