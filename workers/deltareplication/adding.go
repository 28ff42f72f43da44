package deltareplication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/workers/host"
	"farshore/workers/replica"
	"farshore/workers/transfer"
	"farshore/workers/workflow"
)

// Adding is how far disks that are being added have come, as the replica store
// keeps it. While there is one, the disks are tracked, and every log since the
// tracking began is at the host or in the store; the blocks below a disk's offset
// were read later than that.
//
// The points made meanwhile do not hold the disks. Once all of them are copied, the
// next cut is later than the last block that was read: the point made of it lays
// every log over the copies and holds them with the others, at one instant.
type Adding struct {
	Job   string                         `json:"job"`
	Disks map[string]transfer.Checkpoint `json:"disks"`
	// Ready says that the disks are copied; cuts behind After are later than that.
	Ready bool  `json:"ready,omitempty"`
	After int64 `json:"after,omitempty"`
}

const (
	addingName = "adding.json"
	// addedPrefix begins the names of the records of cuts as far as they are of disks
	// that are being added. They outlive the cuts' own.
	addedPrefix = "added/"
)

func addedName(number int64, cut string) string {
	return fmt.Sprintf("%s%020d-%s.json", addedPrefix, number, cut)
}

// LoadAdding reads how far the item's disk job has come; false before it has
// begun, or when it is to begin anew.
func LoadAdding(ctx context.Context, i *workflow.Item) (Adding, bool, error) {
	if i.State.DiskJob == nil {
		return Adding{}, false, nil
	}
	store, err := i.Replica(ctx)
	if err != nil {
		return Adding{}, false, err
	}
	var a Adding
	err = readObject(ctx, store, i.ReplicaID(), addingName, &a)
	if workflow.Is(err, errorcatalog.ObjectNotFound) {
		return Adding{}, false, nil
	}
	return a, err == nil && a.Job == i.State.DiskJob.ID, err
}

// Save replaces it in the store of the given item.
func (a Adding) Save(ctx context.Context, store replica.Store, item string) error {
	return putJSON(ctx, store, item, addingName, a)
}

// DropAdding forgets how far disks have come, and the logs of the given ones. What
// was said first goes first: whoever finds it finds all that it rests on.
func DropAdding(ctx context.Context, i *workflow.Item, disks []string) error {
	store, err := i.Replica(ctx)
	if err != nil {
		return err
	}
	prefixes := []string{addingName, addedPrefix}
	for _, d := range disks {
		prefixes = append(prefixes, logsPrefix+d+"/")
	}
	for _, prefix := range prefixes {
		names, err := store.ListObjects(ctx, i.ReplicaID(), prefix)
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		for _, name := range names {
			if err := store.DeleteObject(ctx, i.ReplicaID(), name); err != nil {
				return fmt.Errorf("delete %s: %w", name, err)
			}
		}
	}
	return nil
}

// DropAdded ends the tracking of disks that are being added, if there are any, and
// forgets how far they have come: their copy begins anew.
func DropAdded(ctx context.Context, i *workflow.Item, source host.Host) error {
	var ids []string
	for _, d := range protecteditem.Added(i.State) {
		ids = append(ids, d.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	rel, err := source.Replication(ctx, i.VM())
	if err != nil {
		return fmt.Errorf("read relationship of %s: %w", i.VM(), err)
	}
	if err := DropAdding(ctx, i, ids); err != nil {
		return err
	}
	if err := source.DeleteSnapshot(ctx, i.VM(), i.State.DiskJob.ID); err != nil {
		return fmt.Errorf("delete snapshot %s: %w", i.State.DiskJob.ID, err)
	}
	next := rel.Relationship
	next.Disks = i.State.Disks
	if err := source.UpdateRelationship(ctx, i.VM(), next); err != nil {
		return fmt.Errorf("end the tracking of disks of %s: %w", i.VM(), err)
	}
	return nil
}

// MarkReady says that the disks are copied: every cut that was begun so far is
// shipped, so those behind them are later than the last block that was read.
func MarkReady(ctx context.Context, i *workflow.Item, a Adding) error {
	if err := Ship(ctx, i); err != nil {
		return err
	}
	store, err := i.Replica(ctx)
	if err != nil {
		return err
	}
	next, err := numberOf(ctx, i, store, "")
	if err != nil {
		return err
	}
	a.Ready, a.After = true, next-1
	return a.Save(ctx, store, i.ReplicaID())
}

// Tracked is what the host is to track: the protected disks and those being added.
func Tracked(s protecteditem.State) []string {
	ids := slices.Clone(s.Disks)
	for _, d := range protecteditem.Added(s) {
		ids = append(ids, d.ID)
	}
	return ids
}

// putAdded keeps a cut's record as far as it is of disks that are being added.
func putAdded(ctx context.Context, i *workflow.Item, store replica.Objects, s Shipped) error {
	added := protecteditem.Added(i.State)
	if len(added) == 0 {
		return nil
	}
	s.Cut.Disks = slices.DeleteFunc(slices.Clone(s.Cut.Disks), func(d host.DiskCut) bool { return !hasDisk(added, d.Disk) })
	if len(s.Cut.Disks) == 0 {
		return nil
	}
	return putJSON(ctx, store, i.ReplicaID(), addedName(s.Number, s.Cut.ID), s)
}

func hasDisk(disks []site.Disk, id string) bool {
	return slices.ContainsFunc(disks, func(d site.Disk) bool { return d.ID == id })
}

// addedCuts reads the records of putAdded up to a number, in order. A cut that was
// shipped again after a resynchronization had forgotten it counts once.
func addedCuts(ctx context.Context, i *workflow.Item, store replica.Objects, upTo int64) ([]Shipped, error) {
	names, err := store.ListObjects(ctx, i.ReplicaID(), addedPrefix)
	if err != nil {
		return nil, fmt.Errorf("list cuts of added disks: %w", err)
	}
	var out []Shipped
	seen := map[string]bool{}
	for _, name := range names {
		if numberIn(name) > upTo {
			continue
		}
		var s Shipped
		if err := readObject(ctx, store, i.ReplicaID(), name, &s); err != nil {
			return nil, err
		}
		if !seen[s.Cut.ID] {
			seen[s.Cut.ID] = true
			out = append(out, s)
		}
	}
	return out, nil
}

// highestAdded is the highest number among the records of putAdded.
func highestAdded(ctx context.Context, i *workflow.Item, store replica.Objects) (int64, error) {
	if len(protecteditem.Added(i.State)) == 0 {
		return 0, nil
	}
	names, err := store.ListObjects(ctx, i.ReplicaID(), addedPrefix)
	if err != nil || len(names) == 0 {
		return 0, err
	}
	return numberIn(names[len(names)-1]), nil
}

// isLogOfAdded says whether a shipped log is kept until its disk is in a point.
func isLogOfAdded(name string, added []site.Disk) bool {
	disk, _, _ := strings.Cut(strings.TrimPrefix(name, logsPrefix), "/")
	return hasDisk(added, disk)
}

// withAdded is an apply that brings disks that are being added into its point, if
// they are ready for its last cut. What it opens is to be closed after the apply.
func (r Redo) withAdded(ctx context.Context) (Redo, error) {
	added := protecteditem.Added(r.State)
	if len(added) == 0 {
		return r, nil
	}
	last := r.Cuts[len(r.Cuts)-1]
	a, begun, err := LoadAdding(ctx, r.Item)
	if err != nil || !begun || !a.Ready || last.Number <= a.After {
		return r, err
	}
	if r.addedCuts, err = addedCuts(ctx, r.Item, r.Store, last.Number); err != nil {
		return r, err
	}
	for _, d := range added {
		target, err := r.Store.OpenDisk(ctx, r.ReplicaID(), d.ID, r.Token())
		if err != nil {
			return r, fmt.Errorf("open replica disk %s: %w", d.ID, err)
		}
		r.opened = append(r.opened, target)
		r.added = append(r.added, d.ID)
		r.Bases[d.ID] = Base{Content: target, Root: a.Disks[d.ID].Root}
	}
	return r, nil
}

// ErrAdded means that what there is of a disk that is being added cannot be used: its
// copy is to begin anew, and nothing is wrong with the others.
var ErrAdded = errors.New("of a disk that is being added")

// ofAdded marks a failure that only an added disk is the cause of.
func (r Redo) ofAdded(disk string, err error) error {
	if !slices.Contains(r.added, disk) {
		return err
	}
	return unusable(err)
}

// unusable marks a failure that says that what there is of an added disk cannot be
// used.
func unusable(err error) error {
	f := errorcatalog.Of(err)
	if errorcatalog.ClassOf(f.Code) != errorcatalog.Resynchronize && f.Code != errorcatalog.ReplicaCorrupt {
		return err
	}
	return fmt.Errorf("%w: %w", ErrAdded, err)
}

// record lists a point that the store has made. The first one that holds the disks
// being added, or grown, protects them.
func record(ctx context.Context, i *workflow.Item, p protecteditem.Point) error {
	var bytes int64
	for _, d := range i.State.NewDisks {
		holds := func(of protecteditem.PointDisk) bool { return of.Disk == d.ID && of.SizeBytes >= d.SizeBytes }
		if !slices.ContainsFunc(p.Disks, holds) {
			return i.Record(ctx, protecteditem.CreateRecoveryPoint{Point: p, At: i.Now()})
		}
		bytes += d.SizeBytes
	}
	if i.State.DiskJob == nil {
		return i.Record(ctx, protecteditem.CreateRecoveryPoint{Point: p, At: i.Now()})
	}
	return i.Record(ctx, protecteditem.CompleteDiskReplication{JobID: i.State.DiskJob.ID, Bytes: bytes, Point: p, At: i.Now()})
}
