package statechart

import (
	"cmp"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

// What workers record. A completion is told with what its workflow records before
// it; a failure needs nothing before.

func replication() []move {
	type state = protecteditem.State
	return []move{
		one("", func(s state, now time.Time) protecteditem.RecordRelationship {
			return protecteditem.RecordRelationship{JobID: job(s), StartAt: now, At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.FailEnable {
			return protecteditem.FailEnable{JobID: job(s), Failure: failure(), At: now}
		}),
		one("", func(_ state, now time.Time) protecteditem.StartInitialReplication {
			return protecteditem.StartInitialReplication{JobID: "initial-replication", Snapshot: "snapshot", At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.CompleteInitialReplication {
			return protecteditem.CompleteInitialReplication{JobID: job(s), Point: point(s, now), FinalizeJobID: "finalization", At: now}
		}).after(ship),
		one("", func(s state, now time.Time) protecteditem.FinalizeProtection {
			return protecteditem.FinalizeProtection{JobID: job(s), At: now}
		}).after(process), // so that there are two points from here on
		one("", func(s state, now time.Time) protecteditem.RecordDelta {
			return protecteditem.RecordDelta{Cut: cut(now), PreviousCut: s.LastShipped.Cut, Instant: now, At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.CreateRecoveryPoint {
			return protecteditem.CreateRecoveryPoint{Point: point(s, now), At: now}
		}).after(ship),
		one("", func(s state, now time.Time) protecteditem.RemoveRecoveryPoints {
			return protecteditem.RemoveRecoveryPoints{IDs: []string{oldest(s)}, At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.RecordFailure {
			return protecteditem.RecordFailure{JobID: job(s), Failure: failure(), At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.CompleteDisable {
			return protecteditem.CompleteDisable{JobID: job(s), At: now}
		}),
	}
}

func oldest(s protecteditem.State) string {
	if len(s.Points) == 0 {
		return ""
	}
	return s.Points[0].ID
}

func resynchronization() []move {
	type state = protecteditem.State
	return []move{
		one("", func(_ state, now time.Time) protecteditem.RequireResynchronization {
			return protecteditem.RequireResynchronization{Reason: errorcatalog.LogMissing, ScheduledFor: now, At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.StartResynchronization {
			own := s.Resync.Job
			if own == "" {
				own = "resynchronization"
			}
			return protecteditem.StartResynchronization{JobID: own, At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.CompleteResynchronization {
			return protecteditem.CompleteResynchronization{JobID: job(s), Point: point(s, now), FinalizeJobID: "finalization", At: now}
		}).after(ship),
	}
}

func failovers() []move {
	type state = protecteditem.State
	return []move{
		one("", func(s state, now time.Time) protecteditem.RecordSourceStopped {
			return protecteditem.RecordSourceStopped{JobID: job(s), At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.CompletePlannedFailover {
			return protecteditem.CompletePlannedFailover{JobID: job(s), Point: cut(now), RecoveryVM: "sql-1-dr", At: now}
		}).after(func(s state, now time.Time) []protecteditem.Command {
			return append(process(s, now), protecteditem.RecordSourceStopped{JobID: job(s), At: now})
		}),
		one("", func(s state, now time.Time) protecteditem.FailPlannedFailover {
			return protecteditem.FailPlannedFailover{JobID: job(s), Failure: failure(), At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.RecordPlannedFailoverReady {
			return protecteditem.RecordPlannedFailoverReady{JobID: job(s), At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.ReleasePlannedFailover {
			return protecteditem.ReleasePlannedFailover{JobID: job(s), At: now}
		}).after(func(s state, now time.Time) []protecteditem.Command {
			return []protecteditem.Command{protecteditem.RecordPlannedFailoverReady{JobID: job(s), At: now}}
		}),
		one("", func(s state, now time.Time) protecteditem.RecordFailoverPoint {
			return protecteditem.RecordFailoverPoint{JobID: job(s), Point: latest(s), At: now}
		}).after(apply),
		one("", func(s state, now time.Time) protecteditem.CompleteUnplannedFailover {
			return protecteditem.CompleteUnplannedFailover{JobID: job(s), Point: cmp.Or(s.FailoverPoint, latest(s)), RecoveryVM: "sql-1-dr", At: now}
		}).after(apply),
		one("", func(s state, now time.Time) protecteditem.FailUnplannedFailover {
			return protecteditem.FailUnplannedFailover{JobID: job(s), Failure: failure(), At: now}
		}),
		one("FailUnplannedFailover (chain broken)", func(s state, now time.Time) protecteditem.FailUnplannedFailover {
			return protecteditem.FailUnplannedFailover{JobID: job(s), Failure: failure(), At: now}
		}).after(breakChain),
		one("", func(s state, now time.Time) protecteditem.CompleteRecoveryPointChange {
			return protecteditem.CompleteRecoveryPointChange{JobID: job(s), RecoveryVM: "sql-1-dr", At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.FailRecoveryPointChange {
			return protecteditem.FailRecoveryPointChange{JobID: job(s), Failure: failure(), At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.CompleteFailoverCancel {
			return protecteditem.CompleteFailoverCancel{JobID: job(s), At: now}
		}),
		one("CompleteFailoverCancel (chain broken)", func(s state, now time.Time) protecteditem.CompleteFailoverCancel {
			return protecteditem.CompleteFailoverCancel{JobID: job(s), At: now}
		}).after(breakChain),
		one("", func(s state, now time.Time) protecteditem.FailFailoverCancel {
			return protecteditem.FailFailoverCancel{JobID: job(s), Failure: failure(), At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.CompleteFailoverCommit {
			return protecteditem.CompleteFailoverCommit{JobID: job(s), At: now}
		}),
		one("", func(_ state, now time.Time) protecteditem.RecordSourceRunning {
			return protecteditem.RecordSourceRunning{Detail: "hv-1", At: now}
		}),
		one("", func(_ state, now time.Time) protecteditem.RecordSourceFenced {
			return protecteditem.RecordSourceFenced{At: now}
		}),
	}
}

func backgroundCopies() []move {
	type state = protecteditem.State
	return []move{
		one("", func(s state, now time.Time) protecteditem.FailFailoverCommit {
			return protecteditem.FailFailoverCommit{JobID: job(s), Failure: failure(), At: now}
		}),
		one("CompleteUnplannedFailover (VM runs from its point)", func(s state, now time.Time) protecteditem.CompleteUnplannedFailover {
			return protecteditem.CompleteUnplannedFailover{
				JobID: job(s), Point: cmp.Or(s.FailoverPoint, latest(s)), RecoveryVM: "sql-1-dr", CopyJobID: "background-copy", At: now,
			}
		}).after(apply),
		one("", func(s state, now time.Time) protecteditem.CompleteBackgroundCopy {
			return protecteditem.CompleteBackgroundCopy{JobID: copyJob(s), At: now}
		}),
	}
}

// breakChain is what a failover owes to its source once it is taken back.
func breakChain(_ protecteditem.State, now time.Time) []protecteditem.Command {
	return []protecteditem.Command{protecteditem.RequireResynchronization{Reason: errorcatalog.LogMissing, ScheduledFor: now, At: now}}
}

func failbacks() []move {
	type state = protecteditem.State
	return []move{
		one("", func(s state, now time.Time) protecteditem.RecordFailbackSynchronized {
			return protecteditem.RecordFailbackSynchronized{JobID: job(s), At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.RecordFailbackCompleted {
			return protecteditem.RecordFailbackCompleted{JobID: job(s), VM: "sql-1", At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.RestartFailback {
			return protecteditem.RestartFailback{JobID: job(s), Reason: "os", At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.FailFailback {
			return protecteditem.FailFailback{JobID: job(s), Failure: failure(), At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.CompleteFailbackCancel {
			return protecteditem.CompleteFailbackCancel{JobID: job(s), At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.FailFailbackCancel {
			return protecteditem.FailFailbackCancel{JobID: job(s), Failure: failure(), At: now}
		}),
		one("CompleteFailbackCancel (the new VM is left)", func(s state, now time.Time) protecteditem.CompleteFailbackCancel {
			return protecteditem.CompleteFailbackCancel{JobID: job(s), Left: true, At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.CompleteFailbackCommit {
			return protecteditem.CompleteFailbackCommit{JobID: job(s), At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.LeaveBehind {
			return protecteditem.LeaveBehind{JobID: job(s), Left: protecteditem.LeftBehind{Site: s.Site, Host: s.Host, VM: s.VM.ID, Fate: protecteditem.GiveBack}, At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.SettleLeftBehind {
			c := protecteditem.SettleLeftBehind{At: now}
			for _, l := range s.LeftBehind {
				c.Site, c.Host, c.VM = l.Site, l.Host, l.VM
			}
			return c
		}),
		one("", func(s state, now time.Time) protecteditem.SettleReleasedPoints {
			return protecteditem.SettleReleasedPoints{IDs: s.Released, At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.CompleteReverseReplication {
			return protecteditem.CompleteReverseReplication{JobID: job(s), Point: point(s, now), At: now}
		}).after(ship),
		one("", func(s state, now time.Time) protecteditem.FailReverseReplication {
			return protecteditem.FailReverseReplication{JobID: job(s), Failure: failure(), At: now}
		}),
	}
}

func testFailovers() []move {
	type state = protecteditem.State
	return []move{
		one("", func(s state, now time.Time) protecteditem.RecordTestFailoverPoint {
			return protecteditem.RecordTestFailoverPoint{JobID: testJob(s), Point: latest(s), At: now}
		}).after(apply),
		one("", func(s state, now time.Time) protecteditem.CompleteTestFailover {
			return protecteditem.CompleteTestFailover{JobID: testJob(s), Point: cmp.Or(s.Test.Point, latest(s)), VM: "sql-1-test", At: now}
		}).after(apply),
		one("", func(s state, now time.Time) protecteditem.FailTestFailover {
			return protecteditem.FailTestFailover{JobID: testJob(s), Failure: failure(), At: now}
		}),
		one("FailTestFailover (VM is left)", func(s state, now time.Time) protecteditem.FailTestFailover {
			return protecteditem.FailTestFailover{JobID: testJob(s), Failure: failure(), VM: "sql-1-test", At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.CompleteTestFailoverCleanup {
			return protecteditem.CompleteTestFailoverCleanup{JobID: testJob(s), At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.FailTestFailoverCleanup {
			return protecteditem.FailTestFailoverCleanup{JobID: testJob(s), Failure: failure(), At: now}
		}),
	}
}

func disks() []move {
	type state = protecteditem.State
	return []move{
		one("", func(_ state, now time.Time) protecteditem.RecordDiskGrown {
			return protecteditem.RecordDiskGrown{JobID: "grow-disk", Disk: "os", SizeBytes: 50 * gib, At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.CompleteDiskReplication {
			return protecteditem.CompleteDiskReplication{JobID: diskJob(s), Point: point(s, now), At: now}
		}).after(ship),
		one("", func(_ state, now time.Time) protecteditem.RecordReplicaDisksRemoved {
			return protecteditem.RecordReplicaDisksRemoved{Disks: []string{"logs"}, At: now}
		}).after(func(s state, now time.Time) []protecteditem.Command {
			return []protecteditem.Command{addLogs(s, now), protecteditem.FailDiskReplication{JobID: "add-disks", Failure: failure(), At: now}}
		}),
		one("", func(s state, now time.Time) protecteditem.FailDiskReplication {
			return protecteditem.FailDiskReplication{JobID: diskJob(s), Failure: failure(), At: now}
		}),
	}
}
