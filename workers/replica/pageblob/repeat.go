package pageblob

import (
	"context"
	"time"

	"farshore/domain/errorcatalog"
)

// The pause before a request is repeated doubles from the first to the last.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 4 * time.Second
)

// maxWork is more than any work made of many requests takes.
const maxWork = 24 * time.Hour

// maxUnverified limits repeats for a wrong content: a path that garbles every
// request is not healed by patience.
const maxUnverified = 4

// patience is how long requests are waited for and repeated.
type patience struct {
	try   time.Duration
	retry time.Duration
}

// repeat makes a request until it succeeds, cannot succeed or patience ends.
// After each failure, failed is told what it means.
func (p patience) repeat(ctx context.Context, request func(context.Context) error, failed func(verdict)) error {
	var deadline <-chan time.Time
	pause, wrong := firstPause, 0
	for {
		err := p.once(ctx, request)
		if err == nil {
			return nil
		}
		v := judge(err)
		failed(v)
		if v == final || ctx.Err() != nil {
			return err
		}
		if codeOf(err) == errorcatalog.TransferVerificationFailed {
			if wrong++; wrong == maxUnverified {
				return err
			}
		}
		if deadline == nil {
			timer := time.NewTimer(p.retry)
			defer timer.Stop()
			deadline = timer.C
		}
		if !wait(ctx, pause, deadline) {
			return err
		}
		pause = min(2*pause, lastPause)
	}
}

func (p patience) once(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, p.try)
	defer cancel()
	return request(ctx)
}

// wait tells whether the pause is over before everything else is.
func wait(ctx context.Context, pause time.Duration, deadline <-chan time.Time) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-deadline:
		return false
	case <-ctx.Done():
		return false
	}
}

// do makes a request that does no harm when it is executed twice.
func (s *Store) do(ctx context.Context, what string, request func(context.Context) error) error {
	return explain(ctx, s.ask(ctx, request), what)
}

// ask is do for callers that look at the service's own error.
func (s *Store) ask(ctx context.Context, request func(context.Context) error) error {
	return s.patience.repeat(ctx, request, func(verdict) {})
}

// slot waits for the right to make a data request.
func (s *Store) slot(ctx context.Context) error {
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Store) release() { <-s.slots }

// unhurried is the patience for work made of many requests, each of which has a
// limit of its own.
func (p patience) unhurried() patience { return patience{try: maxWork, retry: p.retry} }

// raw hands on an error of the service, or of the standard library, to repeat,
// which judges it; it is wrapped once, where the operation ends.
func raw(err error) error { return err }
