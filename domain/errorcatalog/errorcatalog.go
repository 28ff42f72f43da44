// Package errorcatalog lists every error and refusal a user can meet: its stable
// code, what it means, what may have caused it, what to do about it, and whether
// Farshore tries again by itself.
package errorcatalog

import (
	"errors"
	"fmt"
)

// Code names an error for ever: "replica_store_unreachable".
type Code string

// Class says what follows an error.
type Class string

// The classes of Site Recovery's retry rules, and refusals.
const (
	Recoverable    Class = "Recoverable"    // retried on the schedule
	NonRecoverable Class = "NonRecoverable" // never retried: an operator must act; health is Critical
	Resynchronize  Class = "Resynchronize"  // never retried: the replica can no longer follow and is to be resynchronized
	Refusal        Class = "Refusal"        // an answer to a request; nothing has changed
)

// Entry is what the catalogue says about a code.
type Entry struct {
	Code    Code
	Class   Class
	Message string   // one sentence, no trailing period needed by callers
	Causes  []string // the likely ones first
	Remedy  string   // what the operator or the client does next
}

// Failure is an error with a code of the catalogue. It is stored in events and
// crosses process boundaries as JSON.
type Failure struct {
	Code   Code   `json:"code"`
	Detail string `json:"detail,omitempty"` // what exactly happened, for the person who reads it
	cause  error
}

// Fail returns a Failure with the given code and detail.
func Fail(code Code, format string, args ...any) *Failure {
	return &Failure{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Because attaches the error that caused f; errors.Is and errors.As see it, and
// the detail tells it.
func (f *Failure) Because(err error) *Failure {
	f.cause = err
	if err != nil {
		f.Detail += ": " + err.Error()
	}
	return f
}

func (f *Failure) Error() string { return string(f.Code) + ": " + f.Detail }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.cause }

// Of returns the first Failure in err's chain. An error that carries none is
// an internal_error, which is Recoverable.
func Of(err error) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	return &Failure{Code: InternalError, Detail: err.Error(), cause: err}
}

// ClassOf returns a code's class; a code that the catalogue does not list is
// Recoverable.
func ClassOf(code Code) Class {
	if e, ok := Lookup(code); ok {
		return e.Class
	}
	return Recoverable
}
