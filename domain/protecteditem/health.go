package protecteditem

import (
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
	var critical, warning []HealthError
	if f := s.Retry.Failure; f != nil {
		e := HealthError{Code: f.Code, Detail: f.Detail, Since: s.Retry.Since}
		if errorcatalog.ClassOf(f.Code) == errorcatalog.Recoverable {
			warning = append(warning, e)
		} else {
			critical = append(critical, e)
		}
	}
	resync := HealthError{Code: s.Resync.Reason, Detail: s.Resync.Detail, Since: s.Resync.Since}
	switch s.Resync.State {
	case ResyncRequired:
		critical = append(critical, resync)
	case ResyncInProgress:
		warning = append(warning, resync)
	case ResyncNone:
	}
	if f := s.Failure; f != nil {
		warning = append(warning, HealthError{Code: f.Code, Detail: f.Detail, Since: s.FailedAt})
	}
	switch s.Protection {
	case InitialReplicationPending, InitialReplicationInProgress:
		warning = append(warning, HealthError{Code: errorcatalog.InitialReplicationUnfinished, Since: s.StartAt})
	case FailoverCommitRequired, FailedOver:
		warning = append(warning, HealthError{Code: errorcatalog.NotReplicating, Since: s.LastShipped.Instant})
	case FinalizingProtection, Protected:
		if rpo, ok := RPO(s, now); ok && rpo > behindAfter {
			warning = append(warning, HealthError{
				Code: errorcatalog.ReplicationBehind, Detail: rpo.Round(time.Second).String() + " behind", Since: now.Add(behindAfter - rpo),
			})
		}
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
