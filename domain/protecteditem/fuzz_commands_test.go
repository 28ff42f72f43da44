package protecteditem_test

import (
	"fmt"
	"slices"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

// generator makes commands that mostly fit the state, so that sequences get far.
type generator struct {
	s    protecteditem.State
	now  time.Time
	cuts int
	job  string
}

func (g *generator) command(k, b byte) protecteditem.Command {
	g.now = g.now.Add(time.Duration(1+b%7) * time.Minute)
	g.job = fmt.Sprintf("job-%d", len(g.s.Points)+g.cuts+int(b>>6)*1000+g.s.Cycle*10)
	if g.s.Job != nil && b>>5 != 7 { // mostly the job that runs, sometimes a stale one
		g.job = g.s.Job.ID
	}
	if g.s.TestJob != nil && b%3 == 0 { // or the test failover's
		g.job = g.s.TestJob.ID
	}
	kind := int(k) % kinds
	if b%5 == 0 { // now and then what the item waits for
		kind = g.forward()
	}
	if c := g.later(kind, int(b)); c != nil {
		return c
	}
	if c := g.operator(kind); c != nil {
		return c
	}
	return g.worker(kind, int(b))
}

// forward is the command that leads the item on.
func (g *generator) forward() int {
	const removeSome, stopSource, completeFailover = 9, 23, 22
	if len(g.s.Released) > 0 {
		return releasedSettled
	}
	if len(g.s.LeftBehind) > 0 && g.now.Minute()%3 == 0 {
		return leftSettled
	}
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
		switch g.s.TestFailover {
		case protecteditem.TestFailoverInProgress:
			g.job = g.s.TestJob.ID
			if g.s.Test.Point == "" {
				return drillPoint
			}
			return drillDone
		case protecteditem.TestFailoverCleaningUp:
			g.job = g.s.TestJob.ID
			return cleanUpDone
		default:
		}
		if g.s.DiskJob != nil && len(g.s.Pending) > 0 {
			return diskReady
		}
		if g.s.DiskJob == nil && slices.Contains(g.s.Disks, "logs") && g.now.Minute()%4 == 0 {
			return removeDisk
		}
		if len(protecteditem.Unheld(g.s)) > 0 {
			return forgetDisks
		}
		return []int{removeSome, 17, 8, 15, unplanned, resume}[g.cuts%6]
	case protecteditem.UnplannedFailoverInProgress:
		if g.s.FailoverPoint == "" {
			return []int{8, fixPoint}[int(g.now.Unix()/60)%2]
		}
		return failoverDone
	case protecteditem.PlannedFailoverInProgress:
		if g.s.SourceStopped {
			return completeFailover
		}
		return stopSource
	case protecteditem.FailoverCommitRequired:
		if g.s.CopyJob != nil && !g.s.CopyRests() {
			return copyReady
		}
		return []int{20, 21, changeDone, cancelDone}[int(g.now.Unix()/60)%4]
	case protecteditem.FailedOver:
		switch g.s.TestFailover {
		case protecteditem.TestFailoverAwaitingCleanup:
			return cleanUp
		case protecteditem.TestFailoverCleaningUp:
			g.job = g.s.TestJob.ID
			return cleanUpDone
		default:
		}
		return []int{failback, failback, failback, 16}[int(g.now.Unix()/60)%4]
	case protecteditem.FailbackSynchronizing, protecteditem.FailbackAwaitingCompletion, protecteditem.FailbackCompleting,
		protecteditem.FailbackCommitRequired, protecteditem.FailedBack, protecteditem.ReverseReplicating:
		return g.back()
	case protecteditem.DisablingProtection:
		if g.s.CopyJob != nil {
			return copyReady
		}
		return 23
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
		c.VM.NICs = wired().NICs
		return c
	case 6:
		return protecteditem.ReplicateNow{Consistency: []protecteditem.Consistency{"", protecteditem.AppConsistent}[g.cuts%2], At: g.now}
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
		c := protecteditem.RecordDelta{Cut: fmt.Sprint("cut-", g.cuts), PreviousCut: g.s.LastShipped.Cut, Instant: g.now, At: g.now}
		switch b % 9 {
		case 1:
			c.Consistency, c.Freeze = protecteditem.AppConsistent, frozen(40, nil)
		case 2:
			c.Freeze = frozen(40, unfrozen)
		case 3:
			c.Freeze = frozen(40, unthawed)
		}
		return c
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
		return protecteditem.CompletePlannedFailover{JobID: g.job, Point: newest.ID, RecoveryVM: "vm-9", CopyJobID: g.copyJob(b), At: g.now}
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
	if slices.Contains(g.s.Disks, "logs") {
		p.Disks = append(p.Disks, protecteditem.PointDisk{Disk: "logs", SizeBytes: 10 * gib, Root: "cc"})
	}
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
