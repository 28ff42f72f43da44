package statechart

import (
	"fmt"
	"slices"
	"strings"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

// situation is a sample of which the moves named have been made.
type situation struct {
	while string
	word  word
	then  []string
}

func situations() []situation {
	const (
		p     = protecteditem.Protected
		none  = protecteditem.ResyncNone
		quiet = protecteditem.TestFailoverNone
	)
	in := func(state protecteditem.ProtectionState, job string) word {
		return word{protection: state, resync: none, test: quiet, job: job}
	}
	tested := func(w word, t protecteditem.TestFailoverState) word {
		w.test = t
		return w
	}
	failover, commit := protecteditem.FailoverCommitRequired, protecteditem.FailbackCommitRequired
	return []situation{
		{"nothing else is going on", in(p, ""), nil},
		{"a test failover is being brought up", tested(in(p, ""), protecteditem.TestFailoverInProgress), nil},
		{"a test failover is open", tested(in(p, ""), protecteditem.TestFailoverAwaitingCleanup), nil},
		{"a test failover is being cleaned up", tested(in(p, ""), protecteditem.TestFailoverCleaningUp), nil},
		{"a resynchronization is required", word{protection: p, resync: protecteditem.ResyncRequired, test: quiet}, nil},
		{"and an operator has asked for it at once", word{protection: p, resync: protecteditem.ResyncRequired, test: quiet}, []string{"RepairReplication"}},
		{"a resynchronization is in progress", word{protection: p, resync: protecteditem.ResyncInProgress, test: quiet, job: protecteditem.ResynchronizationJob}, nil},
		{"it was cancelled", word{protection: p, resync: protecteditem.ResyncInProgress, test: quiet, job: protecteditem.ResynchronizationJob}, []string{"CancelResynchronization"}},
		{"replication is paused", word{protection: p, resync: none, test: quiet, paused: true}, nil},
		{"replication is paused and a resynchronization is required", word{protection: p, resync: protecteditem.ResyncRequired, test: quiet, paused: true}, nil},
		{"a disk is being added", word{protection: p, resync: none, test: quiet, disks: protecteditem.DiskReplicationJob}, nil},
		{"a failover waits for its commit", in(failover, ""), nil},
		{"and a test failover is open", tested(in(failover, ""), protecteditem.TestFailoverAwaitingCleanup), nil},
		{"and the VM's disks are being copied", word{protection: failover, resync: none, test: quiet, copying: true}, nil},
		{"and its source is seen running", in(failover, ""), []string{"RecordSourceRunning"}},
		{"its recovery point is being changed", in(failover, protecteditem.RecoveryPointChangeJob), nil},
		{"that has failed, and there is no recovery VM", in(failover, protecteditem.RecoveryPointChangeJob), []string{"FailRecoveryPointChange"}},
		{"it is being cancelled", in(failover, protecteditem.FailoverCancelJob), nil},
		{"it is being committed", in(failover, protecteditem.FailoverCommitJob), nil},
		{"the item has failed over", in(protecteditem.FailedOver, ""), nil},
		{"and a test failover is open", tested(in(protecteditem.FailedOver, ""), protecteditem.TestFailoverAwaitingCleanup), nil},
		{"and its source is seen running", in(protecteditem.FailedOver, ""), []string{"RecordSourceRunning"}},
		{"a failback compares and pulls", in(protecteditem.FailbackSynchronizing, protecteditem.FailbackJob), nil},
		{"a failback waits for its completion", in(protecteditem.FailbackAwaitingCompletion, protecteditem.FailbackJob), nil},
		{"and the source is seen running", in(protecteditem.FailbackAwaitingCompletion, protecteditem.FailbackJob), []string{"RecordSourceRunning"}},
		{"a failback is being completed", in(protecteditem.FailbackCompleting, protecteditem.FailbackJob), nil},
		{"a failback waits for its commit", in(commit, ""), nil},
		{"it is being cancelled", in(commit, protecteditem.FailbackCancelJob), nil},
		{"it is being committed", in(commit, protecteditem.FailbackCommitJob), nil},
		{"the item has failed back", in(protecteditem.FailedBack, ""), nil},
		{"the item is replicated in reverse", in(protecteditem.ReverseReplicating, protecteditem.ReverseReplicationJob), nil},
	}
}

// find returns the sample of a situation, if one can be come by.
func (w situation) find(samples []sample) (sample, bool) {
	i := slices.IndexFunc(samples, func(s sample) bool { return wordOf(s.state) == w.word })
	if i < 0 {
		return sample{}, false
	}
	at := samples[i]
	for _, m := range allMoves() {
		if slices.Contains(w.then, m.name) {
			after, events := m.play(at)
			if len(events) == 0 {
				return sample{}, false
			}
			at = after
		}
	}
	return at, true
}

func writeSituations(b *strings.Builder, samples []sample) {
	b.WriteString("\n## What may overlap\n\nEach operation is allowed or refused. What is refused as it is in the first row is left out of the others;\n" +
		"why is said below, where each state has its table. Disabling is asked for with `cleanup=true`, another recovery point with `confirm=true`.\n\n| state | while | allowed | refused |\n|---|---|---|---|\n")
	usual := map[string]errorcatalog.Code{}
	for i, w := range situations() {
		at, found := w.find(samples)
		if !found {
			fmt.Fprintf(b, "| `%s` | %s | cannot be | |\n", w.word.protection, w.while)
			continue
		}
		answers := protecteditem.AllowedOperations(at.state, at.now)
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", w.word.protection, w.while, allowed(answers), refused(answers, usual))
		if i == 0 {
			for _, o := range answers {
				usual[o.Name] = o.Code
			}
		}
	}
}

func allowed(answers []protecteditem.Operation) string {
	var names []string
	for _, o := range answers {
		if o.Allowed {
			names = append(names, o.Name)
		}
	}
	return strings.Join(names, ", ")
}

// refused lists by their codes the operations that are refused otherwise than
// usual.
func refused(answers []protecteditem.Operation, usual map[string]errorcatalog.Code) string {
	var (
		codes []errorcatalog.Code
		names = map[errorcatalog.Code][]string{}
	)
	for _, o := range answers {
		if o.Allowed || usual[o.Name] == o.Code {
			continue
		}
		if names[o.Code] == nil {
			codes = append(codes, o.Code)
		}
		names[o.Code] = append(names[o.Code], o.Name)
	}
	parts := make([]string, len(codes))
	for i, c := range codes {
		parts[i] = linked(c) + ": " + strings.Join(names[c], ", ")
	}
	return strings.Join(parts, "<br>")
}
