// Package resynchronization brings a replica that can no longer follow back into
// step with its source. Tracking begins anew and a snapshot is taken; the
// snapshot is read and its block digests are compared with those of the newest
// recovery point; only blocks that differ are sent, and with the logs written
// meanwhile they make the next point. The points before it stay readable all the
// while, and a resynchronization that ends anywhere leaves what was.
package resynchronization

import (
	"context"
	"fmt"
	"strconv"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/deltareplication"
	"farshore/workers/replica"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Resynchronization is the workflow that runs when one is required and its time
// has come.
type Resynchronization struct{ *workflow.Item }

// What the steps tell each other.
const (
	basePoint = "base"
	newCut    = "cut"
	scanned   = "bytesScanned"
	differing = "bytesDiffering"
	sent      = "bytesSent"
)

// Steps is the workflow as a table.
func (r Resynchronization) Steps() []runbook.Step {
	return append(Comparison(r.Item), runbook.Step{Name: "complete_resynchronization", Title: "Complete the resynchronization", Run: r.complete})
}

// Comparison is the steps that bring a replica into step with its source, whatever
// workflow they belong to. They end with a recovery point that is not listed yet.
func Comparison(i *workflow.Item) []runbook.Step {
	r := Resynchronization{Item: i}
	return []runbook.Step{
		{Name: "restart_tracking", Title: "Begin new change logs and take a snapshot", Run: r.restartTracking},
		{Name: "compare_disks", Title: "Compare source and replica", Run: r.compareDisks},
		{Name: "send_differences", Title: "Send the differences", Run: r.sendDifferences},
		{Name: "delete_snapshot", Title: "Delete the snapshot", Run: r.deleteSnapshot},
	}
}

// restartTracking repeats safely: nothing of an earlier attempt is used. The
// point that the store ends with is noted, so that the one this workflow makes
// can be told from it.
func (r Resynchronization) restartTracking(ctx context.Context, m *runbook.Memo) error {
	store, err := r.Replica(ctx)
	if err != nil {
		return err
	}
	points, err := store.ListPoints(ctx, r.ReplicaID())
	if err != nil {
		return fmt.Errorf("list recovery points: %w", err)
	}
	if len(points) == 0 && len(r.State.Points) > 0 {
		return deltareplication.Absent(r.Item)
	}
	if len(points) > 0 {
		m.Note(basePoint, points[len(points)-1].ID)
	}
	return r.begin(ctx, store)
}

// begin leaves a fresh chain of logs and a snapshot later than its beginning. An
// older snapshot goes first: what was written between it and the chain would be
// in neither.
func (r Resynchronization) begin(ctx context.Context, store replica.Store) error {
	if err := store.Rollback(ctx, r.ReplicaID(), r.Token()); err != nil {
		return fmt.Errorf("undo an unfinished apply: %w", err)
	}
	source, err := r.Source(ctx)
	if err != nil {
		return err
	}
	if err := source.DeleteSnapshot(ctx, r.VM(), r.snapshot()); err != nil {
		return fmt.Errorf("delete snapshot: %w", err)
	}
	// What is wrong with a disk that is being added must not keep the others from it.
	if err := deltareplication.DropAdded(ctx, r.Item, source); err != nil {
		return err
	}
	if err := source.RestartTracking(ctx, r.VM(), r.State.Disks); err != nil {
		return fmt.Errorf("restart tracking of %s: %w", r.VM(), err)
	}
	if err := source.CreateSnapshot(ctx, r.VM(), r.snapshot()); err != nil {
		return fmt.Errorf("take snapshot of %s: %w", r.VM(), err)
	}
	r.Forget()
	return deltareplication.Discard(ctx, r.Item)
}

// snapshot is the id of the job's snapshot.
func (r Resynchronization) snapshot() string { return r.State.Job.ID }

// sendDifferences makes the next point. It repeats safely: a point that the store
// ends with and that was not there before is the one.
func (r Resynchronization) sendDifferences(ctx context.Context, m *runbook.Memo) error {
	store, err := r.Replica(ctx)
	if err != nil {
		return err
	}
	points, err := store.ListPoints(ctx, r.ReplicaID())
	if err != nil {
		return fmt.Errorf("list recovery points: %w", err)
	}
	if n := len(points); n > 0 && points[n-1].ID != m.Value(basePoint) {
		m.Note(newCut, points[n-1].ID)
		return nil
	}
	err = r.send(ctx, m, store, points)
	if lost(err) {
		// What the snapshot held is gone and so is the instant it belonged to.
		if err := r.begin(ctx, store); err != nil {
			return err
		}
		if err := r.compareDisks(ctx, m); err != nil {
			return err
		}
		err = r.send(ctx, m, store, points)
	}
	return err
}

// lost says that the snapshot or the chain of logs that began with it is gone, or
// is not what it was compared as: only beginning again helps.
func lost(err error) bool {
	return err != nil && (workflow.Is(err, errorcatalog.SnapshotNotFound) || workflow.Is(err, errorcatalog.ReplicaCorrupt) ||
		errorcatalog.ClassOf(errorcatalog.Of(err).Code) == errorcatalog.Resynchronize)
}

// send makes a cut, lays differing blocks and all logs over the newest point and
// commits the result.
func (r Resynchronization) send(ctx context.Context, m *runbook.Memo, store replica.Store, points []replica.PointInfo) error {
	if err := deltareplication.Ship(ctx, r.Item); err != nil {
		return err
	}
	cut, err := deltareplication.Cut(ctx, r.Item, r.NewID())
	if err != nil {
		return err
	}
	b := &bases{Resynchronization: r, store: store}
	defer b.close()
	if n := len(points); n > 0 {
		b.point = &points[n-1].PointSpec
	}
	m.Note(newCut, cut.ID)
	if err := b.open(ctx, m); err != nil {
		return err
	}
	m.Note(differing, strconv.FormatInt(b.differing, 10))
	m.Note(sent, strconv.FormatInt(b.sent, 10))
	_, err = deltareplication.ApplyOver(ctx, r.Item, cut.ID, b.bases)
	return err
}

// deleteSnapshot repeats safely: an unknown snapshot was deleted before.
func (r Resynchronization) deleteSnapshot(ctx context.Context, _ *runbook.Memo) error {
	source, err := r.Source(ctx)
	if err != nil {
		return err
	}
	for _, s := range []string{r.snapshot(), r.State.Snapshot} {
		if s == "" {
			continue
		}
		if err := source.DeleteSnapshot(ctx, r.VM(), s); err != nil {
			return fmt.Errorf("delete snapshot %s: %w", s, err)
		}
	}
	return nil
}

func (r Resynchronization) complete(ctx context.Context, m *runbook.Memo) error {
	if r.State.Resync.State != protecteditem.ResyncInProgress {
		return nil
	}
	found, err := ResultOf(ctx, r.Item, m)
	if err != nil {
		return err
	}
	cmd := protecteditem.CompleteResynchronization{
		JobID: r.State.Job.ID, BytesScanned: found.BytesScanned, BytesDiffering: found.BytesDiffering,
		BytesSent: found.BytesSent, Point: found.Point, At: r.Now(),
	}
	if !r.State.InitialReplicated {
		cmd.FinalizeJobID = r.NewID()
	}
	r.Forget()
	return r.Record(ctx, cmd)
}

// Result is what a comparison has come to. Zeroes are not sent, and change logs are
// counted where they are shipped.
type Result struct {
	BytesScanned   int64
	BytesDiffering int64
	BytesSent      int64
	Point          protecteditem.Point
}

// ResultOf is the result of a comparison whose steps have ended.
func ResultOf(ctx context.Context, i *workflow.Item, m *runbook.Memo) (Result, error) {
	point, err := deltareplication.NewestPoint(ctx, i)
	if err != nil {
		return Result{}, err
	}
	if point == nil || point.ID != m.Value(newCut) {
		return Result{}, errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "recovery point %s of %s is gone", m.Value(newCut), i.ReplicaID())
	}
	return Result{BytesScanned: amount(m, scanned), BytesDiffering: amount(m, differing), BytesSent: amount(m, sent), Point: *point}, nil
}

func amount(m *runbook.Memo, key string) int64 {
	n, err := strconv.ParseInt(m.Value(key), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
