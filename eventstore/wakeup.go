package eventstore

import (
	"context"
	"sync"
	"sync/atomic"
)

// wakeup tells the readers of this process how far the log has grown. A message
// only wakes: what has happened is read from the log.
type wakeup struct {
	mu      sync.Mutex
	seen    Position
	grown   chan struct{} // closed and replaced when seen grows
	waiting atomic.Int64
}

func newWakeup() *wakeup { return &wakeup{grown: make(chan struct{})} }

// advance notes that the log reaches at least to a position.
func (w *wakeup) advance(to Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if to <= w.seen {
		return
	}
	w.seen = to
	close(w.grown)
	w.grown = make(chan struct{})
}

func (w *wakeup) state() (Position, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen, w.grown
}

// wait returns once the log is known to have grown beyond a position.
func (w *wakeup) wait(ctx context.Context, after Position) error {
	w.waiting.Add(1)
	defer w.waiting.Add(-1)
	for {
		seen, grown := w.state()
		if seen > after {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
