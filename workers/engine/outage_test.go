package engine_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/eventstore"
	"farshore/workers/disk"
	"farshore/workers/replica"
)

// outage takes a replica store away from each step of each workflow, once, at the
// step's first use of it.
type outage struct {
	step func() string // the step that is under way; empty: none

	mu   sync.Mutex
	had  map[string]bool // the steps that have had theirs
	away bool
}

func (o *outage) gone() error {
	step := o.step()
	o.mu.Lock()
	defer o.mu.Unlock()
	if step != "" && !o.had[step] {
		o.had[step], o.away = true, true
	}
	if o.away {
		return errorcatalog.Fail(errorcatalog.ReplicaStoreUnreachable, "the store is away during %s", step)
	}
	return nil
}

func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.away = false
}

// steps lists the steps that had an outage.
func (o *outage) steps() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []string
	for s := range o.had {
		all = append(all, s)
	}
	return all
}

// failingStore is a replica store with outages.
type failingStore struct {
	replica.Store
	*outage
}

func (s failingStore) CreateDisk(ctx context.Context, spec replica.DiskSpec, fence int64) error {
	if err := s.gone(); err != nil {
		return err
	}
	return s.Store.CreateDisk(ctx, spec, fence)
}

func (s failingStore) OpenDisk(ctx context.Context, item, disk string, fence int64) (replica.Disk, error) {
	if err := s.gone(); err != nil {
		return nil, err
	}
	return s.Store.OpenDisk(ctx, item, disk, fence)
}

func (s failingStore) RemoveItem(ctx context.Context, item string, fence int64) error {
	if err := s.gone(); err != nil {
		return err
	}
	return s.Store.RemoveItem(ctx, item, fence)
}

func (s failingStore) PutObject(ctx context.Context, item, name string, r io.ReadSeeker, size int64) error {
	if err := s.gone(); err != nil {
		return err
	}
	return s.Store.PutObject(ctx, item, name, r, size)
}

func (s failingStore) OpenObject(ctx context.Context, item, name string) (replica.Object, error) {
	if err := s.gone(); err != nil {
		return nil, err
	}
	return s.Store.OpenObject(ctx, item, name)
}

func (s failingStore) ListObjects(ctx context.Context, item, prefix string) ([]string, error) {
	if err := s.gone(); err != nil {
		return nil, err
	}
	return s.Store.ListObjects(ctx, item, prefix)
}

func (s failingStore) BeginApply(ctx context.Context, item, cut string, fence int64, changes []replica.Change) error {
	if err := s.gone(); err != nil {
		return err
	}
	return s.Store.BeginApply(ctx, item, cut, fence, changes)
}

func (s failingStore) CommitPoint(ctx context.Context, item string, point replica.PointSpec, fence int64) error {
	if err := s.gone(); err != nil {
		return err
	}
	return s.Store.CommitPoint(ctx, item, point, fence)
}

func (s failingStore) Rollback(ctx context.Context, item string, fence int64) error {
	if err := s.gone(); err != nil {
		return err
	}
	return s.Store.Rollback(ctx, item, fence)
}

func (s failingStore) ListPoints(ctx context.Context, item string) ([]replica.PointInfo, error) {
	if err := s.gone(); err != nil {
		return nil, err
	}
	return s.Store.ListPoints(ctx, item)
}

func (s failingStore) OpenPoint(ctx context.Context, item, point, id string) (disk.Reader, error) {
	if err := s.gone(); err != nil {
		return nil, err
	}
	return s.Store.OpenPoint(ctx, item, point, id)
}

func (s failingStore) RemovePoint(ctx context.Context, item, point string, fence int64) error {
	if err := s.gone(); err != nil {
		return err
	}
	return s.Store.RemovePoint(ctx, item, point, fence)
}

// underWay is the running step of the item's jobs: of the one that has it, of its
// test failover's, or of one that has just let it go.
func (s *scene) underWay() string {
	st, _, err := s.items.Load(context.Background(), itemKey)
	if err != nil {
		return ""
	}
	ids := []string{st.Ended.ID}
	for _, ref := range []*protecteditem.JobRef{st.TestJob, st.Job} {
		if ref != nil {
			ids = append(ids, ref.ID)
		}
	}
	for _, id := range slices.Backward(ids) {
		j, _, err := s.jobs.Load(context.Background(), id)
		if err != nil {
			continue
		}
		for _, task := range j.Tasks {
			if task.Status == job.Running {
				return string(j.Kind) + "/" + task.Name
			}
		}
	}
	return ""
}

// survive asks for something and gets it, whatever the outages on the way: a failed
// attempt is repeated as an operator would, a workflow that was taken back asked for
// again.
func (s *scene) survive(o *outage, what string, ask func() protecteditem.Command, got func(protecteditem.State) bool) protecteditem.State {
	s.t.Helper()
	s.do(ask())
	st := s.until(what, func(st protecteditem.State) bool {
		if got(st) && st.Job == nil {
			return true
		}
		how := eventstore.Execution{Metadata: eventstore.Metadata{Actor: "apikey:test", Vault: vault}}
		switch {
		case st.Retry.Failure != nil || st.TestRetry.Failure != nil:
			o.end()
			_, _ = s.items.Execute(s.t.Context(), itemKey, protecteditem.RetryNow{At: s.now()}, how) // refused when it was repeated meanwhile
		case st.Job == nil && st.TestJob == nil && (st.Failure != nil || st.TestFailure != nil):
			o.end()
			_, _ = s.items.Execute(s.t.Context(), itemKey, ask(), how) // refused while it goes on
		}
		return false
	})
	o.end()
	return st
}

func TestALifeWhoseStoreIsLostAtEveryStep(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { seldom(c); c.Speed = 40 })
	o := &outage{had: map[string]bool{}, step: s.underWay}
	s.outage = o
	s.work()
	enabling := s.enabling()
	enabling.Policy.ResyncThresholdPercent = 100
	s.survive(o, "protected", func() protecteditem.Command { return enabling }, protected)
	first := s.state().Points[0]
	s.judge(first)
	s.survive(o, "in step again", func() protecteditem.Command {
		return protecteditem.RepairReplication{JobID: newID(), At: s.now()}
	}, func(st protecteditem.State) bool {
		return st.Resync.State == protecteditem.ResyncNone && count(s.events(), "resynchronization_completed") > 0
	})
	s.judge(first)
	s.survive(o, "the test VM is up", func() protecteditem.Command {
		return protecteditem.StartTestFailover{JobID: newID(), Choice: protecteditem.Latest, Network: "isolated", At: s.now()}
	}, func(st protecteditem.State) bool { return st.TestFailover == protecteditem.TestFailoverAwaitingCleanup })
	s.survive(o, "cleaned up", func() protecteditem.Command {
		return protecteditem.CleanUpTestFailover{JobID: newID(), At: s.now()}
	}, func(st protecteditem.State) bool { return st.TestFailover == protecteditem.TestFailoverNone })
	s.survive(o, "failed over unplanned", func() protecteditem.Command {
		return protecteditem.StartUnplannedFailover{JobID: newID(), Choice: protecteditem.Latest, ShutDownSource: true, At: s.now()}
	}, uncommitted)
	s.survive(o, "canceled", func() protecteditem.Command {
		return protecteditem.CancelFailover{JobID: newID(), At: s.now()}
	}, func(st protecteditem.State) bool {
		return protected(st) && st.Resync.State == protecteditem.ResyncNone
	})
	s.judge(s.replicate())
	st := s.survive(o, "failed over", func() protecteditem.Command {
		return protecteditem.StartPlannedFailover{JobID: newID(), At: s.now()}
	}, uncommitted)
	last, _ := st.NewestPoint()
	s.judge(last)
	s.sameAsSource(last)
	s.survive(o, "from another point", func() protecteditem.Command {
		return protecteditem.ChangeRecoveryPoint{JobID: newID(), Choice: protecteditem.PointChoice(first.ID), Confirm: true, At: s.now()}
	}, func(st protecteditem.State) bool { return uncommitted(st) && st.FailoverPoint == first.ID })
	s.survive(o, "from the last one again", func() protecteditem.Command {
		return protecteditem.ChangeRecoveryPoint{JobID: newID(), Choice: protecteditem.PointChoice(last.ID), Confirm: true, At: s.now()}
	}, func(st protecteditem.State) bool { return uncommitted(st) && st.FailoverPoint == last.ID })
	s.sameOnRecovery()
	s.survive(o, "committed", func() protecteditem.Command {
		return protecteditem.CommitFailover{JobID: newID(), At: s.now()}
	}, is(protecteditem.FailedOver))
	s.survive(o, "synchronized", func() protecteditem.Command {
		return protecteditem.StartFailback{JobID: newID(), Mode: protecteditem.FullDownload, At: s.now()}
	}, is(protecteditem.FailbackCommitRequired))
	s.survive(o, "failed back", func() protecteditem.Command {
		return protecteditem.CommitFailback{JobID: newID(), At: s.now()}
	}, is(protecteditem.FailedBack))
	s.survive(o, "protected again", func() protecteditem.Command {
		return protecteditem.ReProtect{JobID: newID(), At: s.now()}
	}, protected)
	s.judge(s.replicate())
	for _, kind := range []string{
		protecteditem.InitialReplicationJob, protecteditem.ResynchronizationJob, protecteditem.TestFailoverJob,
		protecteditem.UnplannedFailoverJob, protecteditem.PlannedFailoverJob, protecteditem.RecoveryPointChangeJob,
		protecteditem.FailoverCommitJob, protecteditem.ReverseReplicationJob,
	} {
		if !strings.Contains(strings.Join(o.steps(), " "), kind+"/") {
			t.Errorf("no step of %s has used the store: %v", kind, o.steps())
		}
	}
	t.Logf("the store was away %d times", len(o.steps()))
}
