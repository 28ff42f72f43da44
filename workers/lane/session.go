package lane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"farshore/eventstore"
)

// Session is a held lane as its handler sees it.
type Session struct {
	claim  Claim
	lanes  Lanes
	lease  time.Duration
	every  time.Duration // between two beats
	now    func() time.Time
	cancel context.CancelCauseFunc
	logger *slog.Logger

	saving     sync.Mutex // one save at a time, or an older checkpoint could come last
	mu         sync.Mutex
	checkpoint json.RawMessage
	saved      bool // checkpoint has reached the database
	renewed    time.Time
}

// Item is the key of the protected item or recovery plan.
func (s *Session) Item() string { return s.claim.Item }

// Kind is the kind of work.
func (s *Session) Kind() Kind { return s.claim.Kind }

// Attempt counts failed attempts, as the last release left it.
func (s *Session) Attempt() int { return s.claim.Attempt }

// Token is the fence as a replica store wants it.
func (s *Session) Token() int64 { return s.claim.Fence }

// Fence is the fence as the event store wants it.
func (s *Session) Fence() eventstore.Fence {
	return eventstore.Fence{Lane: s.claim.String(), Token: s.claim.Fence}
}

// Checkpoint remembers v for the next holder. It is saved with the next
// heartbeat, so a crash costs what was done since: v must only claim what is
// durable, and what is done twice must do no harm.
func (s *Session) Checkpoint(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode checkpoint of %s: %w", s.claim.Key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checkpoint, s.saved = b, false
	return nil
}

// Save is Checkpoint, and returns once v is durable: before something is done
// after which an older checkpoint would claim too much.
func (s *Session) Save(ctx context.Context, v any) error {
	if err := s.Checkpoint(v); err != nil {
		return err
	}
	canceled, err := s.beat(ctx)
	switch {
	case errors.Is(err, ErrFenced):
		s.cancel(ErrFenced)
	case err == nil && canceled:
		s.cancel(ErrCanceled)
		return ErrCanceled
	}
	return err
}

// Restore fills v from the checkpoint and says whether there was one.
func (s *Session) Restore(v any) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.checkpoint) == 0 || string(s.checkpoint) == "null" {
		return false, nil
	}
	if err := json.Unmarshal(s.checkpoint, v); err != nil {
		return false, fmt.Errorf("decode checkpoint of %s: %w", s.claim.Key, err)
	}
	return true, nil
}

// Forget drops the checkpoint: the work it belonged to is over.
func (s *Session) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checkpoint, s.saved = json.RawMessage("null"), false
}

// Leased returns a context that ends, by ErrLapsed, when a third of the lease is left
// that could not be renewed: for what no fence shuts out, and what must therefore have
// come to its end before another holder begins. The caller ends it when that is over.
func (s *Session) Leased(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(s.every)
		defer tick.Stop()
		for !s.lapsed() {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		cancel(ErrLapsed)
	})
	return ctx, func() { cancel(nil); watching.Wait() }
}

func (s *Session) lapsed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now().Sub(s.renewed) >= s.lease*2/3
}

// keep beats until ctx ends. Each beat renews the lease and saves the
// checkpoint; while the database is away it goes on trying. Nobody else can take the
// lane then either, or, if only this worker is cut off, the fence keeps apart what is
// done for both; what has no fence goes by Leased.
func (s *Session) keep(ctx context.Context) {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		canceled, err := s.beat(ctx)
		switch {
		case errors.Is(err, ErrFenced):
			s.cancel(ErrFenced)
			return
		case err != nil:
			if ctx.Err() == nil && !away {
				s.logger.WarnContext(ctx, "lane is not renewed; trying on", "lane", s.claim.String(), "error", err)
			}
			away = true
		case canceled:
			s.cancel(ErrCanceled)
			return
		default:
			away = false
		}
	}
}

// beat renews the lease and saves the checkpoint.
func (s *Session) beat(ctx context.Context) (canceled bool, err error) {
	s.saving.Lock()
	defer s.saving.Unlock()
	checkpoint, asked := s.unsaved(), s.now()
	if canceled, err = s.lanes.Heartbeat(ctx, s.claim, s.lease, checkpoint); err == nil {
		s.markSaved(checkpoint, asked)
	}
	return canceled, err
}

func (s *Session) unsaved() json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saved {
		return nil
	}
	return s.checkpoint
}

// markSaved notes what a beat has brought that was sent at an instant.
func (s *Session) markSaved(checkpoint json.RawMessage, asked time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewed = asked
	if string(s.checkpoint) == string(checkpoint) {
		s.saved = true
	}
}

func (s *Session) current() json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(s.checkpoint) == "null" {
		return nil
	}
	return s.checkpoint
}
