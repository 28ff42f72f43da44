package api

import (
	"farshore/api/oapi"
	"farshore/domain/protecteditem"
)

// appConsistencyOf tells of an item's application-consistent points; nil when none
// was ever due or asked for.
func appConsistencyOf(st protecteditem.State) *oapi.AppConsistency {
	var (
		a    = st.AppConsistency
		next = protecteditem.NextAppConsistent(st)
	)
	if next.IsZero() && a == (protecteditem.AppConsistency{}) {
		return nil
	}
	out := &oapi.AppConsistency{
		LastAt: at(a.ReachedAt), LastAttemptAt: at(a.AskedAt), NextAt: at(next), Error: failureOf(a.Failure, a.FailedSince),
	}
	if !a.ReachedAt.IsZero() {
		out.FrozenMilliseconds = &a.Milliseconds
	}
	return out
}
