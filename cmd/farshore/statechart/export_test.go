package statechart

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"farshore/domain"
	"farshore/domain/protecteditem"
)

// Events are the types of the events that the chart has met.
func Events() []string {
	_, steps := explore(allMoves())
	all := map[string]bool{}
	for _, s := range steps {
		for _, e := range s.events {
			all[e] = true
		}
	}
	return slices.Collect(maps.Keys(all))
}

// Unmade are the moves that no sample allows, and the operations without a move.
func Unmade() []string {
	_, steps := explore(allMoves())
	made := map[string]bool{}
	for _, s := range steps {
		made[s.move] = true
	}
	var all []string
	for _, m := range allMoves() {
		if !made[m.name] {
			all = append(all, m.name)
		}
	}
	for _, o := range protecteditem.AllowedOperations(protecteditem.State{}, explored()[0].now) {
		if !made[o.Name] {
			all = append(all, o.Name)
		}
	}
	return all
}

// Contradictions are the samples in which an operation is said to be allowed and
// its move is refused, or the other way round.
func Contradictions() []string {
	var all []string
	for _, at := range explored() {
		for _, o := range protecteditem.AllowedOperations(at.state, at.now) {
			for _, m := range allMoves() {
				if m.name != o.Name {
					continue
				}
				cs := m.commands(at.state, at.now)
				if len(cs) > 1 { // asked in another state
					continue
				}
				events, err := protecteditem.Decider.Decide(at.state, cs[0])
				r, refused := errors.AsType[*domain.RejectionError](err)
				if o.Allowed != (len(events) > 0) || (refused && r.Code != o.Code) {
					all = append(all, fmt.Sprintf("%+v: %s is allowed = %v (%s), %v", wordOf(at.state), o.Name, o.Allowed, o.Code, err))
				}
			}
		}
	}
	return all
}

func explored() []sample {
	samples, _ := explore(allMoves())
	return samples
}

// Missing are the situations that cannot be come by.
func Missing() []string {
	samples := explored()
	var all []string
	for _, w := range situations() {
		if _, found := w.find(samples); !found {
			all = append(all, strings.TrimSpace(string(w.word.protection)+" "+w.while))
		}
	}
	return all
}
