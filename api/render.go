package api

import (
	"math"
	"time"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/projections"
)

// findingOf shows an error with what the catalogue says about it.
func findingOf(code errorcatalog.Code, detail string, since time.Time) oapi.Finding {
	f := oapi.Finding{Code: string(code), Detail: detail, Since: at(since)}
	if e, ok := errorcatalog.Lookup(code); ok {
		f.Class, f.Causes, f.Remedy = new(oapi.ErrorClass(e.Class)), &e.Causes, optional(e.Remedy)
		if detail == "" {
			f.Detail = e.Message
		}
	}
	return f
}

func failureOf(f *errorcatalog.Failure, since time.Time) *oapi.Finding {
	if f == nil {
		return nil
	}
	return new(findingOf(f.Code, f.Detail, since))
}

// undated is a failure that is not known to have begun at some instant.
func undated(f *errorcatalog.Failure) *oapi.Finding { return failureOf(f, time.Time{}) }

// progressOf adds up the transfers of disks; nil when there are none.
func progressOf(transfers []projections.Progress) *oapi.Progress {
	if len(transfers) == 0 {
		return nil
	}
	var p oapi.Progress
	for _, t := range transfers {
		p.BytesDone += t.BytesDone
		p.BytesTotal += t.BytesTotal
		p.BytesPerSecond += t.BytesPerSecond
		if t.UpdatedAt.After(p.UpdatedAt) {
			p.UpdatedAt = t.UpdatedAt
		}
	}
	if left := p.BytesTotal - p.BytesDone; left >= 0 && p.BytesPerSecond > 0 {
		p.EtaSeconds = new(int64(math.Ceil(float64(left) / float64(p.BytesPerSecond))))
	}
	return &p
}

// at is an optional time; the zero time is none.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}

// small fits a count into the contract's int32.
func small(n int) int32 { return int32(min(n, math.MaxInt32)) } //nolint:gosec // bounded

func each[A, B any](in []A, f func(A) B) []B {
	out := make([]B, 0, len(in))
	for _, a := range in {
		out = append(out, f(a))
	}
	return out
}
