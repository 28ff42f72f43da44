package planrun_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/policy"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/workers/planrun"
	"farshore/workers/workflow"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

const (
	planKey = "v.shop"
	webKey  = "v.web"
)

// hold is the hold on the plan's lane.
type hold struct{ workflow.Session }

func (hold) Leased(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}

func (hold) Item() string            { return planKey }
func (hold) Token() int64            { return 1 }
func (hold) Fence() eventstore.Fence { return eventstore.Fence{Lane: planKey + "/plan", Token: 1} }

// stage is a plan with one protected VM, whose worker the test plays.
type stage struct {
	t testing.TB
	planrun.Worker
}

func newStage(t *testing.T, d recoveryplan.Definition) stage {
	t.Helper()
	codec, err := eventstore.NewCodec(eventstore.Types(protecteditem.Events()...), eventstore.Types(job.Events()...), eventstore.Types(recoveryplan.Events()...))
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return noon }
	store := eventstore.NewMemory(codec, now)
	store.SetFence(planKey+"/plan", 1)
	s := stage{t, planrun.Worker{
		Parts: workflow.Parts{
			Items:  workflow.Items{Store: store, Category: protecteditem.Category, Decider: protecteditem.Decider},
			Jobs:   eventstore.Repository[job.Command, job.Event, job.State]{Store: store, Category: job.Category, Decider: job.Decider},
			Worker: "w", Now: now, Logger: slog.New(slog.DiscardHandler),
		},
		Plans: planrun.Plans{Store: store, Category: recoveryplan.Category, Decider: recoveryplan.Decider},
	}}
	vm := site.VirtualMachine{ID: "web", Name: "web", Generation: 2, CPUs: 1, MemoryMiB: 64, NICs: []site.NIC{{Name: "nic-1", Network: "lan"}}, Disks: []site.Disk{{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: 1 << 20, OS: true}}}
	first := protecteditem.Point{ID: "cut-1", Instant: noon, Consistency: protecteditem.CrashConsistent, Disks: []protecteditem.PointDisk{{Disk: "os", SizeBytes: 1 << 20, Root: "aa"}}}
	s.item(
		protecteditem.EnableProtection{
			JobID: "enable", Vault: "v", Item: "web", Site: "s1", Host: "h1", VM: vm, Policy: policy.Defaults(), Disks: []string{"os"},
			Store:        protecteditem.StoreRef{ID: "acc", Kind: protecteditem.DirectoryStore},
			RecoverySite: "s2", RecoveryHost: "h2", RecoveryVMName: "web-dr", At: noon,
		},
		protecteditem.RecordRelationship{JobID: "enable", StartAt: noon, At: noon},
		protecteditem.StartInitialReplication{JobID: "copy", Snapshot: "snap", TotalBytes: 1 << 20, At: noon},
		protecteditem.CompleteInitialReplication{JobID: "copy", Bytes: 1, Point: first, FinalizeJobID: "final", At: noon},
		protecteditem.FinalizeProtection{JobID: "final", At: noon},
	)
	s.plan(recoveryplan.Define{Definition: d, Limits: recoveryplan.DefaultLimits(), At: noon})
	return s
}

func (s stage) item(all ...protecteditem.Command) {
	s.t.Helper()
	for _, cmd := range all {
		if _, err := s.Items.Execute(s.t.Context(), webKey, cmd, eventstore.Execution{}); err != nil {
			s.t.Fatalf("%T: %v", cmd, err)
		}
	}
}

func (s stage) plan(cmd recoveryplan.Command) {
	s.t.Helper()
	if _, err := s.Plans.Execute(s.t.Context(), planKey, cmd, eventstore.Execution{}); err != nil {
		s.t.Fatalf("%T: %v", cmd, err)
	}
}

func (s stage) job(id string, all ...job.Command) {
	s.t.Helper()
	for _, cmd := range all {
		if _, err := s.Jobs.Execute(s.t.Context(), id, cmd, eventstore.Execution{}); err != nil {
			s.t.Fatalf("%T: %v", cmd, err)
		}
	}
}

// start begins a run and takes its first turn.
func (s stage) start(restartOf string) string {
	s.t.Helper()
	id := uuid.Must(uuid.NewV7()).String()
	s.plan(recoveryplan.StartRun{JobID: id, Operation: recoveryplan.PlannedFailover, RestartOf: restartOf, At: noon})
	s.turn()
	return id
}

// turn lets the run go on as far as it can.
func (s stage) turn() {
	s.t.Helper()
	if _, err := s.Handle(context.Background(), hold{}); err != nil {
		s.t.Fatal(err)
	}
}

// begun plays the item's worker up to where its failover waits.
func (s stage) begun(run string) string {
	s.t.Helper()
	id := planrun.ChildID(run, "web")
	s.job(id, job.Start{
		Vault: "v", Kind: job.PlannedFailover, Subject: webKey, At: noon, Tasks: []job.TaskSpec{{Name: "await_release"}, {Name: "start_recovery_vm"}},
	}, job.StartTask{Task: "await_release", At: noon})
	return id
}

func (s stage) waits(id string) {
	s.t.Helper()
	s.item(protecteditem.RecordSourceStopped{JobID: id, At: noon}, protecteditem.RecordPlannedFailoverReady{JobID: id, At: noon})
}

// ended checks how the plan's last run has ended, for all and for the item.
func (s stage) ended(want, item recoveryplan.Outcome) {
	s.t.Helper()
	plan, _, err := s.Plans.Load(s.t.Context(), planKey)
	if err != nil {
		s.t.Fatal(err)
	}
	if plan.Run != nil || plan.LastRun == nil {
		s.t.Fatalf("the run has not ended: %+v", plan.Run)
	}
	if got := plan.LastRun; got.Outcome != want || got.Items[0].Outcome != item {
		s.t.Errorf("the run ended as %s with %+v, want %s and %s", got.Outcome, got.Items, want, item)
	}
}

func TestARestartedRunMovesWhatTheFailedOneHasLeftOut(t *testing.T) {
	t.Parallel()
	s := newStage(t, recoveryplan.Definition{Name: "Shop", OnFailure: recoveryplan.Continue, Groups: []recoveryplan.Group{{Items: []string{"web"}}}})
	stubborn := errorcatalog.Fail(errorcatalog.GuestShutdownTimeout, "the guest runs on")
	run := s.start("")
	id := s.begun(run)
	s.item(protecteditem.FailPlannedFailover{JobID: id, Failure: stubborn, At: noon})
	s.job(id, job.Fail{Failure: stubborn, At: noon})
	s.turn()
	s.ended(recoveryplan.Failed, recoveryplan.Failed)
	// What was left out was not moved, though its step had nothing else to do.
	again := s.start(run)
	id = s.begun(again)
	s.waits(id)
	s.turn()
	state, _, err := s.Items.Load(t.Context(), webKey)
	if err != nil || state.Hold != protecteditem.HoldReleased {
		t.Fatalf("the mended VM is held: %q, %v", state.Hold, err)
	}
	s.item(protecteditem.CompletePlannedFailover{JobID: id, Point: "cut-1", RecoveryVM: "web-dr", At: noon})
	s.job(id, job.CompleteTask{Task: "await_release", At: noon}, job.Succeed{At: noon})
	s.turn()
	s.ended(recoveryplan.Succeeded, recoveryplan.Succeeded)
}

func TestAScriptThatLeavesSomethingBehindSucceedsAndTakesItAlong(t *testing.T) {
	t.Parallel()
	s := newStage(t, recoveryplan.Definition{Name: "Shop", OnFailure: recoveryplan.Stop, Groups: []recoveryplan.Group{{
		Items: []string{"web"}, PostActions: []recoveryplan.Action{{Name: "leave", Kind: recoveryplan.Script, Script: "leave.sh", TimeoutSeconds: 60}},
	}}})
	s.Scripts = t.TempDir()
	if err := os.WriteFile(filepath.Join(s.Scripts, "leave.sh"), []byte("#!/bin/sh\nsleep 300 &\necho $! > left\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	id := uuid.Must(uuid.NewV7()).String()
	s.plan(recoveryplan.StartRun{JobID: id, Operation: recoveryplan.Failback, At: noon})
	s.turn()
	s.ended(recoveryplan.Succeeded, recoveryplan.Skipped)
	left, err := os.ReadFile(filepath.Join(s.Scripts, "left"))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		stat, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(left)), "stat"))
		if err != nil || strings.Contains(string(stat), ") Z ") { // nobody may have waited for it
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("what the script left runs on: %s", stat)
		}
	}
}

func TestARunAsksItsItemsWithTheNetworksThereAreNow(t *testing.T) {
	t.Parallel()
	s := newStage(t, recoveryplan.Definition{Name: "Shop", OnFailure: recoveryplan.Stop, Groups: []recoveryplan.Group{{Items: []string{"web"}}}})
	s.Networks = func(context.Context, protecteditem.State) (protecteditem.Networks, error) {
		return protecteditem.Networks{Loaded: true, RecoveryLoaded: true, Source: []site.Network{{ID: "lan", Name: "lan"}}}, nil
	}
	id := s.start("")
	s.ended(recoveryplan.Failed, recoveryplan.Failed)
	journal, _, err := s.Jobs.Load(t.Context(), planrun.ChildID(id, "web"))
	if err != nil || journal.Failure == nil || journal.Failure.Code != errorcatalog.NetworksUnmapped {
		t.Errorf("the item's job failed with %+v, %v", journal.Failure, err)
	}
}

func TestAnItemCanceledWhileTheRunWaitsFailsIt(t *testing.T) {
	t.Parallel()
	s := newStage(t, recoveryplan.Definition{Name: "Shop", OnFailure: recoveryplan.Stop, Groups: []recoveryplan.Group{{
		Items: []string{"web"}, PreActions: []recoveryplan.Action{{Name: "look", Kind: recoveryplan.Manual, Instructions: "look"}},
	}}})
	run := s.start("")
	id := s.begun(run)
	s.waits(id)
	s.turn()
	s.job(id, job.RequestCancel{By: "an operator", At: noon})
	s.item(protecteditem.FailPlannedFailover{JobID: id, Failure: errorcatalog.Fail(errorcatalog.Canceled, "by an operator"), At: noon})
	s.job(id, job.Cancel{At: noon})
	s.job(run, job.Resume{By: "an operator", Task: "group_1_pre_1", At: noon})
	s.turn()
	s.ended(recoveryplan.Failed, recoveryplan.Canceled)
	journal, _, err := s.Jobs.Load(t.Context(), run)
	if task, _ := journal.Task("group_1_items"); err != nil || task.Status != job.Failed || task.Failure.Code != errorcatalog.PlanItemFailed {
		t.Errorf("the step is %s with %+v, %v", task.Status, task.Failure, err)
	}
}
