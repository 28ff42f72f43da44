package protecteditem_test

import (
	"slices"
	"testing"

	"farshore/domain/protecteditem"
)

// TestEveryJobIsAnnouncedBeforeItRuns plays whole lives and looks whether each job
// an item has was named by an event that tells readers of it.
func TestEveryJobIsAnnouncedBeforeItRuns(t *testing.T) {
	t.Parallel()
	for name, given := range map[string][]protecteditem.Event{
		"planned and back": roundTrip, "unplanned to another point": history(changingTo1, changed), "cancelled": history(cancelling, canceled),
		"tested": cleanedUp, "resynchronized": resyncRuns, "taken back": history(awaiting, takingBack, takenBack),
		"with a new disk": history(following, adding, diskDone), "with a grown disk": history(following, grown), "disabled": ended,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var (
				s         protecteditem.State
				announced []protecteditem.JobRef
			)
			for _, e := range given {
				s = protecteditem.Decider.Evolve(s, e)
				announced = append(announced, protecteditem.BegunJobs(e)...)
				for _, j := range []*protecteditem.JobRef{s.Job, s.TestJob, s.DiskJob} {
					if j != nil && !slices.Contains(announced, *j) {
						t.Errorf("%s %s runs after %T and was not announced", j.Kind, j.ID, e)
					}
				}
			}
		})
	}
}

func TestAnEventNamesTheJobsThatItOvertakes(t *testing.T) {
	t.Parallel()
	everything := protecteditem.ProtectionDisabling{JobID: "d", OvertakenJobID: "a", OvertakenTestJobID: "b", OvertakenDiskJobID: "c"}
	for name, tt := range map[string]struct {
		event protecteditem.Event
		want  []string
	}{
		"disabling":                  {event: everything, want: []string{"a", "b", "c"}},
		"disabling what rests":       {event: disabling},
		"an unplanned failover":      {event: crashing, want: []string{"job-resync"}},
		"the cancel of a failback":   {event: takingBack, want: []string{"job-back"}},
		"the cancel of a resync":     {event: protecteditem.ResynchronizationCanceled{JobID: "job-resync"}, want: []string{"job-resync"}},
		"a resync that begins anew":  {event: protecteditem.ResynchronizationRequired{OvertakenJobID: "job-resync"}, want: []string{"job-resync"}},
		"a resync that is required":  {event: required},
		"a point overtakes nothing":  {event: firstPoint},
		"a commit overtakes nothing": {event: committing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := protecteditem.OvertakenJobs(tt.event); !slices.Equal(got, tt.want) {
				t.Errorf("overtaken = %v, want %v", got, tt.want)
			}
		})
	}
}
