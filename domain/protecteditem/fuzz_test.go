package protecteditem_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

// FuzzHistory feeds any sequence of commands and checks what must hold after each.
func FuzzHistory(f *testing.F) {
	for _, kinds := range [][]byte{
		{0, 1, 3, 4, 5, 7, 8, 17, 7, 8, 18, 20, 21, 22, 23},
		{0, 1, 3, 4, 5, 12, 14, 7, 15, 17, 19, 22, 23},
		{0, 1, 3, 12, 13, 14, 15, 5, 10, 10, 10, 6, 7, 8, 9},
		{0, 1, 3, 4, 5, 7, 8, unplanned, failoverDone, changePoint, changeDone, cancel, cancelDone, drill, drillDone, cleanUp, cleanUpDone},
		{0, 1, 3, 4, 5, unplanned, failoverDone, 20, 21, failback, failbackReady, completeFailback, failbackDone, commitFailback, failbackCommitted, reProtect, reversed},
	} {
		var script []byte
		for _, k := range kinds {
			script = append(script, k, 1)
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) { play(t, script) })
}

// TestAnyHistoryKeepsTheInvariants plays many random sequences, so that every
// run of the tests does what the fuzzer does, and fails if they miss a state.
func TestAnyHistoryKeepsTheInvariants(t *testing.T) {
	t.Parallel()
	var (
		seen   = map[protecteditem.ProtectionState]bool{}
		events = map[string]bool{}
		random = rand.New(rand.NewPCG(7, 12))
	)
	for range 900 {
		script := make([]byte, 2*160)
		for i := range script {
			script[i] = byte(random.UintN(256))
		}
		for _, p := range play(t, script) {
			seen[p.state] = true
			events[p.event] = true
		}
	}
	for _, s := range []protecteditem.ProtectionState{
		protecteditem.Unprotected, protecteditem.EnablingProtection, protecteditem.InitialReplicationPending,
		protecteditem.InitialReplicationInProgress, protecteditem.FinalizingProtection, protecteditem.Protected,
		protecteditem.PlannedFailoverInProgress, protecteditem.UnplannedFailoverInProgress, protecteditem.FailoverCommitRequired,
		protecteditem.FailedOver, protecteditem.FailbackSynchronizing, protecteditem.FailbackAwaitingCompletion,
		protecteditem.FailbackCompleting, protecteditem.FailbackCommitRequired, protecteditem.FailedBack, protecteditem.ReverseReplicating,
		protecteditem.DisablingProtection,
	} {
		if !seen[s] {
			t.Errorf("no sequence reached %s", s)
		}
	}
	for _, e := range protecteditem.Events() {
		if !events[e.EventType()] {
			t.Errorf("no sequence led to %s", e.EventType())
		}
	}
}

type passed struct {
	state protecteditem.ProtectionState
	event string
}

func play(t *testing.T, script []byte) []passed {
	t.Helper()
	var (
		d     = protecteditem.Decider
		g     = generator{now: noon}
		trace []passed
		told  []string
	)
	known := map[string]bool{}
	for _, e := range protecteditem.Events() {
		known[e.EventType()] = true
	}
	for len(script) >= 2 { // what kind of command, and which one of that kind
		cmd := g.command(script[0], script[1])
		script = script[2:]
		before := g.s
		told = append(told, fmt.Sprintf("%T by %s", cmd, g.job))
		events, err := d.Decide(g.s, cmd)
		if err != nil {
			checkRefusal(t, err, events)
		}
		for _, e := range events {
			if !known[e.EventType()] {
				t.Fatalf("%T is missing from Events()", e)
			}
			g.s = d.Evolve(g.s, e)
			trace = append(trace, passed{g.s.Protection, e.EventType()})
		}
		if broken := broken(before, g.s, events); broken != "" {
			t.Fatalf("%s\nafter %v\nstate %+v", broken, told, g.s)
		}
		if again, err := d.Decide(g.s, cmd); err == nil && repeatable(cmd) && len(events) > 0 && len(again) > 0 {
			t.Fatalf("%T recorded twice gives %T twice", cmd, again[0])
		}
		checkAnswers(t, g.s, g.now)
	}
	return trace
}

func checkRefusal(t *testing.T, err error, events []protecteditem.Event) {
	t.Helper()
	r, ok := errors.AsType[*domain.RejectionError](err)
	if !ok || len(events) > 0 {
		t.Fatalf("%d events with error %v", len(events), err)
	}
	if e, ok := errorcatalog.Lookup(r.Code); !ok || e.Class != errorcatalog.Refusal {
		t.Fatalf("%s is not a refusal of the catalogue", r.Code)
	}
}

// broken names the first invariant that a step has broken.
func broken(before, s protecteditem.State, events []protecteditem.Event) string {
	newest, has := s.NewestPoint()
	old, had := before.NewestPoint()
	switch {
	case had && s.Cycle == before.Cycle && s.Protection != protecteditem.Unprotected && s.Base == nil && !holds(s, old.ID):
		return "the newest point was removed"
	case happened[protecteditem.PlannedFailoverCompleted](events) && (newest.ID != s.FailoverPoint || !s.SourceStopped || len(s.Pending) > 0):
		return "a planned failover lost something"
	case len(s.Points) > len(before.Points) && s.Resync.State != protecteditem.ResyncNone:
		return "a point was made while a resync is required or runs"
	case s.InitialReplicated && !has:
		return "replicated without a point"
	case s.Protection == protecteditem.Protected && !s.InitialReplicated:
		return "protected without a replica"
	case (s.Job != nil) != wantsJob(s) && !copyWaits(s):
		return "a job in a state without one, or none in a state with one"
	case s.Resync.State == protecteditem.ResyncInProgress && (s.Job == nil || s.Job.ID != s.Resync.Job):
		return "a resync without its job"
	case slices.ContainsFunc(events, created) && s.Retry != protecteditem.Retry{}:
		return "attempts were not counted afresh after a point"
	case s.Job != nil && (before.Job == nil || before.Job.ID != s.Job.ID) && s.Retry != protecteditem.Retry{}:
		return "attempts were not counted afresh for a new job"
	case s.Retry.Failure != nil && s.Retry.Attempt < 1, s.Retry.Failure == nil && s.Retry.Attempt > 0:
		return "attempts without a failure"
	case (s.AppConsistency.Failure == nil) != s.AppConsistency.FailedSince.IsZero():
		return "a failed freeze without an instant, or an instant without one"
	case s.Cycles.Since.IsZero() == follows(s):
		return "cycles are counted of an item that does not replicate, or not of one that does"
	case s.Cycle < before.Cycle || s.Cycle > before.Cycle+1:
		return "a cycle went back or was skipped"
	case s.Protection == protecteditem.DisablingProtection && len(events) == 0 && before.Protection != s.Protection:
		return "disabling without an event"
	}
	for _, check := range []func(protecteditem.State) string{unordered, wronglyFailedOver, wronglyFailedBack, wronglyProtected, wronglyTested, wronglyCopied} {
		if reason := check(s); reason != "" {
			return reason
		}
	}
	return ""
}

func holds(s protecteditem.State, point string) bool {
	_, ok := s.Point(point)
	return ok
}

func happened[E protecteditem.Event](events []protecteditem.Event) bool {
	return slices.ContainsFunc(events, func(e protecteditem.Event) bool { _, ok := e.(E); return ok })
}

func wronglyFailedOver(s protecteditem.State) string {
	uncommitted := s.Protection == protecteditem.FailoverCommitRequired
	switch {
	case !uncommitted && s.Protection != protecteditem.FailedOver:
		return ""
	case s.ActiveLocation != protecteditem.Recovery || !holds(s, s.FailoverPoint):
		return "failed over without a point"
	case s.Recovery.VM == "" && (!uncommitted || s.Failure == nil) && s.Job == nil:
		return "failed over without a VM"
	case s.Resync.State != protecteditem.ResyncNone:
		return "failed over with a resync"
	case !uncommitted && len(s.Points) > 1 && (len(s.Points) > 2 || !holds(s, s.Test.Point)):
		return "a committed failover keeps more than its point and the test's"
	case !uncommitted && (s.ChainBroken() || s.Paused != nil):
		return "a committed failover keeps what belongs to its source"
	default:
		return ""
	}
}

func follows(s protecteditem.State) bool {
	return s.Protection == protecteditem.Protected && s.Resync.State == protecteditem.ResyncNone && s.Paused == nil
}

// failingBack says whether a failback is open.
func failingBack(s protecteditem.State) bool {
	return slices.Contains([]protecteditem.ProtectionState{
		protecteditem.FailbackSynchronizing, protecteditem.FailbackAwaitingCompletion, protecteditem.FailbackCompleting, protecteditem.FailbackCommitRequired,
	}, s.Protection)
}

func wronglyFailedBack(s protecteditem.State) string {
	open := failingBack(s)
	back := open || s.Protection == protecteditem.FailedBack || s.Protection == protecteditem.ReverseReplicating
	primary := s.Protection == protecteditem.FailbackCommitRequired || s.Protection == protecteditem.FailedBack || s.Protection == protecteditem.ReverseReplicating
	switch {
	case s.Protection == protecteditem.DisablingProtection:
		return ""
	case open != (s.Failback != protecteditem.FailbackRun{}):
		return "a failback that is not open, or open without a mode"
	case back && (s.Base == nil || !holds(s, s.Base.Point)):
		return "failing back without the base of the replica"
	case back && primary != (s.ActiveLocation == protecteditem.Primary):
		return "failing back with the wrong side active"
	case open && s.Recovery.VM == "":
		return "failing back without the recovery VM"
	default:
		return ""
	}
}

func wronglyProtected(s protecteditem.State) string {
	switch {
	case s.Protection != protecteditem.Protected:
		return ""
	case s.ActiveLocation != protecteditem.Primary || s.FailoverPoint != "" || s.NextFailoverPoint != "" || s.SourceStopped:
		return "protected with what is left of a failover"
	case (s.DiskJob != nil) != (len(s.NewDisks) > 0):
		return "new disks without their job"
	case s.Base != nil:
		return "protected with the base of a failover"
	case s.ChainBroken() || s.Fencing.SourceActive || s.Fencing.Fenced:
		return "protected with a chain that is broken or a source that is fenced"
	default:
		return ""
	}
}

func wronglyTested(s protecteditem.State) string {
	open := s.TestFailover != "" && s.TestFailover != protecteditem.TestFailoverNone
	runs := s.TestFailover == protecteditem.TestFailoverInProgress || s.TestFailover == protecteditem.TestFailoverCleaningUp
	switch {
	case !open && s.Test != protecteditem.TestRun{}:
		return "a test failover that is not open"
	case runs != (s.TestJob != nil) && s.Protection != protecteditem.DisablingProtection:
		return "a test failover that runs without a job, or rests with one"
	case open && s.Test.Point != "" && !holds(s, s.Test.Point):
		return "the point of a test failover was removed"
	default:
		return ""
	}
}

func wronglyCopied(s protecteditem.State) string {
	switch {
	case (s.CopyJob != nil) != (s.Copy != protecteditem.BackgroundCopy{}):
		return "a background copy without its job"
	case s.CopyJob == nil && s.CopyRetry != protecteditem.Retry{}:
		return "attempts at no background copy"
	case s.CopyJob != nil && !holds(s, s.Copy.Point):
		return "the point of a background copy was removed"
	case s.CopyJob != nil && s.Protection != protecteditem.FailoverCommitRequired && s.Protection != protecteditem.DisablingProtection:
		return "a background copy of what is committed or has not failed over"
	case s.CopyJob != nil && s.Recovery.VM == "":
		return "a background copy without a VM"
	default:
		return ""
	}
}

func unordered(s protecteditem.State) string {
	ids := map[string]bool{}
	for i, p := range s.Points {
		if ids[p.ID] {
			return "a point twice"
		}
		ids[p.ID] = true
		if i > 0 && p.Instant.Before(s.Points[i-1].Instant) {
			return "points out of order"
		}
	}
	return ""
}

func created(e protecteditem.Event) bool {
	_, ok := e.(protecteditem.RecoveryPointCreated)
	return ok
}

// copyWaits says whether the copy of the disks waits for a resynchronization to
// take its place, whose job may have been given up.
func copyWaits(s protecteditem.State) bool {
	return s.Protection == protecteditem.InitialReplicationInProgress && s.Resync.State == protecteditem.ResyncRequired
}

func wantsJob(s protecteditem.State) bool {
	switch s.Protection {
	case protecteditem.EnablingProtection, protecteditem.InitialReplicationInProgress, protecteditem.FinalizingProtection,
		protecteditem.PlannedFailoverInProgress, protecteditem.UnplannedFailoverInProgress, protecteditem.DisablingProtection,
		protecteditem.FailbackSynchronizing, protecteditem.FailbackAwaitingCompletion, protecteditem.FailbackCompleting, protecteditem.ReverseReplicating:
		return true
	case protecteditem.FailbackCommitRequired: // once its commit or cancel has begun
		return s.Job != nil && slices.Contains([]string{protecteditem.FailbackCommitJob, protecteditem.FailbackCancelJob}, s.Job.Kind)
	case protecteditem.Protected:
		return s.Resync.State == protecteditem.ResyncInProgress
	case protecteditem.FailoverCommitRequired: // once its commit, cancel or another point has begun
		return s.Job != nil && slices.Contains([]string{
			protecteditem.FailoverCommitJob, protecteditem.FailoverCancelJob, protecteditem.RecoveryPointChangeJob,
		}, s.Job.Kind)
	default:
		return false
	}
}

// repeatable says whether recording a command twice must change nothing: all but
// those that count.
func repeatable(c protecteditem.Command) bool {
	switch c.(type) {
	case protecteditem.RecordFailure:
		return false
	default:
		return true
	}
}

// checkAnswers asks what the other functions say about any state.
func checkAnswers(t *testing.T, s protecteditem.State, now time.Time) {
	t.Helper()
	for _, o := range protecteditem.AllowedOperations(s, now) {
		if o.Allowed == (o.Code != "") || o.Allowed == (o.Reason != "") {
			t.Fatalf("%+v does not say why, or why not", o)
		}
		if o.Name == "DisableProtection" && o.Allowed != (s.Protection != "" && s.Protection != protecteditem.Unprotected && s.Protection != protecteditem.DisablingProtection && !failingBack(s)) {
			t.Fatalf("disabling is allowed = %v in %q", o.Allowed, s.Protection)
		}
	}
	health, reasons := protecteditem.HealthOf(s, now)
	if (health == protecteditem.Normal) != (len(reasons) == 0) {
		t.Fatalf("health %s with %v", health, reasons)
	}
	if s.Resync.State == protecteditem.ResyncRequired && health != protecteditem.Critical {
		t.Fatalf("health %s while a resync is required", health)
	}
	if s.Fencing.SourceActive && health != protecteditem.Critical {
		t.Fatalf("health %s while two VMs run", health)
	}
	for _, r := range reasons {
		if _, ok := errorcatalog.Lookup(r.Code); !ok {
			t.Fatalf("health error %q is not in the catalogue", r.Code)
		}
	}
	if newest, ok := s.NewestPoint(); ok && slices.Contains(protecteditem.Expired(s, now), newest.ID) {
		t.Fatal("retention gives up the newest point")
	}
	for _, id := range s.Pinned() {
		if slices.Contains(protecteditem.Expired(s, now), id) {
			t.Fatalf("retention gives up the pinned point %s", id)
		}
	}
	checkAlerts(t, s, now)
	next := protecteditem.NextCut(s, now)
	if s.Paused != nil && !next.IsZero() {
		t.Fatal("a cut is due while replication is paused")
	}
	if !next.IsZero() && next.Before(now) {
		t.Fatalf("the next cut is due at %s, before now", next)
	}
}

func TestTwoFuturesOfAStateAreApart(t *testing.T) {
	t.Parallel()
	s := after(protected)
	for i := range 5 { // until a slice has room that both futures could take
		one := decide(t, s, protecteditem.RecordDelta{Cut: fmt.Sprint("one-", i), PreviousCut: s.LastShipped.Cut, Instant: noon})
		decide(t, s, protecteditem.RecordDelta{Cut: fmt.Sprint("two-", i), PreviousCut: s.LastShipped.Cut, Instant: noon})
		if last := one.Pending[len(one.Pending)-1]; last != one.LastShipped {
			t.Fatalf("the last pending cut is %s, want %s", last.Cut, one.LastShipped.Cut)
		}
		s = one
	}
}

func TestFoldingDoesNotChangeAnEarlierState(t *testing.T) {
	t.Parallel()
	earlier, same := after(following), after(following)
	for _, e := range stored() {
		protecteditem.Decider.Evolve(earlier, e)
	}
	if got, was := fmt.Sprintf("%+v", earlier), fmt.Sprintf("%+v", same); got != was {
		t.Errorf("state = %s\nwas %s", got, was)
	}
}

// checkAlerts asks when alerts are due: what is due now is told, and nothing else.
func checkAlerts(t *testing.T, s protecteditem.State, now time.Time) {
	t.Helper()
	at, due := protecteditem.HealthDue(s, now)
	events, err := protecteditem.Decider.Decide(s, protecteditem.RecordHealth{At: now})
	if due && at.Before(now) {
		t.Fatalf("the health is due at %s, before now", at)
	}
	if err == nil && (due && at.Equal(now)) != (len(events) > 0) {
		t.Fatalf("the health is due at %s (%t), now is %s, and %v is told", at, due, now, events)
	}
	if remind, wanted := protecteditem.ReminderDue(s); wanted {
		events, err := protecteditem.Decider.Decide(s, protecteditem.RemindOfTestFailover{At: now})
		if err != nil || remind.After(now) == (len(events) > 0) {
			t.Fatalf("a reminder is due at %s, now is %s, and %v is told (%v)", remind, now, events, err)
		}
	}
}
