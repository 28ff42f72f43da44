package protecteditem

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"farshore/domain/errorcatalog"
)

// What makes missed cycles a reason for a warning: more than one in missedShare of
// those that were due, of at least fewestCycles.
const (
	missedShare  = 5
	fewestCycles = 5
)

// Cycles counts the cycles of replication that were due in the hours of the
// policy's monitoring window. One is due a copy frequency after the last cut; it is
// late until the next one is due as well, and missed from then on. None is due
// while the item does not replicate: while it is paused, resynchronized, failed
// over or not protected.
type Cycles struct {
	Since time.Time   // the last cut, or the beginning of the replication after it; zero while the item does not replicate
	Hours []CycleHour // oldest first
}

// CycleHour is what was due in an hour.
type CycleHour struct {
	Hour   int64 // since the epoch
	Done   int
	Missed int
}

// replicates says whether cycles are due.
func (s State) replicates() bool {
	return s.Protection == Protected && s.Resync.State == ResyncNone && s.Paused == nil
}

// counted is the state after an event, with the cycles that it tells of: a cut, or
// that the item has begun or ceased to replicate.
func (s State) counted(before State, e Event) State {
	if cut, ok := e.(DeltaShipped); ok && !s.Cycles.Since.IsZero() {
		s.Cycles = s.Cycles.missedUntil(cut.Instant, before).done(cut.Instant, s)
	}
	at, turned := turn(e)
	if !turned {
		return s
	}
	if !s.Cycles.Since.IsZero() {
		s.Cycles = s.Cycles.missedUntil(at, before)
		s.Cycles.Since = time.Time{}
	}
	if s.replicates() {
		s.Cycles.Since = at
	}
	return s
}

// turn returns the instant of an event with which an item may begin or cease to
// replicate, or does so at another frequency.
func turn(e Event) (at time.Time, is bool) {
	switch e := e.(type) {
	case ProtectionFinalized:
		return e.At, true
	case ReplicationPaused:
		return e.At, true
	case ReplicationResumed:
		return e.At, true
	case ResynchronizationRequired:
		return e.At, true
	case ResynchronizationRequested:
		return e.At, true
	case ResynchronizationCompleted:
		return e.At, true
	case PlannedFailoverStarted:
		return e.At, true
	case PlannedFailoverFailed:
		return e.At, true
	case UnplannedFailoverStarted:
		return e.At, true
	case UnplannedFailoverFailed:
		return e.At, true
	case FailoverCanceled:
		return e.At, true
	case ReverseReplicationCompleted:
		return e.At, true
	case ProtectionDisabling:
		return e.At, true
	case PolicyChanged:
		return e.At, true
	default:
		return time.Time{}, false
	}
}

// missedUntil counts the cycles that were missed since the last one was done, under
// the policy of a state.
func (c Cycles) missedUntil(now time.Time, s State) Cycles {
	every := s.Policy.CopyFrequency()
	if c.Since.IsZero() || every <= 0 || now.Sub(c.Since) < 2*every {
		return c
	}
	// The last one that is due by now is late, not missed.
	lost := func(until time.Time) int64 {
		return max(0, int64(min(until.Sub(c.Since), now.Sub(c.Since)-every)/every))
	}
	last := hourOf(now)
	for h := max(hourOf(c.Since), firstHour(s, now)); h <= last; h++ {
		begin, end := time.Unix(h*3600, 0), time.Unix((h+1)*3600, 0)
		// Those due at the very end of an hour are of the next one.
		if n := lost(end.Add(-1)) - lost(begin.Add(-1)); n > 0 {
			c = c.add(CycleHour{Hour: h, Missed: int(n)})
		}
	}
	return c
}

// done counts a cycle whose cut is of an instant.
func (c Cycles) done(at time.Time, s State) Cycles {
	c = c.add(CycleHour{Hour: hourOf(at), Done: 1})
	if at.After(c.Since) {
		c.Since = at
	}
	oldest := firstHour(s, at)
	c.Hours = slices.DeleteFunc(c.Hours, func(h CycleHour) bool { return h.Hour < oldest })
	return c
}

// add counts what was due in an hour; the counts of an earlier state stay as they are.
func (c Cycles) add(h CycleHour) Cycles {
	c.Hours = slices.Clone(c.Hours)
	i, known := slices.BinarySearchFunc(c.Hours, h.Hour, func(have CycleHour, hour int64) int { return cmp.Compare(have.Hour, hour) })
	if !known {
		c.Hours = slices.Insert(c.Hours, i, CycleHour{Hour: h.Hour})
	}
	c.Hours[i].Done += h.Done
	c.Hours[i].Missed += h.Missed
	return c
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// firstHour is the oldest hour of a monitoring window, of which the present one is
// the last.
func firstHour(s State, now time.Time) int64 {
	return hourOf(now) - int64(s.Policy.MonitoringWindow()/time.Hour) + 1
}

// CycleCounts returns how many cycles were done and how many missed in the
// monitoring window.
func CycleCounts(s State, now time.Time) (done, missed int) {
	oldest := firstHour(s, now)
	for _, h := range s.Cycles.missedUntil(now, s).Hours {
		if h.Hour >= oldest {
			done, missed = done+h.Done, missed+h.Missed
		}
	}
	return done, missed
}

// missesCycles is the reason for a warning when too many cycles were missed.
func missesCycles(s State, now time.Time) (HealthError, bool) {
	done, missed := CycleCounts(s, now)
	if !s.replicates() || !tooMany(done, missed) {
		return HealthError{}, false
	}
	e := HealthError{
		Code:   errorcatalog.CyclesMissed,
		Detail: fmt.Sprintf("%d of %d cycles of the last %s were missed", missed, done+missed, hours(s.Policy.MonitoringWindow())),
	}
	oldest := firstHour(s, now)
	for _, h := range s.Cycles.missedUntil(now, s).Hours {
		if h.Hour >= oldest && h.Missed > 0 {
			e.Since = time.Unix(h.Hour*3600, 0).UTC()
			break
		}
	}
	return e, true
}

func tooMany(done, missed int) bool {
	return done+missed >= fewestCycles && missed*missedShare > done+missed
}

// cyclesTurn returns when the verdict on missed cycles may change next if no cut is
// shipped: when too many are missed within the present hour, or when the hour ends
// and the window moves on.
func cyclesTurn(s State, now time.Time) (time.Time, bool) {
	if !s.replicates() {
		return time.Time{}, false
	}
	next := time.Unix((hourOf(now)+1)*3600, 0).UTC()
	every := s.Policy.CopyFrequency()
	if done, missed := CycleCounts(s, now); tooMany(done, missed) || every <= 0 {
		return next, true
	}
	passed := max(every, now.Sub(s.Cycles.Since).Truncate(every))
	for at := s.Cycles.Since.Add(passed + every); at.Before(next); at = at.Add(every) {
		if done, missed := CycleCounts(s, at); tooMany(done, missed) {
			return at, true
		}
	}
	return next, true
}

func hours(d time.Duration) string { return fmt.Sprintf("%d h", d/time.Hour) }
