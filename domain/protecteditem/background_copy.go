package protecteditem

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// BackgroundCopy is the copy of the disks of a failed-over VM, which runs from its
// recovery point meanwhile. It goes on beside the item's workflows, rests while one
// of them may remove the VM, and ends with the VM.
type BackgroundCopy struct {
	Point     string // pinned until the disks do without it
	StartedAt time.Time
}

// runsCopy says whether a job is the background copy's.
func (s State) runsCopy(job string) bool { return s.CopyJob != nil && s.CopyJob.ID == job }

// CopyRests says whether the background copy lets a workflow pass that may remove
// the VM.
func (s State) CopyRests() bool {
	return s.Job != nil && (s.Job.Kind == RecoveryPointChangeJob || s.Job.Kind == FailoverCancelJob)
}

// requireCopied refuses what is possible only once the recovery VM does without
// its recovery point.
func (s State) requireCopied() error {
	if s.CopyJob == nil {
		return nil
	}
	return domain.Reject(domain.Conflict, errorcatalog.OperationInProgress, "the disks of the recovery VM are being copied (job %s)", s.CopyJob.ID)
}

// withCopy adds the start of a background copy to the end of the workflow that has
// brought the VM up, if it runs from its recovery point.
func withCopy(done Event, job, point string, at time.Time) []Event {
	if job == "" {
		return []Event{done}
	}
	return []Event{done, BackgroundCopyStarted{JobID: job, Point: point, At: at}}
}

// copyJobID is the job of the background copy that ends with the VM, or nothing.
func (s State) copyJobID() string {
	if s.CopyJob == nil {
		return ""
	}
	return s.CopyJob.ID
}

// copyEnds is copyJobID when a workflow has removed the VM and brought up no other.
func (s State) copyEnds(vm string) string {
	if vm != "" {
		return ""
	}
	return s.copyJobID()
}

func (s State) endCopyWithoutVM() State {
	if s.Recovery.VM != "" {
		return s
	}
	return s.endCopy(true)
}

// endCopy leaves the item without a background copy.
func (s State) endCopy(failed bool) State {
	if s.CopyJob != nil {
		s.EndedCopy = EndedJob{ID: s.CopyJob.ID, Failed: failed}
	}
	s.Copy, s.CopyJob, s.CopyRetry = BackgroundCopy{}, nil, Retry{}
	return s
}

// BackgroundCopyStarted gives the copy of the VM's disks to a job of its own.
type BackgroundCopyStarted struct {
	JobID string    `json:"jobId"`
	Point string    `json:"point"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (BackgroundCopyStarted) EventType() string { return "protected_item.background_copy_started.v1" }

func (e BackgroundCopyStarted) evolve(s State) State {
	s.Copy, s.CopyRetry = BackgroundCopy{Point: e.Point, StartedAt: e.At}, Retry{}
	s.CopyJob = &JobRef{ID: e.JobID, Kind: BackgroundCopyJob}
	return s
}

// CompleteBackgroundCopy reports that the VM's disks do without the recovery
// point, or that nothing runs from it any more.
type CompleteBackgroundCopy struct {
	JobID string
	Bytes int64 // that were copied
	At    time.Time
}

func (c CompleteBackgroundCopy) decide(s State) ([]Event, error) {
	if c.JobID != "" && s.EndedCopy == (EndedJob{ID: c.JobID}) {
		return nil, nil
	}
	if err := s.requireCopyStep(c.JobID); err != nil {
		return nil, err
	}
	return []Event{BackgroundCopyCompleted(c)}, nil
}

// requireCopyStep refuses a step of a background copy to other jobs than its own,
// and while it rests.
func (s State) requireCopyStep(job string) error {
	if err := s.requireItem(); err != nil {
		return err
	}
	if !s.runsCopy(job) {
		return domain.Reject(domain.Conflict, errorcatalog.StaleJob, "job %q does not copy the disks of the recovery VM", job)
	}
	if s.CopyRests() {
		return s.requireNoJob()
	}
	return nil
}

// BackgroundCopyCompleted lets go of the recovery point.
type BackgroundCopyCompleted struct {
	JobID string    `json:"jobId"`
	Bytes int64     `json:"bytes"`
	At    time.Time `json:"at"`
}

// EventType implements domain.Event.
func (BackgroundCopyCompleted) EventType() string {
	return "protected_item.background_copy_completed.v1"
}

func (BackgroundCopyCompleted) evolve(s State) State { return s.endCopy(false) }
