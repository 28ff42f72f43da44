package pageblob

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/pageblob"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/replica"
)

// CommitPoint takes a snapshot of each disk and then names all of them in the
// index. Snapshots of an attempt that ended before that are never used.
func (s *Store) CommitPoint(ctx context.Context, item string, spec replica.PointSpec, fence int64) error {
	x, err := s.change(ctx, item, fence, func(x *index) error { return x.mayCommit(item, spec.ID) })
	if err != nil {
		return err
	}
	if _, ok := x.find(spec.ID); ok && x.Apply == nil {
		return nil
	}
	made := point{ID: spec.ID, CommittedAt: s.now().UTC()}
	for _, d := range spec.Disks {
		id, err := s.snapshot(ctx, item, spec.ID, fence, d)
		if err != nil {
			return err
		}
		made.Disks = append(made.Disks, pointDisk{Disk: d.Disk, SizeBytes: d.SizeBytes, Root: d.Root, Snapshot: id})
	}
	done := x.Apply
	x, err = s.change(ctx, item, fence, func(x *index) error {
		if err := x.mayCommit(item, spec.ID); err != nil {
			return err
		}
		if _, ok := x.find(spec.ID); !ok {
			x.Points = append(x.Points, made)
		}
		x.Apply = nil // also that of a point which was applied once more, to the same bytes
		return nil
	})
	if err != nil {
		return err
	}
	s.tidy(ctx, item, x, spec.ID, done)
	return nil
}

func (x index) mayCommit(item, cut string) error {
	if _, ok := x.find(cut); ok && (x.Apply == nil || x.Apply.Cut == cut) {
		return nil
	}
	if x.Apply == nil && len(x.Points) > 0 || x.Apply != nil && x.Apply.Cut != cut {
		return fmt.Errorf("commit point %s of %s: %w", cut, item, replica.ErrNoApply)
	}
	return nil
}

// snapshot freezes a disk as the holder of fence has left it. The service makes
// it only if the disk is still in the state that was looked at.
func (s *Store) snapshot(ctx context.Context, item, cut string, fence int64, d replica.PointDisk) (string, error) {
	what := fmt.Sprintf("take snapshot of disk %s of %s", d.Disk, item)
	client := s.container.NewPageBlobClient(diskName(item, d.Disk))
	var id string
	for {
		p, err := s.inspect(ctx, client)
		if err != nil {
			return "", explainDisk(ctx, err, what)
		}
		if fenceOf(p.sequence) != fence {
			return "", fenced(item, fence, fenceOf(p.sequence))
		}
		size, err := sourceSize(p)
		if err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		if size != d.SizeBytes {
			return "", errorcatalog.Fail(errorcatalog.ReplicaDiskSizeMismatch, "%s: it has %d bytes, not %d", what, size, d.SizeBytes).Because(replica.ErrDiskSize)
		}
		about := map[string]*string{
			metaCut: &cut, metaDisk: &d.Disk, metaFence: new(strconv.FormatInt(fence, 10)), metaRoot: &d.Root,
			metaSize: new(strconv.FormatInt(size, 10)),
		}
		if next := meta(p.metadata, metaGrow); next != "" {
			about[metaGrow] = &next
		}
		id, err = s.freeze(ctx, client, &blob.CreateSnapshotOptions{AccessConditions: ifMatch(p.etag), Metadata: about})
		if isConflict(err) {
			continue
		}
		if err != nil {
			return "", explainDisk(ctx, err, what)
		}
		break
	}
	if _, err := s.openSnapshot(ctx, item, d.Disk, id, cut); err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	return id, nil
}

// freeze asks the service for a snapshot and returns its id.
func (s *Store) freeze(ctx context.Context, client *pageblob.Client, o *blob.CreateSnapshotOptions) (id string, err error) {
	err = s.ask(ctx, func(ctx context.Context) error {
		r, err := client.CreateSnapshot(ctx, o)
		if err != nil {
			return raw(err)
		}
		if r.Snapshot == nil || *r.Snapshot == "" {
			return errUnverified
		}
		id = *r.Snapshot
		return nil
	})
	return id, err
}

// openSnapshot returns a reader of a snapshot that it has seen to exist.
func (s *Store) openSnapshot(ctx context.Context, item, name, id, cut string) (*source, error) {
	what := fmt.Sprintf("snapshot %s of disk %s of %s", id, name, item)
	client, err := s.container.NewPageBlobClient(diskName(item, name)).WithSnapshot(id)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", what, err)
	}
	p, err := s.inspect(ctx, client)
	if isMissing(err) {
		return nil, errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "%s is gone", what).Because(brief(err))
	}
	if err != nil {
		return nil, explain(ctx, err, "open "+what)
	}
	if c := meta(p.metadata, metaCut); c != cut {
		return nil, errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "%s belongs to cut %q, not to %s", what, c, cut)
	}
	size, err := sourceSize(p)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", what, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	return &source{store: s, ctx: ctx, cancel: cancel, blob: client, name: what, size: size, gone: errorcatalog.RecoveryPointNotFound}, nil
}

// ListPoints returns the item's points, oldest first.
func (s *Store) ListPoints(ctx context.Context, item string) ([]replica.PointInfo, error) {
	x, _, err := s.load(ctx, item)
	if err != nil {
		return nil, err
	}
	var points []replica.PointInfo
	for _, p := range x.Points {
		info := replica.PointInfo{PointSpec: replica.PointSpec{ID: p.ID}, CommittedAt: p.CommittedAt}
		for _, d := range p.Disks {
			info.Disks = append(info.Disks, replica.PointDisk{Disk: d.Disk, SizeBytes: d.SizeBytes, Root: d.Root})
		}
		points = append(points, info)
	}
	return points, nil
}

// OpenPoint reads a disk as it was at a point, as long as ctx lives.
func (s *Store) OpenPoint(ctx context.Context, item, id, name string) (disk.Reader, error) {
	found, err := s.findDisk(ctx, item, id, name)
	if err != nil {
		return nil, err
	}
	r, err := s.openSnapshot(ctx, item, name, found.Snapshot, id)
	if isMissing(err) {
		// Unless the point has been removed since, the store has lost it.
		if _, removed := s.findDisk(ctx, item, id, name); removed != nil {
			return nil, removed
		}
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (s *Store) findDisk(ctx context.Context, item, id, name string) (pointDisk, error) {
	x, _, err := s.load(ctx, item)
	if err != nil {
		return pointDisk{}, err
	}
	if p, ok := x.find(id); ok {
		if d, ok := p.disk(name); ok {
			return d, nil
		}
	}
	return pointDisk{}, errorcatalog.Fail(errorcatalog.RecoveryPointNotFound, "replica %s has no point %s of disk %s", item, id, name)
}

// RemovePoint takes a point out of the index, and then deletes its snapshots.
func (s *Store) RemovePoint(ctx context.Context, item, id string, fence int64) error {
	x, err := s.change(ctx, item, fence, func(x *index) error {
		if _, ok := x.find(id); !ok {
			return nil
		}
		if x.newest().ID == id && len(x.Points) > 1 {
			return errorcatalog.Fail(errorcatalog.NewestPointKept, "remove point %s of %s", id, item).Because(replica.ErrNewestPoint)
		}
		if x.Apply != nil && len(x.Points) == 1 {
			return fmt.Errorf("remove point %s of %s: %w", id, item, replica.ErrApplyOpen)
		}
		x.Points = slices.DeleteFunc(x.Points, func(p point) bool { return p.ID == id })
		return nil
	})
	if err != nil {
		return err
	}
	return s.sweep(ctx, item, x, id)
}

// tidy deletes what an apply that is over has left. What cannot be deleted now is
// deleted with the next point.
func (s *Store) tidy(ctx context.Context, item string, x index, cut string, over *pending) {
	if over != nil {
		_ = s.remove(ctx, over.Object)
	}
	_ = s.sweep(ctx, item, x, cut)
}

// sweep deletes the snapshots of a cut that x does not need, and those that
// earlier owners have left.
func (s *Store) sweep(ctx context.Context, item string, x index, cut string) error {
	entries, err := s.list(ctx, disksPrefix(item), true)
	if err != nil {
		return err
	}
	needed, err := s.needed(ctx, item, x)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.snapshot == "" || needed[e.name+e.snapshot] {
			continue
		}
		owner, err := strconv.ParseInt(meta(e.metadata, metaFence), 10, 64)
		made := meta(e.metadata, metaCut)
		if err != nil || owner >= x.Fence && made != cut && made != before(cut) {
			continue // not ours, or of an apply under way
		}
		client, err := s.container.NewBlobClient(e.name).WithSnapshot(e.snapshot)
		if err != nil {
			return fmt.Errorf("delete snapshot %s of %s: %w", e.snapshot, e.name, err)
		}
		err = s.do(ctx, "delete snapshot "+e.snapshot+" of "+e.name, func(ctx context.Context) error {
			_, err := client.Delete(ctx, nil)
			if isMissing(err) {
				return nil
			}
			return raw(err)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// needed is the set of snapshots that points and the apply under way rest on.
func (s *Store) needed(ctx context.Context, item string, x index) (map[string]bool, error) {
	needed := map[string]bool{}
	for _, p := range x.Points {
		for _, d := range p.Disks {
			needed[diskName(item, d.Disk)+d.Snapshot] = true
		}
	}
	if x.Apply == nil {
		return needed, nil
	}
	plan, err := s.loadPlan(ctx, x.Apply)
	for _, d := range plan.Disks {
		needed[diskName(item, d.Disk)+d.Snapshot] = true
	}
	return needed, err
}
