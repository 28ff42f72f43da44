package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"farshore/domain/errorcatalog"
	"farshore/workers/changelog"
	"farshore/workers/host"
)

// relationshipFile holds a VM's replication relationship, in its folder.
const relationshipFile = "replication.json"

// relationshipRecord is what the host remembers of a relationship. Whoever finds
// it finds tracking begun.
type relationshipRecord struct {
	host.Relationship
	Sizes    map[string]int64                 `json:"sizes"`             // of the tracked disks, in bytes
	Growing  map[string]int64                 `json:"growing,omitempty"` // disks about to have this size
	Distrust map[string]*errorcatalog.Failure `json:"distrust"`          // disks whose logs cannot be trusted, for reasons the logs do not know
	LastCut  string                           `json:"lastCut,omitempty"` // the newest cut released
	LastSeq  int64                            `json:"lastSeq"`           // its number
}

func (m *machine) loadRelationship() error {
	if !exists(m.path(relationshipFile)) {
		return nil
	}
	m.rel = &relationshipRecord{}
	return loadJSON(m.path(relationshipFile), m.rel)
}

func (m *machine) saveRelationship() error { return saveJSON(m.path(relationshipFile), m.rel) }

// StartReplication creates the relationship and begins to track.
func (e *Engine) StartReplication(ctx context.Context, vm string, r host.Relationship) error {
	m, err := e.find(vm)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.checkRelationship(r); err != nil {
		return err
	}
	if m.rel != nil {
		if m.rel.ID != r.ID || !slices.Equal(m.rel.Disks, r.Disks) {
			return errorcatalog.Fail(errorcatalog.AlreadyProtected, "VM %s has the replication relationship %s", vm, m.rel.ID)
		}
		m.rel.LogLimitPercent = r.LogLimitPercent
		return m.saveRelationship()
	}
	if err := m.standsAlone(); err != nil {
		return err
	}
	if err := m.sweepReplication(); err != nil {
		return err
	}
	return m.opened(ctx, func(st *stack) error {
		if err := m.checkDisks(st); err != nil {
			return err
		}
		rel := &relationshipRecord{Relationship: r, Sizes: st.sizes(r.Disks)}
		group, err := changelog.StartGroup(ctx, m.options(r), m.tracked(st, r.Disks, nil), nil)
		if err != nil {
			return full(fmt.Errorf("begin tracking of VM %s: %w", vm, err))
		}
		m.rel, st.group = rel, group
		if err := m.saveRelationship(); err != nil {
			m.rel, st.group = nil, nil
			return errors.Join(err, group.Stop())
		}
		m.status = group.Status()
		return nil
	})
}

func (m *machine) checkRelationship(r host.Relationship) error {
	if r.ID == "" || len(r.Disks) == 0 || r.LogLimitPercent < 1 {
		return errorcatalog.Fail(errorcatalog.ValidationFailed, "a relationship has an id, disks and a log limit")
	}
	for i, id := range r.Disks {
		if _, err := m.disk(id); err != nil {
			return err
		}
		if slices.Contains(r.Disks[:i], id) {
			return errorcatalog.Fail(errorcatalog.ValidationFailed, "disk %q is named twice", id)
		}
	}
	return nil
}

func (s *stack) sizes(disks []string) map[string]int64 {
	out := map[string]int64{}
	for _, id := range disks {
		if d := s.disk(id); d != nil {
			out[id] = d.file.Size()
		}
	}
	return out
}

func (m *machine) options(r host.Relationship) changelog.Options {
	return changelog.Options{LimitPercent: r.LogLimitPercent, BootID: m.e.boot, Space: m.e.o.Space, NewID: m.e.o.NewID, Now: m.e.o.Now}
}

func (m *machine) tracked(st *stack, disks []string, claimed map[string][]string) []changelog.TrackedDisk {
	var out []changelog.TrackedDisk
	for _, id := range disks {
		if d := st.disk(id); d != nil {
			out = append(out, changelog.TrackedDisk{
				ID: id, Gate: d.gate, Base: d.path, Claimed: claimed[id],
				Stamp: func() (string, error) { return stamp(d.path) },
			})
		}
	}
	return out
}

// openGroup takes up tracking on disks just opened.
func (m *machine) openGroup(ctx context.Context, st *stack) (*changelog.Group, error) {
	claimed := map[string][]string{}
	records, err := m.cuts()
	if err != nil {
		return nil, err
	}
	for _, c := range records {
		for _, d := range c.Disks {
			for _, l := range d.Logs {
				claimed[d.Disk] = append(claimed[d.Disk], l.ID)
			}
		}
	}
	changed := m.checkSizes(st)
	for _, id := range m.rel.Disks {
		if st.disk(id) == nil && m.rel.Distrust[id] == nil {
			m.distrust(id, errorcatalog.Fail(errorcatalog.DiskNotFound, "disk %s is no longer described by VM %s", id, m.id()))
			changed = true
		}
	}
	disks := m.tracked(st, m.rel.Disks, claimed)
	group, err := changelog.OpenGroup(ctx, m.options(m.rel.Relationship), disks)
	if errors.Is(err, fs.ErrNotExist) {
		m.distrustAll(errorcatalog.Fail(errorcatalog.LogMissing, "the tracking state beside the disks is gone"))
		changed = true
		group, err = changelog.StartGroup(ctx, m.options(m.rel.Relationship), disks, nil)
	}
	if err != nil {
		return nil, full(fmt.Errorf("take up tracking of VM %s: %w", m.id(), err))
	}
	if changed {
		if err := m.saveRelationship(); err != nil {
			return nil, errors.Join(err, group.Close()) //nolint:contextcheck // an end is not cut short
		}
	}
	return group, nil
}

// checkSizes distrusts disks that have shrunk or grown, and tells whether it has.
func (m *machine) checkSizes(st *stack) bool {
	changed := false
	for disk, size := range st.sizes(m.rel.Disks) {
		if was, known := m.rel.Sizes[disk]; known && was != size && m.rel.Distrust[disk] == nil {
			code := errorcatalog.DiskChangedOffline // who has grown it may have changed the rest, too
			if size < was {
				code = errorcatalog.DiskShrunk
			}
			m.distrust(disk, errorcatalog.Fail(code, "disk %s of VM %s had %d bytes and has %d", disk, m.id(), was, size))
			changed = true
		}
	}
	return changed
}

func (m *machine) distrust(disk string, f *errorcatalog.Failure) {
	if m.rel.Distrust == nil {
		m.rel.Distrust = map[string]*errorcatalog.Failure{}
	}
	m.rel.Distrust[disk] = f
}

func (m *machine) distrustAll(f *errorcatalog.Failure) {
	for _, disk := range m.rel.Disks {
		m.distrust(disk, f)
	}
}

// StopReplication ends the relationship and removes what it has left.
func (e *Engine) StopReplication(_ context.Context, vm string) error {
	m, err := e.find(vm)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// Without the record there is no relationship: what is left after a crash
	// here is swept when the VM is loaded.
	if err := removeFile(m.path(relationshipFile)); err != nil {
		return err
	}
	m.rel, m.status = nil, nil
	var errs []error
	if m.stack != nil && m.stack.group != nil {
		errs = append(errs, m.stack.group.Stop())
		m.stack.group = nil
	}
	for id := range m.snapshots {
		errs = append(errs, m.dropSnapshot(id))
	}
	return errors.Join(append(errs, m.sweepReplication())...)
}

// sweepReplication removes what belongs to a relationship that does not exist.
func (m *machine) sweepReplication() error {
	return m.remove(func(name string) bool {
		return isCutFile(name) || name == relationshipFile+".tmp" ||
			m.besideDisk(name, ".hrl", ".dirty", ".tracking.json", ".tracking.json.tmp")
	})
}

// Replication returns the state of the relationship.
func (e *Engine) Replication(_ context.Context, vm string) (host.Replication, error) {
	m, err := e.find(vm)
	if err != nil {
		return host.Replication{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.related(); err != nil {
		return host.Replication{}, err
	}
	if m.stack != nil && m.stack.group != nil {
		m.status = m.stack.group.Status()
	}
	out := host.Replication{Relationship: m.rel.Relationship, Tracking: []host.DiskTracking{}, Cuts: []host.Cut{}}
	for _, disk := range m.rel.Disks {
		out.Tracking = append(out.Tracking, m.tracking(disk))
	}
	records, err := m.cuts()
	if err != nil {
		return host.Replication{}, err
	}
	for _, c := range records {
		out.Cuts = append(out.Cuts, c.Cut)
	}
	return out, nil
}

func (m *machine) tracking(disk string) host.DiskTracking {
	t := host.DiskTracking{Disk: disk}
	for _, s := range m.status {
		if s.Disk == disk {
			t.PendingBytes = s.PendingBytes
			if s.Failure != nil {
				t.ResyncReason, t.Detail = string(s.Failure.Code), s.Failure.Detail
			}
		}
	}
	if f := m.rel.Distrust[disk]; f != nil {
		t.ResyncReason, t.Detail = string(f.Code), f.Detail
	}
	return t
}

func (m *machine) related() error {
	if m.rel == nil {
		return errorcatalog.Fail(errorcatalog.RelationshipNotFound, "VM %s has no replication relationship", m.id())
	}
	return nil
}

// RestartTracking drops the logs of the given disks and begins new ones.
func (e *Engine) RestartTracking(ctx context.Context, vm string, disks []string) error {
	m, err := e.find(vm)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.related(); err != nil {
		return err
	}
	for _, d := range disks {
		if !slices.Contains(m.rel.Disks, d) {
			return errorcatalog.Fail(errorcatalog.DiskNotFound, "disk %q of VM %s is not tracked", d, vm)
		}
	}
	return m.opened(ctx, func(st *stack) error {
		if err := m.forgetCuts(disks); err != nil {
			return err
		}
		if err := st.group.Restart(ctx, disks, nil); err != nil {
			return full(fmt.Errorf("restart tracking of VM %s: %w", vm, err))
		}
		for _, d := range disks {
			delete(m.rel.Distrust, d)
			m.rel.Sizes[d] = st.disk(d).file.Size()
		}
		m.status = st.group.Status()
		return m.saveRelationship()
	})
}
