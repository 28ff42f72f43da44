package protecteditem_test

import (
	"fmt"
	"strconv"

	"farshore/domain/errorcatalog"
	"farshore/domain/policy"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
)

// The kinds of command beyond the main job.
const (
	unplanned = iota + 24
	fixPoint
	failoverDone
	failoverFailed
	changePoint
	changeDone
	changeFailed
	cancel
	cancelDone
	cancelFailed
	sourceRuns
	sourceFenced
	drill
	drillPoint
	drillDone
	drillFailed
	cleanUp
	cleanUpDone
	cleanUpFailed
	pause
	resume
	otherPolicy
	resumeAndMove
	retryNow
	cancelResync
	resyncAgain
	failback
	failbackReady
	completeFailback
	failbackDone
	failbackAgain
	failbackFailed
	cancelFailback
	failbackCanceled
	commitFailback
	failbackCommitted
	reProtect
	reversed
	reverseFailed
	leftSettled
	leftAlone
	disableForced
	releasedSettled
	addDisk
	growDisk
	diskReady
	diskFailed
	removeDisk
	setNICs
	checkNetworks
	decideConnections
	holdAndMove
	held
	release
	forgetDisks
	copyReady
	commitFailed
	kinds
)

// later makes the commands beyond the main job.
func (g *generator) later(kind, b int) protecteditem.Command {
	fresh := fmt.Sprintf("op-%d", g.now.Unix())
	if c := g.failover(kind, b, fresh); c != nil {
		return c
	}
	if c := g.drill(kind, b, fresh); c != nil {
		return c
	}
	if c := g.failback(kind, b, fresh); c != nil {
		return c
	}
	if c := g.settled(kind); c != nil {
		return c
	}
	if c := g.disks(kind, b, fresh); c != nil {
		return c
	}
	if c := g.networks(kind, b); c != nil {
		return c
	}
	if c := g.copy(kind); c != nil {
		return c
	}
	switch kind {
	case pause:
		if b%3 > 0 { // rarely, or no sequence gets far
			return protecteditem.ResumeReplication{At: g.now}
		}
		return protecteditem.PauseReplication{Reason: "because", At: g.now}
	case resume:
		return protecteditem.ResumeReplication{At: g.now}
	case resumeAndMove:
		return protecteditem.StartPlannedFailover{JobID: fresh, Resume: true, At: g.now}
	case holdAndMove:
		return protecteditem.StartPlannedFailover{JobID: fresh, Hold: true, At: g.now}
	case held:
		return protecteditem.RecordPlannedFailoverReady{JobID: g.job, At: g.now}
	case release:
		return protecteditem.ReleasePlannedFailover{JobID: g.job, At: g.now}
	case retryNow:
		switch b % 4 { // or what is told beside everything else
		case 1:
			return protecteditem.RecordHealth{At: g.now}
		case 2:
			return protecteditem.RemindOfTestFailover{At: g.now.AddDate(0, 0, 3)}
		}
		return protecteditem.RetryNow{At: g.now}
	case cancelResync:
		return protecteditem.CancelResynchronization{At: g.now}
	case resyncAgain:
		return protecteditem.RequireResynchronization{Reason: errorcatalog.LogThresholdExceeded, ScheduledFor: g.now, JobID: g.job, At: g.now}
	case otherPolicy:
		p := policy.Defaults()
		p.DrillReminderDays = b % 2
		return protecteditem.ChangePolicy{PolicyID: "gold", Settings: p, At: g.now}
	default:
		return nil
	}
}

func (g *generator) copy(kind int) protecteditem.Command {
	own := g.job
	if g.s.CopyJob != nil {
		own = g.s.CopyJob.ID
	}
	switch kind {
	case copyReady:
		return protecteditem.CompleteBackgroundCopy{JobID: own, Bytes: gib, At: g.now}
	case commitFailed:
		return protecteditem.FailFailoverCommit{JobID: g.job, Failure: unreachable, At: g.now}
	default:
		return nil
	}
}

// copyJob is that of a VM that runs from its point, or of none.
func (g *generator) copyJob(b int) string {
	return []string{fmt.Sprintf("copy-%d", g.now.Unix()), ""}[b%2]
}

func (g *generator) disks(kind, b int, fresh string) protecteditem.Command {
	own := g.job
	if g.s.DiskJob != nil {
		own = g.s.DiskJob.ID
	}
	switch kind {
	case addDisk:
		return protecteditem.AddDisks{JobID: fresh, Disks: []site.Disk{logs()}, At: g.now}
	case growDisk:
		return protecteditem.RecordDiskGrown{JobID: fresh, Disk: "data", SizeBytes: int64(101+b%9) * gib, At: g.now}
	case diskReady:
		p := g.point(b)
		p.Disks[1].SizeBytes = 200 * gib
		p.Disks = append(p.Disks, protecteditem.PointDisk{Disk: "logs", SizeBytes: 10 * gib, Root: "cc"})
		return protecteditem.CompleteDiskReplication{JobID: own, Point: p, At: g.now}
	case diskFailed:
		return protecteditem.FailDiskReplication{JobID: own, Failure: unreachable, At: g.now}
	case removeDisk:
		return protecteditem.RemoveDisks{Disks: []string{"data", "logs"}[b%2 : b%2+1], At: g.now}
	case forgetDisks:
		return protecteditem.RecordReplicaDisksRemoved{Disks: []string{"data", "logs"}, At: g.now}
	default:
		return nil
	}
}

// back is the kind of command that leads a failback on.
func (g *generator) back() int {
	if g.s.Job != nil && g.s.Job.Kind == protecteditem.FailbackCancelJob {
		return failbackCanceled
	}
	switch g.s.Protection {
	case protecteditem.FailbackSynchronizing:
		return failbackReady
	case protecteditem.FailbackAwaitingCompletion:
		return completeFailback
	case protecteditem.FailbackCompleting:
		return failbackDone
	case protecteditem.FailbackCommitRequired:
		if g.s.Job == nil {
			return commitFailback
		}
		return failbackCommitted
	case protecteditem.FailedBack:
		return reProtect
	default:
		return []int{7, reversed}[int(g.now.Unix()/60)%2]
	}
}

func (g *generator) failback(kind, b int, fresh string) protecteditem.Command {
	target := []protecteditem.FailbackTarget{{}, {Site: "vienna", Host: "hv-2", VMName: "sql-2"}}[b%2]
	switch kind {
	case failback:
		return protecteditem.StartFailback{JobID: fresh, Mode: protecteditem.MinimizeDowntime, Target: target, At: g.now}
	case failbackReady:
		return protecteditem.RecordFailbackSynchronized{JobID: g.job, At: g.now}
	case completeFailback:
		return protecteditem.CompleteFailback{At: g.now}
	case failbackDone:
		return protecteditem.RecordFailbackCompleted{JobID: g.job, VM: "vm-3", At: g.now}
	case failbackAgain:
		return protecteditem.RestartFailback{JobID: g.job, Reason: "os", At: g.now}
	case failbackFailed:
		return protecteditem.FailFailback{JobID: g.job, Failure: unreachable, Left: b%3 == 0, At: g.now}
	case cancelFailback:
		return protecteditem.CancelFailback{JobID: fresh, Force: b%3 == 0, At: g.now}
	case failbackCanceled:
		if b%2 == 1 && g.s.Protection == protecteditem.FailbackCommitRequired {
			return protecteditem.FailFailbackCancel{JobID: g.job, Failure: unreachable, At: g.now}
		}
		return protecteditem.CompleteFailbackCancel{JobID: g.job, Left: b%3 == 0, At: g.now}
	case commitFailback:
		return protecteditem.CommitFailback{JobID: fresh, At: g.now}
	case failbackCommitted:
		return protecteditem.CompleteFailbackCommit{JobID: g.job, At: g.now}
	case reProtect:
		return protecteditem.ReProtect{JobID: fresh, At: g.now}
	case reversed:
		return protecteditem.CompleteReverseReplication{JobID: g.job, Point: g.point(b), At: g.now}
	case reverseFailed:
		return protecteditem.FailReverseReplication{JobID: g.job, Failure: unreachable, At: g.now}
	default:
		return nil
	}
}

// settled makes the commands that follow what was left at hosts and in the store.
func (g *generator) settled(kind int) protecteditem.Command {
	switch kind {
	case leftSettled:
		c := protecteditem.SettleLeftBehind{Site: "vienna", Host: "hv-2", VM: "sql-2", At: g.now}
		for _, l := range g.s.LeftBehind {
			c.Site, c.Host, c.VM = l.Site, l.Host, l.VM
		}
		return c
	case leftAlone:
		return protecteditem.LeaveBehind{JobID: g.job, Left: protecteditem.LeftBehind{Site: "vienna", Host: "hv-1", VM: "sql-1", Fate: protecteditem.GiveBack}, At: g.now}
	case disableForced:
		return protecteditem.DisableProtection{JobID: "forced", Force: true, Survivor: g.s.Recovery.VM, At: g.now}
	case releasedSettled:
		return protecteditem.SettleReleasedPoints{IDs: append([]string{"cut-0"}, g.s.Released...), At: g.now}
	default:
		return nil
	}
}

func (g *generator) failover(kind, b int, fresh string) protecteditem.Command {
	vm := []string{"vm-9", ""}[b%2]
	switch kind {
	case unplanned:
		return protecteditem.StartUnplannedFailover{JobID: fresh, Choice: g.choice(b), ShutDownSource: b%2 == 0, At: g.now}
	case fixPoint:
		return protecteditem.RecordFailoverPoint{JobID: g.job, Point: g.newest(), At: g.now}
	case failoverDone:
		p := g.s.FailoverPoint
		if p == "" {
			p = g.newest()
		}
		return protecteditem.CompleteUnplannedFailover{JobID: g.job, Point: p, RecoveryVM: "vm-9", CopyJobID: g.copyJob(b), At: g.now}
	case failoverFailed:
		return protecteditem.FailUnplannedFailover{JobID: g.job, Failure: unreachable, At: g.now}
	case changePoint:
		return protecteditem.ChangeRecoveryPoint{JobID: fresh, Choice: g.choice(b), Confirm: b%5 > 0, At: g.now}
	case changeDone:
		return protecteditem.CompleteRecoveryPointChange{JobID: g.job, RecoveryVM: "vm-10", CopyJobID: g.copyJob(b), At: g.now}
	case changeFailed:
		return protecteditem.FailRecoveryPointChange{JobID: g.job, Failure: unreachable, RecoveryVM: vm, At: g.now}
	case cancel:
		return protecteditem.CancelFailover{JobID: fresh, Force: b%3 == 0, At: g.now}
	case cancelDone:
		return protecteditem.CompleteFailoverCancel{JobID: g.job, At: g.now}
	case cancelFailed:
		return protecteditem.FailFailoverCancel{JobID: g.job, Failure: unreachable, RecoveryVM: vm, At: g.now}
	case sourceRuns:
		return protecteditem.RecordSourceRunning{Detail: "hv-1", At: g.now}
	case sourceFenced:
		return protecteditem.RecordSourceFenced{Held: []protecteditem.ShippedLog{{Disk: "os", Log: strconv.Itoa(b % 2)}}, At: g.now}
	default:
		return nil
	}
}

func (g *generator) drill(kind, b int, fresh string) protecteditem.Command {
	p := g.s.Test.Point
	if p == "" {
		p = g.newest()
	}
	switch kind {
	case drill:
		return protecteditem.StartTestFailover{JobID: fresh, Choice: g.choice(b), Network: "lab", At: g.now}
	case drillPoint:
		return protecteditem.RecordTestFailoverPoint{JobID: g.job, Point: p, At: g.now}
	case drillDone:
		return protecteditem.CompleteTestFailover{JobID: g.job, Point: p, VM: "vm-7", At: g.now}
	case drillFailed:
		return protecteditem.FailTestFailover{JobID: g.job, Failure: unreachable, VM: []string{"vm-7", ""}[b%2], At: g.now}
	case cleanUp:
		return protecteditem.CleanUpTestFailover{JobID: fresh, At: g.now}
	case cleanUpDone:
		return protecteditem.CompleteTestFailoverCleanup{JobID: g.job, At: g.now}
	case cleanUpFailed:
		return protecteditem.FailTestFailoverCleanup{JobID: g.job, Failure: unreachable, At: g.now}
	default:
		return nil
	}
}

// choice is one of the words, or one of the points.
func (g *generator) choice(b int) protecteditem.PointChoice {
	if n := len(g.s.Points); n > 0 && b%4 == 3 {
		return protecteditem.PointChoice(g.s.Points[b%n].ID)
	}
	return []protecteditem.PointChoice{protecteditem.Latest, protecteditem.LatestProcessed, protecteditem.LatestAppConsistent}[b%3]
}

func (g *generator) newest() string {
	p, _ := g.s.NewestPoint()
	return p.ID
}
