package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/prometheus/client_golang/prometheus"

	"farshore/api"
	"farshore/api/oapi"
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

// world is a running service on a database of its own, as clients see it.
type world struct {
	t      testing.TB
	url    string
	key    string // of an administrator of all vaults
	keyID  string
	pool   *pgxpool.Pool
	store  eventstore.Store
	client *oapi.ClientWithResponses
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOn(t, pgtest.New(t))
}

func newWorldOn(t *testing.T, pool *pgxpool.Pool) *world {
	t.Helper()
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
	run(t, store.Run)
	run(t, runner.Run)
	queries := &projections.Queries{Pool: pool}
	server, err := api.New(api.Config{
		Store: store, Queries: queries, Networks: bookOf(store, queries).Of, Positions: runner, Now: time.Now, NewID: newID,
		Registry: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(logTo{t}, nil)), LagTimeout: 2 * time.Second,
		FindScript: func(name string) error { return errorcatalog.Fail(errorcatalog.ScriptNotFound, "%s", name) },
	})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server.Handler())
	t.Cleanup(web.Close)
	w := &world{t: t, url: web.URL, pool: pool, store: store}
	w.keyID, w.key = w.seedKey(apikey.AllVaults, apikey.VaultAdmin)
	w.client = w.as(w.key)
	return w
}

// run starts a long-running part and waits for it when the test ends.
func run(tb testing.TB, part func(context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- part(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("run: %v", err)
		}
	})
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// logTo shows the service's log with the test's.
type logTo struct{ t testing.TB }

func (l logTo) Write(p []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

// seedKey records a key as the first start of the service does.
func (w *world) seedKey(scope string, role apikey.Role) (id, key string) {
	w.t.Helper()
	id = newID()
	key, hash, err := api.MintKey(id, rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	keys := eventstore.Repository[apikey.Command, apikey.Event, apikey.State]{Store: w.store, Category: apikey.Category, Decider: apikey.Decider}
	_, err = keys.Execute(context.Background(), id, apikey.Issue{Vault: scope, Name: "seed", Role: role, SecretHash: hash, At: time.Now()}, eventstore.Execution{})
	if err != nil {
		w.t.Fatal(err)
	}
	return id, key
}

// as returns a client with a key whose every answer is held against the contract.
func (w *world) as(key string) *oapi.ClientWithResponses {
	w.t.Helper()
	client, err := oapi.NewClientWithResponses(w.url, oapi.WithHTTPClient(w.http()), oapi.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+key)
		return nil
	}))
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

func (w *world) http() *http.Client {
	return &http.Client{Transport: judged{w.t}, Timeout: 30 * time.Second}
}

// judged fails the test when an answer does not follow the contract.
type judged struct{ t testing.TB }

func (j judged) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if ok, faults := contract(j.t).ValidateHttpResponse(r, resp); !ok {
		for _, f := range faults {
			if f.ValidationType == "path" {
				continue // a route that the contract does not have
			}
			j.t.Errorf("%s %s: answer %d does not follow the contract: %s %s %v\n%s", r.Method, r.URL.Path, resp.StatusCode, f.Message, f.Reason, f.SchemaValidationErrors, body)
		}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

var compiled = sync.OnceValues(func() (validator.Validator, error) {
	doc, err := libopenapi.NewDocument(oapi.Contract)
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(doc, config.WithFormatAssertions(), config.WithoutSecurityValidation())
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return v, nil
})

func contract(tb testing.TB) validator.Validator {
	tb.Helper()
	v, err := compiled()
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// answer is a response as it came.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) problem(tb testing.TB) oapi.Problem {
	tb.Helper()
	var p oapi.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		tb.Fatalf("no problem: %v\n%s", err, a.body)
	}
	return p
}

// send sends a request by hand, for what the client cannot say wrongly.
func (w *world) send(method, path, key, body string, header ...string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, w.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		w.t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := w.http().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: raw}
}

func (w *world) head() eventstore.Position {
	w.t.Helper()
	head, err := w.store.Head(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return head
}

// must puts a resource and fails the test unless that works.
func (w *world) must(method, path, body string) answer {
	w.t.Helper()
	a := w.send(method, path, w.key, body)
	if a.status >= http.StatusMultipleChoices {
		w.t.Fatalf("%s %s: %d\n%s", method, path, a.status, a.body)
	}
	return a
}

// furnish makes a vault with a policy, two sites with a host each, a VM found on
// the first and a store.
func (w *world) furnish(vaultID string) {
	w.t.Helper()
	v := "/v1/vaults/" + vaultID
	w.must("PUT", v, `{"name":"Vault"}`)
	w.must("PUT", v+"/policies/p30", `{"name":"Often","copyFrequencySeconds":30}`)
	w.must("PUT", v+"/sites/primary", `{"name":"Primary","kind":"Local","timeZone":"Europe/Vienna"}`)
	w.must("PUT", v+"/sites/recovery", `{"name":"Recovery","kind":"Local"}`)
	w.must("PUT", v+"/sites/primary/hosts/h1", `{"directory":"/srv/h1"}`)
	w.must("PUT", v+"/sites/recovery/hosts/h2", `{"directory":"/srv/h2"}`)
	w.must("PUT", v+"/storageAccounts/store", `{"name":"Store","kind":"Directory","directory":"/srv/replicas"}`)
	w.inventory(vaultID, "primary", "h1", goodVM("web"), withoutOSDisk("bad"))
}

func (w *world) inventory(vaultID, siteID, host string, vms ...site.VirtualMachine) {
	w.t.Helper()
	execute(w, site.Category, site.Decider, vaultID+"."+siteID, site.Command(site.RecordInventory{Host: host, VMs: vms, At: time.Now()}), vaultID)
}

// execute records what a worker would.
func execute[C any, E domain.Event, S any](w *world, category string, d domain.Decider[C, E, S], id string, cmd C, vaultID string) {
	w.t.Helper()
	repo := eventstore.Repository[C, E, S]{Store: w.store, Category: category, Decider: d}
	_, err := repo.Execute(context.Background(), id, cmd, eventstore.Execution{Metadata: eventstore.Metadata{Actor: "worker:test", Vault: vaultID}})
	if err != nil {
		w.t.Fatalf("%T: %v", cmd, err)
	}
}

func goodVM(id string) site.VirtualMachine {
	return site.VirtualMachine{
		ID: id, Name: id, Generation: 2, CPUs: 2, MemoryMiB: 2048, NICs: []site.NIC{{Name: "eth0", Network: "lan"}},
		Disks: []site.Disk{
			{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: 2 << 30, OS: true},
			{ID: "data", File: "data.raw", Format: site.Raw, SizeBytes: 1 << 30},
		},
	}
}

func withoutOSDisk(id string) site.VirtualMachine {
	vm := goodVM(id)
	vm.Disks = vm.Disks[1:]
	return vm
}

const enableWeb = `{"site":"primary","host":"h1","virtualMachine":"web","policy":"p30","storageAccount":"store","recovery":{"site":"recovery","host":"h2"}}`
