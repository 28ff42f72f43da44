// Package protecteditem decides what may happen to a protected item: a virtual
// machine whose disks are replicated from its site to a replica store, and which
// can be brought up on a recovery host.
//
// Each file is one workflow and holds its commands, its events, the rule that
// turns the one into the other and the state change that follows:
//
//	enable.go               Unprotected → EnablingProtection → InitialReplicationPending
//	initial_replication.go  → InitialReplicationInProgress → FinalizingProtection
//	finalize.go             → Protected
//	delta_replication.go    cuts and their logs, while there is a replica to follow
//	app_consistency.go      which cuts are to be application-consistent, and what came of it
//	recovery_point.go       recovery points; retention.go thins them
//	retry.go                failures and the schedule of attempts
//	resynchronization.go    when the replica can no longer follow
//	planned_failover.go     Protected → PlannedFailoverInProgress → FailoverCommitRequired; hold.go makes it wait
//	unplanned_failover.go   Protected → UnplannedFailoverInProgress → FailoverCommitRequired
//	change_point.go         FailoverCommitRequired, from another recovery point
//	cancel_failover.go      FailoverCommitRequired → Protected
//	commit.go               → FailedOver
//	background_copy.go      the disks of a failed-over VM, which runs from its recovery point meanwhile
//	fencing.go              the source while the recovery side is active
//	failback.go             FailedOver → FailbackSynchronizing → FailbackAwaitingCompletion → FailbackCompleting → FailbackCommitRequired
//	failback_interrupted.go → FailedOver
//	failback_commit.go      FailbackCommitRequired → FailedBack
//	reverse_replication.go  FailedBack → ReverseReplicating → Protected
//	left_behind.go          VMs that are no longer the item's, until their hosts know; released_points.go likewise
//	test_failover.go        a copy of the VM, beside everything else; test_failover_cleanup.go
//	disks.go                disks added or grown; disks_protected.go ends it or removes some, former_disks.go what is left of them
//	pause.go                replication stands still
//	change_policy.go        other settings
//	networks.go             where the VM's adapters lead to; network_settings.go, network_address.go, network_check.go
//	disable.go              any → DisablingProtection → Unprotected
//
// cycles.go counts which cycles were missed, health.go says how well the item is
// protected, health_changed.go when that is told, drill_reminder.go when a test
// failover is asked for. choice.go says which point a failover uses and which ones are pinned. operations.go and prerequisites.go answer questions about a state.
//
// Every workflow but delta replication runs under a job. A command that comes
// from another job than the item's present one is refused as stale_job: its
// sender has been overtaken and stops. A command that repeats what its own job
// has just ended with changes nothing and is not refused, so that a worker which
// crashed after recording a step may record it again.
package protecteditem

import (
	"slices"

	"farshore/domain"
)

// Category begins the name of every protected item's stream; "<vault>.<item>"
// follows.
const Category = "protected_item"

// Command asks for something to happen to a protected item.
type Command interface {
	decide(s State) ([]Event, error)
}

// Event has happened to a protected item.
type Event interface {
	domain.Event
	evolve(s State) State
}

// Decider is the protected item aggregate.
var Decider = domain.Decider[Command, Event, State]{
	Decide: func(s State, c Command) ([]Event, error) { return c.decide(s) },
	Evolve: func(s State, e Event) State { return e.evolve(s).counted(s, e) },
}

// Events lists one zero value of each event, for the codec.
func Events() []Event {
	return slices.Concat(replicationEvents(), failoverEvents(), testFailoverEvents(), failbackEvents(), diskEvents(), networkEvents(), alertEvents())
}

func replicationEvents() []Event {
	return []Event{
		ProtectionEnabling{},
		RelationshipCreated{},
		EnableFailed{},
		InitialReplicationStarted{},
		InitialReplicationCompleted{},
		ProtectionFinalized{},
		ReplicationRequested{},
		DeltaShipped{},
		RecoveryPointCreated{},
		RecoveryPointsRemoved{},
		ReplicationFailed{},
		ResynchronizationRequired{},
		ResynchronizationRequested{},
		ResynchronizationStarted{},
		ResynchronizationCompleted{},
		ProtectionDisabling{},
		JobForced{},
		ProtectionDisabled{},
		ReplicationPaused{},
		ReplicationResumed{},
		PolicyChanged{},
		RetryRequested{},
		ResynchronizationCanceled{},
	}
}

func failoverEvents() []Event {
	return []Event{
		PlannedFailoverStarted{},
		SourceStopped{},
		PlannedFailoverCompleted{},
		PlannedFailoverFailed{},
		PlannedFailoverReady{},
		PlannedFailoverReleased{},
		FailoverCommitStarted{},
		FailoverCommitted{},
		FailoverCommitFailed{},
		UnplannedFailoverStarted{},
		FailoverPointChosen{},
		UnplannedFailoverCompleted{},
		UnplannedFailoverFailed{},
		RecoveryPointChangeStarted{},
		RecoveryPointChangeCompleted{},
		RecoveryPointChangeFailed{},
		FailoverCancelStarted{},
		FailoverCanceled{},
		FailoverCancelFailed{},
		SourceFoundRunning{},
		SourceFenced{},
		BackgroundCopyStarted{},
		BackgroundCopyCompleted{},
	}
}

func testFailoverEvents() []Event {
	return []Event{
		TestFailoverStarted{},
		TestFailoverPointChosen{},
		TestFailoverCompleted{},
		TestFailoverFailed{},
		TestFailoverCleanupStarted{},
		TestFailoverCleanedUp{},
		TestFailoverCleanupFailed{},
	}
}

func failbackEvents() []Event {
	return []Event{
		FailbackStarted{},
		FailbackSynchronized{},
		FailbackCompletionStarted{},
		FailbackCompleted{},
		FailbackRestarted{},
		FailbackFailed{},
		FailbackCancelStarted{},
		FailbackCanceled{},
		FailbackCancelFailed{},
		FailbackCommitStarted{},
		FailbackCommitted{},
		ReverseReplicationStarted{},
		ReverseReplicationCompleted{},
		ReverseReplicationFailed{},
		VMLeftBehind{},
		LeftBehindSettled{},
		ReleasedPointsSettled{},
	}
}

func diskEvents() []Event {
	return []Event{
		DisksAdding{},
		DiskGrown{},
		DisksProtected{},
		DiskReplicationFailed{},
		DisksRemoved{},
		ReplicaDisksRemoved{},
	}
}

func networkEvents() []Event {
	return []Event{
		NetworkSettingsChanged{},
		NetworksChecked{},
		ConnectionsDecided{},
	}
}

func alertEvents() []Event {
	return []Event{
		HealthChanged{},
		TestFailoverFellDue{},
	}
}
