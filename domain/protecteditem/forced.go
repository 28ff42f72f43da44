package protecteditem

import "time"

// unforced says whether a job of that kind runs that waits for those who do not answer.
func (s State) unforced(kind string) bool {
	return s.Job != nil && s.Job.Kind == kind && !s.Forced
}

// JobForced lets the item's job go on without hosts and stores that do not answer. It
// is attempted again at once.
type JobForced struct {
	JobID string    `json:"jobId"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (JobForced) EventType() string { return "protected_item.job_forced.v1" }

func (e JobForced) evolve(s State) State {
	s.Forced, s.Retry = true, s.Retry.at(e.At)
	return s
}

// LeaveBehind reports that a host does not answer, and that a job which was forced goes
// on without it: it is told later.
type LeaveBehind struct {
	JobID string
	Left  LeftBehind
	At    time.Time
}

func (c LeaveBehind) decide(s State) ([]Event, error) {
	if err := s.requireItem(); err != nil {
		return nil, err
	}
	if err := s.requireJob(c.JobID); err != nil {
		return nil, err
	}
	for _, l := range s.LeftBehind {
		if l.is(c.Left.Site, c.Left.Host, c.Left.VM) && l.Fate == c.Left.Fate {
			return nil, nil
		}
	}
	c.Left.Since = c.At
	return []Event{VMLeftBehind{LeftBehind: c.Left}}, nil
}

// VMLeftBehind lets a job go on without a host.
type VMLeftBehind struct{ LeftBehind }

// EventType implements domain.Event.
func (VMLeftBehind) EventType() string { return "protected_item.vm_left_behind.v1" }

func (e VMLeftBehind) evolve(s State) State { return s.leave(e.LeftBehind) }
