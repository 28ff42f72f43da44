package systemtest_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"farshore/api/oapi"
	"farshore/cmd/farshore/client"
	"farshore/cmd/farshore/demo"
)

// walk leads a VM through a whole life, and kills at every step of every job in it.
type walk struct {
	*place
	vm    demo.VM
	v     victim
	kills int
	// shaken says that a failover may have had to go on without its source, so that
	// its cancel costs a resynchronization, as logs that outgrow the threshold do.
	shaken bool
}

func TestALifeWhoseServerIsKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	w := &walk{place: newPlace(t, s), vm: demo.VM{Name: "walked", Disks: []int64{48 * mib, 40 * mib}, Pause: 50 * time.Millisecond}}
	w.boot(w.vm)
	w.v = victim{worker: func() *process { return s.proc }, kill: func() { s.proc.kill() }, revive: func() { must(t, s.start()) }}
	w.live()
}

func TestALifeWhoseHostsAreKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	w := &walk{place: newPlace(t, s), vm: demo.VM{Name: "hosted", Disks: []int64{48 * mib, 40 * mib}, Pause: 50 * time.Millisecond}, shaken: true}
	w.boot(w.vm)
	aimed := w.bothHosts()
	w.v = victim{worker: func() *process { return s.proc }, kill: func() {
		for _, pid := range aimed {
			if err := syscall.Kill(pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) { // of two that were started at once, one has ended
				must(t, err)
			}
		}
	}, revive: func() {
		eventually(t, patience, "the server has started both host processes again", func() bool {
			now := w.bothHosts()
			if len(now) != 2 || slices.ContainsFunc(now, func(pid int) bool { return slices.Contains(aimed, pid) }) {
				return false
			}
			aimed = now
			return true
		})
	}}
	w.live()
}

// bothHosts are the processes of the source and the recovery host.
func (w *walk) bothHosts() []int {
	return append(w.hostPIDs(), processes(" host run ", "--directory "+w.Recovery()+" ")...)
}

// request sends a request; edit may change it.
type request func(ctx context.Context, edit oapi.RequestEditorFn) (*http.Response, error)

// live goes once through every workflow that a protected VM has.
func (w *walk) live() {
	t, api, vm := w.t, w.s.api, w.vm.Name
	w.do("enable", func(ctx context.Context, edit oapi.RequestEditorFn) (*http.Response, error) {
		return api.EnableProtection(ctx, vault, vm, &oapi.EnableProtectionParams{}, w.enabling(w.vm), edit)
	})
	for _, kind := range []oapi.JobKind{oapi.JobKindInitialReplication, oapi.JobKindFinalizeProtection} {
		w.through(string(kind), w.jobOf(kind))
	}
	w.becomesProtected(w.vm)
	w.proveNext(w.vm)
	w.do("resynchronize", func(ctx context.Context, edit oapi.RequestEditorFn) (*http.Response, error) {
		return api.RepairReplication(ctx, vault, vm, &oapi.RepairReplicationParams{}, edit)
	})
	w.proveNext(w.vm)

	w.closeGate() // what the copies wrote would be missing at the source
	w.do("test failover", func(ctx context.Context, edit oapi.RequestEditorFn) (*http.Response, error) {
		return api.TestFailover(ctx, vault, vm, &oapi.TestFailoverParams{}, oapi.TestFailoverInput{Network: new("isolated")}, edit)
	})
	w.do("cleanup", func(ctx context.Context, edit oapi.RequestEditorFn) (*http.Response, error) {
		return api.CleanUpTestFailover(ctx, vault, vm, &oapi.CleanUpTestFailoverParams{}, oapi.TestFailoverCleanupInput{}, edit)
	})
	w.do("unplanned failover", func(ctx context.Context, edit oapi.RequestEditorFn) (*http.Response, error) {
		return api.UnplannedFailover(ctx, vault, vm, &oapi.UnplannedFailoverParams{}, oapi.UnplannedFailoverInput{ShutDownSource: new(true)}, edit)
	})
	w.do("cancel of it", func(ctx context.Context, edit oapi.RequestEditorFn) (*http.Response, error) {
		return api.CancelFailover(ctx, vault, vm, &oapi.CancelFailoverParams{}, edit)
	})
	w.openGate()
	w.becomesProtected(w.vm)
	eventually(t, long, "source and replica are in step", func() bool {
		return w.item(w.vm).ResynchronizationState == oapi.ResynchronizationStateNone
	})
	w.proveNext(w.vm)

	w.closeGate()
	w.do("planned failover", func(ctx context.Context, edit oapi.RequestEditorFn) (*http.Response, error) {
		return api.PlannedFailover(ctx, vault, vm, &oapi.PlannedFailoverParams{}, edit)
	})
	points := w.points(w.vm)
	last := points[len(points)-1]
	w.prove(w.vm, last)
	w.do("change of the recovery point", func(ctx context.Context, edit oapi.RequestEditorFn) (*http.Response, error) {
		in := oapi.ApplyRecoveryPointInput{RecoveryPoint: last.ID, Confirm: true}
		return api.ApplyRecoveryPoint(ctx, vault, vm, &oapi.ApplyRecoveryPointParams{}, in, edit)
	})
	w.openGate()
	w.do("commit", func(ctx context.Context, edit oapi.RequestEditorFn) (*http.Response, error) {
		return api.CommitFailover(ctx, vault, vm, &oapi.CommitFailoverParams{}, edit)
	})
	w.failBack()
	w.becomesProtected(w.vm)
	w.proveNext(w.vm)
	if !w.shaken {
		w.unblemished(w.vm)
	}
	w.disable(w.vm)
	t.Logf("killed %d times", w.kills)
}

// failBack brings the VM home, and has it protected again.
func (w *walk) failBack() {
	api, vm := w.s.api, w.vm.Name
	w.grows(w.vm, "the guest writes on the recovery side")
	var failback string
	w.do("failback", func(ctx context.Context, edit oapi.RequestEditorFn) (*http.Response, error) {
		return api.StartFailback(ctx, vault, vm, &oapi.StartFailbackParams{}, oapi.FailbackInput{Mode: oapi.FailbackInputModeMinimizeDowntime}, edit)
	}, func(id string) bool {
		failback = id
		return w.counted(w.vm, "failback_synchronized") > 0
	})
	a, err := client.Call[oapi.Job](api.CompleteFailback(w.t.Context(), vault, vm, &oapi.CompleteFailbackParams{}))
	must(w.t, err)
	if a.Body.ID != failback {
		w.t.Errorf("the failback ran under job %s, its completion runs under %s", failback, a.Body.ID)
	}
	w.through("completion of the failback", failback)
	w.do("commit of the failback", func(ctx context.Context, edit oapi.RequestEditorFn) (*http.Response, error) {
		return api.CommitFailback(ctx, vault, vm, &oapi.CommitFailbackParams{}, edit)
	})
	w.do("reverse replication", func(ctx context.Context, edit oapi.RequestEditorFn) (*http.Response, error) {
		return api.ReProtect(ctx, vault, vm, &oapi.ReProtectParams{}, edit)
	})
}

// do sends a request twice, as a client does that has not heard of an answer, and
// goes through its job. A job that waits before its end is told by until.
func (w *walk) do(what string, send request, until ...func(job string) bool) {
	w.t.Helper()
	key := uuid.NewString()
	repeatable := func(_ context.Context, req *http.Request) error {
		req.Header.Set("Idempotency-Key", key)
		return nil
	}
	first, err := client.Call[oapi.Job](send(w.t.Context(), repeatable))
	must(w.t, err)
	again, err := client.Call[oapi.Job](send(w.t.Context(), repeatable))
	must(w.t, err)
	if first.Body.ID != again.Body.ID {
		w.t.Errorf("%s: the same request began job %s and job %s", what, first.Body.ID, again.Body.ID)
	}
	w.through(what, first.Body.ID, until...)
}

// through kills when a step of a job has begun, step by step, to the job's end.
func (w *walk) through(what, job string, until ...func(job string) bool) {
	t := w.t
	t.Helper()
	over := func() bool { return w.jobEvents(job, "job.succeeded", "job.failed", "job.canceled") > 0 }
	if len(until) > 0 {
		over = func() bool { return until[0](job) }
	}
	begun, seen := w.stepsBegun(job), 0
	for w.v.strike(t, what, func() (come, past bool) {
		seen = w.stepsBegun(job) // the database may go with the victim
		return seen > begun, over()
	}) {
		w.kills++
		begun = seen
		w.v.revive()
	}
	if w.jobEvents(job, "job.failed", "job.canceled") > 0 {
		a, err := client.Call[oapi.Job](w.s.api.GetJob(t.Context(), vault, job, &oapi.GetJobParams{}))
		must(t, err)
		t.Fatalf("%s (job %s) ended as %s: %+v", what, job, a.Body.Status, a.Body.Error)
	}
}

// stepsBegun is how many different steps of a job have begun.
func (w *walk) stepsBegun(job string) (n int) {
	w.t.Helper()
	w.look(`SELECT count(DISTINCT data->>'task') FROM events WHERE stream = 'job-' || $1 AND type = 'job.task_started.v1'`, []any{job}, &n)
	return n
}

func (w *walk) jobEvents(job string, types ...string) (n int) {
	w.t.Helper()
	for i := range types {
		types[i] += ".v1"
	}
	w.look(`SELECT count(*) FROM events WHERE stream = 'job-' || $1 AND type = ANY($2)`, []any{job, types}, &n)
	return n
}

// jobOf waits for a job of a kind that the VM's protection begins by itself.
func (w *walk) jobOf(kind oapi.JobKind) (id string) {
	w.t.Helper()
	const query = `SELECT coalesce(max(substr(stream, 5)), '') FROM events
		WHERE type = 'job.started.v1' AND data->>'kind' = $1 AND data->>'subject' = $2`
	eventually(w.t, patience, "a job of kind "+string(kind), func() bool {
		w.look(query, []any{kind, vault + "." + w.vm.Name}, &id)
		return id != ""
	})
	return id
}

func (w *walk) closeGate() { must(w.t, os.WriteFile(w.Gate(w.vm.Name), nil, 0o600)) }
func (w *walk) openGate()  { must(w.t, os.Remove(w.Gate(w.vm.Name))) }
