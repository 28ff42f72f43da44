package workflow

import (
	"context"
	"errors"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/eventstore"
	"farshore/workers/lane"
)

// Unfollowable is the failure of a disk whose log can no longer be trusted.
func Unfollowable(reason, disk, detail string) *errorcatalog.Failure {
	return errorcatalog.Fail(errorcatalog.Code(reason), "disk %s: %s", disk, detail)
}

// Outcome says what becomes of an error that ended a workflow's run.
type Outcome int

// The outcomes.
const (
	Failed      Outcome = iota // it counts: the retry schedule or a resynchronization follows
	Interrupted                // the worker is stopping, or a command outranks the work
	Lost                       // the lane belongs to another worker
	Waiting                    // PostgreSQL is away: nothing counts as failed
	Overtaken                  // the item's state has moved: read it again
)

// OutcomeOf tells them apart.
func OutcomeOf(ctx context.Context, err error) Outcome {
	switch {
	case errors.Is(err, lane.ErrFenced) || errors.Is(context.Cause(ctx), lane.ErrFenced):
		return Lost
	case ctx.Err() != nil:
		return Interrupted
	case errors.Is(err, eventstore.ErrUnavailable) || errors.Is(err, lane.ErrLapsed):
		return Waiting
	case errors.Is(err, eventstore.ErrVersionConflict):
		return Overtaken
	case fenced(err):
		return Lost
	default:
		if _, refused := errors.AsType[*domain.RejectionError](err); refused {
			return Overtaken
		}
		return Failed
	}
}

// fenced recognizes the store's word for a lane that has passed on.
func fenced(err error) bool {
	f, ok := errors.AsType[*errorcatalog.Failure](err)
	return ok && f.Code == errorcatalog.Fenced
}

// HostLost says whether an error means that a host does not answer, or is not there any
// more.
func HostLost(err error) bool {
	return Is(err, errorcatalog.HostUnreachable) || Is(err, errorcatalog.HostNotFound) || Is(err, errorcatalog.HostDirectoryUnusable)
}

// Is says whether err is a failure of the given code.
func Is(err error, code errorcatalog.Code) bool {
	f, ok := errors.AsType[*errorcatalog.Failure](err)
	return ok && f.Code == code
}
