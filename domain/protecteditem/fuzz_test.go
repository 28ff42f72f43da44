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
	f.Add([]byte{0, 1, 3, 4, 5, 7, 8, 17, 7, 8, 18, 20, 21, 22, 23})
	f.Add([]byte{0, 1, 3, 4, 5, 12, 14, 7, 15, 17, 19, 22, 23})
	f.Add([]byte{0, 1, 3, 12, 13, 14, 15, 5, 10, 10, 10, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, script []byte) { play(t, script) })
}

// TestAnyHistoryKeepsTheInvariants plays many random sequences, so that every
// run of the tests does what the fuzzer does, and fails if they miss a state.
func TestAnyHistoryKeepsTheInvariants(t *testing.T) {
	t.Parallel()
	var (
		seen   = map[protecteditem.ProtectionState]bool{}
		events = map[string]bool{}
		random = rand.New(rand.NewPCG(7, 11))
	)
	for range 300 {
		script := make([]byte, 120)
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
		protecteditem.PlannedFailoverInProgress, protecteditem.FailoverCommitRequired, protecteditem.FailedOver, protecteditem.DisablingProtection,
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
	for _, b := range script {
		cmd := g.command(b)
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
	failedOver := s.Protection == protecteditem.FailoverCommitRequired || s.Protection == protecteditem.FailedOver
	switch {
	case had && s.Cycle == before.Cycle && s.Protection != protecteditem.Unprotected && !slices.ContainsFunc(s.Points, func(p protecteditem.Point) bool { return p.ID == old.ID }):
		return "the newest point was removed"
	case failedOver && (!has || newest.ID != s.FailoverPoint || s.Recovery.VM == "" || !s.SourceStopped || s.ActiveLocation != protecteditem.Recovery):
		return "failed over without the newest point, a VM or a stopped source"
	case failedOver && s.Resync.State != protecteditem.ResyncNone:
		return "failed over with a replica that did not follow"
	case s.Protection == protecteditem.FailedOver && len(s.Points) != 1:
		return "a committed failover keeps more than its point"
	case len(s.Points) > len(before.Points) && s.Resync.State != protecteditem.ResyncNone:
		return "a point was made while a resync is required or runs"
	case s.InitialReplicated && !has:
		return "replicated without a point"
	case s.Protection == protecteditem.Protected && !s.InitialReplicated:
		return "protected without a replica"
	case (s.Job != nil) != wantsJob(s):
		return "a job in a state without one, or none in a state with one"
	case s.Resync.State == protecteditem.ResyncInProgress && (s.Job == nil || s.Job.ID != s.Resync.Job):
		return "a resync without its job"
	case slices.ContainsFunc(events, created) && s.Retry != protecteditem.Retry{}:
		return "attempts were not counted afresh after a point"
	case s.Job != nil && (before.Job == nil || before.Job.ID != s.Job.ID) && s.Retry != protecteditem.Retry{}:
		return "attempts were not counted afresh for a new job"
	case s.Retry.Failure != nil && s.Retry.Attempt < 1, s.Retry.Failure == nil && s.Retry.Attempt > 0:
		return "attempts without a failure"
	case s.Cycle < before.Cycle || s.Cycle > before.Cycle+1:
		return "a cycle went back or was skipped"
	case s.Protection == protecteditem.DisablingProtection && len(events) == 0 && before.Protection != s.Protection:
		return "disabling without an event"
	}
	return unordered(s)
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

func wantsJob(s protecteditem.State) bool {
	switch s.Protection {
	case protecteditem.EnablingProtection, protecteditem.InitialReplicationInProgress, protecteditem.FinalizingProtection,
		protecteditem.PlannedFailoverInProgress, protecteditem.DisablingProtection:
		return true
	case protecteditem.Protected:
		return s.Resync.State == protecteditem.ResyncInProgress
	case protecteditem.FailoverCommitRequired: // once its commit has begun
		return s.Job != nil && s.Job.Kind == protecteditem.FailoverCommitJob
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
		if o.Name == "DisableProtection" && o.Allowed != (s.Protection != "" && s.Protection != protecteditem.Unprotected && s.Protection != protecteditem.DisablingProtection) {
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
	for _, r := range reasons {
		if _, ok := errorcatalog.Lookup(r.Code); !ok {
			t.Fatalf("health error %q is not in the catalogue", r.Code)
		}
	}
	if newest, ok := s.NewestPoint(); ok && slices.Contains(protecteditem.Expired(s, now), newest.ID) {
		t.Fatal("retention gives up the newest point")
	}
	if next := protecteditem.NextCut(s, now); !next.IsZero() && next.Before(now) {
		t.Fatalf("the next cut is due at %s, before now", next)
	}
}

// generator makes commands that mostly fit the state, so that sequences get far.
type generator struct {
	s    protecteditem.State
	now  time.Time
	cuts int
	job  string
}

func (g *generator) command(b byte) protecteditem.Command {
	g.now = g.now.Add(time.Duration(1+b%7) * time.Minute)
	g.job = fmt.Sprintf("job-%d", len(g.s.Points)+g.cuts+int(b>>6)*1000+g.s.Cycle*10)
	if g.s.Job != nil && b>>5 != 7 { // mostly the job that runs, sometimes a stale one
		g.job = g.s.Job.ID
	}
	kind := int(b) % 24
	if b%5 == 0 { // now and then what the item waits for
		kind = g.forward()
	}
	if c := g.operator(kind); c != nil {
		return c
	}
	return g.worker(kind, int(b))
}

// forward is the command that leads the item on.
func (g *generator) forward() int {
	const removeSome, stopSource, completeFailover = 9, 23, 22
	switch g.s.Protection {
	case protecteditem.EnablingProtection:
		return 1
	case protecteditem.InitialReplicationPending:
		return 3
	case protecteditem.InitialReplicationInProgress:
		return 4
	case protecteditem.FinalizingProtection:
		return 5
	case protecteditem.Protected:
		return []int{removeSome, 17, 8, 15}[g.cuts%4]
	case protecteditem.PlannedFailoverInProgress:
		if g.s.SourceStopped {
			return completeFailover
		}
		return stopSource
	case protecteditem.FailoverCommitRequired:
		return []int{20, 21}[g.cuts%2]
	case protecteditem.FailedOver, protecteditem.DisablingProtection:
		return []int{16, 23}[g.cuts%2]
	default:
		return 0
	}
}

func (g *generator) operator(kind int) protecteditem.Command {
	fresh := fmt.Sprintf("op-%d", g.now.Unix())
	switch kind {
	case 0:
		c := enable()
		c.JobID, c.At = fresh, g.now
		return c
	case 6:
		return protecteditem.ReplicateNow{At: g.now}
	case 13:
		return protecteditem.RepairReplication{JobID: fresh, At: g.now}
	case 16:
		if g.now.Minute()%4 != 0 { // rarely, or no sequence gets far
			return protecteditem.ReplicateNow{At: g.now}
		}
		return protecteditem.DisableProtection{JobID: fresh, KeepReplica: time.Hour, At: g.now}
	case 17:
		return protecteditem.StartPlannedFailover{JobID: fresh, At: g.now}
	case 20:
		return protecteditem.CommitFailover{JobID: fresh, At: g.now}
	default:
		return nil
	}
}

func (g *generator) worker(kind, b int) protecteditem.Command {
	resync := g.s.Resync.Job
	if resync == "" {
		resync = fmt.Sprintf("resync-%d", g.now.Unix())
	}
	switch kind {
	case 1:
		return protecteditem.RecordRelationship{JobID: g.job, StartAt: g.now, At: g.now}
	case 2:
		return protecteditem.FailEnable{JobID: g.job, Failure: unreachable, At: g.now}
	case 3:
		return protecteditem.StartInitialReplication{JobID: g.job, Snapshot: fmt.Sprint("snap-", b%3), At: g.now}
	case 4:
		return protecteditem.CompleteInitialReplication{JobID: g.job, Point: g.point(b), FinalizeJobID: fmt.Sprintf("final-%d", g.now.Unix()), At: g.now}
	case 5:
		return protecteditem.FinalizeProtection{JobID: g.job, At: g.now}
	case 7, 19:
		g.cuts++
		return protecteditem.RecordDelta{Cut: fmt.Sprint("cut-", g.cuts), PreviousCut: g.s.LastShipped.Cut, Instant: g.now, At: g.now}
	case 8, 18:
		return protecteditem.CreateRecoveryPoint{Point: g.point(b), At: g.now}
	case 9:
		return protecteditem.RemoveRecoveryPoints{IDs: g.some(b), At: g.now}
	case 10:
		return protecteditem.RecordFailure{Failure: []*errorcatalog.Failure{unreachable, unauthorized}[b>>7], At: g.now}
	case 11:
		return protecteditem.FailPlannedFailover{JobID: g.job, Failure: unreachable, At: g.now}
	case 12:
		return protecteditem.RequireResynchronization{Reason: errorcatalog.LogMissing, ScheduledFor: g.now, At: g.now}
	case 14:
		return protecteditem.StartResynchronization{JobID: resync, At: g.now}
	case 15:
		return protecteditem.CompleteResynchronization{JobID: g.job, Point: g.point(b), FinalizeJobID: fmt.Sprintf("final-%d", g.now.Unix()), At: g.now}
	case 21:
		return protecteditem.CompleteFailoverCommit{JobID: g.job, At: g.now}
	case 22:
		newest, _ := g.s.NewestPoint()
		return protecteditem.CompletePlannedFailover{JobID: g.job, Point: newest.ID, RecoveryVM: "vm-9", At: g.now}
	default:
		if g.s.Protection == protecteditem.PlannedFailoverInProgress {
			return protecteditem.RecordSourceStopped{JobID: g.job, At: g.now}
		}
		return protecteditem.CompleteDisable{JobID: g.job, At: g.now}
	}
}

// point is of the newest cut, or of one that nobody shipped.
func (g *generator) point(b int) protecteditem.Point {
	p := point(g.s.LastShipped.Cut, 0)
	p.Instant = g.s.LastShipped.Instant
	if p.ID == "" || b>>6 == 3 {
		g.cuts++
		p.ID, p.Instant = fmt.Sprint("cut-", g.cuts), g.now
	}
	return p
}

func (g *generator) some(b int) []string {
	var ids []string
	for i, p := range g.s.Points {
		if (b>>3+i)%3 == 0 {
			ids = append(ids, p.ID)
		}
	}
	return ids
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
