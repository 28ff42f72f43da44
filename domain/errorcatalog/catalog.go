package errorcatalog

import (
	"slices"
	"strings"
)

// Causes and remedies that several entries share.
const (
	typo        = "a spelling mistake"
	networkDown = "the network to it is interrupted"
	movedOver   = "the item has failed over"
	deleted     = "somebody deleted it"
	tampered    = "somebody changed the replica"
	otherVault  = "it belongs to another vault"
	letItRun    = "Let the resynchronization run."
)

// byCode is built once: failures are classified all the time.
var byCode = index(All()) //nolint:gochecknoglobals // a table

// Lookup returns what the catalogue says about a code.
func Lookup(code Code) (Entry, bool) {
	e, ok := byCode[code]
	return e, ok
}

// All returns every entry, grouped by where the error comes from.
func All() []Entry {
	return slices.Concat(serviceEntries(), requestEntries(), existenceEntries(), stateEntries(),
		prerequisiteEntries(), hostEntries(), replicaEntries(), resynchronizationEntries(), healthEntries(), networkEntries(), planEntries())
}

// Markdown renders entries for the documentation.
func Markdown(entries []Entry) string {
	var b strings.Builder
	b.WriteString("# Errors\n\nEvery error and refusal has a stable code. Recoverable errors are retried after 1, 2, 4, 8 and 10 minutes and then\n" +
		"every 30 minutes; NonRecoverable ones wait for an operator; those of class Resynchronize end in a resynchronization;\n" +
		"a Refusal answers a request and has changed nothing.\n")
	for _, e := range entries {
		b.WriteString("\n## `" + string(e.Code) + "`\n\n" + e.Message + " (" + string(e.Class) + ")\n\nCauses:\n")
		for _, c := range e.Causes {
			b.WriteString("- " + c + "\n")
		}
		b.WriteString("\nRemedy: " + e.Remedy + "\n")
	}
	return b.String()
}

func index(entries []Entry) map[Code]Entry {
	m := make(map[Code]Entry, len(entries))
	for _, e := range entries {
		m[e.Code] = e
	}
	return m
}
