package job

import (
	"maps"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// StartTask begins an attempt at a task. Starting one that runs or is done
// changes nothing.
type StartTask struct {
	Task string
	At   time.Time
}

func (c StartTask) decide(s State) ([]Event, error) {
	t, err := s.open(c.Task)
	if err != nil {
		return nil, err
	}
	if t.Status == Running || t.Status == Succeeded {
		return nil, nil
	}
	return []Event{TaskStarted(c)}, nil
}

// TaskStarted counts an attempt.
type TaskStarted struct {
	Task string    `json:"task"`
	At   time.Time `json:"at"`
}

// EventType implements domain.Event.
func (TaskStarted) EventType() string { return "job.task_started.v1" }

func (e TaskStarted) evolve(s State) State {
	return s.withTask(e.Task, func(t Task) Task {
		if t.Attempts == 0 {
			t.StartedAt = e.At
		}
		if t.Status == Waiting {
			t.Failure = nil
		}
		t.Status, t.Attempts, t.NextAttemptAt, t.EndedAt = Running, t.Attempts+1, time.Time{}, time.Time{}
		return t
	})
}

// DeferTask makes a task wait that is to begin and cannot yet. Deferring it again
// changes nothing.
type DeferTask struct {
	Task   string
	Reason *errorcatalog.Failure
	At     time.Time
}

func (c DeferTask) decide(s State) ([]Event, error) {
	t, err := s.open(c.Task)
	if err != nil {
		return nil, err
	}
	switch t.Status {
	case Waiting:
		return nil, nil
	case Running, Succeeded:
		return nil, domain.Reject(domain.Conflict, errorcatalog.NothingToDo, "task %q has begun", c.Task)
	default:
		return []Event{TaskDeferred{Task: c.Task, Reason: plain(c.Reason), At: c.At}}, nil
	}
}

// TaskDeferred makes a task wait, and says for what.
type TaskDeferred struct {
	Task   string               `json:"task"`
	Reason errorcatalog.Failure `json:"reason"`
	At     time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (TaskDeferred) EventType() string { return "job.task_deferred.v1" }

func (e TaskDeferred) evolve(s State) State {
	return s.withTask(e.Task, func(t Task) Task {
		t.Status, t.Failure, t.NextAttemptAt = Waiting, &e.Reason, time.Time{}
		return t
	})
}

// CompleteTask reports that a task is done. One that took no time need not have
// been started.
type CompleteTask struct {
	Task   string
	Output map[string]string
	At     time.Time
}

func (c CompleteTask) decide(s State) ([]Event, error) {
	t, err := s.open(c.Task)
	if err != nil {
		return nil, err
	}
	if t.Status == Succeeded {
		return nil, nil
	}
	return []Event{TaskCompleted{Task: c.Task, Output: maps.Clone(c.Output), At: c.At}}, nil
}

// TaskCompleted means the task is never done again.
type TaskCompleted struct {
	Task   string            `json:"task"`
	Output map[string]string `json:"output,omitempty"`
	At     time.Time         `json:"at"`
}

// EventType implements domain.Event.
func (TaskCompleted) EventType() string { return "job.task_completed.v1" }

func (e TaskCompleted) evolve(s State) State {
	return s.withTask(e.Task, func(t Task) Task {
		if t.StartedAt.IsZero() {
			t.StartedAt = e.At
		}
		t.Status, t.Output, t.Failure, t.NextAttemptAt, t.EndedAt = Succeeded, e.Output, nil, time.Time{}, e.At
		return t
	})
}

// FailTask reports that an attempt at a task has failed, and when the next one is
// due, if there is one.
type FailTask struct {
	Task          string
	Failure       *errorcatalog.Failure
	NextAttemptAt time.Time
	At            time.Time
}

func (c FailTask) decide(s State) ([]Event, error) {
	t, err := s.open(c.Task)
	if err != nil {
		return nil, err
	}
	if t.Status == Succeeded {
		return nil, domain.Reject(domain.Conflict, errorcatalog.NothingToDo, "task %q is done", c.Task)
	}
	return []Event{TaskFailed{Task: c.Task, Failure: plain(c.Failure), NextAttemptAt: c.NextAttemptAt, At: c.At}}, nil
}

// TaskFailed ends an attempt.
type TaskFailed struct {
	Task          string               `json:"task"`
	Failure       errorcatalog.Failure `json:"failure"`
	NextAttemptAt time.Time            `json:"nextAttemptAt,omitzero"` // absent: there is none
	At            time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (TaskFailed) EventType() string { return "job.task_failed.v1" }

func (e TaskFailed) evolve(s State) State {
	return s.withTask(e.Task, func(t Task) Task {
		t.Status, t.Failure, t.NextAttemptAt, t.EndedAt = Failed, &e.Failure, e.NextAttemptAt, e.At
		return t
	})
}

// open returns a task of a job that is not over.
func (s State) open(task string) (Task, error) {
	if err := s.requireOpen(); err != nil {
		return Task{}, err
	}
	t, ok := s.Task(task)
	if !ok {
		return Task{}, domain.Reject(domain.NotFound, errorcatalog.TaskNotFound, "the job has no task %q", task)
	}
	return t, nil
}
