package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"farshore/domain/job"
	"farshore/domain/policy"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/eventstore/pgtest"
	"farshore/workers/planrun"
)

const (
	planKey   = vault + ".shop"
	shopBytes = 4 << 20
)

// shopVMs are the VMs of the plan, by groups.
var shopVMs = []string{"db", "app", "web"}

// shop is three VMs in two groups on one host, and a plan for them.
type shop struct{ *scene }

// newShop returns a shop whose VMs run and are protected, by a worker that goes on.
func newShop(t *testing.T) shop {
	t.Helper()
	s := openShop(t, func(*config) {})
	s.work()
	s.allProtected()
	return s
}

// openShop returns a shop whose VMs run and are to be protected.
func openShop(t *testing.T, change func(*config)) shop {
	t.Helper()
	dir, err := os.MkdirTemp("", "fs") //nolint:usetesting // a socket's path must be short
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := shop{&scene{t: t, dir: dir, stopWorker: func() {}}}
	c := config{
		Store: filepath.Join(dir, "store"), Owner: "tester", Scripts: filepath.Join(dir, "scripts"), Frequency: 900,
		Hosts: map[string]string{"h1": filepath.Join(dir, "h1.sock"), "h2": filepath.Join(dir, "h2.sock")},
	}
	change(&c)
	if c.Database == "" {
		c.Database = pgtest.Database(t).URL
	}
	for _, d := range []string{c.Store, c.Scripts, filepath.Join(dir, "away")} {
		must(t, os.MkdirAll(d, 0o700))
	}
	for n, vm := range shopVMs {
		s.makeShopVM(vm, byte('a'+n))
	}
	s.host = s.serveHost(filepath.Join(dir, "primary"), c.Hosts["h1"], c.Speed)
	s.away = s.serveHost(filepath.Join(dir, "away"), c.Hosts["h2"], c.Speed)
	s.worker, err = newWorker(t.Context(), c, slog.New(slog.NewTextHandler(testLog{t}, nil)))
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.run(ctx, nil) }()
	t.Cleanup(func() { stop(); <-done })
	for _, vm := range shopVMs {
		must(t, s.host.SetActive(t.Context(), vm, true))
		must(t, s.host.Start(t.Context(), vm))
		s.protect(vm)
	}
	return s
}

func (s shop) makeShopVM(id string, seed byte) {
	s.t.Helper()
	folder := filepath.Join(s.dir, "primary", id)
	must(s.t, os.MkdirAll(folder, 0o700))
	self, err := os.Executable()
	must(s.t, err)
	vm := site.VirtualMachine{
		ID: id, Name: id, Generation: 2, CPUs: 1, MemoryMiB: 64, Guest: &site.Guest{Command: []string{self, "guest", "os"}, GraceSeconds: 1},
		Disks: []site.Disk{{ID: "os", File: "os.raw", Format: site.Raw, OS: true}},
	}
	b, err := json.Marshal(vm)
	must(s.t, err)
	must(s.t, os.WriteFile(filepath.Join(folder, "os.raw"), bytes.Repeat([]byte{seed}, shopBytes), 0o600))
	must(s.t, os.WriteFile(filepath.Join(folder, "vm.json"), b, 0o600))
}

// item is a protected item of the shop.
func (s shop) item(id string) protecteditem.State {
	s.t.Helper()
	state, _, err := s.items.Load(context.Background(), vault+"."+id)
	must(s.t, err)
	return state
}

func (s shop) ask(item string, cmd protecteditem.Command) {
	s.t.Helper()
	_, err := s.items.Execute(s.t.Context(), vault+"."+item, cmd, eventstore.Execution{Metadata: eventstore.Metadata{Actor: "apikey:test", Vault: vault}})
	must(s.t, err)
}

func (s shop) protect(id string) {
	s.t.Helper()
	vm, err := s.host.VirtualMachine(s.t.Context(), id)
	must(s.t, err)
	settings := policy.Defaults()
	settings.CopyFrequencySeconds = s.Frequency
	s.ask(id, protecteditem.EnableProtection{
		JobID: newID(), Vault: vault, Item: id, Site: "s1", Host: "h1", VM: vm, Policy: settings, Disks: []string{"os"},
		Store:        protecteditem.StoreRef{ID: "acc", Kind: protecteditem.DirectoryStore},
		RecoverySite: "s2", RecoveryHost: "h2", RecoveryVMName: id + "-dr", At: s.now(),
	})
}

func (s shop) allProtected() {
	s.t.Helper()
	eventually(s.t, time.Minute, "all are protected", func() bool { return s.are(protecteditem.Protected, shopVMs...) })
}

func (s shop) are(want protecteditem.ProtectionState, items ...string) bool {
	for _, id := range items {
		if s.item(id).Protection != want {
			return false
		}
	}
	return true
}

// must be so.
func (s shop) is(want protecteditem.ProtectionState, items ...string) {
	s.t.Helper()
	for _, id := range items {
		if got := s.item(id).Protection; got != want {
			s.t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
}

// plan defines the shop's plan: between its groups an operator and a script.
func (s shop) plan(onFailure recoveryplan.OnFailure) {
	s.t.Helper()
	s.command(recoveryplan.Define{Limits: recoveryplan.DefaultLimits(), At: s.now(), Definition: recoveryplan.Definition{
		Name: "Shop", OnFailure: onFailure, Groups: []recoveryplan.Group{
			{Items: shopVMs[:1], PostActions: []recoveryplan.Action{{Name: "note", Kind: recoveryplan.Script, Script: "note.sh", Arguments: []string{"it is"}, TimeoutSeconds: 20}}},
			{Items: shopVMs[1:], PreActions: []recoveryplan.Action{{Name: "look", Kind: recoveryplan.Manual, Instructions: "look at db"}}},
		},
	}})
}

// writeScript puts a program into the scripts directory.
func (s shop) writeScript(name, text string) {
	s.t.Helper()
	must(s.t, os.WriteFile(filepath.Join(s.Scripts, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700))
}

const noteScript = `echo "$1 $FARSHORE_PLAN $FARSHORE_FAILOVER_TYPE $FARSHORE_DIRECTION $FARSHORE_GROUP $FARSHORE_ACTION ${DATABASE_URL-none}" >> ran
echo "$FARSHORE_VMS"`

func (s shop) command(cmd recoveryplan.Command) {
	s.t.Helper()
	_, err := s.plans.Execute(s.t.Context(), planKey, cmd, eventstore.Execution{Metadata: eventstore.Metadata{Actor: "apikey:test", Vault: vault}})
	must(s.t, err)
}

// start begins a run and returns its job.
func (s shop) start(o recoveryplan.Operation, restartOf string) string {
	s.t.Helper()
	id := newID()
	s.command(recoveryplan.StartRun{JobID: id, Operation: o, RestartOf: restartOf, At: s.now()})
	return id
}

// ends waits for the end of a run and returns what became of each item.
func (s shop) ends(id string, want job.Status) map[string]recoveryplan.ItemOutcome {
	s.t.Helper()
	s.jobIs(id, want)
	plan, _, err := s.plans.Load(s.t.Context(), planKey)
	must(s.t, err)
	if plan.Run != nil || plan.LastRun == nil || plan.LastRun.JobID != id {
		s.t.Fatalf("the plan's run is %+v after %+v", plan.Run, plan.LastRun)
	}
	items := map[string]recoveryplan.ItemOutcome{}
	for _, i := range plan.LastRun.Items {
		items[i.Item] = i
	}
	return items
}

// became checks what became of the items: "db=Succeeded app=Canceled".
func (s shop) became(items map[string]recoveryplan.ItemOutcome, want string) {
	s.t.Helper()
	for pair := range strings.FieldsSeq(want) {
		id, outcome, _ := strings.Cut(pair, "=")
		got := items[id]
		if string(got.Outcome) != outcome {
			s.t.Errorf("%s became %+v, want %s", id, got, outcome)
		}
		if got.Outcome != recoveryplan.Succeeded && got.Detail == "" {
			s.t.Errorf("%s became %s and nobody says why", id, got.Outcome)
		}
	}
}

// answer waits until a run waits for an operator and lets it go on.
func (s shop) answer(id, comments string) {
	s.t.Helper()
	task := s.waitsFor(id)
	how := eventstore.Execution{Metadata: eventstore.Metadata{Actor: "apikey:test", Vault: vault}}
	_, err := s.jobs.Execute(s.t.Context(), id, job.Resume{By: "apikey:test", Task: task, Comments: comments, At: s.now()}, how)
	must(s.t, err)
}

// waitsFor waits until a run waits for an operator, and returns at which task.
func (s shop) waitsFor(id string) (task string) {
	s.t.Helper()
	eventually(s.t, time.Minute, "the run waits for an operator", func() bool {
		j := s.job(id)
		if j.Status.Ended() {
			s.t.Fatalf("the run ended as %s: %+v", j.Status, j.Failure)
		}
		if j.Input != nil {
			task = j.Input.Task
		}
		return j.Status == job.WaitingForInput && task != ""
	})
	return task
}

// childOf is the job of an item in a run.
func (s shop) childOf(run, item string) job.State {
	s.t.Helper()
	j := s.job(planrun.ChildID(run, item))
	if j.Parent != run || j.Subject != vault+"."+item {
		s.t.Errorf("the job of %s is %+v", item, j)
	}
	return j
}

// atSource checks whether VMs run at the source.
func (s shop) atSource(want site.PowerState, items ...string) {
	s.t.Helper()
	for _, id := range items {
		state, err := s.host.PowerState(s.t.Context(), id)
		must(s.t, err)
		if state != want {
			s.t.Errorf("%s is %s at the source", id, state)
		}
	}
}

func (s shop) runsAway(vm string) bool {
	s.t.Helper()
	state, err := s.away.PowerState(s.t.Context(), vm)
	return err == nil && state == site.Running
}

// sameDisk compares a VM's disk with that of its copy away.
func (s shop) sameDisk(id, copied string) {
	s.t.Helper()
	eventually(s.t, waitForJob, "the disks of "+copied+" are there", func() bool { return s.item(id).CopyJob == nil })
	want, err := os.ReadFile(filepath.Join(s.dir, "primary", id, "os.raw"))
	must(s.t, err)
	got, err := os.ReadFile(filepath.Join(s.dir, "away", copied, "os.raw"))
	must(s.t, err)
	if !bytes.Equal(got, want) {
		s.t.Errorf("the disk of %s differs from that of %s", copied, id)
	}
}

// positions returns where events of a type are in the log, by item.
func (s shop) positions(event string) map[string]int64 {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), `SELECT stream, max(global_position) FROM events WHERE type = $1 GROUP BY stream`, event)
	must(s.t, err)
	defer rows.Close()
	at := map[string]int64{}
	for rows.Next() {
		var (
			stream   string
			position int64
		)
		must(s.t, rows.Scan(&stream, &position))
		at[strings.TrimPrefix(stream, "protected_item-"+vault+".")] = position
	}
	return at
}
