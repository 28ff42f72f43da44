package pageblob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"farshore/domain/errorcatalog"
)

// What a request's failure means for the next one.
type verdict int

const (
	final   verdict = iota // repeating it changes nothing
	refused                // not executed: repeat it
	unclear                // may have been executed, may still be
)

var (
	// errUnverified: what was read back is not what was written.
	errUnverified = errors.New("what is stored differs from what was sent")
	// errConflict: somebody else has replaced the version that was read.
	errConflict = errors.New("changed by somebody else")
)

func judge(err error) verdict {
	if errors.Is(err, errUnverified) {
		return unclear
	}
	if errors.Is(err, errConflict) {
		return final
	}
	if _, ok := errors.AsType[*errorcatalog.Failure](err); ok {
		return final
	}
	answer, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		return unclear // no answer at all
	}
	switch {
	case bloberror.HasCode(err, bloberror.ServerBusy, bloberror.MD5Mismatch, bloberror.CRC64Mismatch,
		bloberror.ContainerBeingDeleted, bloberror.SnapshotOperationRateExceeded):
		return refused
	case bloberror.HasCode(err, bloberror.OperationTimedOut, bloberror.InternalError),
		answer.StatusCode == http.StatusRequestTimeout, answer.StatusCode == http.StatusTooManyRequests:
		return unclear
	}
	// A gateway on the way may have passed the request on before it gave up.
	if answer.StatusCode >= http.StatusInternalServerError && answer.StatusCode != http.StatusNotImplemented {
		return unclear
	}
	return final
}

// explain turns an error of the service into a Failure of the catalogue. The
// caller's own cancellation stays what it is.
func explain(ctx context.Context, err error, what string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*errorcatalog.Failure](err); ok {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	return errorcatalog.Fail(codeOf(err), "%s", what).Because(brief(err))
}

func codeOf(err error) errorcatalog.Code {
	if errors.Is(err, errUnverified) {
		return errorcatalog.TransferVerificationFailed
	}
	answer, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		return errorcatalog.ReplicaStoreUnreachable
	}
	switch {
	case bloberror.HasCode(err, bloberror.AuthenticationFailed, bloberror.InvalidAuthenticationInfo, bloberror.NoAuthenticationInformation):
		return errorcatalog.ReplicaStoreAuthentication
	case bloberror.HasCode(err, bloberror.ServerBusy, bloberror.OperationTimedOut, bloberror.SnapshotOperationRateExceeded):
		return errorcatalog.Throttled
	case bloberror.HasCode(err, bloberror.InternalError):
		return errorcatalog.ReplicaStoreUnreachable
	case bloberror.HasCode(err, bloberror.ContainerNotFound, bloberror.ContainerBeingDeleted, bloberror.ContainerDisabled):
		return errorcatalog.ReplicaStoreUnusable
	case bloberror.HasCode(err, bloberror.SnapshotCountExceeded):
		return errorcatalog.ReplicaStoreUnsupportedKind
	}
	switch {
	case answer.StatusCode == http.StatusUnauthorized:
		return errorcatalog.ReplicaStoreAuthentication
	case answer.StatusCode == http.StatusForbidden, strings.HasPrefix(answer.ErrorCode, "Authorization"):
		return errorcatalog.ReplicaStoreAuthorization
	case answer.StatusCode == http.StatusTooManyRequests, answer.StatusCode == http.StatusServiceUnavailable:
		return errorcatalog.Throttled
	case answer.StatusCode >= http.StatusInternalServerError:
		return errorcatalog.ReplicaStoreUnreachable
	}
	return errorcatalog.ReplicaStoreUnusable
}

// brief keeps the page of text that a ResponseError prints out of details.
func brief(err error) error {
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return &answerError{answer}
	}
	return err
}

type answerError struct{ *azcore.ResponseError }

func (e *answerError) Error() string {
	return fmt.Sprintf("the service answered %d %s", e.StatusCode, e.ErrorCode)
}

func (e *answerError) Unwrap() error { return e.ResponseError }

func isMissing(err error) bool {
	return bloberror.HasCode(err, bloberror.BlobNotFound, bloberror.ResourceNotFound)
}

// isConflict tells that a condition on the version of a blob did not hold.
func isConflict(err error) bool {
	return bloberror.HasCode(err, bloberror.ConditionNotMet, bloberror.TargetConditionNotMet, bloberror.BlobAlreadyExists, bloberror.ResourceAlreadyExists)
}

func isOutdated(err error) bool {
	return bloberror.HasCode(err, bloberror.SequenceNumberConditionNotMet)
}
