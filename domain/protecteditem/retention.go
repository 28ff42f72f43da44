package protecteditem

import (
	"slices"
	"time"

	"farshore/domain/policy"
)

// How retention thins: every point for a while, then one an hour, then one a day.
const (
	everyPointFor = 2 * time.Hour
	hourlyFor     = 24 * time.Hour
)

// Thin returns the ids of the points, given oldest first, that the policy no
// longer keeps: it keeps all points of the last 2 hours, then the first of each
// hour to 24 hours, then the first of each day, as far as its retention reaches.
// An app-consistent point of the hour or day is preferred, and so is a planned one.
//
// Ages are counted back from the newest point, so that a source that has been
// away for a week still finds its points; the present time has no say. Hours and
// days are those of UTC rather than of age: the first of a clock hour stays the
// first however often points are thinned.
func Thin(points []Point, p policy.Settings, _ time.Time) []string {
	if len(points) == 0 {
		return nil
	}
	var (
		newest = points[len(points)-1]
		keep   = map[string]bool{newest.ID: true}
		chosen = map[slot]Point{}
	)
	for _, pt := range points {
		age := newest.Instant.Sub(pt.Instant)
		switch {
		case age > p.Retention():
		case age <= everyPointFor:
			keep[pt.ID] = true
		default:
			in := slotOf(pt.Instant, age)
			if best, taken := chosen[in]; !taken || (best.Consistency == CrashConsistent && pt.Consistency != CrashConsistent) {
				chosen[in] = pt
			}
		}
	}
	for _, pt := range chosen {
		keep[pt.ID] = true
	}
	var remove []string
	for _, pt := range points {
		if !keep[pt.ID] {
			remove = append(remove, pt.ID)
		}
	}
	return remove
}

// Expired returns the points of an item that retention no longer keeps and that
// nothing reads: none while retention stands still.
func Expired(s State, now time.Time) []string {
	if !thins(s) {
		return nil
	}
	pinned := s.Pinned()
	return slices.DeleteFunc(Thin(s.Points, s.Policy, now), func(id string) bool { return slices.Contains(pinned, id) })
}

// thins says whether retention goes on: it stands still from the start of a
// failover on, and while a resynchronization is required or running, when no new
// points are made and an old one may be the last good one.
func thins(s State) bool {
	switch s.Protection {
	case FinalizingProtection, Protected:
		return s.Resync.State == ResyncNone
	default:
		return false
	}
}

// slot is an hour or a day of which one point is kept.
type slot struct {
	start time.Time
	width time.Duration
}

func slotOf(instant time.Time, age time.Duration) slot {
	width := time.Hour
	if age > hourlyFor {
		width = 24 * time.Hour
	}
	return slot{start: instant.UTC().Truncate(width), width: width}
}
