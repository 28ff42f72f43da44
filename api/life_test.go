package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/eventstore"
)

// item is a protected item of the vault acme, driven as its workers would.
type item struct {
	*world
	id string
}

func (i item) do(cmd protecteditem.Command) {
	i.t.Helper()
	execute(i.world, protecteditem.Category, protecteditem.Decider, "acme."+i.id, cmd, "acme")
}

// show reads the item once its read model has everything.
func (i item) show() oapi.ProtectedItem {
	i.t.Helper()
	head := int64(i.head())
	r, err := i.client.GetProtectedItemWithResponse(context.Background(), "acme", i.id, &oapi.GetProtectedItemParams{MinPosition: &head})
	if err != nil || r.JSON200 == nil {
		i.t.Fatalf("read item: %v %s", err, r.Body)
	}
	return *r.JSON200
}

// replicated drives an enabled item to Protected, with one point.
func (i item) replicated(enableJob string) {
	now := time.Now()
	i.do(protecteditem.RecordRelationship{JobID: enableJob, StartAt: now, At: now})
	ir, fin := newID(), newID()
	i.do(protecteditem.StartInitialReplication{JobID: ir, Snapshot: "snap", TotalBytes: 3 << 30, At: now})
	i.do(protecteditem.CompleteInitialReplication{JobID: ir, Bytes: 3 << 30, Point: point(now), FinalizeJobID: fin, At: now})
	i.do(protecteditem.FinalizeProtection{JobID: fin, At: now})
}

func point(at time.Time) protecteditem.Point {
	root := strings.Repeat("ab", 32)
	return protecteditem.Point{ID: newID(), Instant: at, Consistency: protecteditem.CrashConsistent, Disks: []protecteditem.PointDisk{
		{Disk: "os", SizeBytes: 2 << 30, Root: root}, {Disk: "data", SizeBytes: 1 << 30, Root: root},
	}}
}

func (w *world) enable() (item, oapi.Job) {
	w.t.Helper()
	a := w.must("PUT", "/v1/vaults/acme/protectedItems/web", enableWeb)
	return item{w, "web"}, jobIn(w.t, a)
}

func jobIn(tb testing.TB, a answer) oapi.Job {
	tb.Helper()
	if a.status != http.StatusAccepted {
		tb.Fatalf("answered %d\n%s", a.status, a.body)
	}
	if a.header.Get("Operation-Location") == "" || a.header.Get("Retry-After") == "" || a.header.Get("X-Event-Position") == "" {
		tb.Errorf("incomplete 202: %v", a.header)
	}
	var j oapi.Job
	if err := json.Unmarshal(a.body, &j); err != nil {
		tb.Fatal(err)
	}
	return j
}

func TestEnablingAnswersAJobThatCanBeFollowedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	a := w.must("PUT", "/v1/vaults/acme/protectedItems/web", enableWeb)
	j := jobIn(t, a)
	if j.Kind != oapi.JobKindEnableProtection || j.Status != oapi.JobStatusNotStarted || j.Item != "web" {
		t.Errorf("job: %+v", j)
	}
	path := strings.TrimPrefix(a.header.Get("Operation-Location"), w.url)
	if seen := w.send("GET", path, w.key, ""); seen.status != http.StatusOK || !strings.Contains(string(seen.body), j.ID) {
		t.Errorf("GET %s: %d\n%s", path, seen.status, seen.body)
	}
	for _, cmd := range []job.Command{
		job.Start{Vault: "acme", Kind: job.EnableProtection, Subject: "acme.web", Tasks: []job.TaskSpec{{Name: "check", Title: "Check"}}, At: time.Now()},
		job.StartTask{Task: "check", At: time.Now()},
	} {
		execute(w, job.Category, job.Decider, j.ID, cmd, "acme")
	}
	head := int64(w.head())
	r, err := w.client.GetJobWithResponse(t.Context(), "acme", j.ID, &oapi.GetJobParams{MinPosition: &head})
	if err != nil || r.JSON200 == nil || r.JSON200.Status != oapi.JobStatusRunning || len(r.JSON200.Tasks) != 1 || r.JSON200.CreatedAt == nil {
		t.Fatalf("running job: %v %s", err, r.Body)
	}
	if a := w.send("POST", "/v1/vaults/acme/jobs/"+j.ID+"/cancel", w.key, ""); a.status != http.StatusAccepted || !jobIn(t, a).CancelRequested {
		t.Errorf("cancel: %d %s", a.status, a.body)
	}
	execute(w, job.Category, job.Decider, j.ID, job.Command(job.Cancel{At: time.Now()}), "acme")
	if a := w.send("POST", "/v1/vaults/acme/jobs/"+j.ID+"/cancel", w.key, ""); a.status != http.StatusConflict || a.problem(t).Code != "job_ended" {
		t.Errorf("cancel an ended job: %d %s", a.status, a.body)
	}
}

func TestProgressIsSeenOnTheItemAndItsJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	now := time.Now()
	i.do(protecteditem.RecordRelationship{JobID: enabling.ID, StartAt: now, At: now})
	copying := newID()
	i.do(protecteditem.StartInitialReplication{JobID: copying, Snapshot: "snap", TotalBytes: 400, At: now})
	_, err := w.pool.Exec(t.Context(), `INSERT INTO transfer_progress (item, job, disk, bytes_done, bytes_total, bytes_per_second, updated_at)
		VALUES ('acme.web', $1, 'os', 100, 300, 20, now()), ('acme.web', $1, 'data', 0, 100, 10, now())`, copying)
	if err != nil {
		t.Fatal(err)
	}
	shown := i.show()
	if p := shown.Progress; p == nil || p.BytesDone != 100 || p.BytesTotal != 400 || p.BytesPerSecond != 30 || p.EtaSeconds == nil || *p.EtaSeconds != 10 {
		t.Errorf("the item's progress: %+v", p)
	}
	if p := shown.Disks[0].Progress; p == nil || p.BytesTotal != 300 {
		t.Errorf("the OS disk's progress: %+v", p)
	}
	a := w.must("GET", "/v1/vaults/acme/jobs?item=web&kind=InitialReplication&state=NotStarted&minPosition="+strconv.Itoa(int(w.head())), "")
	if !strings.Contains(string(a.body), `"bytesTotal":400`) || !strings.Contains(string(a.body), copying) {
		t.Errorf("the job's progress: %s", a.body)
	}
}

func TestARepeatedRequestGetsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	const path = "/v1/vaults/acme/protectedItems/web"
	first := jobIn(t, w.send("PUT", path, w.key, enableWeb, "Idempotency-Key", "once"))
	head := w.head()
	again := w.send("PUT", path, w.key, enableWeb, "Idempotency-Key", `"once"`)
	if j := jobIn(t, again); j.ID != first.ID {
		t.Errorf("another job: %s, first %s", j.ID, first.ID)
	}
	other := w.send("PUT", path, w.key, strings.Replace(enableWeb, `"policy"`, `"disks":["os"],"policy"`, 1), "Idempotency-Key", "once")
	if other.status != http.StatusUnprocessableEntity || other.problem(t).Code != "idempotency_key_reused" {
		t.Errorf("another body under the same key: %d %s", other.status, other.body)
	}
	if fresh := w.send("PUT", path, w.key, enableWeb, "Idempotency-Key", "twice"); fresh.status != http.StatusConflict || fresh.problem(t).Code != "already_protected" {
		t.Errorf("enabling again: %d %s", fresh.status, fresh.body)
	}
	if w.head() != head {
		t.Error("a repeated request left an event")
	}

	item{w, "web"}.replicated(first.ID)
	failover := jobIn(t, w.send("POST", path+"/plannedFailover", w.key, "", "Idempotency-Key", "go"))
	if again := jobIn(t, w.send("POST", path+"/plannedFailover", w.key, "", "Idempotency-Key", "go")); again.ID != failover.ID {
		t.Errorf("another failover: %s, first %s", again.ID, failover.ID)
	}
	if again := w.send("POST", path+"/plannedFailover", w.key, ""); again.status != http.StatusConflict || again.problem(t).Code != "operation_in_progress" {
		t.Errorf("a second failover: %d %s", again.status, again.body)
	}
}

func TestValidateOnlyDoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	const path = "/v1/vaults/acme/protectedItems/web"
	head := w.head()
	if a := w.send("PUT", path+"?validateOnly=true", w.key, enableWeb); a.status != http.StatusOK {
		t.Errorf("a good request: %d %s", a.status, a.body)
	}
	if a := w.send("PUT", path+"?validateOnly=true", w.key, strings.Replace(enableWeb, `"virtualMachine":"web"`, `"virtualMachine":"bad"`, 1)); a.status != http.StatusConflict {
		t.Errorf("a VM that cannot be protected: %d %s", a.status, a.body)
	}
	if w.head() != head {
		t.Error("validation left an event")
	}
	i, j := w.enable()
	i.replicated(j.ID)
	head = w.head()
	if a := w.send("POST", path+"/plannedFailover?validateOnly=true", w.key, ""); a.status != http.StatusOK {
		t.Errorf("a failover: %d %s", a.status, a.body)
	}
	if w.head() != head {
		t.Error("validation left an event")
	}
	if other := w.send("PUT", "/v1/vaults/acme/protectedItems/web2", w.key, enableWeb); other.status != http.StatusConflict || other.problem(t).Code != "already_protected" {
		t.Errorf("the same VM as another item: %d %s", other.status, other.body)
	}
}

func TestAnItemTellsItsStateAndWhatMayBeDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i, enabling := w.enable()
	shown := i.show()
	if shown.ProtectionState != "EnablingProtection" || shown.CurrentJob == nil || shown.CurrentJob.ID != enabling.ID || shown.Cycle != 1 {
		t.Errorf("while enabling: %+v", shown)
	}
	for _, o := range shown.AllowedOperations {
		if o.Allowed != (o.Name == "disableProtection" || o.Name == "changePolicy" || o.Name == "networkSettings") || (!o.Allowed && (o.Code == nil || o.Reason == nil)) {
			t.Errorf("while enabling: %+v", o)
		}
	}
	const path = "/v1/vaults/acme/protectedItems/web"
	if a := w.send("POST", path+"/failoverCommit", w.key, ""); a.status != http.StatusConflict || a.problem(t).Code != "no_failover_pending" {
		t.Errorf("commit without failover: %d %s", a.status, a.body)
	}
	i.replicated(enabling.ID)
	shown = i.show()
	if shown.ProtectionState != "Protected" || shown.ReplicationHealth != oapi.ReplicationHealthNormal || shown.LatestRecoveryPoint == nil ||
		shown.RpoSeconds == nil || len(shown.Disks) != 2 || shown.NextCutAt == nil {
		t.Errorf("protected: %+v", shown)
	}
	if a := w.send("POST", path+"/replicateNow", w.key, "", "If-Match", `"1-1"`); a.status != http.StatusPreconditionFailed {
		t.Errorf("stale If-Match: %d %s", a.status, a.body)
	}
	if a := w.send("POST", path+"/replicateNow", w.key, "", "If-Match", shown.Etag); a.status != http.StatusAccepted {
		t.Errorf("replicate now: %d %s", a.status, a.body)
	}
	var points []string
	for n := range 4 {
		now := time.Now()
		cut := point(now.Add(time.Duration(n) * time.Second))
		i.do(protecteditem.RecordDelta{Cut: cut.ID, PreviousCut: lastCut(w), Instant: cut.Instant, Bytes: 1, At: now})
		i.do(protecteditem.CreateRecoveryPoint{Point: cut, At: now})
		points = append(points, cut.ID)
	}
	w.pagesThrough("/v1/vaults/acme/protectedItems/web/recoveryPoints", 5, points[3])
	a := w.send("GET", path+"/recoveryPoints/"+points[0], w.key, "")
	if a.status != http.StatusOK {
		t.Errorf("a point: %d %s", a.status, a.body)
	}
	w.disabledTwice(i)
}

func lastCut(w *world) string {
	items := eventstore.Repository[protecteditem.Command, protecteditem.Event, protecteditem.State]{
		Store: w.store, Category: protecteditem.Category, Decider: protecteditem.Decider,
	}
	state, _, err := items.Load(context.Background(), "acme.web")
	if err != nil {
		w.t.Fatal(err)
	}
	return state.LastShipped.Cut
}

func (w *world) disabledTwice(i item) {
	w.t.Helper()
	const path = "/v1/vaults/acme/protectedItems/web"
	first := jobIn(w.t, w.send("DELETE", path+"?keepReplica=1&reason=done", w.key, "", "If-Match", i.show().Etag))
	if again := jobIn(w.t, w.send("DELETE", path, w.key, "", "If-Match", "*")); again.ID != first.ID {
		w.t.Errorf("disabling again: job %s, first %s", again.ID, first.ID)
	}
	i.do(protecteditem.CompleteDisable{JobID: first.ID, At: time.Now()})
	if again := jobIn(w.t, w.send("DELETE", path, w.key, "", "If-Match", "*")); again.ID != first.ID {
		w.t.Errorf("disabling once disabled: job %s, first %s", again.ID, first.ID)
	}
	shown := i.show()
	if shown.ProtectionState != "Unprotected" || shown.ReplicaUntil == nil {
		w.t.Errorf("disabled: %+v", shown)
	}
	if a := w.send("DELETE", "/v1/vaults/acme/sites/primary/hosts/h1", w.key, "", "If-Match", "*"); a.status != http.StatusNoContent {
		w.t.Errorf("remove the host: %d %s", a.status, a.body)
	}
}

// pagesThrough reads a list two by two and expects so many, the first of them
// first.
func (w *world) pagesThrough(path string, want int, first string) {
	w.t.Helper()
	next, seen := w.url+path+"?pageSize=2&minPosition="+strconv.Itoa(int(w.head())), map[string]bool{}
	for pages := 0; next != ""; pages++ {
		var page struct {
			Value    []struct{ ID string }
			NextLink string
		}
		a := w.send("GET", strings.TrimPrefix(next, w.url), w.key, "")
		if err := json.Unmarshal(a.body, &page); err != nil || a.status != http.StatusOK || pages > want {
			w.t.Fatalf("GET %s: %d %v\n%s", next, a.status, err, a.body)
		}
		for _, v := range page.Value {
			if len(seen) == 0 && first != "" && v.ID != first {
				w.t.Errorf("first is %s, want %s", v.ID, first)
			}
			if seen[v.ID] {
				w.t.Errorf("%s comes twice", v.ID)
			}
			seen[v.ID] = true
		}
		next = page.NextLink
	}
	if len(seen) != want {
		w.t.Errorf("%s: %d rows, want %d", path, len(seen), want)
	}
}
