package protecteditem

import (
	"fmt"
	"time"

	"farshore/domain/errorcatalog"
)

// Health says how well an item is protected.
type Health string

// The degrees of health, in order.
const (
	Normal   Health = "Normal"
	Warning  Health = "Warning"
	Critical Health = "Critical"
)

// repeatedly is how many attempts in a row have failed when a failure that is
// retried is more than a warning.
const repeatedly = 5

// behindAfter is the age of the newest replicated state from which an item is in
// Warning.
const behindAfter = time.Hour

// HealthError is a reason for a health other than Normal.
type HealthError struct {
	Code   errorcatalog.Code
	Detail string
	Since  time.Time
}

// HealthOf returns an item's health, which is that of its worst reason, and the
// reasons, the worst first.
func HealthOf(s State, now time.Time) (Health, []HealthError) {
	critical, warning := attempted(s)
	if s.Fencing.SourceActive {
		critical = append(critical, HealthError{Code: errorcatalog.SourceStillRunning, Detail: s.Fencing.Detail, Since: s.Fencing.Since})
	}
	warning = append(warning, besides(s, now)...)
	resync := HealthError{Code: s.Resync.Reason, Detail: s.Resync.Detail, Since: s.Resync.Since}
	switch s.Resync.State {
	case ResyncRequired:
		critical = append(critical, resync)
	case ResyncInProgress:
		warning = append(warning, resync)
	case ResyncNone:
	}
	if owed := s.Owed; owed != nil {
		warning = append(warning, HealthError{Code: owed.Reason, Detail: owed.Detail, Since: owed.Since})
	}
	if f := s.Failure; f != nil {
		warning = append(warning, HealthError{Code: f.Code, Detail: f.Detail, Since: s.FailedAt})
	}
	switch s.Protection {
	case InitialReplicationPending, InitialReplicationInProgress:
		warning = append(warning, HealthError{Code: errorcatalog.InitialReplicationUnfinished, Since: s.StartAt})
	case FailbackCommitRequired, FailedBack, ReverseReplicating:
		warning = append(warning, HealthError{Code: errorcatalog.NotReverseProtected, Since: s.LastShipped.Instant})
	case UnplannedFailoverInProgress, FailoverCommitRequired, FailedOver,
		FailbackSynchronizing, FailbackAwaitingCompletion, FailbackCompleting:
		warning = append(warning, HealthError{Code: errorcatalog.NotReplicating, Since: s.LastShipped.Instant})
	case FinalizingProtection, Protected:
		worse, bad := following(s, now)
		critical, warning = append(critical, worse...), append(warning, bad...)
	default:
	}
	switch {
	case len(critical) > 0:
		return Critical, append(critical, warning...)
	case len(warning) > 0:
		return Warning, warning
	default:
		return Normal, nil
	}
}

// attempted returns the reasons that come from failed attempts: of the replication
// or the item's job, and of the background copy.
func attempted(s State) (critical, warning []HealthError) {
	for _, r := range []Retry{s.Retry, s.CopyRetry} {
		f := r.Failure
		if f == nil {
			continue
		}
		e := HealthError{Code: f.Code, Detail: f.Detail, Since: r.Since}
		if errorcatalog.ClassOf(f.Code) == errorcatalog.Recoverable {
			warning = append(warning, e)
		} else {
			critical = append(critical, e)
		}
		if r.Attempt >= repeatedly {
			critical = append(critical, HealthError{
				Code: errorcatalog.RepeatedFailures, Detail: fmt.Sprintf("%d attempts in a row have failed", r.Attempt), Since: r.Since,
			})
		}
	}
	return critical, warning
}

// following returns the reasons that come from how well the replica follows.
func following(s State, now time.Time) (critical, warning []HealthError) {
	switch e, worse, is := s.AppConsistency.health(); {
	case worse:
		critical = append(critical, e)
	case is:
		warning = append(warning, e)
	}
	if rpo, ok := RPO(s, now); ok && rpo >= behindAfter {
		warning = append(warning, HealthError{
			Code: errorcatalog.ReplicationBehind, Detail: rpo.Round(time.Second).String() + " behind", Since: now.Add(behindAfter - rpo),
		})
	}
	if e, is := missesCycles(s, now); is {
		warning = append(warning, e)
	}
	return critical, warning
}

// besides returns the reasons for a warning that come from what is beside the
// replication: new disks, test failovers, a pause.
func besides(s State, now time.Time) []HealthError {
	var warning []HealthError
	if f := s.TestRetry.Failure; f != nil {
		warning = append(warning, HealthError{Code: f.Code, Detail: f.Detail, Since: s.TestRetry.Since})
	}
	if f := s.DiskRetry.Failure; f != nil {
		warning = append(warning, HealthError{Code: f.Code, Detail: f.Detail, Since: s.DiskRetry.Since})
	}
	for _, d := range s.NewDisks {
		warning = append(warning, HealthError{Code: errorcatalog.DiskUnprotected, Detail: d.ID, Since: s.LastShipped.Instant})
	}
	if s.CopyJob != nil {
		warning = append(warning, HealthError{Code: errorcatalog.BackgroundCopyUnfinished, Detail: "recovery point " + s.Copy.Point, Since: s.Copy.StartedAt})
	}
	if f := s.TestFailure; f != nil {
		warning = append(warning, HealthError{Code: f.Code, Detail: f.Detail, Since: s.TestFailedAt})
	}
	for _, f := range s.NetworkFindings {
		warning = append(warning, HealthError{Code: f.Code, Detail: f.Detail, Since: s.NetworksCheckedAt})
	}
	if p := s.Paused; p != nil {
		warning = append(warning, HealthError{Code: errorcatalog.ReplicationPaused, Detail: p.Reason, Since: p.Since})
	}
	for _, l := range s.LeftBehind {
		warning = append(warning, HealthError{Code: errorcatalog.VMLeftBehind, Detail: l.VM + " on " + l.Site + "/" + l.Host, Since: l.Since})
	}
	if since, due := DrillDue(s, now); due {
		warning = append(warning, HealthError{Code: errorcatalog.TestFailoverDue, Since: since})
	}
	return warning
}
