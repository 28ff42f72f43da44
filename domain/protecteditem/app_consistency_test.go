package protecteditem_test

import (
	"slices"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/policy"
	"farshore/domain/protecteditem"
)

var (
	unfrozen = errorcatalog.Fail(errorcatalog.FreezeHookFailed, "pre of VM sql-1: exit status 1")
	unthawed = errorcatalog.Fail(errorcatalog.ThawHookFailed, "post of VM sql-1: exit status 1")
	hourly   = protecteditem.PolicyChanged{PolicyID: "hourly", Settings: consistentEvery(1), At: noon}
)

func consistentEvery(hours int) policy.Settings {
	p := policy.Defaults()
	p.AppConsistentFrequencyHours = hours
	return p
}

func frozen(milliseconds int64, f *errorcatalog.Failure) *protecteditem.Freeze {
	return &protecteditem.Freeze{Milliseconds: milliseconds, Failure: f}
}

// atRest is the second cut, for which the guest's applications were asked.
func atRest(c protecteditem.Consistency, f *protecteditem.Freeze) protecteditem.DeltaShipped {
	e := shipped2
	e.Consistency, e.Freeze = c, f
	return e
}

// after8 is a cut made 8 minutes after noon, after the second one.
func after8(c protecteditem.Consistency, f *protecteditem.Freeze) protecteditem.DeltaShipped {
	e := shipped3
	e.Consistency, e.Freeze = c, f
	return e
}

func consistencyRows() map[string]scenario {
	ask := protecteditem.ReplicateNow{Consistency: protecteditem.AppConsistent, At: noon}
	asked, plain := protecteditem.ReplicationRequested(ask), protecteditem.ReplicationRequested{At: noon}
	record := protecteditem.RecordDelta{
		Cut: "cut-3", PreviousCut: "cut-2", Instant: point("", 8).Instant, Consistency: protecteditem.AppConsistent, Freeze: frozen(80, nil), At: noon,
	}
	return map[string]scenario{
		"an operator may ask for an app-consistent point":          {Given: following, When: ask, Then: history(asked)},
		"asking twice for an app-consistent point changes nothing": {Given: history(following, asked), When: ask},
		"asking for a cycle is met by an app-consistent one":       {Given: history(following, asked), When: protecteditem.ReplicateNow{At: noon}},
		"asking for a crash-consistent one is, too":                {Given: history(following, asked), When: protecteditem.ReplicateNow{Consistency: protecteditem.CrashConsistent, At: noon}},
		"a cycle that was asked for is made an app-consistent one": {Given: history(following, plain), When: ask, Then: history(asked)},
		"asking for an app-consistent point retries what failed":   {Given: history(following, failed(3, unreachable, 4*time.Minute)), When: ask, Then: history(asked)},
		"and asks again when it has failed since":                  {Given: history(following, asked, failed(1, unauthorized, 0)), When: ask, Then: history(asked)},
		"an app-consistent point of an attempt that is due is new": {Given: history(following, failed(1, unreachable, 0), plain), When: ask, Then: history(asked)},
		"a planned point cannot be asked for":                      {Given: following, When: protecteditem.ReplicateNow{Consistency: protecteditem.Planned, At: noon}, Refused: errorcatalog.ValidationFailed, Field: "/consistency"},
		"an app-consistent point needs a replica that follows":     {Given: diverged, When: ask, Refused: errorcatalog.ResynchronizationRequiredRefusal},
		"an app-consistent point needs a protected item":           {Given: history(replicating, failed(1, unreachable, time.Minute)), When: ask, Refused: errorcatalog.NotProtected},
		"an app-consistent point is not asked for during a pause":  {Given: history(following, paused), When: ask, Refused: errorcatalog.ReplicationPausedRefusal},
		"an app-consistent point of an unknown item is refused":    {When: ask, Refused: errorcatalog.ProtectedItemNotFound},
		"an app-consistent point of a failed-over item is refused": {Given: done, When: ask, Refused: errorcatalog.NotProtected},
		"a cut says what it has asked of the guest":                {Given: following, When: record, Then: history(after8(protecteditem.AppConsistent, frozen(80, nil)))},
		"a cut that says it again changes nothing":                 {Given: history(following, after8(protecteditem.AppConsistent, frozen(80, nil))), When: record},
		"a cut cannot be a planned one":                            {Given: following, When: protecteditem.RecordDelta{Cut: "cut-3", PreviousCut: "cut-2", Consistency: protecteditem.Planned}, Refused: errorcatalog.ValidationFailed, Field: "/consistency"},
		"a cut tells why it is crash-consistent although asked for": {
			Given: following,
			When: protecteditem.RecordDelta{
				Cut: "cut-3", PreviousCut: "cut-2", Instant: point("", 8).Instant, At: noon,
				Freeze: frozen(80, errorcatalog.Fail(errorcatalog.FreezeHookFailed, "pre").Because(unthawed)),
			},
			Then: history(after8("", frozen(80, errorcatalog.Fail(errorcatalog.FreezeHookFailed, "pre: %s", unthawed.Error())))),
		},
	}
}

func TestNextConsistency(t *testing.T) {
	t.Parallel()
	asked := protecteditem.ReplicationRequested{Consistency: protecteditem.AppConsistent, At: noon.Add(7 * time.Minute)}
	early := after8("", frozen(0, unfrozen)) // of a cut before the request
	early.Instant = noon.Add(6*time.Minute + 30*time.Second)
	next := protecteditem.DeltaShipped{Cut: "cut-4", PreviousCut: "cut-3", Instant: noon.Add(9 * time.Minute), At: noon}
	for name, tt := range map[string]struct {
		given []protecteditem.Event
		now   int // minutes after noon
		want  protecteditem.Consistency
	}{
		"never by a policy of 0":                    {following, 600, protecteditem.CrashConsistent},
		"at once under a new policy":                {history(following, hourly), 7, protecteditem.AppConsistent},
		"not within the hour":                       {history(following, hourly, after8(protecteditem.AppConsistent, frozen(9, nil))), 67, protecteditem.CrashConsistent},
		"after an hour":                             {history(following, hourly, after8(protecteditem.AppConsistent, frozen(9, nil))), 68, protecteditem.AppConsistent},
		"a failed freeze is not repeated at once":   {history(following, hourly, after8("", frozen(9, unfrozen))), 67, protecteditem.CrashConsistent},
		"it is after an hour":                       {history(following, hourly, after8("", frozen(9, unfrozen))), 68, protecteditem.AppConsistent},
		"a thaw that failed is no attempt":          {history(following, hourly, after8("", frozen(0, unthawed))), 9, protecteditem.AppConsistent},
		"still when any cycle is asked for again":   {history(following, asked, failed(1, unauthorized, 0), protecteditem.ReplicationRequested{At: noon.Add(8 * time.Minute)}), 8, protecteditem.AppConsistent},
		"when it was asked for":                     {history(following, asked), 7, protecteditem.AppConsistent},
		"still after a cut for which nobody asked":  {history(following, asked, shipped3), 9, protecteditem.AppConsistent},
		"still after a cut made before the request": {history(following, asked, early), 9, protecteditem.AppConsistent},
		"no longer after two cuts of any kind":      {history(following, asked, shipped3, next), 10, protecteditem.CrashConsistent},
		"no longer once it was tried":               {history(following, asked, after8("", frozen(9, unfrozen))), 9, protecteditem.CrashConsistent},
		"no longer once it was reached":             {history(following, asked, after8(protecteditem.AppConsistent, nil)), 9, protecteditem.CrashConsistent},
		"not while a resync runs":                   {history(following, hourly, required, resyncing), 600, protecteditem.CrashConsistent},
		"not during initial replication":            {history(replicating, hourly), 600, protecteditem.CrashConsistent},
		"not during a failover":                     {history(following, hourly, failingOver), 600, protecteditem.CrashConsistent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := protecteditem.NextConsistency(after(tt.given), noon.Add(time.Duration(tt.now)*time.Minute)); got != tt.want {
				t.Errorf("the next cut is %s, want %s", got, tt.want)
			}
		})
	}
}

func TestNextAppConsistent(t *testing.T) {
	t.Parallel()
	if at := protecteditem.NextAppConsistent(after(following)); !at.IsZero() {
		t.Errorf("due at %s under a policy of 0", at)
	}
	if at := protecteditem.NextAppConsistent(after(history(following, hourly))); !at.Equal(noon) {
		t.Errorf("due at %s, want the end of enabling", at)
	}
	reached := history(following, hourly, after8(protecteditem.AppConsistent, frozen(9, nil)))
	if at := protecteditem.NextAppConsistent(after(reached)); !at.Equal(noon.Add(68 * time.Minute)) {
		t.Errorf("due at %s", at)
	}
}

func TestAFailedFreezeIsToldUntilTheNextSuccess(t *testing.T) {
	t.Parallel()
	tried := history(following, hourly, after8("", frozen(9, unfrozen)))
	missing := errorcatalog.Fail(errorcatalog.FreezeHookMissing, "sql-1")
	later := func(c protecteditem.Consistency, f *protecteditem.Freeze) protecteditem.DeltaShipped {
		return protecteditem.DeltaShipped{Cut: "cut-4", PreviousCut: "cut-3", Instant: noon.Add(9 * time.Minute), Consistency: c, Freeze: f, At: noon.Add(time.Hour)}
	}
	for name, tt := range map[string]struct {
		given  []protecteditem.Event
		want   protecteditem.Health
		reason []errorcatalog.Code
	}{
		"a failed freeze is a warning":               {tried, protecteditem.Warning, []errorcatalog.Code{errorcatalog.FreezeHookFailed}},
		"after a cut for which nobody asked as well": {history(tried, later("", nil)), protecteditem.Warning, []errorcatalog.Code{errorcatalog.FreezeHookFailed}},
		"another reason takes its place":             {history(tried, later("", frozen(0, missing))), protecteditem.Warning, []errorcatalog.Code{errorcatalog.FreezeHookMissing}},
		"a success ends it":                          {history(tried, later(protecteditem.AppConsistent, frozen(9, nil))), protecteditem.Normal, nil},
		"a policy without such points ends it":       {history(tried, protecteditem.PolicyChanged{Settings: policy.Defaults()}), protecteditem.Normal, nil},
		"a guest that may be frozen is critical":     {history(tried, later(protecteditem.AppConsistent, frozen(9, unthawed))), protecteditem.Critical, []errorcatalog.Code{errorcatalog.ThawHookFailed}},
		"whatever the policy": {
			history(following, after8("", frozen(0, unthawed)), protecteditem.PolicyChanged{Settings: policy.Defaults()}), protecteditem.Critical, []errorcatalog.Code{errorcatalog.ThawHookFailed},
		},
		"until it was thawed":                   {history(following, after8("", frozen(0, unthawed)), later("", frozen(0, nil))), protecteditem.Normal, nil},
		"thawing does not mend a failed freeze": {history(tried, later("", frozen(0, nil))), protecteditem.Warning, []errorcatalog.Code{errorcatalog.FreezeHookFailed}},
		"nor is it told of a failed-over VM":    {history(tried, crashing), protecteditem.Warning, []errorcatalog.Code{errorcatalog.NotReplicating}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, reasons := protecteditem.HealthOf(after(tt.given), noon.Add(10*time.Minute))
			var codes []errorcatalog.Code
			for _, r := range reasons {
				codes = append(codes, r.Code)
			}
			if got != tt.want || !slices.Equal(codes, tt.reason) {
				t.Errorf("health = %s %v, want %s %v", got, codes, tt.want, tt.reason)
			}
		})
	}
	since := after(history(tried, later("", frozen(0, missing)))).AppConsistency
	if !since.FailedSince.Equal(noon) || !since.ReachedAt.IsZero() || !since.AskedAt.Equal(noon.Add(9*time.Minute)) {
		t.Errorf("it is %+v", since)
	}
}
