package engine_test

import (
	"cmp"
	"context"
	"slices"
	"testing"

	"farshore/domain/protecteditem"
	"farshore/eventstore"
	"farshore/workers/lane"
	"farshore/workers/retention"
	"farshore/workers/workflow"
)

// holder stands in for the holder of a lane: of the replication lane, unless another is
// named.
type holder struct {
	token int64
	kind  lane.Kind
}

func (holder) Item() string                    { return itemKey }
func (h holder) Token() int64                  { return h.token }
func (holder) Checkpoint(any) error            { return nil }
func (holder) Save(context.Context, any) error { return nil }
func (holder) Restore(any) (bool, error)       { return false, nil }
func (holder) Forget()                         {}
func (h holder) Fence() eventstore.Fence {
	return eventstore.Fence{Lane: lane.Key{Item: itemKey, Kind: cmp.Or(h.kind, lane.Replication)}.String(), Token: h.token}
}

// taken is the item in the hands of one who has its lane from the worker that has stopped.
func (s *scene) taken() *workflow.Item {
	s.t.Helper()
	var h holder
	must(s.t, s.pool.QueryRow(s.t.Context(), `SELECT fence FROM lanes WHERE item = $1 AND kind = 'replication'`, itemKey).Scan(&h.token))
	parts := workflow.Parts{Items: s.items, Jobs: s.jobs, Hosts: s.config, Stores: s, Worker: "holder", Now: s.now, NewID: newID, Logger: s.log}
	i, err := workflow.Open(s.t.Context(), parts, h)
	must(s.t, err)
	return i
}

func TestWhatARestoredDatabaseDoesNotListYetIsNotSwept(t *testing.T) {
	t.Parallel()
	s := newScene(t, seldom)
	s.work()
	s.enable()
	s.until("protected", protected)
	s.replicate()
	s.replicate()
	s.replicate()
	s.stopWorker()
	i := s.taken()
	points := i.State.Points
	for _, listed := range []int{0, 1} { // what is older than the one that is listed goes
		i.State.Points = points[listed : listed+1]
		must(t, retention.Sweep(t.Context(), i))
		var want []string
		for _, p := range points[listed:] {
			want = append(want, p.ID)
		}
		if got := s.stored(); !slices.Equal(got, want) {
			t.Errorf("with point %d listed, the store keeps %v, want %v", listed, got, want)
		}
	}
}

func TestRetentionKeepsAPointThatWasPinnedInTheMeantime(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { c.Frequency = 900 })
	s.work()
	s.enable()
	s.until("protected", protected)
	s.replicate()
	s.replicate()
	s.stopWorker()
	points := s.state().Points
	settings := s.state().Policy
	settings.RetentionHours = 0
	s.do(protecteditem.ChangePolicy{PolicyID: "short", Settings: settings, At: s.now()})

	i := s.taken()
	if expired := protecteditem.Expired(i.State, s.now()); !slices.Equal(expired, []string{points[0].ID, points[1].ID}) {
		t.Fatalf("%v are to go", expired)
	}
	s.do(protecteditem.StartTestFailover{JobID: newID(), Choice: protecteditem.PointChoice(points[0].ID), At: s.now()})
	must(t, retention.Thin(t.Context(), i))
	if got := s.stored(); !slices.Equal(got, []string{points[0].ID, points[2].ID}) {
		t.Errorf("the store keeps %v of %v", got, points)
	}
	s.judge(points[0])
	s.judge(points[2])
}
