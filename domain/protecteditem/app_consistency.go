package protecteditem

import (
	"time"

	"farshore/domain/errorcatalog"
)

// Freeze is what a cut has asked of the guest's applications.
type Freeze struct {
	Milliseconds int64                 `json:"milliseconds,omitempty"` // from the first request to the last answer
	Failure      *errorcatalog.Failure `json:"failure,omitempty"`
}

// AppConsistency is what has become of the application-consistent cuts that were
// due or asked for.
type AppConsistency struct {
	AskedAt      time.Time             // the instant of the last one, reached or not
	ReachedAt    time.Time             // of the last one that is application-consistent
	Milliseconds int64                 // how long the applications were frozen for it
	Failure      *errorcatalog.Failure // why the last one is not, or has left them frozen
	FailedSince  time.Time
}

// NextConsistency is what the next cut is to be: application-consistent when that
// was asked for, or when the policy's time since the last attempt has passed. An
// attempt that failed is not repeated before: it, too, has held the guest up.
func NextConsistency(s State, now time.Time) Consistency {
	if s.Protection != Protected || s.Resync.State != ResyncNone {
		return CrashConsistent
	}
	if !s.Requested.At.IsZero() && s.Requested.Consistency == AppConsistent {
		return AppConsistent
	}
	if due := NextAppConsistent(s); !due.IsZero() && !due.After(now) {
		return AppConsistent
	}
	return CrashConsistent
}

// NextAppConsistent returns from when on the next cut is to be application-consistent
// by the policy; the zero time: never. Before the first attempt that is the end of
// enabling protection.
func NextAppConsistent(s State) time.Time {
	every := s.Policy.AppConsistentFrequency()
	switch {
	case every <= 0:
		return time.Time{}
	case s.AppConsistency.AskedAt.IsZero():
		return s.ProtectedAt
	default:
		return s.AppConsistency.AskedAt.Add(every)
	}
}

// after is what has become of it once a cut was shipped.
func (a AppConsistency) after(e DeltaShipped) AppConsistency {
	reached := e.Consistency == AppConsistent
	if !reached && e.Freeze == nil {
		return a
	}
	var f Freeze
	if e.Freeze != nil {
		f = *e.Freeze
	}
	thawing := f.Failure != nil && f.Failure.Code == errorcatalog.ThawHookFailed
	switch {
	case reached:
		a.AskedAt, a.ReachedAt, a.Milliseconds = e.Instant, e.Instant, f.Milliseconds
	case f.Failure != nil && !thawing:
		a.AskedAt = e.Instant
	case f.Failure == nil && !a.frozen(): // thawed, and nothing else is told of
		return a
	}
	if a.Failure == nil {
		a.FailedSince = e.At
	}
	if a.Failure = f.Failure; a.Failure == nil {
		a.FailedSince = time.Time{}
	}
	return a
}

// frozen says whether the guest's applications may be frozen still.
func (a AppConsistency) frozen() bool {
	return a.Failure != nil && a.Failure.Code == errorcatalog.ThawHookFailed
}

// underPolicy forgets a failure of what a policy no longer prescribes.
func (a AppConsistency) underPolicy(every time.Duration) AppConsistency {
	if every <= 0 && !a.frozen() {
		a.Failure, a.FailedSince = nil, time.Time{}
	}
	return a
}

// health is the reason for a health other than Normal, and whether it is a
// critical one: applications that stand still are worse than a point that is only
// crash-consistent.
func (a AppConsistency) health() (reason HealthError, critical, is bool) {
	if a.Failure == nil {
		return HealthError{}, false, false
	}
	return HealthError{Code: a.Failure.Code, Detail: a.Failure.Detail, Since: a.FailedSince}, a.frozen(), true
}

// covers says whether a request is met by one that there is.
func (r CycleRequest) covers(c Consistency) bool {
	return !r.At.IsZero() && (c != AppConsistent || r.Consistency == AppConsistent)
}

// after is what is left of a request once a cut was shipped. One made before it
// does not meet it, nor does one for which the applications were not asked. The
// second one does, whatever it says: the host's clock may be behind the caller's.
func (r CycleRequest) after(e DeltaShipped) CycleRequest {
	asked := r.Consistency != AppConsistent || e.Consistency == AppConsistent || e.Freeze != nil
	if r.Passed || (asked && !e.Instant.Before(r.At)) {
		return CycleRequest{}
	}
	r.Passed = true
	return r
}

// ofRequest says whether it can be asked for; empty leaves it to the policy.
func (c Consistency) ofRequest() bool {
	return c == "" || c == CrashConsistent || c == AppConsistent
}

// plain is f as it is stored.
func (f *Freeze) plain() *Freeze {
	if f == nil || f.Failure == nil {
		return f
	}
	failure := plain(f.Failure)
	return &Freeze{Milliseconds: f.Milliseconds, Failure: &failure}
}
