package processmanager_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"farshore/domain/job"
	"farshore/domain/policy"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/workers/lane"
	"farshore/workers/processmanager"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

func now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// asked collects what lanes were made due.
type asked []lane.Due

// Upsert implements processmanager.Lanes.
func (a *asked) Upsert(_ context.Context, d lane.Due) error {
	*a = append(*a, d)
	return nil
}

const item = "v.web"

// open returns a manager over an event store in memory.
func open(t *testing.T) (*processmanager.Manager, *asked, func(protecteditem.Command)) {
	t.Helper()
	codec, err := eventstore.NewCodec(eventstore.Types(protecteditem.Events()...), eventstore.Types(job.Events()...))
	if err != nil {
		t.Fatal(err)
	}
	items := workflow.Items{Store: eventstore.NewMemory(codec, now), Category: protecteditem.Category, Decider: protecteditem.Decider}
	lanes := &asked{}
	do := func(cmd protecteditem.Command) {
		t.Helper()
		if _, err := items.Execute(t.Context(), item, cmd, eventstore.Execution{}); err != nil {
			t.Fatal(err)
		}
	}
	return &processmanager.Manager{Items: items, Lanes: lanes, Now: now, Logger: slog.New(slog.DiscardHandler)}, lanes, do
}

func enable() protecteditem.EnableProtection {
	return protecteditem.EnableProtection{
		JobID: "j1", Vault: "v", Item: "web", Site: "s1", Host: "h1", Policy: policy.Defaults(),
		VM: site.VirtualMachine{ID: "web", Name: "web", Generation: 2, Disks: []site.Disk{
			{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: 2 << 30, OS: true},
		}},
		Store:        protecteditem.StoreRef{ID: "acc", Kind: protecteditem.DirectoryStore},
		RecoverySite: "s2", RecoveryHost: "h2", At: now(),
	}
}

func TestAnEventMakesTheItemsLaneDue(t *testing.T) {
	t.Parallel()
	m, lanes, do := open(t)
	do(enable())
	for range 2 { // delivered twice
		if err := m.Handle(t.Context(), "protected_item-"+item, protecteditem.ProtectionEnabling{}.EventType()); err != nil {
			t.Fatal(err)
		}
	}
	want := lane.Due{Key: lane.Key{Item: item, Kind: lane.Replication}, At: now(), Host: "v/s1/h1", Store: "v/acc"}
	for _, got := range *lanes {
		if got != want {
			t.Errorf("asked for %+v, want %+v", got, want)
		}
	}
	if len(*lanes) != 2 {
		t.Errorf("%d lanes were made due", len(*lanes))
	}
}

func TestAnOutrankingCommandInterrupts(t *testing.T) {
	t.Parallel()
	m, lanes, do := open(t)
	do(enable())
	do(protecteditem.DisableProtection{JobID: "j2", At: now()})
	if err := m.Handle(t.Context(), "protected_item-"+item, protecteditem.ProtectionDisabling{}.EventType()); err != nil {
		t.Fatal(err)
	}
	if len(*lanes) != 1 || !(*lanes)[0].Interrupt {
		t.Errorf("asked for %+v", *lanes)
	}
}

func TestALateEventInterruptsNothing(t *testing.T) {
	t.Parallel()
	m, lanes, do := open(t)
	do(enable())
	// Its command was overtaken: the state is not what the event had brought.
	if err := m.Handle(t.Context(), "protected_item-"+item, protecteditem.PlannedFailoverStarted{}.EventType()); err != nil {
		t.Fatal(err)
	}
	if len(*lanes) != 1 || (*lanes)[0].Interrupt {
		t.Errorf("asked for %+v", *lanes)
	}
}

func TestWhatAWorkerRecordsOnItsWayWakesNobody(t *testing.T) {
	t.Parallel()
	m, lanes, do := open(t)
	do(enable())
	for _, event := range []string{protecteditem.DeltaShipped{}.EventType(), "site.host_added.v1"} {
		if err := m.Handle(t.Context(), "protected_item-"+item, event); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Handle(t.Context(), "site-v.s1", protecteditem.ProtectionEnabling{}.EventType()); err != nil {
		t.Fatal(err)
	}
	if len(*lanes) != 0 {
		t.Errorf("asked for %+v", *lanes)
	}
}

func TestARequestToCancelAJobReachesItsWorker(t *testing.T) {
	t.Parallel()
	for kind, want := range map[job.Kind]lane.Kind{job.PlannedFailover: lane.Replication, job.TestFailover: lane.Drill} {
		m, lanes, _ := open(t)
		jobs := runbook.Jobs{Store: m.Items.Store, Category: job.Category, Decider: job.Decider}
		for _, cmd := range []job.Command{job.Start{Vault: "v", Kind: kind, Subject: item, At: now()}, job.RequestCancel{At: now()}} {
			if _, err := jobs.Execute(t.Context(), "j1", cmd, eventstore.Execution{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, event := range []string{job.JobStarted{}.EventType(), job.CancelRequested{}.EventType()} {
			if err := m.Handle(t.Context(), "job-j1", event); err != nil {
				t.Fatal(err)
			}
		}
		if len(*lanes) != 1 || (*lanes)[0] != (lane.Due{Key: lane.Key{Item: item, Kind: want}, At: now(), Interrupt: true}) {
			t.Errorf("a %s makes %+v due", kind, *lanes)
		}
		// One that has ended has nobody to tell.
		if _, err := jobs.Execute(t.Context(), "j1", job.Cancel{At: now()}, eventstore.Execution{}); err != nil {
			t.Fatal(err)
		}
		if err := m.Handle(t.Context(), "job-j1", job.CancelRequested{}.EventType()); err != nil || len(*lanes) != 1 {
			t.Errorf("an ended job makes %+v due, %v", *lanes, err)
		}
	}
}

func TestAPauseInterruptsAndItsEndWakes(t *testing.T) {
	t.Parallel()
	m, lanes, do := open(t)
	do(enable())
	do(protecteditem.RecordRelationship{JobID: "j1", StartAt: now(), At: now()})
	for _, tt := range []struct {
		cmd   protecteditem.Command
		event string
		stops bool
	}{
		{protecteditem.PauseReplication{At: now()}, protecteditem.ReplicationPaused{}.EventType(), true},
		{protecteditem.ResumeReplication{At: now()}, protecteditem.ReplicationResumed{}.EventType(), false},
	} {
		*lanes = nil
		do(tt.cmd)
		if err := m.Handle(t.Context(), "protected_item-"+item, tt.event); err != nil {
			t.Fatal(err)
		}
		if len(*lanes) != 2 || (*lanes)[0].Interrupt != tt.stops || !(*lanes)[0].At.Equal(now()) {
			t.Errorf("%s asked for %+v", tt.event, *lanes)
		}
		// The health has changed, too; to tell that, neither host nor store is needed.
		if want := (lane.Due{Key: lane.Key{Item: item, Kind: lane.Upkeep}, At: now()}); (*lanes)[1] != want {
			t.Errorf("%s asked for %+v, want %+v", tt.event, (*lanes)[1], want)
		}
	}
}

func TestAPlanIsWokenByWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	m, lanes, do := open(t)
	jobs := runbook.Jobs{Store: m.Items.Store, Category: job.Category, Decider: job.Decider}
	record := func(id string, cmds ...job.Command) {
		t.Helper()
		for _, cmd := range cmds {
			if _, err := jobs.Execute(t.Context(), id, cmd, eventstore.Execution{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	wakes := func(what, stream, event string, want ...lane.Due) {
		t.Helper()
		*lanes = nil
		if err := m.Handle(t.Context(), stream, event); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(*lanes, want) {
			t.Errorf("%s makes %+v due, want %+v", what, *lanes, want)
		}
	}
	due := lane.Due{Key: lane.Key{Item: "v.shop", Kind: lane.Plan}, At: now()}
	stop := due
	stop.Interrupt = true
	record("run", job.Start{Vault: "v", Kind: job.RecoveryPlanPlannedFailover, Subject: "v.shop", Tasks: []job.TaskSpec{{Name: "a"}}, At: now()},
		job.AwaitInput{Task: "a", At: now()}, job.Resume{Task: "a", At: now()}, job.RequestCancel{At: now()})
	record("j2", job.Announce{Vault: "v", Kind: job.PlannedFailover, Subject: item, Parent: "run", At: now()})
	wakes("the start of a run", "recovery_plan-v.shop", recoveryplan.RunStarted{}.EventType(), due)
	wakes("a change of a plan", "recovery_plan-v.shop", recoveryplan.Defined{}.EventType())
	wakes("an operator's word", "job-run", job.JobResumed{}.EventType(), due)
	wakes("the wish to cancel a run", "job-run", job.CancelRequested{}.EventType(), stop)
	wakes("an item's job that waits for an operator", "job-j2", job.JobResumed{}.EventType())
	do(enable())
	record("j1", job.Announce{Vault: "v", Kind: job.EnableProtection, Subject: item, Parent: "run", At: now()})
	wakes("an item that waits for its plan", "protected_item-"+item, protecteditem.PlannedFailoverReady{}.EventType(), due)
	record("j2", job.Cancel{At: now()})
	wakes("the end of a part", "job-j2", job.JobCanceled{}.EventType(), due)
	record("alone", job.Start{Vault: "v", Kind: job.PlannedFailover, Subject: item, At: now()}, job.Cancel{At: now()})
	wakes("the end of a job that is none", "job-alone", job.JobCanceled{}.EventType())
	record("run", job.Cancel{At: now()})
	wakes("the end of a part of a run that is over", "job-j2", job.JobCanceled{}.EventType())
}
