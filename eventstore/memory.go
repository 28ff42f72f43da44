package eventstore

import (
	"context"
	"iter"
	"sync"
	"time"
)

// Memory is a Store without a database, for tests of what stands above it. It
// keeps every promise of Store except that it forgets when its process ends.
type Memory struct {
	codec *Codec
	now   func() time.Time
	grown *wakeup

	mu      sync.Mutex
	log     []row
	streams map[StreamID][]int // indexes into log
	keys    map[string]keptAnswer
	fences  map[string]int64
}

type keptAnswer struct {
	fingerprint string
	stream      StreamID
	answer      Appended
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory(codec *Codec, now func() time.Time) *Memory {
	return &Memory{
		codec: codec, now: now, grown: newWakeup(),
		streams: map[StreamID][]int{}, keys: map[string]keptAnswer{}, fences: map[string]int64{},
	}
}

// SetFence makes a lane known, or raises its fence: what claiming the lane does
// in the database.
func (m *Memory) SetFence(lane string, token int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fences[lane] = token
}

// Append implements Store.
func (m *Memory) Append(ctx context.Context, a Append) (Appended, error) {
	if err := ctx.Err(); err != nil {
		return Appended{}, ctx.Err()
	}
	rows, err := m.codec.rowsOf(a)
	if err != nil {
		return Appended{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.Idempotency != nil {
		if kept, ok := m.keys[a.Idempotency.Key]; ok {
			if kept.fingerprint != a.Idempotency.Fingerprint || kept.stream != a.Stream {
				return Appended{}, ErrIdempotencyMismatch
			}
			return kept.answer, nil
		}
	}
	if a.Fence != nil {
		if token, ok := m.fences[a.Fence.Lane]; !ok || a.Fence.Token < token {
			return Appended{}, ErrFenced
		}
	}
	if Version(len(m.streams[a.Stream])) != a.Expected {
		return Appended{}, ErrVersionConflict
	}
	return m.add(a, rows), nil
}

func (m *Memory) add(a Append, rows []row) Appended {
	at := m.now()
	for _, r := range rows {
		r.position, r.at = Position(len(m.log)+1), at
		m.streams[a.Stream] = append(m.streams[a.Stream], len(m.log))
		m.log = append(m.log, r)
	}
	done := Appended{Version: Version(len(m.streams[a.Stream])), Position: Position(len(m.log))}
	if a.Idempotency != nil {
		kept := keptAnswer{fingerprint: a.Idempotency.Fingerprint, stream: a.Stream, answer: done}
		kept.answer.Replayed = true
		m.keys[a.Idempotency.Key] = kept
	}
	m.grown.advance(done.Position)
	return done
}

// Replayed implements Store.
func (m *Memory) Replayed(ctx context.Context, key Idempotency) (Appended, bool, error) {
	if ctx.Err() != nil {
		return Appended{}, false, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	kept, ok := m.keys[key.Key]
	if !ok {
		return Appended{}, false, nil
	}
	if kept.fingerprint != key.Fingerprint {
		return Appended{}, false, ErrIdempotencyMismatch
	}
	return kept.answer, true, nil
}

// Stream implements Store.
func (m *Memory) Stream(ctx context.Context, id StreamID, after Version) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		for _, r := range m.streamRows(id, after) {
			if ctx.Err() != nil {
				yield(Recorded{}, ctx.Err())
				return
			}
			rec, err := m.codec.record(r)
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

func (m *Memory) streamRows(id StreamID, after Version) []row {
	m.mu.Lock()
	defer m.mu.Unlock()
	var rows []row
	for _, i := range m.streams[id] {
		if m.log[i].version > after {
			rows = append(rows, m.log[i])
		}
	}
	return rows
}

// Read implements Store.
func (m *Memory) Read(ctx context.Context, after Position, limit int) ([]Recorded, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	m.mu.Lock()
	from := min(int(max(after, 0)), len(m.log))
	rows := m.log[from:min(from+max(limit, 0), len(m.log))]
	m.mu.Unlock()
	recs := make([]Recorded, 0, len(rows))
	for _, r := range rows {
		rec, err := m.codec.record(r)
		if err != nil {
			return nil, err
		}
		recs = append(recs, rec)
	}
	return recs, nil
}

// Head implements Store.
func (m *Memory) Head(ctx context.Context) (Position, error) {
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return Position(len(m.log)), nil
}

// Wait implements Store.
func (m *Memory) Wait(ctx context.Context, after Position) error {
	return m.grown.wait(ctx, after)
}
