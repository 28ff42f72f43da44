package runbook

import (
	"context"
	"errors"
	"time"

	"farshore/domain/errorcatalog"
)

// The bounds of patience: a connection that comes back within them was never
// away, as far as the retry schedule is concerned.
const (
	patience   = 20 * time.Second
	firstPause = 100 * time.Millisecond
	longPause  = 3 * time.Second
	// calm is how long something must have gone well before a new hiccup is
	// a new one.
	calm = 30 * time.Second
)

// hiccups are the failures that a connection recovers from by itself.
func hiccup(err error) bool {
	f, ok := errors.AsType[*errorcatalog.Failure](err)
	if !ok {
		return false
	}
	switch f.Code {
	case errorcatalog.HostUnreachable, errorcatalog.ReplicaStoreUnreachable, errorcatalog.TransferInterrupted, errorcatalog.Throttled:
		return true
	default:
		return false
	}
}

// Patiently does something and, while it fails by a hiccup of a connection, does
// it again for up to 20 s. What it does must be resumable. Any other failure is
// returned at once.
func Patiently(ctx context.Context, now func() time.Time, do func() error) error {
	var first time.Time // of the present run of hiccups
	pause := firstPause
	for {
		began := now()
		err := do()
		if err == nil || !hiccup(err) || ctx.Err() != nil {
			return err
		}
		if first.IsZero() || now().Sub(began) > calm {
			first, pause = now(), firstPause
		}
		// The last try is made at the very end of the patience.
		left := patience - now().Sub(first)
		if left <= 0 || !wait(ctx, min(pause, left)) {
			return err
		}
		pause = min(2*pause, longPause)
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
