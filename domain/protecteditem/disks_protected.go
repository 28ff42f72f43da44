package protecteditem

import (
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/site"
)

// CompleteDiskReplication reports a point, made of a shipped cut, that holds the
// added or grown disks with all others.
type CompleteDiskReplication struct {
	JobID string
	Bytes int64
	Point Point
	At    time.Time
}

func (c CompleteDiskReplication) decide(s State) ([]Event, error) {
	if s.repeatsDisks(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireDiskStep(c.JobID); err != nil {
		return nil, err
	}
	if err := s.requireInSync(); err != nil {
		return nil, err
	}
	if err := s.validatePoint(c.Point); err != nil {
		return nil, err
	}
	var ids []string
	for _, d := range s.NewDisks {
		if !slices.ContainsFunc(c.Point.Disks, func(p PointDisk) bool { return p.Disk == d.ID && p.SizeBytes >= d.SizeBytes }) {
			return nil, invalid("/point/disks", "disk %q with %d bytes is missing", d.ID, d.SizeBytes)
		}
		ids = append(ids, d.ID)
	}
	if !slices.ContainsFunc(s.Pending, func(p Shipped) bool { return p.Cut == c.Point.ID }) {
		return nil, domain.Reject(domain.Conflict, errorcatalog.CutNotShipped, "cut %s has not been shipped", c.Point.ID)
	}
	return []Event{
		DisksProtected{JobID: c.JobID, Disks: ids, Bytes: c.Bytes, At: c.At},
		RecoveryPointCreated{Point: c.Point, At: c.At},
	}, nil
}

// requireDiskStep refuses a step of a job that does not replicate the item's new
// disks.
func (s State) requireDiskStep(job string) error {
	if err := s.requireItem(); err != nil {
		return err
	}
	if !s.runsDisks(job) {
		return domain.Reject(domain.Conflict, errorcatalog.StaleJob, "job %q does not replicate new disks of the item", job)
	}
	return nil
}

// DisksProtected makes the disks part of every later point. The first one follows
// in the same append.
type DisksProtected struct {
	JobID string    `json:"jobId"`
	Disks []string  `json:"disks"`
	Bytes int64     `json:"bytes"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (DisksProtected) EventType() string { return "protected_item.disks_protected.v1" }

func (e DisksProtected) evolve(s State) State {
	s.Disks, s.VM.Disks = slices.Clone(s.Disks), slices.Clone(s.VM.Disks)
	for _, d := range s.NewDisks {
		if !slices.Contains(s.Disks, d.ID) {
			s.Disks = append(s.Disks, d.ID)
		}
		if i := slices.IndexFunc(s.VM.Disks, func(o site.Disk) bool { return o.ID == d.ID }); i >= 0 {
			s.VM.Disks[i] = d
		} else {
			s.VM.Disks = append(s.VM.Disks, d)
		}
	}
	return s.endDisks(false)
}

// FailDiskReplication gives the disks up; those that were protected stay so.
type FailDiskReplication struct {
	JobID   string
	Failure *errorcatalog.Failure
	At      time.Time
}

func (c FailDiskReplication) decide(s State) ([]Event, error) {
	if s.repeatsDisks(c.JobID, true) {
		return nil, nil
	}
	if err := s.requireDiskStep(c.JobID); err != nil {
		return nil, err
	}
	return []Event{DiskReplicationFailed{JobID: c.JobID, Failure: plain(c.Failure), At: c.At}}, nil
}

// DiskReplicationFailed leaves the item with the disks it had.
type DiskReplicationFailed struct {
	JobID   string               `json:"jobId"`
	Failure errorcatalog.Failure `json:"failure"`
	At      time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (DiskReplicationFailed) EventType() string { return "protected_item.disk_replication_failed.v1" }

func (e DiskReplicationFailed) evolve(s State) State {
	if e.Failure.Code != errorcatalog.Canceled { // that was wanted
		s.Failure, s.FailedAt = &e.Failure, e.At
	}
	return s.endDisks(true)
}

// RemoveDisks ends the protection of disks. The points made so far keep them.
type RemoveDisks struct {
	Disks []string
	At    time.Time
}

func (c RemoveDisks) decide(s State) ([]Event, error) {
	if err := s.requireState(Protected); err != nil {
		return nil, err
	}
	if err := s.requireInSync(); err != nil {
		return nil, err
	}
	if err := s.requireNoDiskJob(); err != nil {
		return nil, err
	}
	if len(c.Disks) == 0 {
		return nil, invalid("/disks", "no disk is named")
	}
	var removed []string
	for _, id := range c.Disks {
		if slices.ContainsFunc(s.VM.Disks, func(d site.Disk) bool { return d.ID == id && d.OS }) {
			return nil, invalid("/disks", "%q is the OS disk", id)
		}
		if !slices.ContainsFunc(s.VM.Disks, func(d site.Disk) bool { return d.ID == id }) {
			return nil, invalid("/disks", "the VM has no disk %q", id)
		}
		if slices.Contains(s.Disks, id) && !slices.Contains(removed, id) {
			removed = append(removed, id)
		}
	}
	if len(removed) == 0 {
		return nil, nil
	}
	return []Event{DisksRemoved{Disks: removed, At: c.At}}, nil
}

// DisksRemoved takes disks out of every later point.
type DisksRemoved struct {
	Disks []string  `json:"disks"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (DisksRemoved) EventType() string { return "protected_item.disks_removed.v1" }

func (e DisksRemoved) evolve(s State) State {
	s.Disks = slices.DeleteFunc(slices.Clone(s.Disks), func(id string) bool { return slices.Contains(e.Disks, id) })
	for _, id := range e.Disks {
		s = s.formerDisk(id)
	}
	return s
}
