package job

import (
	"time"
)

// Input is what a job waits for.
type Input struct {
	Task         string
	Instructions string
	Since        time.Time
}

// AwaitInput makes a job wait for an operator, who is to follow the instructions
// and then let it go on.
type AwaitInput struct {
	Task         string
	Instructions string
	At           time.Time
}

func (c AwaitInput) decide(s State) ([]Event, error) {
	if _, err := s.open(c.Task); err != nil {
		return nil, err
	}
	if s.Input != nil && s.Input.Task == c.Task {
		return nil, nil
	}
	return []Event{InputAwaited(c)}, nil
}

// InputAwaited makes the job wait.
type InputAwaited struct {
	Task         string    `json:"task"`
	Instructions string    `json:"instructions,omitempty"`
	At           time.Time `json:"at"`
}

// EventType implements domain.Event.
func (InputAwaited) EventType() string { return "job.input_awaited.v1" }

func (e InputAwaited) evolve(s State) State {
	s.Status, s.Input = WaitingForInput, &Input{Task: e.Task, Instructions: e.Instructions, Since: e.At}
	return s
}

// Answered returns what the operator said who let the job go on at a task.
func (s State) Answered(task string) (Comment, bool) {
	for _, c := range s.Comments {
		if c.Task == task {
			return c, true
		}
	}
	return Comment{}, false
}
