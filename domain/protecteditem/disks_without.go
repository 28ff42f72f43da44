package protecteditem

import (
	"slices"
	"time"

	"farshore/domain/errorcatalog"
)

// DisksWithout says which disks of the VM a failover to the chosen recovery point
// would bring it up without. A point that is yet to be made of shipped logs holds all
// protected disks.
func DisksWithout(s State, choice PointChoice) []errorcatalog.Failure {
	id, err := s.choose(choice)
	if err != nil {
		return nil
	}
	var out []errorcatalog.Failure
	if p, ok := s.Point(id); ok {
		for _, disk := range s.Disks {
			if !slices.ContainsFunc(p.Disks, func(d PointDisk) bool { return d.Disk == disk }) {
				out = append(out, *errorcatalog.Fail(errorcatalog.DiskNotInRecoveryPoint,
					"disk %q was added after recovery point %s of %s", disk, p.ID, p.Instant.UTC().Format(time.RFC3339)))
			}
		}
	}
	for _, d := range Added(s) {
		out = append(out, *errorcatalog.Fail(errorcatalog.DiskNotInRecoveryPoint, "disk %q is being added, and no recovery point holds it yet", d.ID))
	}
	return out
}
