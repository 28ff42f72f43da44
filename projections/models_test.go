package projections_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"farshore/domain"
	"farshore/domain/apikey"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/networkmapping"
	"farshore/domain/policy"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
	"farshore/domain/site"
	"farshore/domain/storageaccount"
	"farshore/domain/vault"
	"farshore/eventstore"
	"farshore/eventstore/pgtest"
	"farshore/projections"
)

// mirror is a log with the read models beside it.
type mirror struct {
	*projections.Queries
	t      *testing.T
	pool   *pgxpool.Pool
	store  eventstore.Store
	runner *projections.Runner
}

func newMirror(t *testing.T) *mirror {
	t.Helper()
	pool := pgtest.New(t)
	codec, err := eventstore.NewCodec(
		eventstore.Types(vault.Events()...), eventstore.Types(policy.Events()...), eventstore.Types(site.Events()...),
		eventstore.Types(storageaccount.Events()...), eventstore.Types(protecteditem.Events()...),
		eventstore.Types(job.Events()...), eventstore.Types(apikey.Events()...), eventstore.Types(networkmapping.Events()...),
		eventstore.Types(recoveryplan.Events()...))
	if err != nil {
		t.Fatal(err)
	}
	store := eventstore.NewPostgres(pool, codec, eventstore.PostgresConfig{})
	runner, err := projections.NewRunner(pool, store, nil, projections.All()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []func(context.Context) error{store.Run, runner.Run} {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- part(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	return &mirror{Queries: &projections.Queries{Pool: pool}, t: t, pool: pool, store: store, runner: runner}
}

func tell[C any, E domain.Event, S any](m *mirror, category string, d domain.Decider[C, E, S], vaultID, id string, cmd C) {
	m.t.Helper()
	repo := eventstore.Repository[C, E, S]{Store: m.store, Category: category, Decider: d}
	if _, err := repo.Execute(m.t.Context(), id, cmd, eventstore.Execution{Metadata: eventstore.Metadata{Vault: vaultID}}); err != nil {
		m.t.Fatalf("%T: %v", cmd, err)
	}
}

func (m *mirror) item(id string, cmds ...protecteditem.Command) {
	m.t.Helper()
	for _, cmd := range cmds {
		tell(m, protecteditem.Category, protecteditem.Decider, "acme", "acme."+id, cmd)
	}
}

// settle waits until everything recorded is in the read models.
func (m *mirror) settle() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	head, err := m.store.Head(ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.runner.WaitFor(ctx, head); err != nil {
		m.t.Fatal(err)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func id(n int) string { return fmt.Sprintf("0198c0de-0000-7000-8000-%012d", n) }

func machine(name string) site.VirtualMachine {
	return site.VirtualMachine{ID: name, Name: name, Generation: 2, Disks: []site.Disk{{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: 2 << 30, OS: true}}}
}

func enabling(jobID, itemID string) protecteditem.EnableProtection {
	return protecteditem.EnableProtection{
		JobID: jobID, Vault: "acme", Item: itemID, Site: "primary", Host: "h1", VM: machine(itemID), PolicyID: "p", Policy: policy.Defaults(),
		Store: protecteditem.StoreRef{ID: "store", Kind: protecteditem.DirectoryStore}, RecoverySite: "recovery", RecoveryHost: "h2", At: noon,
	}
}

func pointAt(n int, at time.Time) protecteditem.Point {
	return protecteditem.Point{ID: id(n), Instant: at, Consistency: protecteditem.CrashConsistent, Disks: []protecteditem.PointDisk{{Disk: "os", SizeBytes: 2 << 30, Root: "ab"}}}
}

func protecting() []protecteditem.Command {
	return []protecteditem.Command{
		enabling(id(1), "web"),
		protecteditem.RecordRelationship{JobID: id(1), StartAt: noon, At: noon},
		protecteditem.StartInitialReplication{JobID: id(2), Snapshot: "s", TotalBytes: 2 << 30, At: noon},
		protecteditem.CompleteInitialReplication{JobID: id(2), Bytes: 2 << 30, Point: pointAt(10, noon), FinalizeJobID: id(3), At: noon},
		protecteditem.FinalizeProtection{JobID: id(3), At: noon},
	}
}

func TestAReadModelRebuiltIsTheSame(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.item("web", protecting()...)
	m.item("web", protecteditem.RecordDelta{Cut: id(11), PreviousCut: id(10), Instant: noon.Add(time.Minute), Bytes: 1, At: noon},
		protecteditem.CreateRecoveryPoint{Point: pointAt(11, noon.Add(time.Minute)), At: noon},
		protecteditem.RemoveRecoveryPoints{IDs: []string{id(10)}, Reason: "retention", At: noon})
	m.item("db", enabling(id(4), "db"))
	m.settle()
	before := m.snapshot()
	for _, name := range m.runner.Names() {
		if err := m.runner.Rebuild(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	m.settle()
	if after := m.snapshot(); after != before {
		t.Errorf("rebuilt:\n%s\nwas\n%s", after, before)
	}
	points := must[[]protecteditem.Point](t)(m.RecoveryPoints(t.Context(), "acme", "web", projections.Page{Limit: 10}))
	if len(points) != 1 || points[0].ID != id(11) {
		t.Errorf("points: %+v", points)
	}
}

// snapshot is everything that the read models hold.
func (m *mirror) snapshot() string {
	m.t.Helper()
	tx, err := m.pool.Begin(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(m.t.Context(), "SELECT set_config('farshore.vault', '*', true)"); err != nil {
		m.t.Fatal(err)
	}
	var all strings.Builder
	for _, table := range []string{"vaults_v1", "policies_v1", "sites_v1", "hosts_v1", "virtual_machines_v1", "storage_accounts_v1", "protected_items_v1", "recovery_points_v1", "jobs_v1", "api_keys_v1"} {
		var rows string
		if err := tx.QueryRow(m.t.Context(), "SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') FROM "+table+" t").Scan(&rows); err != nil {
			m.t.Fatal(err)
		}
		all.WriteString(table + "\n" + rows + "\n")
	}
	return all.String()
}

func TestTheFoldedStateIsTheAggregates(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	items := eventstore.Repository[protecteditem.Command, protecteditem.Event, protecteditem.State]{Store: m.store, Category: protecteditem.Category, Decider: protecteditem.Decider}
	for n, cmd := range append(protecting(), protecteditem.RecordFailure{Failure: errorcatalog.Fail(errorcatalog.ReplicaStoreUnreachable, "gone"), At: noon},
		protecteditem.StartPlannedFailover{JobID: id(5), At: noon}, protecteditem.DisableProtection{JobID: id(6), At: noon}) {
		m.item("web", cmd)
		m.settle() // a batch per command: the state goes through JSON each time
		want, version, err := items.Load(t.Context(), "acme.web")
		if err != nil {
			t.Fatal(err)
		}
		row := must[projections.Row[protecteditem.State]](t)(m.ProtectedItem(t.Context(), "acme", "web"))
		if got := fmt.Sprintf("%+v", row.State.Protection); got != fmt.Sprintf("%+v", want.Protection) || row.Version != version {
			t.Errorf("after %d: %s at %d, want %s at %d", n, got, row.Version, want.Protection, version)
		}
		if got, want := protecteditem.AllowedOperations(row.State, noon), protecteditem.AllowedOperations(want, noon); !slices.Equal(got, want) {
			t.Errorf("after %d: allowed %+v, want %+v", n, got, want)
		}
	}
}

func TestAJobIsThereBeforeAnyWorkerTakesItUp(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.item("web", protecting()...)
	tell(m, job.Category, job.Decider, "acme", id(1), job.Command(job.Start{Vault: "acme", Kind: job.EnableProtection, Subject: "acme.web", At: noon}))
	tell(m, job.Category, job.Decider, "acme", id(1), job.Command(job.Succeed{At: noon}))
	m.item("web", protecteditem.StartPlannedFailover{JobID: id(5), At: noon}, protecteditem.DisableProtection{JobID: id(6), At: noon})
	m.settle()
	var got []string
	for _, row := range must[[]projections.Row[job.State]](t)(m.Jobs(t.Context(), "acme", projections.JobFilter{Item: "web"}, projections.Page{Limit: 10})) {
		got = append(got, string(row.State.Kind)+" "+row.Status)
	}
	want := []string{"DisableProtection NotStarted", "PlannedFailover Canceled", "FinalizeProtection NotStarted", "InitialReplication NotStarted", "EnableProtection Succeeded"}
	if !slices.Equal(got, want) {
		t.Errorf("jobs %q, want %q", got, want)
	}
	running := must[[]projections.Row[job.State]](t)(m.Jobs(t.Context(), "acme", projections.JobFilter{Status: "Succeeded", Kind: "EnableProtection"}, projections.Page{Limit: 10}))
	if len(running) != 1 || running[0].ID != id(1) {
		t.Errorf("filtered: %+v", running)
	}
}

func TestAVaultIsUnreachableFromAnother(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.item("web", protecting()...)
	m.settle()
	if _, err := m.ProtectedItem(t.Context(), "umbra", "web"); !errors.Is(err, projections.ErrNotFound) {
		t.Errorf("from another vault: %v", err)
	}
	for _, scope := range []string{"", "umbra", "acme", "*"} {
		for _, table := range []string{"protected_items_v1", "recovery_points_v1", "jobs_v1"} {
			n := m.visible(scope, table)
			if want := scope == "acme" || scope == "*"; want != (n > 0) {
				t.Errorf("%d rows of %s seen from %q", n, table, scope)
			}
		}
	}
	tx, err := m.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), "SELECT set_config('farshore.vault', 'umbra', true)"); err != nil {
		t.Fatal(err)
	}
	_, err = tx.Exec(t.Context(), `INSERT INTO protected_items_v1 (stream, vault, id, status, state, version, position, created_at, updated_at)
		VALUES ('x', 'acme', 'x', '', '{}', 1, 1, now(), now())`)
	if err == nil {
		t.Error("a row was written into another vault")
	}
}

// visible counts the rows seen on a connection that has been used before.
func (m *mirror) visible(scope, table string) int {
	m.t.Helper()
	tx, err := m.pool.Begin(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if scope != "" {
		if _, err := tx.Exec(m.t.Context(), "SELECT set_config('farshore.vault', $1, true)", scope); err != nil {
			m.t.Fatal(err)
		}
	}
	var n int
	if err := tx.QueryRow(m.t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		m.t.Fatal(err)
	}
	return n
}

func TestHostsAndVMsFollowTheInventory(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	say := func(cmds ...site.Command) {
		t.Helper()
		for _, cmd := range cmds {
			tell(m, site.Category, site.Decider, "acme", "acme.primary", cmd)
		}
		m.settle()
	}
	say(site.Register{Name: "s", Kind: site.Local, TimeZone: "UTC", At: noon}, site.AddHost{Host: "h1", Directory: "/a", At: noon},
		site.AddHost{Host: "h2", Directory: "/b", At: noon},
		site.RecordInventory{Host: "h1", VMs: []site.VirtualMachine{machine("web"), machine("db")}, Problems: []site.Problem{
			{Subject: "db", Failure: *errorcatalog.Fail(errorcatalog.DiskUnreadable, "os")},
		}, At: noon})
	all := func() []projections.FoundVM {
		return must[[]projections.FoundVM](t)(m.VirtualMachines(t.Context(), "acme", "primary", "", projections.Page{Limit: 10}))
	}
	first := all()
	if len(first) != 2 || first[0].VM.ID != "db" || len(first[0].Problems) != 1 || len(first[1].Problems) != 0 {
		t.Fatalf("found: %+v", first)
	}
	changed := machine("web")
	changed.CPUs = 8
	say(site.RecordInventory{Host: "h1", VMs: []site.VirtualMachine{changed}, At: noon}, site.RemoveHost{Host: "h2", At: noon})
	if now := all(); len(now) != 1 || now[0].VM.CPUs != 8 || now[0].Version <= first[1].Version {
		t.Errorf("changed: %+v, was %+v", now, first)
	}
	hosts := must[[]projections.FoundHost](t)(m.Hosts(t.Context(), "acme", "primary", "", projections.Page{Limit: 10}))
	if len(hosts) != 1 || hosts[0].ID != "h1" || hosts[0].VirtualMachines != 1 {
		t.Errorf("hosts: %+v", hosts)
	}
}

func newUUID() string { return uuid.Must(uuid.NewV7()).String() }

func TestAKeyForAllVaultsIsNoVaults(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	for _, scope := range []string{"acme", "*"} {
		tell(m, apikey.Category, apikey.Decider, "acme", newUUID(), apikey.Command(apikey.Issue{Vault: scope, Name: "k", Role: apikey.Reader, SecretHash: "h", At: noon}))
	}
	m.settle()
	for scope, want := range map[string]int{"acme": 1, "umbra": 0, "*": 2} {
		if rows := must[[]projections.Row[apikey.State]](t)(m.APIKeys(t.Context(), scope, projections.Page{Limit: 10})); len(rows) != want {
			t.Errorf("%d keys of %s, want %d", len(rows), scope, want)
		}
	}
}
