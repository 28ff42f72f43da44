package pageblob

import (
	"fmt"
	"sort"
	"sync"

	"farshore/workers/disk"
	"farshore/workers/replica"
)

// grants remembers which ranges of which disks may be written: all of a disk as long
// as no point holds it, then those that the apply under way has declared. Others
// could not be undone.
type grants struct {
	mu    sync.Mutex
	items map[string]grant
}

type grant struct {
	known    bool            // false: nothing is remembered
	held     map[string]bool // disks that a point holds
	declared map[string][]disk.Extent
}

func (g *grants) of(item string) grant {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.items[item]
}

func (g *grants) set(item string, to grant) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.items == nil {
		g.items = map[string]grant{}
	}
	g.items[item] = to
}

func (g *grants) forget(item string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.items, item)
}

func (g grant) permits(name string, e disk.Extent) bool {
	return e.Length == 0 || g.known && !g.held[name] || contains(g.declared[name], e)
}

// permitted refuses a write that no apply has declared. What it remembers is
// looked up again before it says no: the apply may have begun elsewhere.
func (v *volume) permitted(off, n int64) error {
	s, e := v.store, disk.Extent{Offset: off, Length: n}
	if s.grants.of(v.item).permits(v.disk, e) {
		return nil
	}
	x, _, err := s.load(v.ctx, v.item)
	if err != nil {
		return err
	}
	if x.Fence > v.fence {
		return fenced(v.item, v.fence, x.Fence)
	}
	now := grant{known: true, held: x.held()}
	if x.Apply != nil {
		p, err := s.loadPlan(v.ctx, x.Apply)
		if err != nil {
			return err
		}
		now.declared = p.declared()
	}
	s.grants.set(v.item, now)
	if !now.permits(v.disk, e) {
		return fmt.Errorf("%d bytes at %d: %w", e.Length, e.Offset, replica.ErrUndeclared)
	}
	return nil
}

// contains says whether e lies within one of ascending, merged ranges.
func contains(extents []disk.Extent, e disk.Extent) bool {
	at := sort.Search(len(extents), func(i int) bool { return extents[i].End() > e.Offset })
	return e.Length == 0 || at < len(extents) && extents[at].Offset <= e.Offset && e.End() <= extents[at].End()
}
