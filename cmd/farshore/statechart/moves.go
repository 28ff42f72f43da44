package statechart

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/policy"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
)

// move is a command with what is recorded before it, as those who send it would
// ask for it in a given state.
type move struct {
	name     string
	unless   string // a move of this name can be made as well: it says all there is to say
	commands func(s protecteditem.State, now time.Time) []protecteditem.Command
}

// one is a move of one command, named after its type or as an operation.
func one[C protecteditem.Command](name string, c func(s protecteditem.State, now time.Time) C) move {
	if name == "" {
		var zero C
		_, name, _ = strings.Cut(fmt.Sprintf("%T", zero), ".")
	}
	return move{name: name, commands: func(s protecteditem.State, now time.Time) []protecteditem.Command {
		return []protecteditem.Command{c(s, now)}
	}}
}

// after lets other commands go before a move.
func (m move) after(lead func(s protecteditem.State, now time.Time) []protecteditem.Command) move {
	last := m.commands
	m.commands = func(s protecteditem.State, now time.Time) []protecteditem.Command {
		return append(lead(s, now), last(s, now)...)
	}
	return m
}

// but makes a move where another one cannot be made.
func (m move) but(other string) move {
	m.unless = other
	return m
}

// allMoves lists every move. What is first to lead to a word gives its sample, so
// a resynchronization is rather required than asked for.
func allMoves() []move {
	return slices.Concat(resynchronization(), operations(), failoverOperations(), replication(), failovers(), backgroundCopies(), failbacks(), testFailovers(), disks(), networks(), alerts())
}

const gib = int64(1) << 30

func failure() *errorcatalog.Failure {
	return errorcatalog.Fail(errorcatalog.HostUnreachable, "hv-1")
}

// job is the id of the job that runs.
func job(s protecteditem.State) string {
	if s.Job == nil {
		return ""
	}
	return s.Job.ID
}

func testJob(s protecteditem.State) string {
	if s.TestJob == nil {
		return ""
	}
	return s.TestJob.ID
}

func diskJob(s protecteditem.State) string {
	if s.DiskJob == nil {
		return ""
	}
	return s.DiskJob.ID
}

func copyJob(s protecteditem.State) string {
	if s.CopyJob == nil {
		return ""
	}
	return s.CopyJob.ID
}

func cut(now time.Time) string { return "cut-" + now.Format("0102-1504") }

// point is the one made of the cut shipped now.
func point(s protecteditem.State, now time.Time) protecteditem.Point {
	p := protecteditem.Point{ID: cut(now), Instant: now, Consistency: protecteditem.AppConsistent}
	sizes := map[string]int64{}
	for _, d := range slices.Concat(s.VM.Disks, s.NewDisks) {
		sizes[d.ID] = d.SizeBytes
	}
	ids := slices.Clone(s.Disks)
	for _, d := range s.NewDisks {
		if !slices.Contains(ids, d.ID) {
			ids = append(ids, d.ID)
		}
	}
	for _, id := range ids {
		p.Disks = append(p.Disks, protecteditem.PointDisk{Disk: id, SizeBytes: sizes[id], Root: "00"})
	}
	return p
}

// latest is the newest point once apply has been played.
func latest(s protecteditem.State) string {
	if len(s.Pending) > 0 {
		return s.LastShipped.Cut
	}
	p, _ := s.NewestPoint()
	return p.ID
}

// ship records a cut; process also makes a recovery point of it.
func ship(s protecteditem.State, now time.Time) []protecteditem.Command {
	return []protecteditem.Command{protecteditem.RecordDelta{Cut: cut(now), PreviousCut: s.LastShipped.Cut, Instant: now, At: now}}
}

func process(s protecteditem.State, now time.Time) []protecteditem.Command {
	return append(ship(s, now), protecteditem.CreateRecoveryPoint{Point: point(s, now), At: now})
}

// apply makes a point of what was shipped before, if anything was.
func apply(s protecteditem.State, now time.Time) []protecteditem.Command {
	if len(s.Pending) == 0 {
		return nil
	}
	p := point(s, s.LastShipped.Instant)
	p.ID = s.LastShipped.Cut
	return []protecteditem.Command{protecteditem.CreateRecoveryPoint{Point: p, At: now}}
}

func enable(_ protecteditem.State, now time.Time) protecteditem.EnableProtection {
	return protecteditem.EnableProtection{
		JobID: "enable-protection", Vault: "acme", Item: "sql", Site: "vienna", Host: "hv-1",
		VM: site.VirtualMachine{
			ID: "sql-1", Name: "sql-1", Generation: 2, CPUs: 2, MemoryMiB: 4096, NICs: []site.NIC{{Name: "eth0", Network: "LAN"}},
			Disks: []site.Disk{
				{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: 40 * gib, OS: true},
				{ID: "data", File: "data.raw", Format: site.Raw, SizeBytes: 100 * gib},
			},
		},
		PolicyID: "gold", Policy: policy.Defaults(), Store: protecteditem.StoreRef{ID: "replicas", Kind: protecteditem.DirectoryStore},
		RecoverySite: "graz", RecoveryHost: "hv-9", RecoveryVMName: "sql-1-dr", At: now,
	}
}

func otherPolicy(s protecteditem.State, now time.Time) protecteditem.ChangePolicy {
	p := policy.Defaults()
	p.RetentionHours = s.Policy.RetentionHours + 1
	return protecteditem.ChangePolicy{PolicyID: "silver", Settings: p, At: now}
}

func addLogs(_ protecteditem.State, now time.Time) protecteditem.AddDisks {
	logs := site.Disk{ID: "logs", File: "logs.raw", Format: site.Raw, SizeBytes: 10 * gib}
	return protecteditem.AddDisks{JobID: "add-disks", Disks: []site.Disk{logs}, At: now}
}

func removeOne(s protecteditem.State, now time.Time) protecteditem.RemoveDisks {
	return protecteditem.RemoveDisks{Disks: s.Disks[min(1, len(s.Disks)):], At: now}
}

// operations are what operators ask for: the names are those of AllowedOperations.
func operations() []move {
	type state = protecteditem.State
	return []move{
		one("EnableProtection", enable),
		one("ReplicateNow", func(_ state, now time.Time) protecteditem.ReplicateNow { return protecteditem.ReplicateNow{At: now} }),
		one("RepairReplication", func(_ state, now time.Time) protecteditem.RepairReplication {
			return protecteditem.RepairReplication{JobID: "repair", At: now}
		}),
		one("CancelResynchronization", func(_ state, now time.Time) protecteditem.CancelResynchronization {
			return protecteditem.CancelResynchronization{At: now}
		}),
		one("RetryNow", func(_ state, now time.Time) protecteditem.RetryNow { return protecteditem.RetryNow{At: now} }).
			after(func(s state, now time.Time) []protecteditem.Command {
				return []protecteditem.Command{protecteditem.RecordFailure{JobID: job(s), Failure: failure(), At: now}}
			}),
		one("PauseReplication", func(_ state, now time.Time) protecteditem.PauseReplication {
			return protecteditem.PauseReplication{Reason: "storage migration", By: "eva", At: now}
		}),
		one("ResumeReplication", func(_ state, now time.Time) protecteditem.ResumeReplication {
			return protecteditem.ResumeReplication{By: "eva", At: now}
		}),
		one("ChangePolicy", otherPolicy),
		one("AddDisks", addLogs),
		one("RemoveDisks", removeOne),
		one(disable, func(_ state, now time.Time) protecteditem.DisableProtection {
			return protecteditem.DisableProtection{JobID: "disable-protection", CleanUp: true, At: now}
		}),
		one("DisableProtection (force)", func(s state, now time.Time) protecteditem.DisableProtection {
			return protecteditem.DisableProtection{JobID: "disable-protection", CleanUp: true, Force: true, Survivor: s.Recovery.VM, At: now}
		}).but(disable),
	}
}

func failoverOperations() []move {
	type state = protecteditem.State
	return []move{
		one("PlannedFailover", func(_ state, now time.Time) protecteditem.StartPlannedFailover {
			return protecteditem.StartPlannedFailover{JobID: "planned-failover", At: now}
		}),
		one("PlannedFailover (resume)", func(_ state, now time.Time) protecteditem.StartPlannedFailover {
			return protecteditem.StartPlannedFailover{JobID: "planned-failover", Resume: true, At: now}
		}).but("PlannedFailover"),
		one("UnplannedFailover", func(_ state, now time.Time) protecteditem.StartUnplannedFailover {
			return protecteditem.StartUnplannedFailover{JobID: "unplanned-failover", Choice: protecteditem.Latest, At: now}
		}).after(ship),
		one("UnplannedFailover", func(_ state, now time.Time) protecteditem.StartUnplannedFailover {
			return protecteditem.StartUnplannedFailover{JobID: "unplanned-failover", Choice: protecteditem.LatestProcessed, At: now}
		}).but("UnplannedFailover"),
		one("ApplyRecoveryPoint", func(_ state, now time.Time) protecteditem.ChangeRecoveryPoint {
			return protecteditem.ChangeRecoveryPoint{JobID: "apply-recovery-point", Choice: protecteditem.LatestProcessed, Confirm: true, At: now}
		}),
		one("FailoverCancel", func(_ state, now time.Time) protecteditem.CancelFailover {
			return protecteditem.CancelFailover{JobID: "failover-cancel", At: now}
		}),
		one("FailoverCommit", func(_ state, now time.Time) protecteditem.CommitFailover {
			return protecteditem.CommitFailover{JobID: "failover-commit", At: now}
		}),
		one("Failback", func(_ state, now time.Time) protecteditem.StartFailback {
			return protecteditem.StartFailback{JobID: "failback", Mode: protecteditem.MinimizeDowntime, At: now}
		}),
		one("Failback (to a new VM)", func(_ state, now time.Time) protecteditem.StartFailback {
			target := protecteditem.FailbackTarget{Site: "vienna", Host: "hv-3", VMName: "sql-3"}
			return protecteditem.StartFailback{JobID: "failback", Mode: protecteditem.MinimizeDowntime, Target: target, At: now}
		}),
		one("CompleteFailback", func(_ state, now time.Time) protecteditem.CompleteFailback {
			return protecteditem.CompleteFailback{At: now}
		}),
		one("FailbackCancel", func(s state, now time.Time) protecteditem.CancelFailback {
			id := "failback-cancel"
			if s.Ended.ID == id {
				id += "-2"
			}
			return protecteditem.CancelFailback{JobID: id, At: now}
		}),
		one("FailbackCommit", func(_ state, now time.Time) protecteditem.CommitFailback {
			return protecteditem.CommitFailback{JobID: "failback-commit", At: now}
		}),
		one("ReProtect", func(_ state, now time.Time) protecteditem.ReProtect {
			return protecteditem.ReProtect{JobID: "reverse-replication", At: now}
		}),
		one("TestFailover", func(_ state, now time.Time) protecteditem.StartTestFailover {
			return protecteditem.StartTestFailover{JobID: "test-failover", Choice: protecteditem.Latest, Network: "lab", At: now}
		}).after(ship),
		one("TestFailover", func(_ state, now time.Time) protecteditem.StartTestFailover {
			return protecteditem.StartTestFailover{JobID: "test-failover", Choice: protecteditem.LatestProcessed, Network: "lab", At: now}
		}).but("TestFailover"),
		one("TestFailoverCleanup", func(_ state, now time.Time) protecteditem.CleanUpTestFailover {
			return protecteditem.CleanUpTestFailover{JobID: "test-failover-cleanup", At: now}
		}),
	}
}
