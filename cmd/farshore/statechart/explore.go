package statechart

import (
	"time"

	"farshore/domain/protecteditem"
)

// sample stands for all states of an item that differ in nothing a reader of the
// chart is told.
type sample struct {
	state protecteditem.State
	now   time.Time
}

// step is what one move has done to a sample.
type step struct {
	move     string
	from, to protecteditem.State
	events   []string // of the move's last command
}

// word is what tells samples apart.
type word struct {
	protection protecteditem.ProtectionState
	resync     protecteditem.ResynchronizationState
	test       protecteditem.TestFailoverState
	paused     bool
	job, disks string // the kinds of the jobs that run
	copying    bool   // the disks of the recovery VM are being copied
	elsewhere  bool   // a failback to a new VM is open
	left       bool   // a host has not been told of a VM yet
	behind     bool   // the test failover's point is not the newest
	released   bool   // the store has not followed the list of points yet
}

func wordOf(s protecteditem.State) word {
	w := word{
		protection: s.Protection, resync: s.Resync.State, test: s.TestFailover, paused: s.Paused != nil, copying: s.CopyJob != nil,
		elsewhere: !s.Failback.Target.Original(), left: len(s.LeftBehind) > 0, released: len(s.Released) > 0,
	}
	if newest, ok := s.NewestPoint(); ok && s.Test.Point != "" {
		w.behind = s.Test.Point != newest.ID
	}
	if s.Job != nil {
		w.job = s.Job.Kind
	}
	if s.DiskJob != nil {
		w.disks = s.DiskJob.Kind
	}
	return w
}

// explore plays every move on every sample, breadth first from an item that was
// never protected, and keeps the first state of each word it meets.
func explore(moves []move) ([]sample, []step) {
	var (
		samples = []sample{{now: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)}}
		seen    = map[word]bool{wordOf(samples[0].state): true}
		steps   []step
	)
	for next := 0; next < len(samples); next++ {
		made := map[string]bool{}
		for _, m := range moves {
			after, events := m.play(samples[next])
			if len(events) == 0 || made[m.unless] {
				continue
			}
			made[m.name] = true
			steps = append(steps, step{move: m.name, from: samples[next].state, to: after.state, events: events})
			if w := wordOf(after.state); !seen[w] {
				seen[w] = true
				samples = append(samples, after)
			}
		}
	}
	return samples, steps
}

// play makes a move. There are no events when it is refused or changes nothing.
func (m move) play(at sample) (sample, []string) {
	after := sample{state: at.state, now: at.now.Add(10 * time.Minute)}
	var events []string
	for _, c := range m.commands(after.state, after.now) {
		decided, err := protecteditem.Decider.Decide(after.state, c)
		if err != nil {
			return at, nil
		}
		events = events[:0]
		for _, e := range decided {
			after.state = protecteditem.Decider.Evolve(after.state, e)
			events = append(events, e.EventType())
		}
	}
	return after, events
}
