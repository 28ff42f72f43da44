package protecteditem_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

// TestAttemptsFollowTheSchedule lets virtual time run over a host that is away for
// two and a half hours: attempts are made after 1, 2, 4, 8 and 10 minutes and then
// every 30, and begin anew once a point was made.
func TestAttemptsFollowTheSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			s     = after(following)
			start = time.Now()
			waits []time.Duration
		)
		for time.Since(start) < 150*time.Minute {
			s = decide(t, s, protecteditem.RecordFailure{Failure: unreachable, At: time.Now()})
			last := time.Now()
			time.Sleep(time.Until(protecteditem.NextCut(s, time.Now())))
			waits = append(waits, time.Since(last)/time.Minute)
		}
		if want := []time.Duration{1, 2, 4, 8, 10, 30, 30, 30, 30, 30}; !slices.Equal(waits, want) {
			t.Errorf("waited %d minutes, want %d", waits, want)
		}
		if s.Retry.Attempt != len(waits) || !s.Retry.Since.Equal(start) {
			t.Errorf("retry = %+v after %d attempts since %s", s.Retry, len(waits), start)
		}
		s = decide(t, s, protecteditem.RecordDelta{Cut: "cut-3", PreviousCut: "cut-2", Instant: time.Now(), At: time.Now()})
		p := point("cut-3", 0)
		p.Instant = time.Now()
		s = decide(t, s, protecteditem.CreateRecoveryPoint{Point: p, At: time.Now()})
		if s.Retry.Failure != nil || s.Retry.Attempt != 0 {
			t.Errorf("retry = %+v after a new point", s.Retry)
		}
		if due := protecteditem.NextCut(s, time.Now()); time.Until(due) != 5*time.Minute {
			t.Errorf("the next cut is due in %s", time.Until(due))
		}
	})
}

func TestAFailureForAnOperatorIsNotRetriedUntilOneActs(t *testing.T) {
	t.Parallel()
	s := decide(t, after(following), protecteditem.RecordFailure{Failure: unauthorized, At: noon})
	if !s.Retry.NextAt.IsZero() || !protecteditem.NextCut(s, noon.Add(time.Hour)).IsZero() {
		t.Fatalf("retry = %+v, next cut %s", s.Retry, protecteditem.NextCut(s, noon.Add(time.Hour)))
	}
	if health, reasons := protecteditem.HealthOf(s, noon); health != protecteditem.Critical || reasons[0].Code != errorcatalog.ReplicaStoreAuthorization {
		t.Errorf("health = %s %+v", health, reasons)
	}
	later := noon.Add(time.Hour)
	s = decide(t, s, protecteditem.ReplicateNow{At: later})
	if due := protecteditem.NextCut(s, later); !due.Equal(later) {
		t.Errorf("the next cut is due at %s, want %s", due, later)
	}
	s = decide(t, s, protecteditem.RecordFailure{Failure: unauthorized, At: later})
	if s.Retry.Attempt != 2 || !s.Retry.NextAt.IsZero() {
		t.Errorf("retry = %+v after a second attempt", s.Retry)
	}
}

func TestTheDelayOfAnyAttemptIsWithinTheSchedule(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ attempt, minutes int }{{-1, 1}, {0, 1}, {1, 1}, {2, 2}, {3, 4}, {4, 8}, {5, 10}, {6, 30}, {1000, 30}} {
		if got := protecteditem.RetryDelay(tt.attempt); got != time.Duration(tt.minutes)*time.Minute {
			t.Errorf("delay after attempt %d = %s", tt.attempt, got)
		}
	}
}

// decide plays one command that is not refused.
func decide(t *testing.T, s protecteditem.State, c protecteditem.Command) protecteditem.State {
	t.Helper()
	events, err := protecteditem.Decider.Decide(s, c)
	if err != nil {
		t.Fatalf("%T: %v", c, err)
	}
	return protecteditem.Decider.Fold(s, events...)
}
