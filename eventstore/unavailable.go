package eventstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// away knows the SQLSTATE codes that speak of the server's state and not of the
// request: it starts, stops, is full, or has become read-only.
func away(code string) bool {
	switch code {
	case "57P01", "57P02", "57P03", "57P05", "53300", "25006", "58000", "58030":
		return true
	}
	return strings.HasPrefix(code, "08") // connection exceptions
}

// Classify wraps an error of the database in ErrUnavailable when it says that the
// database cannot be reached, as opposed to having refused the request. A ctx that
// has ended is the caller's affair: its error is returned as it is.
func Classify(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if unreachable(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

func unreachable(err error) bool {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return away(pgErr.Code)
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed")
}
