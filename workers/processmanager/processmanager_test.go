package processmanager_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"farshore/domain/policy"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/workers/lane"
	"farshore/workers/processmanager"
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
	codec, err := eventstore.NewCodec(eventstore.Types(protecteditem.Events()...))
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
