package job

import (
	"maps"
	"slices"
	"strings"

	"farshore/domain/errorcatalog"
)

// warning begins the keys under which a task's output keeps what it warns of.
const warning = "warning/"

// WarningKey is the key of a warning in a task's output: its code and what it
// concerns.
func WarningKey(code errorcatalog.Code, subject string) string {
	return warning + string(code) + "/" + subject
}

// Warnings returns what an operator should know of the task although it went on.
func (t Task) Warnings() []errorcatalog.Failure {
	var found []errorcatalog.Failure
	for _, key := range slices.Sorted(maps.Keys(t.Output)) {
		if rest, ok := strings.CutPrefix(key, warning); ok {
			code, _, _ := strings.Cut(rest, "/")
			found = append(found, errorcatalog.Failure{Code: errorcatalog.Code(code), Detail: t.Output[key]})
		}
	}
	return found
}
