package protecteditem_test

import (
	"errors"
	"reflect"
	"testing"

	"farshore/domain"
	"farshore/domain/protecteditem"
)

func TestAPlanSkipsWhatIsWhereItWouldBringIt(t *testing.T) {
	t.Parallel()
	const test, cleanup, planned, unplanned, back, commit = protecteditem.TestFailoverJob, protecteditem.TestFailoverCleanupJob, protecteditem.PlannedFailoverJob,
		protecteditem.UnplannedFailoverJob, protecteditem.FailbackJob, protecteditem.FailoverCommitJob
	for name, tt := range map[string]struct {
		given   []protecteditem.Event
		settled []string
	}{
		"an unknown item":    {},
		"what is copied":     {given: replicating, settled: []string{cleanup}},
		"what is protected":  {given: following, settled: []string{cleanup, back, commit}},
		"what fails over":    {given: failing, settled: []string{cleanup}},
		"what failed over":   {given: uncommitted, settled: []string{test, cleanup, planned, unplanned}},
		"what is given back": {given: cancelling, settled: []string{cleanup}},
		"what is committed":  {given: history(uncommitted, committing, committed), settled: []string{test, cleanup, planned, unplanned, commit}},
		"what is tested":     {given: history(following, drilling, testPoint, tested), settled: []string{test, back, commit}},
		"what waits to end":  {given: awaiting, settled: []string{cleanup}},
		"what has come back": {given: history(awaiting, switching, switched), settled: []string{cleanup, back}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := protecteditem.Decider.Fold(protecteditem.State{}, tt.given...)
			var got []string
			for _, o := range []string{test, cleanup, planned, unplanned, back, commit} {
				if why, ok := protecteditem.Settled(s, o); ok {
					got = append(got, o)
					if why == "" {
						t.Errorf("%s is skipped without a word", o)
					}
				}
				kind, cmd := protecteditem.PlanCommand(s, o, protecteditem.PlanChoices{Point: protecteditem.Latest}, "new", noon)
				_, err := protecteditem.Decider.Decide(s, cmd)
				if r, refused := errors.AsType[*domain.RejectionError](err); kind == "" || refused && r.Kind == domain.Invalid {
					t.Errorf("%s asks for what cannot be: %v", o, err)
				}
			}
			if !reflect.DeepEqual(got, tt.settled) {
				t.Errorf("settled for %v, want %v", got, tt.settled)
			}
		})
	}
}
