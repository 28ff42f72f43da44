package local

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"farshore/workers/changelog"
	"farshore/workers/host"
)

// UpdateRelationship replaces the settings and the disks of the relationship.
func (e *Engine) UpdateRelationship(ctx context.Context, vm string, r host.Relationship) error {
	m, err := e.find(vm)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.related(); err != nil {
		return err
	}
	if err := m.checkRelationship(r); err != nil {
		return err
	}
	if err := m.untrack(without(m.rel.Disks, r.Disks)); err != nil {
		return err
	}
	if err := m.track(ctx, without(r.Disks, m.rel.Disks)); err != nil {
		return err
	}
	was := m.rel.Relationship
	m.rel.Relationship = host.Relationship{ID: r.ID, Disks: was.Disks, LogLimitPercent: r.LogLimitPercent}
	if err := m.saveRelationship(); err != nil {
		m.rel.Relationship = was
		return err
	}
	if m.stack != nil && m.stack.group != nil {
		m.stack.group.SetLimit(r.LogLimitPercent)
	}
	return nil
}

// without returns the disks that are not among others.
func without(disks, others []string) []string {
	var out []string
	for _, d := range disks {
		if !slices.Contains(others, d) {
			out = append(out, d)
		}
	}
	return out
}

// track begins to track further disks. The record comes last: whoever finds a disk
// in it finds tracking begun.
func (m *machine) track(ctx context.Context, disks []string) error {
	if len(disks) == 0 {
		return nil
	}
	return m.opened(ctx, func(st *stack) error {
		if err := m.checkDisks(st, disks...); err != nil {
			return err
		}
		if err := st.group.Add(ctx, m.tracked(st, disks, nil)); err != nil {
			return full(fmt.Errorf("begin tracking of further disks of VM %s: %w", m.id(), err))
		}
		was := m.rel.Relationship
		m.rel.Disks = slices.Concat(was.Disks, disks)
		for d, size := range st.sizes(disks) {
			m.rel.Sizes[d] = size
			delete(m.rel.Distrust, d)
		}
		if err := m.saveRelationship(); err != nil {
			m.rel.Relationship = was
			return errors.Join(err, st.group.Remove(disks))
		}
		m.status = st.group.Status()
		return nil
	})
}

// untrack ends tracking of disks. The record comes first: without their logs they
// would make it look as if all of the VM's were gone. What it leaves when it fails or
// is cut short is of no disk any more, and goes with the next call, if a later load
// has not swept it.
func (m *machine) untrack(disks []string) error {
	if len(disks) > 0 {
		was := m.rel.Relationship
		m.rel.Disks = without(was.Disks, disks)
		if err := m.saveRelationship(); err != nil {
			m.rel.Relationship = was
			return err
		}
		for _, d := range disks {
			delete(m.rel.Sizes, d)
			delete(m.rel.Distrust, d)
		}
	}
	for _, d := range m.vm.Load().Disks {
		if !slices.Contains(m.rel.Disks, d.ID) && !slices.Contains(disks, d.ID) {
			disks = append(slices.Clone(disks), d.ID)
		}
	}
	if len(disks) == 0 {
		return nil
	}
	if err := m.forgetCuts(disks); err != nil {
		return err
	}
	if m.stack != nil && m.stack.group != nil {
		if err := m.stack.group.Remove(disks); err != nil {
			return fmt.Errorf("end tracking of disks of VM %s: %w", m.id(), err)
		}
		m.status = m.stack.group.Status()
	}
	return m.sweepUntracked()
}

// sweepUntracked removes what belongs to the tracking of disks that are not, or no
// longer, in the relationship.
func (m *machine) sweepUntracked() error {
	for _, d := range m.vm.Load().Disks {
		if slices.Contains(m.rel.Disks, d.ID) {
			continue
		}
		if err := changelog.Discard(m.path(d.File)); err != nil {
			return fmt.Errorf("sweep tracking of disk %s of VM %s: %w", d.ID, m.id(), err)
		}
	}
	return nil
}
