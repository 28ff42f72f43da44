package workflow_test

import (
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/policy"
	"farshore/domain/protecteditem"
	"farshore/workers/workflow"
)

func TestWorkIsDueWhenTheStateSaysSo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	later := now.Add(time.Hour)
	failure := &errorcatalog.Failure{Code: errorcatalog.HostUnreachable}
	frequent := policy.Settings{CopyFrequencySeconds: 30}
	none := protecteditem.Resync{State: protecteditem.ResyncNone}
	for name, tt := range map[string]struct {
		state protecteditem.State
		want  time.Time // zero: nothing is due
	}{
		"nothing was ever protected":           {protecteditem.State{}, time.Time{}},
		"enabling":                             {protecteditem.State{Protection: protecteditem.EnablingProtection}, now},
		"waiting for the start time":           {protecteditem.State{Protection: protecteditem.InitialReplicationPending, StartAt: later}, later},
		"copying":                              {protecteditem.State{Protection: protecteditem.InitialReplicationInProgress}, now},
		"a failed attempt waits for its retry": {protecteditem.State{Protection: protecteditem.InitialReplicationInProgress, Retry: protecteditem.Retry{Failure: failure, NextAt: later}}, later},
		"an attempt that would be in vain":     {protecteditem.State{Protection: protecteditem.EnablingProtection, Retry: protecteditem.Retry{Failure: failure}}, time.Time{}},
		"the next cut": {protecteditem.State{
			Protection: protecteditem.Protected, Policy: frequent, Resync: none, LastShipped: protecteditem.Shipped{Instant: now.Add(-10 * time.Second)},
		}, now.Add(20 * time.Second)},
		"missed cuts are one": {protecteditem.State{
			Protection: protecteditem.Protected, Policy: frequent, Resync: none, LastShipped: protecteditem.Shipped{Instant: now.Add(-time.Hour)},
		}, now},
		"a cut was asked for": {protecteditem.State{
			Protection: protecteditem.Protected, Policy: frequent, Resync: none, LastShipped: protecteditem.Shipped{Instant: now}, Requested: protecteditem.CycleRequest{At: now},
		}, now},
		"a resynchronization off-hours": {protecteditem.State{
			Protection: protecteditem.Protected, Resync: protecteditem.Resync{State: protecteditem.ResyncRequired, ScheduledFor: later},
		}, later},
		"a resynchronization": {protecteditem.State{
			Protection: protecteditem.Protected, Resync: protecteditem.Resync{State: protecteditem.ResyncInProgress},
		}, now},
		"a failover that is held": {protecteditem.State{Protection: protecteditem.PlannedFailoverInProgress, Hold: protecteditem.HoldReady}, time.Time{}},
		"a held failover that could not be taken back": {protecteditem.State{
			Protection: protecteditem.PlannedFailoverInProgress, Hold: protecteditem.HoldReady, Retry: protecteditem.Retry{Failure: failure, NextAt: later},
		}, later},
		"an uncommitted failover": {protecteditem.State{Protection: protecteditem.FailoverCommitRequired}, time.Time{}},
		"a commit":                {protecteditem.State{Protection: protecteditem.FailoverCommitRequired, Job: &protecteditem.JobRef{ID: "j"}}, now},
		"failed over":             {protecteditem.State{Protection: protecteditem.FailedOver}, time.Time{}},
		"failing over unplanned":  {protecteditem.State{Protection: protecteditem.UnplannedFailoverInProgress}, now},
		"a source to be fenced": {protecteditem.State{
			Protection: protecteditem.FailedOver, Recovery: protecteditem.RecoveryTarget{VM: "web-dr"},
		}, now.Add(5 * time.Second)},
		"a fenced source": {protecteditem.State{
			Protection: protecteditem.FailoverCommitRequired, Recovery: protecteditem.RecoveryTarget{VM: "web-dr"},
			Fencing: protecteditem.Fencing{Fenced: true},
		}, now.Add(time.Minute)},
		"a paused item": {protecteditem.State{Protection: protecteditem.Protected, Resync: none, Paused: &protecteditem.Pause{}}, time.Time{}},
		"a paused copy": {protecteditem.State{Protection: protecteditem.InitialReplicationInProgress, Paused: &protecteditem.Pause{}}, time.Time{}},
		"a paused resynchronization": {protecteditem.State{
			Protection: protecteditem.Protected, Resync: protecteditem.Resync{State: protecteditem.ResyncInProgress}, Paused: &protecteditem.Pause{},
		}, time.Time{}},
		"a resynchronization that was canceled": {protecteditem.State{
			Protection: protecteditem.Protected, Resync: protecteditem.Resync{State: protecteditem.ResyncRequired, Unscheduled: true},
		}, time.Time{}},
		"a source that a failback leaves": {protecteditem.State{
			Protection: protecteditem.FailbackAwaitingCompletion, Site: "s1", Host: "h1", Job: &protecteditem.JobRef{ID: "j", Kind: protecteditem.FailbackJob},
			Failback: protecteditem.FailbackRun{Mode: protecteditem.MinimizeDowntime, Target: protecteditem.FailbackTarget{Site: "s1", Host: "h3", VMName: "web"}},
		}, now.Add(5 * time.Second)},
		"a failback that waits": {protecteditem.State{
			Protection: protecteditem.FailbackAwaitingCompletion, Job: &protecteditem.JobRef{ID: "j", Kind: protecteditem.FailbackJob},
			Failback: protecteditem.FailbackRun{Mode: protecteditem.MinimizeDowntime},
		}, time.Time{}},
		"a full download that has not told itself to go on": {protecteditem.State{
			Protection: protecteditem.FailbackAwaitingCompletion, Job: &protecteditem.JobRef{ID: "j", Kind: protecteditem.FailbackJob},
			Failback: protecteditem.FailbackRun{Mode: protecteditem.FullDownload},
		}, now},
		"a VM that was left behind": {protecteditem.State{Protection: protecteditem.FailedBack, LeftBehind: []protecteditem.LeftBehind{{VM: "web"}}}, now.Add(time.Minute)},
		"what was left behind waits for an attempt": {protecteditem.State{
			Protection: protecteditem.Protected, Policy: frequent, Resync: none, LeftBehind: []protecteditem.LeftBehind{{VM: "web"}},
			Retry: protecteditem.Retry{Failure: failure, NextAt: now.Add(time.Second)},
		}, now.Add(time.Second)},
		"points to leave the store": {protecteditem.State{Protection: protecteditem.FailedOver, Released: []string{"p1"}}, now.Add(5 * time.Second)},
		"a disk that is added, between two cuts": {protecteditem.State{
			Protection: protecteditem.Protected, Policy: frequent, Resync: none, LastShipped: protecteditem.Shipped{Instant: now}, DiskJob: &protecteditem.JobRef{ID: "j"},
		}, now},
		"a disk whose last attempt failed does not keep the others": {protecteditem.State{
			Protection: protecteditem.Protected, Policy: frequent, Resync: none, LastShipped: protecteditem.Shipped{Instant: now}, DiskJob: &protecteditem.JobRef{ID: "j"},
			DiskRetry: protecteditem.Retry{Failure: failure, NextAt: later},
		}, now.Add(30 * time.Second)},
		"a disk that is added waits for a replication that failed": {protecteditem.State{
			Protection: protecteditem.Protected, Policy: frequent, Resync: none, DiskJob: &protecteditem.JobRef{ID: "j"},
			Retry: protecteditem.Retry{Failure: failure, NextAt: later},
		}, later},
		"a disk that is added waits for the end of a pause": {protecteditem.State{
			Protection: protecteditem.Protected, Policy: frequent, Resync: none, DiskJob: &protecteditem.JobRef{ID: "j"}, Paused: &protecteditem.Pause{},
		}, time.Time{}},
		"disabling": {protecteditem.State{Protection: protecteditem.DisablingProtection}, now},
		"a VM that the end of protection left behind": {protecteditem.State{
			Protection: protecteditem.Unprotected, LeftBehind: []protecteditem.LeftBehind{{VM: "web"}},
		}, now.Add(time.Minute)},
		"a kept replica": {protecteditem.State{Protection: protecteditem.Unprotected, ReplicaUntil: later}, later},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, due := workflow.Due(tt.state, now)
			if due == tt.want.IsZero() || !got.Equal(tt.want) {
				t.Errorf("due at %s (%t), want %s", got, due, tt.want)
			}
		})
	}
}

func TestUpkeepIsDueWithTheFirstThingToTell(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 12, 10, 0, 0, time.UTC)
	drills := policy.Settings{CopyFrequencySeconds: 30, DrillReminderDays: 1}
	none := protecteditem.Resync{State: protecteditem.ResyncNone}
	follows := func(since time.Time, p policy.Settings) protecteditem.State {
		return protecteditem.State{
			Protection: protecteditem.Protected, Resync: none, Policy: p, ProtectedAt: since, Cycles: protecteditem.Cycles{Since: now},
			Points: []protecteditem.Point{{ID: "p", Instant: now.Add(-30 * time.Minute)}},
		}
	}
	for name, tt := range map[string]struct {
		state protecteditem.State
		want  time.Time // zero: nothing is due
	}{
		"nothing was ever protected":     {protecteditem.State{}, time.Time{}},
		"being enabled":                  {protecteditem.State{Protection: protecteditem.EnablingProtection}, time.Time{}},
		"a health that was not told":     {protecteditem.State{Protection: protecteditem.InitialReplicationInProgress}, now},
		"cycles that might be missed":    {follows(now, policy.Settings{CopyFrequencySeconds: 30}), now.Add(3 * time.Minute)},
		"a replica that might be behind": {follows(now, policy.Settings{CopyFrequencySeconds: 900}), now.Add(30 * time.Minute)},
		"a drill that is due sooner":     {follows(now.AddDate(0, 0, -1).Add(time.Minute), drills), now.Add(time.Minute)},
		"a drill that is due":            {follows(now.AddDate(0, 0, -1), drills), now},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, due := workflow.UpkeepDue(tt.state, now)
			if due == tt.want.IsZero() || !got.Equal(tt.want) {
				t.Errorf("due at %s (%t), want %s", got, due, tt.want)
			}
		})
	}
}
