package protecteditem_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/storageaccount"
)

// idleOf is what is refused unless a row says otherwise: there is nothing to end.
func idleOf() map[string]errorcatalog.Code {
	return map[string]errorcatalog.Code{
		"ApplyRecoveryPoint": errorcatalog.NoFailoverPending, "FailoverCancel": errorcatalog.NoFailoverPending,
		"CancelResynchronization": errorcatalog.NothingToDo, "RetryNow": errorcatalog.NothingToDo,
		"Failback": errorcatalog.NotFailedOver, "CompleteFailback": errorcatalog.NoFailbackPending, "FailbackCancel": errorcatalog.NoFailbackPending,
		"FailbackCommit": errorcatalog.NoFailbackPending, "ReProtect": errorcatalog.NotFailedBack,
		"TestFailoverCleanup": errorcatalog.NoTestFailover, "ResumeReplication": errorcatalog.NothingToDo,
	}
}

func TestAllowedOperations(t *testing.T) {
	t.Parallel()
	type refusals = map[string]errorcatalog.Code
	// What is refused from a failover's commit until the item is protected again.
	beyond := func(row refusals) refusals {
		all := refusals{
			"AddDisks": errorcatalog.NotProtected, "RemoveDisks": errorcatalog.NotProtected,
			"EnableProtection": errorcatalog.AlreadyProtected, "ReplicateNow": errorcatalog.NotProtected, "RepairReplication": errorcatalog.NotProtected,
			"CancelResynchronization": errorcatalog.NotProtected, "PlannedFailover": errorcatalog.NotProtected, "UnplannedFailover": errorcatalog.NotProtected,
			"FailoverCommit": errorcatalog.NoFailoverPending, "TestFailover": errorcatalog.NotProtected, "PauseReplication": errorcatalog.NotProtected,
		}
		maps.Copy(all, row)
		return all
	}
	idle := idleOf()
	for name, tt := range map[string]struct {
		given []protecteditem.Event
		want  refusals // the operations not named are allowed
	}{
		"an item whose protection is being enabled can only be disabled": {given: history(enabling), want: refusals{
			"EnableProtection": errorcatalog.AlreadyProtected, "ReplicateNow": errorcatalog.NotProtected, "RepairReplication": errorcatalog.NotProtected,
			"PlannedFailover": errorcatalog.NotProtected, "FailoverCommit": errorcatalog.NoFailoverPending,
			"UnplannedFailover": errorcatalog.NotProtected, "TestFailover": errorcatalog.NotProtected, "PauseReplication": errorcatalog.NotProtected,
			"CancelResynchronization": errorcatalog.NotProtected,
			"AddDisks":                errorcatalog.NotProtected, "RemoveDisks": errorcatalog.NotProtected,
		}},
		"a protected item": {given: following, want: refusals{
			"EnableProtection": errorcatalog.AlreadyProtected, "FailoverCommit": errorcatalog.NoFailoverPending,
		}},
		"an item that needs a resync": {given: diverged, want: refusals{
			"EnableProtection": errorcatalog.AlreadyProtected, "ReplicateNow": errorcatalog.ResynchronizationRequiredRefusal,
			"PlannedFailover": errorcatalog.ResynchronizationRequiredRefusal, "FailoverCommit": errorcatalog.NoFailoverPending,
			"CancelResynchronization": "",
			"AddDisks":                errorcatalog.ResynchronizationRequiredRefusal, "RemoveDisks": errorcatalog.ResynchronizationRequiredRefusal,
		}},
		"an item whose resync runs": {given: resyncRuns, want: refusals{
			"EnableProtection": errorcatalog.AlreadyProtected, "ReplicateNow": errorcatalog.ResynchronizationRequiredRefusal,
			"RepairReplication": errorcatalog.OperationInProgress,
			"PlannedFailover":   errorcatalog.ResynchronizationRequiredRefusal, "FailoverCommit": errorcatalog.NoFailoverPending,
			"CancelResynchronization": "",
			"AddDisks":                errorcatalog.ResynchronizationRequiredRefusal, "RemoveDisks": errorcatalog.ResynchronizationRequiredRefusal,
		}},
		"an item that is failing over": {given: failing, want: refusals{
			"EnableProtection": errorcatalog.AlreadyProtected, "ReplicateNow": errorcatalog.NotProtected, "RepairReplication": errorcatalog.NotProtected,
			"PlannedFailover": errorcatalog.OperationInProgress, "FailoverCommit": errorcatalog.NoFailoverPending,
			"UnplannedFailover": errorcatalog.OperationInProgress, "TestFailover": errorcatalog.NotProtected, "PauseReplication": errorcatalog.NotProtected,
			"CancelResynchronization": errorcatalog.NotProtected,
			"AddDisks":                errorcatalog.NotProtected, "RemoveDisks": errorcatalog.NotProtected,
		}},
		"an item whose failover is to be committed": {given: uncommitted, want: refusals{
			"EnableProtection": errorcatalog.AlreadyProtected, "ReplicateNow": errorcatalog.NotProtected, "RepairReplication": errorcatalog.NotProtected,
			"PlannedFailover":   errorcatalog.NotProtected,
			"UnplannedFailover": errorcatalog.NotProtected, "TestFailover": errorcatalog.NotProtected, "PauseReplication": errorcatalog.NotProtected, "ApplyRecoveryPoint": "", "FailoverCancel": "",
			"CancelResynchronization": errorcatalog.NotProtected,
			"AddDisks":                errorcatalog.NotProtected, "RemoveDisks": errorcatalog.NotProtected,
		}},
		"an item that is paused": {given: history(following, paused), want: refusals{
			"EnableProtection": errorcatalog.AlreadyProtected, "FailoverCommit": errorcatalog.NoFailoverPending,
			"ReplicateNow": errorcatalog.ReplicationPausedRefusal, "RepairReplication": errorcatalog.ReplicationPausedRefusal,
			"PlannedFailover": errorcatalog.ReplicationPausedRefusal, "PauseReplication": errorcatalog.NothingToDo, "ResumeReplication": "",
		}},
		"an item with a network that is not mapped": {given: history(following, checked), want: refusals{
			"EnableProtection": errorcatalog.AlreadyProtected, "FailoverCommit": errorcatalog.NoFailoverPending,
			"PlannedFailover": errorcatalog.NetworksUnmapped,
		}},
		"an item with an open test failover": {given: testOpen, want: refusals{
			"EnableProtection": errorcatalog.AlreadyProtected, "FailoverCommit": errorcatalog.NoFailoverPending,
			"TestFailover": errorcatalog.TestFailoverOpen, "TestFailoverCleanup": "",
		}},
		"an item that has failed over": {given: done, want: beyond(refusals{"Failback": "", "FailoverCommit": errorcatalog.NoFailoverPending})},
		"an item that is pulled back": {given: pullingBack, want: beyond(refusals{
			"Failback": errorcatalog.FailbackOpen, "FailbackCancel": "", "DisableProtection": errorcatalog.FailbackOpen,
		})},
		"an item whose failback waits": {given: awaiting, want: beyond(refusals{
			"Failback": errorcatalog.FailbackOpen, "FailbackCancel": "", "CompleteFailback": "", "DisableProtection": errorcatalog.FailbackOpen,
		})},
		"an item whose failback is to be committed": {given: back, want: beyond(refusals{
			"Failback": errorcatalog.FailbackOpen, "FailbackCancel": "", "FailbackCommit": "", "DisableProtection": errorcatalog.FailbackOpen,
		})},
		"an item that has failed back":          {given: backAgain, want: beyond(refusals{"ReProtect": ""})},
		"an item that is replicated in reverse": {given: reverses, want: beyond(refusals{"ReProtect": errorcatalog.OperationInProgress})},
		"an item that is being disabled": {given: ending, want: refusals{
			"EnableProtection": errorcatalog.AlreadyProtected, "ReplicateNow": errorcatalog.NotProtected, "RepairReplication": errorcatalog.NotProtected,
			"PlannedFailover": errorcatalog.OperationInProgress, "FailoverCommit": errorcatalog.NoFailoverPending, "DisableProtection": errorcatalog.NothingToDo,
			"UnplannedFailover": errorcatalog.OperationInProgress, "TestFailover": errorcatalog.NotProtected, "PauseReplication": errorcatalog.NotProtected, "ChangePolicy": errorcatalog.NotProtected, "ChangeNetworkSettings": errorcatalog.NotProtected,
			"CancelResynchronization": errorcatalog.NotProtected,
			"AddDisks":                errorcatalog.NotProtected, "RemoveDisks": errorcatalog.NotProtected,
		}},
		"an item that is unprotected can only be enabled": {given: ended, want: refusals{
			"ReplicateNow": errorcatalog.NotProtected, "RepairReplication": errorcatalog.NotProtected, "PlannedFailover": errorcatalog.NotProtected,
			"FailoverCommit": errorcatalog.NoFailoverPending, "DisableProtection": errorcatalog.NothingToDo,
			"UnplannedFailover": errorcatalog.NotProtected, "TestFailover": errorcatalog.NotProtected, "PauseReplication": errorcatalog.NotProtected, "ChangePolicy": errorcatalog.NotProtected, "ChangeNetworkSettings": errorcatalog.NotProtected, "ResumeReplication": errorcatalog.NotProtected,
			"CancelResynchronization": errorcatalog.NotProtected, "RetryNow": errorcatalog.NotProtected,
			"AddDisks": errorcatalog.NotProtected, "RemoveDisks": errorcatalog.NotProtected,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, o := range protecteditem.AllowedOperations(after(tt.given), noon) {
				code, named := tt.want[o.Name]
				if !named {
					code = idle[o.Name]
				}
				if o.Code != code || o.Allowed != (code == "") {
					t.Errorf("%+v, want %q", o, code)
				}
			}
		})
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	failure := failed(2, unreachable, 2*time.Minute)
	for name, tt := range map[string]struct {
		given  []protecteditem.Event
		after  time.Duration
		want   protecteditem.Health
		reason []errorcatalog.Code
	}{
		"an item that follows is well":              {given: following, want: protecteditem.Normal},
		"an item an hour behind is not":             {given: following, after: 67 * time.Minute, want: protecteditem.Warning, reason: []errorcatalog.Code{errorcatalog.ReplicationBehind, errorcatalog.CyclesMissed}},
		"an item being copied cannot fail over yet": {given: replicating, want: protecteditem.Warning, reason: []errorcatalog.Code{errorcatalog.InitialReplicationUnfinished}},
		"an attempt that is retried is a warning":   {given: history(following, failure), want: protecteditem.Warning, reason: []errorcatalog.Code{errorcatalog.HostUnreachable}},
		"the fourth attempt in a row is, too":       {given: history(following, failed(4, unreachable, 8*time.Minute)), want: protecteditem.Warning, reason: []errorcatalog.Code{errorcatalog.HostUnreachable}},
		"the fifth is critical": {
			given: history(following, failed(5, unreachable, 10*time.Minute)), want: protecteditem.Critical, reason: []errorcatalog.Code{errorcatalog.RepeatedFailures, errorcatalog.HostUnreachable},
		},
		"a failure for an operator is critical": {given: history(following, failed(1, unauthorized, 0)), want: protecteditem.Critical, reason: []errorcatalog.Code{errorcatalog.ReplicaStoreAuthorization}},
		"a required resync is critical":         {given: diverged, want: protecteditem.Critical, reason: []errorcatalog.Code{errorcatalog.LogMissing}},
		"a resync that runs is a warning":       {given: resyncRuns, want: protecteditem.Warning, reason: []errorcatalog.Code{errorcatalog.LogMissing}},
		"the worst reason comes first": {
			given: history(diverged, failure), want: protecteditem.Critical, reason: []errorcatalog.Code{errorcatalog.LogMissing, errorcatalog.HostUnreachable},
		},
		"a failed failover is told": {
			given: history(failing, protecteditem.PlannedFailoverFailed{JobID: "job-fail", Failure: *unreachable, At: noon}),
			want:  protecteditem.Warning, reason: []errorcatalog.Code{errorcatalog.HostUnreachable},
		},
		"a failed failover is forgotten with the next point": {
			given: history(failing, protecteditem.PlannedFailoverFailed{JobID: "job-fail", Failure: *unreachable, At: noon}, shipped3, thirdPoint), want: protecteditem.Normal,
		},
		"a VM that has failed over is not replicated": {given: done, want: protecteditem.Warning, reason: []errorcatalog.Code{errorcatalog.NotReplicating}},
		"a source that runs beside its failover is critical": {
			given: history(crashedOver, protecteditem.SourceFoundRunning{Detail: "hv-1", At: noon}), want: protecteditem.Critical,
			reason: []errorcatalog.Code{errorcatalog.SourceStillRunning, errorcatalog.NotReplicating},
		},
		"a failover that owes a resync tells its reason": {
			given: history(diverged, crashStarted), want: protecteditem.Warning, reason: []errorcatalog.Code{errorcatalog.LogMissing, errorcatalog.NotReplicating},
		},
		"a VM that was brought back is not replicated yet": {given: backAgain, want: protecteditem.Warning, reason: []errorcatalog.Code{errorcatalog.NotReverseProtected}},
		"a disk that is being added is a warning":          {given: history(following, adding), want: protecteditem.Warning, reason: []errorcatalog.Code{errorcatalog.DiskUnprotected}},
		"a pause is a warning":                             {given: history(following, paused), want: protecteditem.Warning, reason: []errorcatalog.Code{errorcatalog.ReplicationPaused}},
		"a test failover that failed is told": {
			given: history(testRuns, protecteditem.TestFailoverFailed{JobID: "job-test", Failure: *unreachable, At: noon}), want: protecteditem.Warning,
			reason: []errorcatalog.Code{errorcatalog.HostUnreachable},
		},
		"an unprotected item has no health to lose": {given: ended, want: protecteditem.Normal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, reasons := protecteditem.HealthOf(after(tt.given), noon.Add(tt.after))
			var codes []errorcatalog.Code
			for _, r := range reasons {
				codes = append(codes, r.Code)
			}
			if got != tt.want || !slices.Equal(codes, tt.reason) {
				t.Errorf("health = %s %v, want %s %v", got, codes, tt.want, tt.reason)
			}
		})
	}
}

func TestHealthSaysSinceWhen(t *testing.T) {
	t.Parallel()
	_, behind := protecteditem.HealthOf(after(following), noon.Add(2*time.Hour))
	if want := point("", 66).Instant; !behind[0].Since.Equal(want) {
		t.Errorf("behind since %s, want %s", behind[0].Since, want)
	}
	later := failed(2, unreachable, 2*time.Minute)
	later.At = noon.Add(time.Minute)
	_, failing := protecteditem.HealthOf(after(history(following, failed(1, unreachable, time.Minute), later)), noon)
	if !failing[0].Since.Equal(noon) {
		t.Errorf("failing since %s, want %s", failing[0].Since, noon)
	}
}

func TestNextCut(t *testing.T) {
	t.Parallel()
	requested := protecteditem.ReplicationRequested{At: noon.Add(7 * time.Minute)}
	earlier := shipped3 // made at noon + 8 min
	earlier.Instant = noon.Add(6 * time.Minute)
	for name, tt := range map[string]struct {
		given []protecteditem.Event
		now   int // minutes after noon
		want  int // minutes after noon, -1: none
	}{
		"is one copy frequency after the last":       {given: following, now: 7, want: 11},
		"is now when that has passed":                {given: following, now: 60, want: 60},
		"is now when asked for":                      {given: history(following, requested), now: 7, want: 7},
		"is now although an older cut was shipped":   {given: history(following, requested, earlier), now: 8, want: 8},
		"is as usual once a newer cut was shipped":   {given: history(following, requested, shipped3), now: 9, want: 13},
		"is now for an item whose chain begins":      {given: replicating, now: 1, want: 1},
		"waits for the next attempt":                 {given: history(following, failed(3, unreachable, 4*time.Minute)), now: 1, want: 4},
		"is none while a resync is required":         {given: diverged, now: 7, want: -1},
		"goes on while a resync runs":                {given: resyncRuns, now: 7, want: 11},
		"is none during a failover":                  {given: failing, now: 7, want: -1},
		"is none before the copy":                    {given: pending, now: 7, want: -1},
		"is none after failover":                     {given: done, now: 7, want: -1},
		"is none while protection is being disabled": {given: ending, now: 7, want: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := protecteditem.NextCut(after(tt.given), noon.Add(time.Duration(tt.now)*time.Minute))
			var want time.Time
			if tt.want >= 0 {
				want = noon.Add(time.Duration(tt.want) * time.Minute)
			}
			if !got.Equal(want) {
				t.Errorf("next cut = %s, want %s", got, want)
			}
		})
	}
}

func TestASecondCutMeetsARequestWhateverTheClocksSay(t *testing.T) {
	t.Parallel()
	s := after(following)
	s = decide(t, s, protecteditem.ReplicateNow{At: noon.Add(time.Hour)}) // the host's clock is behind
	s = decide(t, s, protecteditem.RecordDelta{Cut: "cut-3", PreviousCut: "cut-2", Instant: noon.Add(8 * time.Minute)})
	s = decide(t, s, protecteditem.RecordDelta{Cut: "cut-4", PreviousCut: "cut-3", Instant: noon.Add(9 * time.Minute)})
	if !s.Requested.At.IsZero() {
		t.Errorf("the request is still open: %+v", s.Requested)
	}
}

func TestRPO(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		given []protecteditem.Event
		want  time.Duration
		known bool
	}{
		"is unknown before the first point":                {given: replicating},
		"counts from the newest point":                     {given: following, want: 4 * time.Minute, known: true},
		"counts from a shipped cut, applied or not":        {given: history(following, shipped3), want: 2 * time.Minute, known: true},
		"counts from the newest point while a resync runs": {given: history(resyncRuns, shipped3), want: 4 * time.Minute, known: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, known := protecteditem.RPO(after(tt.given), noon.Add(10*time.Minute))
			if got != tt.want || known != tt.known {
				t.Errorf("RPO = %s %v, want %s %v", got, known, tt.want, tt.known)
			}
		})
	}
	if got, _ := protecteditem.RPO(after(following), noon); got != 0 {
		t.Errorf("RPO = %s for a clock that is behind", got)
	}
}

func TestALifeFromEnableToDisable(t *testing.T) {
	t.Parallel()
	s := after(protected)
	if s.ReplicaID() != "acme.sql.1" || s.Recovery != (protecteditem.RecoveryTarget{Site: "graz", Host: "hv-9", VMName: "sql-1-dr"}) {
		t.Errorf("replica %q at %+v", s.ReplicaID(), s.Recovery)
	}
	if want := []string{"os", "data"}; !slices.Equal(s.Disks, want) {
		t.Errorf("disks = %v, want %v", s.Disks, want)
	}
	if s = after(done); s.Protection != protecteditem.FailedOver || s.LastCut != "cut-3" || s.Recovery.VM != "vm-9" || len(s.Points) != 1 {
		t.Errorf("committed: %+v", s)
	}
	s = after(ended)
	if s.Protection != protecteditem.Unprotected || len(s.Points) != 0 || s.Job != nil || !s.ReplicaUntil.Equal(noon.Add(7*24*time.Hour)) {
		t.Errorf("disabled: %+v", s)
	}
	if s = decide(t, s, enable()); s.ReplicaID() != "acme.sql.2" || !s.ReplicaUntil.IsZero() {
		t.Errorf("enabled again: %q until %s", s.ReplicaID(), s.ReplicaUntil)
	}
}

func TestAResyncKeepsOldPointsAndBeginsAChain(t *testing.T) {
	t.Parallel()
	s := after(history(following, shipped3, required, resyncing))
	if len(s.Points) != 2 || s.LastShipped.Cut != "" || s.Pending != nil || s.Job.Kind != protecteditem.ResynchronizationJob {
		t.Errorf("resync: %+v", s)
	}
	s = decide(t, s, protecteditem.CompleteResynchronization{JobID: "job-resync", Point: point("cut-9", 30), At: noon})
	if len(s.Points) != 3 || s.LastShipped.Cut != "cut-9" || s.Resync != (protecteditem.Resync{State: protecteditem.ResyncNone}) || s.Protection != protecteditem.Protected {
		t.Errorf("resynchronized: %+v", s)
	}
}

func TestAResyncCanCompleteTheInitialReplication(t *testing.T) {
	t.Parallel()
	s := after(history(replicating, required, resyncing))
	s = decide(t, s, protecteditem.CompleteResynchronization{JobID: "job-resync", Point: point("cut-9", 30), FinalizeJobID: "job-final", At: noon})
	if s.Protection != protecteditem.FinalizingProtection || !s.InitialReplicated || s.Job.ID != "job-final" {
		t.Errorf("state = %+v", s)
	}
}

func TestWordsAgreeWithTheOtherAggregates(t *testing.T) {
	t.Parallel()
	for own, theirs := range map[string]job.Kind{
		protecteditem.EnableProtectionJob: job.EnableProtection, protecteditem.InitialReplicationJob: job.InitialReplication,
		protecteditem.FinalizeProtectionJob: job.FinalizeProtection, protecteditem.ResynchronizationJob: job.Resynchronization,
		protecteditem.PlannedFailoverJob: job.PlannedFailover, protecteditem.FailoverCommitJob: job.FailoverCommit,
		protecteditem.DisableProtectionJob: job.DisableProtection, protecteditem.UnplannedFailoverJob: job.UnplannedFailover,
		protecteditem.RecoveryPointChangeJob: job.ApplyRecoveryPoint, protecteditem.FailoverCancelJob: job.FailoverCancel,
		protecteditem.TestFailoverJob: job.TestFailover, protecteditem.TestFailoverCleanupJob: job.TestFailoverCleanup,
		protecteditem.FailbackJob: job.Failback, protecteditem.FailbackCommitJob: job.FailbackCommit,
		protecteditem.FailbackCancelJob: job.FailbackCancel, protecteditem.DiskReplicationJob: job.DiskReplication, protecteditem.ReverseReplicationJob: job.ReverseReplication,
	} {
		if own != string(theirs) {
			t.Errorf("job kind %q is %q there", own, theirs)
		}
	}
	stores := []string{string(protecteditem.DirectoryStore), string(protecteditem.PageBlobStore)}
	if want := []string{string(storageaccount.Directory), string(storageaccount.AzurePageBlob)}; !reflect.DeepEqual(stores, want) {
		t.Errorf("store kinds %v are %v there", stores, want)
	}
}
