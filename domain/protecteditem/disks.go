package protecteditem

import (
	"slices"
	"strings"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/site"
)

// DiskState says whether recovery points hold a disk as it is.
type DiskState string

// The states of a disk.
const (
	DiskReplicating DiskState = "Replicating" // added or grown: points hold it not yet, or at its old size
	DiskProtected   DiskState = "Protected"
)

// DiskStates returns the state of every disk that is or is to be protected.
func DiskStates(s State) map[string]DiskState {
	states := map[string]DiskState{}
	for _, id := range s.Disks {
		states[id] = DiskProtected
	}
	for _, d := range s.NewDisks {
		states[d.ID] = DiskReplicating
	}
	return states
}

// AddDisks begins to replicate disks that the VM has and that are not protected
// yet. The others go on meanwhile.
type AddDisks struct {
	JobID string
	Disks []site.Disk // as the host's inventory describes them
	At    time.Time
}

func (c AddDisks) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if s.runsDisks(c.JobID) || s.repeatsDisks(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireDisksFree(); err != nil {
		return nil, err
	}
	if len(c.Disks) == 0 {
		return nil, invalid("/disks", "no disk is named")
	}
	var p Prerequisites
	for i, d := range c.Disks {
		if d.OS || slices.Contains(s.Disks, d.ID) || slices.ContainsFunc(c.Disks[:i], func(o site.Disk) bool { return o.ID == d.ID }) {
			return nil, invalid("/disks", "disk %q is the OS disk, protected already or named twice", d.ID)
		}
		if p, held := s.heldBy(d.ID); held {
			return nil, domain.Reject(domain.Conflict, errorcatalog.DiskInRecoveryPoints,
				"disk %q was protected before, and recovery point %s of %s still holds it", d.ID, p.ID, p.Instant.UTC().Format(time.RFC3339)).At("/disks")
		}
		p.checkDisk(d, s.VM.Generation, LimitsOf(s.Store.Kind))
	}
	if len(s.Disks)+len(c.Disks) > maxDisks {
		p.fail(errorcatalog.PrerequisiteDiskCount, "%d disks are to be protected", len(s.Disks)+len(c.Disks))
	}
	if len(p.Failures) > 0 {
		all := make([]string, len(p.Failures))
		for i := range p.Failures {
			all[i] = p.Failures[i].Error()
		}
		return nil, domain.Reject(domain.Conflict, errorcatalog.VirtualMachineNotProtectable, "%s", strings.Join(all, "; ")).At("/disks")
	}
	return []Event{DisksAdding{JobID: c.JobID, Disks: slices.Clone(c.Disks), At: c.At}}, nil
}

// Added returns the disks that are being added: no recovery point holds them yet.
func Added(s State) []site.Disk {
	return slices.DeleteFunc(slices.Clone(s.NewDisks), func(d site.Disk) bool { return slices.Contains(s.Disks, d.ID) })
}

// heldBy returns the newest point that holds a disk.
func (s State) heldBy(disk string) (Point, bool) {
	for _, p := range slices.Backward(s.Points) {
		if slices.ContainsFunc(p.Disks, func(d PointDisk) bool { return d.Disk == disk }) {
			return p, true
		}
	}
	return Point{}, false
}

// requireDisksFree refuses to begin with other disks before those of before are
// protected, and outside protection.
func (s State) requireDisksFree() error {
	if err := s.requireState(Protected); err != nil {
		return err
	}
	if err := s.requireInSync(); err != nil {
		return err
	}
	return s.requireNoDiskJob()
}

func (s State) requireNoDiskJob() error {
	if s.DiskJob == nil {
		return nil
	}
	return domain.Reject(domain.Conflict, errorcatalog.OperationInProgress, "%s is in progress (job %s)", s.DiskJob.Kind, s.DiskJob.ID)
}

func (s State) runsDisks(job string) bool { return s.DiskJob != nil && s.DiskJob.ID == job }

func (s State) repeatsDisks(job string, failed bool) bool {
	return job != "" && s.EndedDisks == EndedJob{ID: job, Failed: failed}
}

// startDisks gives disks to a job of their own, beside the item's.
func (s State) startDisks(job string, disks []site.Disk) State {
	s.NewDisks, s.DiskRetry, s.Failure = disks, Retry{}, nil
	s.FormerDisks = slices.DeleteFunc(slices.Clone(s.FormerDisks), func(id string) bool {
		return slices.ContainsFunc(disks, func(d site.Disk) bool { return d.ID == id })
	})
	s.DiskJob = &JobRef{ID: job, Kind: DiskReplicationJob}
	return s
}

// endDisks ends the disk job. Disks that were given up stay described: the store may
// have made a point that holds them, and a failover to it brings them up.
func (s State) endDisks(failed bool) State {
	if s.DiskJob != nil {
		s.EndedDisks = EndedJob{ID: s.DiskJob.ID, Failed: failed}
	}
	for _, d := range Added(s) {
		s = s.formerDisk(d.ID)
	}
	s = s.describe(Added(s)...)
	s.NewDisks, s.DiskJob, s.DiskRetry = nil, nil, Retry{}
	return s
}

// DisksAdding begins the copy of disks.
type DisksAdding struct {
	JobID string      `json:"jobId"`
	Disks []site.Disk `json:"disks"`
	At    time.Time   `json:"at"`
}

// EventType implements domain.Event.
func (DisksAdding) EventType() string { return "protected_item.disks_adding.v1" }

func (e DisksAdding) evolve(s State) State { return s.startDisks(e.JobID, e.Disks) }

// RecordDiskGrown reports that a protected disk is larger than it was. Points hold
// it at its old size until what was added is replicated.
type RecordDiskGrown struct {
	JobID     string
	Disk      string
	SizeBytes int64
	At        time.Time
}

func (c RecordDiskGrown) decide(s State) ([]Event, error) {
	if err := requireID("/jobId", c.JobID); err != nil {
		return nil, err
	}
	if s.runsDisks(c.JobID) || s.repeatsDisks(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireDisksFree(); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.VM.Disks, func(d site.Disk) bool { return d.ID == c.Disk && slices.Contains(s.Disks, d.ID) })
	if i < 0 {
		return nil, invalid("/disk", "disk %q is not protected", c.Disk)
	}
	if c.SizeBytes <= s.VM.Disks[i].SizeBytes {
		return nil, invalid("/sizeBytes", "disk %q has %d bytes already", c.Disk, s.VM.Disks[i].SizeBytes)
	}
	return []Event{DiskGrown(c)}, nil
}

// growDisks takes over the sizes of disks that a new point holds larger than they
// were: two have grown at once, or a resynchronization has found one.
func (s State) growDisks(p Point) State {
	cloned := false
	for _, d := range p.Disks {
		i := slices.IndexFunc(s.VM.Disks, func(o site.Disk) bool { return o.ID == d.Disk && o.SizeBytes < d.SizeBytes })
		if i < 0 {
			continue
		}
		if !cloned {
			s.VM.Disks, cloned = slices.Clone(s.VM.Disks), true
		}
		s.VM.Disks[i].SizeBytes = d.SizeBytes
	}
	return s
}

// DiskGrown begins the copy of what a disk has gained.
type DiskGrown struct {
	JobID     string    `json:"jobId"`
	Disk      string    `json:"disk"`
	SizeBytes int64     `json:"sizeBytes"`
	At        time.Time `json:"at"`
}

// EventType implements domain.Event.
func (DiskGrown) EventType() string { return "protected_item.disk_grown.v1" }

func (e DiskGrown) evolve(s State) State {
	i := slices.IndexFunc(s.VM.Disks, func(d site.Disk) bool { return d.ID == e.Disk })
	if i < 0 {
		return s
	}
	grown := s.VM.Disks[i]
	grown.SizeBytes = e.SizeBytes
	return s.startDisks(e.JobID, []site.Disk{grown})
}
