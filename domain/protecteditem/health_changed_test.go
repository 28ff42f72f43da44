package protecteditem_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

func reason(code errorcatalog.Code, detail string, since time.Time) protecteditem.HealthReason {
	return protecteditem.HealthReason{Code: code, Detail: detail, Since: since}
}

func alertRows() map[string]scenario {
	failing := history(following, failed(1, unreachable, time.Minute))
	warned := protecteditem.HealthChanged{
		Health: protecteditem.Warning, Previous: protecteditem.Normal, Reasons: []protecteditem.HealthReason{reason(errorcatalog.HostUnreachable, "hv-1", noon)}, At: minute(7),
	}
	well := protecteditem.HealthChanged{Health: protecteditem.Normal, Previous: protecteditem.Warning, Reasons: []protecteditem.HealthReason{}, At: minute(12)}
	behind := protecteditem.HealthChanged{
		Health: protecteditem.Warning, Previous: protecteditem.Normal, At: minute(66),
		Reasons: []protecteditem.HealthReason{
			reason(errorcatalog.ReplicationBehind, "1h0m0s behind", minute(66)),
			reason(errorcatalog.CyclesMissed, "11 of 12 cycles of the last 12 h were missed", noon),
		},
	}
	due := protecteditem.TestFailoverFellDue{Since: noon.AddDate(0, 0, 90), ReminderDays: 90, At: noon.AddDate(0, 0, 90)}
	quarterly := protecteditem.PolicyChanged{PolicyID: "silver", Settings: silver(), At: noon}
	days := func(n int) time.Time { return noon.AddDate(0, 0, n) }
	return map[string]scenario{
		"a health that is worse is told at once":           {Given: failing, When: protecteditem.RecordHealth{At: minute(7)}, Then: history(warned)},
		"a health that was told is not told again":         {Given: history(failing, warned), When: protecteditem.RecordHealth{At: minute(8)}},
		"that it is better is not told at once":            {Given: history(failing, warned, shipped3, thirdPoint), When: protecteditem.RecordHealth{At: minute(11.9)}},
		"it is once what was told has stood":               {Given: history(failing, warned, shipped3, thirdPoint), When: protecteditem.RecordHealth{At: minute(12)}, Then: history(well)},
		"a well item has nothing to tell":                  {Given: following, When: protecteditem.RecordHealth{At: minute(7)}},
		"time alone makes it worse":                        {Given: following, When: protecteditem.RecordHealth{At: minute(66)}, Then: history(behind)},
		"the health of an unknown item is not told":        {When: protecteditem.RecordHealth{At: noon}, Refused: errorcatalog.ProtectedItemNotFound},
		"a test failover falls due":                        {Given: history(following, quarterly), When: protecteditem.RemindOfTestFailover{At: days(90)}, Then: history(due)},
		"not before":                                       {Given: history(following, quarterly), When: protecteditem.RemindOfTestFailover{At: days(90).Add(-1)}},
		"it falls due once in a period":                    {Given: history(following, quarterly, due), When: protecteditem.RemindOfTestFailover{At: days(180).Add(-1)}},
		"and again in the next one":                        {Given: history(following, quarterly, due), When: protecteditem.RemindOfTestFailover{At: days(180)}, Then: history(at(due, days(180)))},
		"not without a policy":                             {Given: following, When: protecteditem.RemindOfTestFailover{At: days(4000)}},
		"not while one is open":                            {Given: history(following, quarterly, drilling, tested), When: protecteditem.RemindOfTestFailover{At: days(4000)}},
		"not while the item has failed over":               {Given: history(following, quarterly, failingOver), When: protecteditem.RemindOfTestFailover{At: days(4000)}},
		"a good drill resets it":                           {Given: history(following, quarterly, due, testedOn(days(100))), When: protecteditem.RemindOfTestFailover{At: days(189)}},
		"until the period is over":                         {Given: history(following, quarterly, due, testedOn(days(100))), When: protecteditem.RemindOfTestFailover{At: days(190)}, Then: history(afterDrill(days(100)))},
		"a drill that failed does not":                     {Given: history(following, quarterly, due, failedOn(days(100))), When: protecteditem.RemindOfTestFailover{At: days(180)}, Then: history(at(due, days(180)))},
		"a reminder of a drill of an unknown item is none": {When: protecteditem.RemindOfTestFailover{At: noon}, Refused: errorcatalog.ProtectedItemNotFound},
	}
}

func at(e protecteditem.TestFailoverFellDue, at time.Time) protecteditem.TestFailoverFellDue {
	e.At = at
	return e
}

func afterDrill(drilled time.Time) protecteditem.TestFailoverFellDue {
	due := drilled.AddDate(0, 0, 90)
	return protecteditem.TestFailoverFellDue{Since: due, LastTestFailover: drilled, ReminderDays: 90, At: due}
}

func testedOn(day time.Time) []protecteditem.Event {
	e := tested
	e.At = day
	return history(drilling, e, cleaning, cleaned)
}

func failedOn(day time.Time) []protecteditem.Event {
	return history(drilling, protecteditem.TestFailoverFailed{JobID: "job-test", Failure: *unreachable, At: day})
}

// watch plays what a worker does that wakes when it is told to, from the state after
// the given events on, with others that come meanwhile. It returns what was told.
func watch(t *testing.T, given []protecteditem.Event, until float64, meanwhile map[float64]protecteditem.Event) (told []string, wakes int) {
	t.Helper()
	s, now := after(given), minute(10)
	var others []float64
	for m := range meanwhile {
		others = append(others, m)
	}
	slices.Sort(others)
	for !now.After(minute(until)) {
		if wakes++; wakes > 10_000 {
			t.Fatal("it does not come to rest")
		}
		next, due := protecteditem.HealthDue(s, now)
		if due && next.Equal(now) {
			events, err := protecteditem.Decider.Decide(s, protecteditem.RecordHealth{At: now})
			if err != nil || len(events) != 1 {
				t.Fatalf("at %s: %v %v", now, events, err)
			}
			e := events[0].(protecteditem.HealthChanged) //nolint:forcetypeassert // there is no other
			var codes []errorcatalog.Code
			for _, r := range e.Reasons {
				codes = append(codes, r.Code)
			}
			told = append(told, fmt.Sprintf("%v %s %v", now.Sub(noon).Minutes(), e.Health, codes))
			s = protecteditem.Decider.Evolve(s, e)
			continue
		}
		if !due {
			next = minute(until + 1)
		}
		if len(others) > 0 && !minute(others[0]).After(next) {
			next = minute(others[0])
			s = protecteditem.Decider.Evolve(s, meanwhile[others[0]])
			others = others[1:]
		}
		now = next
	}
	return told, wakes
}

func TestAlertsComeWhenTheyAreDueAndOnce(t *testing.T) {
	t.Parallel()
	flapping, other := map[float64]protecteditem.Event{}, map[float64]protecteditem.Event{}
	for m := 10; m < 40; m++ { // every minute it fails, every half it works again
		flapping[float64(m)] = failed(1, unreachable, time.Minute)
		p := point(fmt.Sprint("p", m), m)
		flapping[float64(m)+0.4] = cut(m, float64(m)+0.4)
		flapping[float64(m)+0.5] = protecteditem.RecoveryPointCreated{Point: p}
		other[float64(m)] = failed(1, []*errorcatalog.Failure{unreachable, errorcatalog.Fail(errorcatalog.ReplicaStoreFull, "")}[m%2], time.Minute)
	}
	steady := map[float64]protecteditem.Event{}
	for m := 11; m < 24*60; m += 5 {
		steady[float64(m)] = protecteditem.RecoveryPointCreated{Point: point(fmt.Sprint("p", m), m)}
		steady[float64(m)-0.1] = cut(m, float64(m)-0.1)
	}
	quarterly := protecteditem.PolicyChanged{PolicyID: "silver", Settings: silver(), At: noon}
	for name, tt := range map[string]struct {
		given     []protecteditem.Event
		until     float64
		meanwhile map[float64]protecteditem.Event
		told      []string
		wakes     int // at most
	}{
		"a well item is looked at about twice an hour": {given: following, until: 24 * 60, meanwhile: steady, wakes: 2*24 + 600},
		"what does not ship is told of when it has missed too much, and when it is behind": {
			given: history(following, cuts(11, 5, 4)), until: 300,
			told:  []string{"41 Warning [cycles_missed]", "86 Warning [replication_behind cycles_missed]"},
			wakes: 20,
		},
		"what comes and goes is told twice in five minutes at most": {
			given: following, until: 60, meanwhile: flapping, wakes: 200,
			told: []string{
				"10 Warning [host_unreachable]", "15.5 Normal []", "16 Warning [host_unreachable]", "21.5 Normal []", "22 Warning [host_unreachable]",
				"27.5 Normal []", "28 Warning [host_unreachable]", "33.5 Normal []", "34 Warning [host_unreachable]", "39.5 Normal []",
			},
		},
		"reasons that take turns are, too": {
			given: following, until: 22, meanwhile: other, wakes: 200,
			told: []string{"10 Warning [host_unreachable]", "11 Warning [replica_store_full]", "16 Warning [host_unreachable]", "17 Warning [replica_store_full]", "22 Warning [host_unreachable]"},
		},
		"a pause is told, with what it hides": {
			given: following, until: 70, meanwhile: map[float64]protecteditem.Event{12: paused, 13: protecteditem.ReplicationResumed{At: minute(13)}}, wakes: 30,
			told: []string{"12 Warning [replication_paused]", "17 Normal []", "38 Warning [cycles_missed]", "66 Warning [replication_behind cycles_missed]"},
		},
		"a test failover is told of on its day": {
			given: history(replicating, copied, firstPoint, quarterly, finalized, paused), until: 91 * 24 * 60, wakes: 20,
			told: []string{"10 Warning [replication_paused]", "61 Warning [replication_paused replication_behind]", "129600 Warning [replication_paused test_failover_due replication_behind]"},
		},
		"an unprotected item is left alone": {given: ended, until: 1000, wakes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told, wakes := watch(t, tt.given, tt.until, tt.meanwhile)
			if !slices.Equal(told, tt.told) {
				t.Errorf("told\n%q\nwant\n%q", told, tt.told)
			}
			if wakes > tt.wakes {
				t.Errorf("it took %d wakes, want at most %d", wakes, tt.wakes)
			}
		})
	}
}

func TestAlertsAreCountedAcrossCyclesOfProtection(t *testing.T) {
	t.Parallel()
	bad := protecteditem.HealthChanged{Health: protecteditem.Critical, Previous: protecteditem.Normal, At: noon}
	good := protecteditem.HealthChanged{Health: protecteditem.Normal, Previous: protecteditem.Critical, At: noon}
	again := enabling
	again.Cycle = 2
	if s := after(history(following, bad, good, bad, ending, disabled, again)); s.Reported.Alerts != 2 || s.Reported.Health != protecteditem.Critical {
		t.Errorf("reported: %+v", s.Reported)
	}
}
