package protecteditem_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/policy"
	"farshore/domain/protecteditem"
)

// cut is one shipped minutes after noon.
func cut(n int, minutes float64) protecteditem.DeltaShipped {
	return protecteditem.DeltaShipped{Cut: fmt.Sprintf("c-%v", minutes), PreviousCut: strconv.Itoa(n), Instant: minute(minutes), At: minute(minutes)}
}

func minute(n float64) time.Time { return noon.Add(time.Duration(n * float64(time.Minute))) }

// cuts are shipped one after the other, each some minutes after the one before.
func cuts(from, apart float64, count int) []protecteditem.Event {
	var all []protecteditem.Event
	for i := range count {
		all = append(all, cut(i, from+apart*float64(i)))
	}
	return all
}

func TestCyclesMissed(t *testing.T) {
	t.Parallel()
	at := func(minutes float64, e any) protecteditem.Event { // an event of that time
		switch e := e.(type) {
		case protecteditem.ReplicationPaused:
			e.At = minute(minutes)
			return e
		case protecteditem.ReplicationResumed:
			e.At = minute(minutes)
			return e
		case protecteditem.ResynchronizationRequired:
			e.At = minute(minutes)
			return e
		case protecteditem.ResynchronizationCompleted:
			e.At = minute(minutes)
			return e
		case protecteditem.PlannedFailoverStarted:
			e.At = minute(minutes)
			return e
		case protecteditem.PlannedFailoverFailed:
			e.At = minute(minutes)
			return e
		case protecteditem.PolicyChanged:
			e.At = minute(minutes)
			return e
		}
		t.Fatalf("%T has no row", e)
		return nil
	}
	resumed, synced := protecteditem.ReplicationResumed{}, protecteditem.ResynchronizationCompleted{JobID: "job-resync"}
	back := protecteditem.PlannedFailoverFailed{JobID: "job-fail", Failure: *unreachable}
	quarterly, shortest := policy.Defaults(), policy.Defaults()
	quarterly.CopyFrequencySeconds, shortest.MonitoringWindowHours = 900, 1
	// An item is protected at noon, with a cycle every 5 minutes.
	for name, tt := range map[string]struct {
		given        []protecteditem.Event
		now          float64 // minutes after noon
		done, missed int
		warns        bool
	}{
		"none is due at the beginning":                 {given: protected, now: 4},
		"the first is late until the second is due":    {given: protected, now: 9.9},
		"it is missed from then on":                    {given: protected, now: 10, missed: 1},
		"cycles in time are done":                      {given: history(protected, cuts(5, 5, 6)), now: 34, done: 6},
		"a late cycle is not missed":                   {given: history(protected, cuts(9, 9, 3)), now: 30, done: 3},
		"a cut asked for in between is a cycle":        {given: history(protected, cuts(5, 1, 3)), now: 8, done: 3},
		"what one cut makes up for is missed":          {given: history(protected, cut(1, 26)), now: 27, done: 1, missed: 4, warns: true},
		"a cut counts what was counted while it came":  {given: history(protected, cuts(5, 5, 6)), now: 59.9, done: 6, missed: 4, warns: true},
		"a fifth is not too much":                      {given: history(protected, cuts(5, 5, 4)), now: 30, done: 4, missed: 1},
		"more than a fifth is":                         {given: history(protected, cuts(5, 5, 4)), now: 35, done: 4, missed: 2, warns: true},
		"few cycles are no verdict":                    {given: protected, now: 29, missed: 4},
		"nothing is missed during a pause":             {given: history(protected, cuts(5, 5, 2), at(11, paused), at(200, resumed), cut(3, 204)), now: 205, done: 3},
		"what was missed before a pause is":            {given: history(protected, cuts(5, 5, 2), at(31, paused), at(200, resumed), cut(3, 204)), now: 205, done: 3, missed: 3, warns: true},
		"no verdict is given during a pause":           {given: history(protected, cuts(5, 5, 2), at(31, paused)), now: 205, done: 2, missed: 3},
		"nothing is missed while a resync is required": {given: history(protected, cuts(5, 5, 5), at(26, required)), now: 300, done: 5},
		"nor while one runs, whose cuts do not count": {
			given: history(protected, cuts(5, 5, 5), at(26, required), resyncing, cut(1, 100), cut(2, 200), at(201, synced)), now: 209, done: 5,
		},
		"it is afterwards":                        {given: history(protected, cuts(5, 5, 5), at(26, required), resyncing, at(201, synced)), now: 217, done: 5, missed: 2, warns: true},
		"nothing is missed during a failover":     {given: history(protected, cuts(5, 5, 5), at(26, failingOver), cut(1, 100)), now: 200, done: 5},
		"it is once the failover was taken back":  {given: history(protected, cuts(5, 5, 5), at(26, failingOver), at(100, back)), now: 116, done: 5, missed: 2, warns: true},
		"another frequency counts from its start": {given: history(protected, cuts(5, 5, 4), at(31, protecteditem.PolicyChanged{Settings: quarterly})), now: 60, done: 4, missed: 1},
		"what was missed falls out of the window": {
			given: history(protected, cut(1, 26), cuts(30, 5, 158)), now: 820, done: 140, // since 2:00
		},
		"an hour away counts until the window has passed": {given: history(protected, cuts(5, 5, 6), cut(1, 95), cuts(100, 5, 20)), now: 199, done: 27, missed: 12, warns: true},
		"a window of an hour forgets sooner": {
			given: history(protected, at(0, protecteditem.PolicyChanged{Settings: shortest}), cuts(5, 5, 6), cut(1, 95), cuts(100, 5, 20)), now: 199, done: 4,
		},
		"a week without a cut is a window of missed ones": {given: history(protected, cuts(5, 5, 3)), now: 7 * 24 * 60, missed: 11 * 12, warns: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := after(tt.given)
			done, missed := protecteditem.CycleCounts(s, minute(tt.now))
			if done != tt.done || missed != tt.missed {
				t.Errorf("%d cycles are done and %d missed, want %d and %d", done, missed, tt.done, tt.missed)
			}
			_, reasons := protecteditem.HealthOf(s, minute(tt.now))
			warns := false
			for _, r := range reasons {
				if r.Code != errorcatalog.CyclesMissed {
					continue
				}
				warns = true
				if want := fmt.Sprintf("%d of %d cycles", tt.missed, tt.done+tt.missed); !strings.HasPrefix(r.Detail, want) || r.Since.IsZero() {
					t.Errorf("told as %q since %s", r.Detail, r.Since)
				}
			}
			if warns != tt.warns {
				t.Errorf("warns = %t with %d of %d missed", warns, missed, done+missed)
			}
		})
	}
}

func TestAMissedCycleIsCountedOnceWheneverItIsLookedAt(t *testing.T) {
	t.Parallel()
	// However often the counts were asked for before, a cut confirms them.
	s := after(history(protected, cuts(5, 5, 30)))
	for now := 150.0; now < 400; now += 7 {
		done, missed := protecteditem.CycleCounts(s, minute(now))
		later := protecteditem.Decider.Fold(s, cut(1, now))
		if d, m := protecteditem.CycleCounts(later, minute(now)); d != done+1 || m != missed {
			t.Errorf("at %v: %d done and %d missed became %d and %d with a cut", now, done, missed, d, m)
		}
	}
}
