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

	var h holder
	must(t, s.pool.QueryRow(t.Context(), `SELECT fence FROM lanes WHERE item = $1 AND kind = 'replication'`, itemKey).Scan(&h.token))
	parts := workflow.Parts{Items: s.items, Jobs: s.jobs, Hosts: s.config, Stores: s, Worker: "holder", Now: s.now, NewID: newID, Logger: s.log}
	i, err := workflow.Open(t.Context(), parts, h)
	must(t, err)
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
