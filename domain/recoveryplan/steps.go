package recoveryplan

import (
	"fmt"
	"slices"
	"strings"
)

// StepKind says what a step of a run is.
type StepKind int

// The kinds of step.
const (
	// Prepare brings items as far as nothing has changed sides: a planned failover
	// up to the start of the recovery VM, a failback up to its switch.
	Prepare StepKind = iota + 1
	// Move brings items to the other side, or does with them what the run is for.
	Move
	// Act does an action.
	Act
)

// Step is one step of a run. Its name is journaled.
type Step struct {
	Name   string
	Title  string
	Kind   StepKind
	Group  int // counted from 1; 0: all
	Items  []string
	Action Action
}

// Steps returns what a run of a plan does, in order. VMs are started in the order
// of the groups. For a planned failover they are shut down in the reverse order
// first: each failover waits where it can still be taken back. A failback brings
// what has changed of all groups before it switches the first.
func Steps(d Definition, o Operation) []Step {
	var steps []Step
	switch o {
	case PlannedFailover:
		for n, g := range slices.Backward(d.Groups) {
			steps = append(steps, moving(n, g, Prepare, "shut_down", "shut down and bring over")...)
		}
	case Failback:
		steps = append(steps, Step{Name: "synchronize", Title: "Bring back what has changed of all groups", Kind: Prepare, Items: d.Items()})
	default:
	}
	if o == TestFailoverCleanup {
		for n, g := range slices.Backward(d.Groups) {
			steps = append(steps, moving(n, g, Move, "items", verb(o))...)
		}
		return steps
	}
	for n, g := range d.Groups {
		steps = append(steps, acting(n, "pre", "before", g.PreActions, o)...)
		steps = append(steps, moving(n, g, Move, "items", verb(o))...)
		steps = append(steps, acting(n, "post", "after", g.PostActions, o)...)
	}
	return steps
}

func verb(o Operation) string {
	return map[Operation]string{
		TestFailover: "test", TestFailoverCleanup: "clean up", PlannedFailover: "start", UnplannedFailover: "fail over",
		Failback: "switch back", FailoverCommit: "commit",
	}[o]
}

func moving(n int, g Group, kind StepKind, name, verb string) []Step {
	if len(g.Items) == 0 {
		return nil
	}
	return []Step{{
		Name: fmt.Sprintf("group_%d_%s", n+1, name), Title: fmt.Sprintf("Group %d: %s %s", n+1, verb, strings.Join(g.Items, ", ")),
		Kind: kind, Group: n + 1, Items: g.Items,
	}}
}

func acting(n int, part, word string, actions []Action, o Operation) []Step {
	var steps []Step
	for k, a := range actions {
		if !a.For(o) {
			continue
		}
		steps = append(steps, Step{
			Name: fmt.Sprintf("group_%d_%s_%d", n+1, part, k+1), Title: fmt.Sprintf("Group %d, %s: %s", n+1, word, a.Name),
			Kind: Act, Group: n + 1, Action: a,
		})
	}
	return steps
}
