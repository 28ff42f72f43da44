package directory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"

	"farshore/domain/errorcatalog"
	"farshore/workers/replica"
)

// failed says by which code of the catalogue an error of the file system is
// known; nil stays nil. What carries a code of a replica already keeps it.
func failed(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf(format, args...)
	if passes(err) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return errorcatalog.Fail(codeOf(err), "%s", what).Because(err)
}

// passes says whether an error already means what the caller is to know.
func passes(err error) bool {
	for _, own := range []error{
		context.Canceled, context.DeadlineExceeded, errName, errStateChanged,
		replica.ErrUnaligned, replica.ErrOutOfRange, replica.ErrUndeclared, replica.ErrApplyOpen, replica.ErrNoApply,
	} {
		if errors.Is(err, own) {
			return true
		}
	}
	if _, ok := errors.AsType[sourceError](err); ok {
		return true
	}
	f, ok := errors.AsType[*errorcatalog.Failure](err)
	// Undo logs are change logs, but trouble with them is not the source's.
	return ok && errorcatalog.ClassOf(f.Code) != errorcatalog.Resynchronize
}

func codeOf(err error) errorcatalog.Code {
	f, coded := errors.AsType[*errorcatalog.Failure](err)
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return errorcatalog.ReplicaStoreFull
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS), errors.Is(err, unix.ENOTDIR):
		return errorcatalog.ReplicaStoreUnusable
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, errDamaged):
		return errorcatalog.ReplicaCorrupt
	case coded && f.Code != errorcatalog.LogWriteFailed:
		return errorcatalog.ReplicaCorrupt
	default:
		return errorcatalog.ReplicaStoreUnreachable
	}
}

// errDamaged means that a file of ours does not hold what we wrote.
var errDamaged = errors.New("its content is not what was written")

func diskNotFound(item, disk string) error {
	return errorcatalog.Fail(errorcatalog.ReplicaDiskNotFound, "disk %s of item %s", disk, item)
}

func pointNotFound(item, point string) error {
	return errorcatalog.Fail(errorcatalog.RecoveryPointNotFound, "point %s of item %s", point, item)
}
