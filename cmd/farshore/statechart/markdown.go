// Package statechart renders what can happen to a protected item, and what is
// refused when, for the documentation. It knows no rule: it plays commands on the
// aggregate, from an item that was never protected, and writes down its answers.
package statechart

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

const disable = "DisableProtection"

// Markdown renders the states of a protected item.
func Markdown() string {
	samples, steps := explore(allMoves())
	var b strings.Builder
	b.WriteString("# States of a protected item\n\nMade from the rules of `domain/protecteditem` by playing their commands; `make generate` writes it anew. What moves an item\n" +
		"is an operation that an operator asks for, or a command by which a worker records what it has done.\n\n")
	writeProtection(&b, samples, steps)
	writeBeside(&b, steps)
	writeSituations(&b, samples)
	writeAnswers(&b, samples)
	return b.String()
}

func writeProtection(b *strings.Builder, samples []sample, steps []step) {
	protection := func(s protecteditem.State) string { return string(s.Protection) }
	all := edges(steps, protection)
	b.WriteString("## The life cycle\n\n")
	writeDiagram(b, slices.DeleteFunc(slices.Clone(all), func(e edge) bool { return e.move == disable }))

	var not []string
	for _, state := range states(samples) {
		leads := slices.ContainsFunc(all, func(e edge) bool { return e.move == disable && e.from == state })
		if !leads && state != string(protecteditem.DisablingProtection) {
			not = append(not, state)
		}
	}
	fmt.Fprintf(b, "\n`%s` is left out of the chart: it leads to `%s` from every state but %s.\n", disable, protecteditem.DisablingProtection, quoted(not))

	b.WriteString("\n| what | from | to | events |\n|---|---|---|---|\n")
	for _, r := range rows(all) {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", named(r.move), quoted(r.from), quoted([]string{r.to}), r.events)
	}
}

// writeBeside draws the words that change beside an item's place in its life.
func writeBeside(b *strings.Builder, steps []step) {
	for _, w := range []struct {
		title string
		of    func(protecteditem.State) string
	}{
		{"Resynchronization", func(s protecteditem.State) string { return string(s.Resync.State) }},
		{"Test failover", func(s protecteditem.State) string { return string(s.TestFailover) }},
	} {
		b.WriteString("\n## " + w.title + "\n\n")
		writeDiagram(b, slices.DeleteFunc(edges(steps, w.of), func(e edge) bool { return e.from == "" || e.to == "" }))
	}
}

func writeDiagram(b *strings.Builder, edges []edge) {
	b.WriteString("```mermaid\nstateDiagram-v2\n")
	type arrow struct{ from, to string }
	var (
		order  []arrow
		labels = map[arrow][]string{}
	)
	for _, e := range edges {
		a := arrow{cmp.Or(e.from, "[*]"), e.to}
		if labels[a] == nil {
			order = append(order, a)
		}
		if !slices.Contains(labels[a], e.move) {
			labels[a] = append(labels[a], e.move)
		}
	}
	for _, a := range order {
		labels[a] = slices.DeleteFunc(labels[a], func(l string) bool { // a variant says nothing more here
			name, _, variant := strings.Cut(l, " ")
			return variant && slices.Contains(labels[a], name)
		})
		fmt.Fprintf(b, "    %s --> %s: %s\n", a.from, a.to, strings.Join(labels[a], ", "))
	}
	b.WriteString("```\n")
}

func writeAnswers(b *strings.Builder, samples []sample) {
	b.WriteString("\n## What each state allows\n\nOf an item beside whose state nothing else is going on. Times, points and jobs in the reasons are those of the item played.\n")
	for _, state := range states(samples) {
		at := samples[slices.IndexFunc(samples, func(s sample) bool { return plain(s) && string(s.state.Protection) == state })]
		fmt.Fprintf(b, "\n### %s\n\n| operation | answer | reason |\n|---|---|---|\n", cmp.Or(state, never))
		for _, o := range protecteditem.AllowedOperations(at.state, at.now) {
			if o.Allowed {
				fmt.Fprintf(b, "| %s | allowed | |\n", named(o.Name))
			} else {
				fmt.Fprintf(b, "| %s | %s | %s |\n", named(o.Name), linked(o.Code), strings.ReplaceAll(o.Reason, "|", "\\|"))
			}
		}
	}
}

// plain says whether a sample is in its state and nothing else.
func plain(s sample) bool {
	w := wordOf(s.state)
	return !w.paused && w.disks == "" && (w.resync == "" || w.resync == protecteditem.ResyncNone) && (w.test == "" || w.test == protecteditem.TestFailoverNone)
}

const never = "Never protected"

// states are those met, in the order of a life.
func states(samples []sample) []string {
	var all []string
	for _, s := range samples {
		if state := string(s.state.Protection); plain(s) && !slices.Contains(all, state) {
			all = append(all, state)
		}
	}
	return all
}

// edge is a step that changes one of an item's words.
type edge struct{ move, from, to, events string }

func edges(steps []step, of func(protecteditem.State) string) []edge {
	var all []edge
	for _, s := range steps {
		e := edge{move: s.move, from: of(s.from), to: of(s.to), events: eventNames(s.events)}
		if e.from != e.to && !slices.Contains(all, e) {
			all = append(all, e)
		}
	}
	return all
}

func eventNames(types []string) string {
	short := make([]string, len(types))
	for i, t := range types {
		short[i] = "`" + strings.TrimSuffix(strings.TrimPrefix(t, protecteditem.Category+"."), ".v1") + "`"
	}
	return strings.Join(short, ", ")
}

// row is a move with all the states that it leads from.
type row struct {
	move, to, events string
	from             []string
}

func rows(edges []edge) []row {
	var all []row
	for _, e := range edges {
		i := slices.IndexFunc(all, func(r row) bool { return r.move == e.move && r.to == e.to && r.events == e.events })
		if i < 0 {
			i = len(all)
			all = append(all, row{move: e.move, to: e.to, events: e.events})
		}
		all[i].from = append(all[i].from, e.from)
	}
	return all
}

func quoted(names []string) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = "`" + n + "`"
		if n == "" {
			all[i] = strings.ToLower(never)
		}
	}
	return strings.Join(all, ", ")
}

func named(move string) string {
	name, how, variant := strings.Cut(move, " ")
	if variant {
		return "`" + name + "` " + how
	}
	return "`" + name + "`"
}

func linked(c errorcatalog.Code) string {
	return fmt.Sprintf("[`%s`](errors.md#%s)", c, c)
}
