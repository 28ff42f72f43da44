package protecteditem_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"farshore/domain/policy"
	"farshore/domain/protecteditem"
)

// every returns points at a distance, oldest first, up to and including newest.
func every(distance time.Duration, count int, newest time.Time) []protecteditem.Point {
	points := make([]protecteditem.Point, count)
	for i := range points {
		at := newest.Add(-distance * time.Duration(count-1-i))
		points[i] = protecteditem.Point{ID: at.Format("02T15:04"), Instant: at, Consistency: protecteditem.CrashConsistent}
	}
	return points
}

func keeping(hours int) policy.Settings {
	p := policy.Defaults()
	p.RetentionHours = hours
	return p
}

func thinned(points []protecteditem.Point, p policy.Settings) []protecteditem.Point {
	remove := protecteditem.Thin(points, p, noon)
	return slices.DeleteFunc(slices.Clone(points), func(pt protecteditem.Point) bool { return slices.Contains(remove, pt.ID) })
}

func ids(points []protecteditem.Point) []string {
	names := make([]string, len(points))
	for i, p := range points {
		names[i] = p.ID
	}
	return names
}

func TestThin(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)
	appConsistent := every(20*time.Minute, 13, day)
	appConsistent[2].Consistency = protecteditem.AppConsistent // 08:40
	clean := every(20*time.Minute, 13, day)
	clean[2].Consistency, clean[5].Consistency = protecteditem.Planned, protecteditem.AppConsistent // 08:40, 09:40
	back := every(time.Hour, 3, day)
	back[1].Instant = day.Add(time.Hour) // the source's clock was set back since

	for name, tt := range map[string]struct {
		points []protecteditem.Point
		hours  int
		want   []string
	}{
		"without points nothing is removed":     {hours: 24},
		"the only point stays":                  {points: every(time.Hour, 1, day), hours: 0, want: []string{"10T12:00"}},
		"retention 0 keeps the newest only":     {points: every(time.Minute, 30, day), hours: 0, want: []string{"10T12:00"}},
		"all points of the last two hours stay": {points: every(30*time.Minute, 5, day), hours: 2, want: []string{"10T10:00", "10T10:30", "10T11:00", "10T11:30", "10T12:00"}},
		"what is older than retention goes":     {points: every(time.Hour, 5, day), hours: 3, want: []string{"10T09:00", "10T10:00", "10T11:00", "10T12:00"}},
		"the first of each hour stays after that": {
			points: every(20*time.Minute, 13, day), hours: 24,
			want: []string{"10T08:00", "10T09:00", "10T10:00", "10T10:20", "10T10:40", "10T11:00", "10T11:20", "10T11:40", "10T12:00"},
		},
		"an app-consistent point is preferred": {
			points: appConsistent, hours: 24,
			want: []string{"10T08:40", "10T09:00", "10T10:00", "10T10:20", "10T10:40", "10T11:00", "10T11:20", "10T11:40", "10T12:00"},
		},
		"a planned point is preferred as well": {
			points: clean, hours: 24,
			want: []string{"10T08:40", "10T09:40", "10T10:00", "10T10:20", "10T10:40", "10T11:00", "10T11:20", "10T11:40", "10T12:00"},
		},
		"the first of each day stays after 24 hours": {
			points: every(8*time.Hour, 10, day), hours: 72,
			want: []string{"07T12:00", "08T04:00", "09T04:00", "09T12:00", "09T20:00", "10T04:00", "10T12:00"},
		},
		"a clock that was set back removes nothing new": {points: back, hours: 2, want: []string{"10T10:00", "10T11:00", "10T12:00"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := ids(thinned(tt.points, keeping(tt.hours))); !slices.Equal(got, tt.want) {
				t.Errorf("kept %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAgesCountFromTheNewestPoint(t *testing.T) {
	t.Parallel()
	points := every(30*time.Minute, 5, noon)
	if got := protecteditem.Thin(points, keeping(2), noon.Add(30*24*time.Hour)); got != nil {
		t.Errorf("removed %v after the source was away", got)
	}
}

// TestThinningAlongTheWay thins after every point for ten days, as a worker does,
// and compares with what thinning only once would keep.
func TestThinningAlongTheWay(t *testing.T) {
	t.Parallel()
	const days = 10
	var (
		kept []protecteditem.Point
		all  = every(15*time.Minute, days*24*4, noon)
		p    = keeping(5 * 24)
	)
	for i, pt := range all {
		pt.ID = strconv.Itoa(i)
		if i%31 == 5 {
			pt.Consistency = protecteditem.AppConsistent
		}
		all[i] = pt
		kept = thinned(append(kept, pt), p)
	}
	if most := 9 + 23 + 5; len(kept) > most {
		t.Errorf("%d points are kept, want at most %d", len(kept), most)
	}
	for i := 1; i < len(kept); i++ {
		age, gap := noon.Sub(kept[i].Instant), kept[i].Instant.Sub(kept[i-1].Instant)
		if limit := 2 * time.Hour; age < 22*time.Hour && gap > limit {
			t.Errorf("%s without a point before %s", gap, kept[i].Instant)
		}
		if limit := 48 * time.Hour; gap > limit {
			t.Errorf("%s without a point before %s", gap, kept[i].Instant)
		}
	}
	if oldest := noon.Sub(kept[0].Instant); oldest < 4*24*time.Hour || oldest > 5*24*time.Hour {
		t.Errorf("the oldest point is %s old", oldest)
	}
}

func TestRetentionStandsStill(t *testing.T) {
	t.Parallel()
	old := protecteditem.RecoveryPointCreated{Point: point("old", -6000), At: noon}
	for name, tt := range map[string]struct {
		given []protecteditem.Event
		want  []string
	}{
		"not while the item is protected":    {given: history(finalizing[:4], old, firstPoint, finalized), want: []string{"old"}},
		"while a resync is required":         {given: history(finalizing[:4], old, firstPoint, finalized, required)},
		"while a resync runs":                {given: history(finalizing[:4], old, firstPoint, finalized, required, resyncing)},
		"from the start of a failover":       {given: history(finalizing[:4], old, firstPoint, finalized, failingOver)},
		"until the failover is committed":    {given: uncommitted},
		"while protection is being disabled": {given: history(finalizing[:4], old, firstPoint, finalized, disabling)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := protecteditem.Expired(after(tt.given), noon); !slices.Equal(got, tt.want) {
				t.Errorf("expired = %v, want %v", got, tt.want)
			}
		})
	}
}
