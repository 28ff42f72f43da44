package runbook_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/eventstore"
	"farshore/workers/runbook"
)

func now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// book is a runbook on a journal in memory.
func book(t *testing.T) runbook.Runbook {
	t.Helper()
	codec, err := eventstore.NewCodec(eventstore.Types(job.Events()...))
	if err != nil {
		t.Fatal(err)
	}
	return runbook.Runbook{
		Jobs: runbook.Jobs{Store: eventstore.NewMemory(codec, now), Category: job.Category, Decider: job.Decider},
		ID:   "j1", Kind: job.PlannedFailover, Vault: "v", Subject: "v.web", Now: now,
	}
}

var errCrash = errors.New("crash")

func TestAWorkflowResumesWhereItStopped(t *testing.T) {
	t.Parallel()
	var ran []string
	crash := true
	step := func(name string, run func(m *runbook.Memo) error) runbook.Step {
		return runbook.Step{Name: name, Title: name, Run: func(_ context.Context, m *runbook.Memo) error {
			ran = append(ran, name)
			return run(m)
		}}
	}
	b := book(t)
	b.Steps = []runbook.Step{
		step("stop", func(m *runbook.Memo) error { m.Note("cut", "c1"); return nil }),
		step("promote", func(m *runbook.Memo) error {
			if crash {
				m.Note("cut", "lost with the crash")
				return errCrash
			}
			if m.Value("cut") != "c1" {
				t.Errorf("the finished step's note is %q", m.Value("cut"))
			}
			return nil
		}),
		step("start", func(*runbook.Memo) error { return nil }),
	}
	err := b.Run(t.Context())
	if failed, ok := errors.AsType[*runbook.StepError](err); !ok || failed.Step != "promote" || !errors.Is(err, errCrash) {
		t.Errorf("the first run ended with %v", err)
	}
	crash = false
	if err := b.Run(t.Context()); err != nil {
		t.Error(err)
	}
	if want := []string{"stop", "promote", "promote", "start"}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
	state, _, err := b.Jobs.Load(t.Context(), b.ID)
	if err != nil || state.Status != job.Succeeded {
		t.Errorf("the job is %s, %v", state.Status, err)
	}
	if err := b.Run(t.Context()); err != nil || len(ran) != 4 {
		t.Errorf("a job that has ended ran again: %v, %v", ran, err)
	}
}

func TestAFailedStepIsJournaledAndTriedAgain(t *testing.T) {
	t.Parallel()
	b := book(t)
	broken := true
	b.Steps = []runbook.Step{{Name: "check", Run: func(context.Context, *runbook.Memo) error {
		if broken {
			return errorcatalog.Fail(errorcatalog.ReplicaStoreFull, "full")
		}
		return nil
	}}}
	err := b.Run(t.Context())
	next := now().Add(time.Minute)
	if err := b.Failed(t.Context(), "check", errorcatalog.Of(err), next); err != nil {
		t.Fatal(err)
	}
	state, _, _ := b.Jobs.Load(t.Context(), b.ID)
	if task, _ := state.Task("check"); task.Status != job.Failed || !task.NextAttemptAt.Equal(next) || task.Failure.Code != errorcatalog.ReplicaStoreFull {
		t.Errorf("the journal says %+v", task)
	}
	broken = false
	if err := b.Run(t.Context()); err != nil {
		t.Error(err)
	}
	state, _, _ = b.Jobs.Load(t.Context(), b.ID)
	if task, _ := state.Task("check"); task.Status != job.Succeeded || task.Attempts != 2 {
		t.Errorf("the journal says %+v", task)
	}
}

func TestHiccupsAreSatOutForTwentySeconds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		away time.Duration
		code errorcatalog.Code
		want bool
	}{
		"a connection that comes back": {19 * time.Second, errorcatalog.HostUnreachable, true},
		"one that does not":            {40 * time.Second, errorcatalog.ReplicaStoreUnreachable, false},
		"a failure that is no hiccup":  {time.Millisecond, errorcatalog.ReplicaStoreFull, false},
		"a log that cannot be trusted": {time.Millisecond, errorcatalog.LogTruncated, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := runbook.Patiently(t.Context(), time.Now, func() error {
					if time.Since(began) < tt.away {
						return errorcatalog.Fail(tt.code, "away")
					}
					return nil
				})
				took := time.Since(began)
				if (err == nil) != tt.want || took > 20*time.Second {
					t.Errorf("after %s: %v", took, err)
				}
			})
		})
	}
}

func TestPatienceEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		err := runbook.Patiently(ctx, time.Now, func() error { return errorcatalog.Fail(errorcatalog.HostUnreachable, "away") })
		if err == nil || time.Since(began) > time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
