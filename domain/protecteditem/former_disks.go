package protecteditem

import (
	"slices"
	"time"

	"farshore/domain/site"
)

// formerDisk remembers a disk of which the replica store may still hold something.
func (s State) formerDisk(id string) State {
	if !slices.Contains(s.FormerDisks, id) {
		s.FormerDisks = append(slices.Clone(s.FormerDisks), id)
	}
	return s
}

// describe adds the descriptions of disks to those of the VM, unless it has them.
func (s State) describe(disks ...site.Disk) State {
	lacking := slices.DeleteFunc(slices.Clone(disks), func(d site.Disk) bool { return contains(s.VM.Disks, d.ID) })
	s.VM.Disks = slices.Concat(s.VM.Disks, lacking)
	return s
}

// heldDisks describes the disks that recovery points hold.
func (s State) heldDisks() []site.Disk {
	return slices.DeleteFunc(slices.Clone(s.VM.Disks), func(d site.Disk) bool {
		_, held := s.heldBy(d.ID)
		return !held
	})
}

// takeOver makes the given disks those of the VM, all of them protected.
func (s State) takeOver(disks []site.Disk) State {
	held, before := s.heldDisks(), s.Disks
	s.VM.Disks, s.Disks = disks, nil
	for _, d := range disks {
		s.Disks = append(s.Disks, d.ID)
	}
	s.FormerDisks = slices.DeleteFunc(slices.Clone(s.FormerDisks), func(id string) bool { return contains(disks, id) })
	for _, id := range before {
		if !contains(disks, id) {
			s = s.formerDisk(id)
		}
	}
	return s.describe(held...)
}

func contains(disks []site.Disk, id string) bool {
	return slices.ContainsFunc(disks, func(d site.Disk) bool { return d.ID == id })
}

// Unheld returns the former disks that no recovery point holds: their replicas are
// of no use to anybody.
func Unheld(s State) []string {
	switch s.Protection {
	case FinalizingProtection, Protected:
	default:
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.FormerDisks), func(id string) bool {
		_, held := s.heldBy(id)
		return held
	})
}

// RecordReplicaDisksRemoved reports that the replica store holds nothing more of
// former disks. Others are left out.
type RecordReplicaDisksRemoved struct {
	Disks []string
	At    time.Time
}

func (c RecordReplicaDisksRemoved) decide(s State) ([]Event, error) {
	if err := s.requireItem(); err != nil {
		return nil, err
	}
	unheld := Unheld(s)
	removed := slices.DeleteFunc(slices.Clone(c.Disks), func(id string) bool { return !slices.Contains(unheld, id) })
	if len(removed) == 0 {
		return nil, nil
	}
	return []Event{ReplicaDisksRemoved{Disks: removed, At: c.At}}, nil
}

// ReplicaDisksRemoved is the end of disks that were protected once.
type ReplicaDisksRemoved struct {
	Disks []string  `json:"disks"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (ReplicaDisksRemoved) EventType() string { return "protected_item.replica_disks_removed.v1" }

func (e ReplicaDisksRemoved) evolve(s State) State {
	s.FormerDisks = slices.DeleteFunc(slices.Clone(s.FormerDisks), func(id string) bool { return slices.Contains(e.Disks, id) })
	return s
}
