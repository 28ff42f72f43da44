package domain

import (
	"fmt"

	"farshore/domain/errorcatalog"
)

// Kind classifies a RejectionError by what the caller can do about it.
type Kind int

// The kinds of rejection.
const (
	Invalid  Kind = iota + 1 // the command is malformed; correct it and retry
	NotFound                 // the aggregate does not exist
	Conflict                 // the aggregate's present state forbids the command
)

// RejectionError is the domain's refusal of a well-delivered command. It is an
// answer, not a fault: it is never logged as an error or retried. Its remedy
// stands in the error catalogue under its code.
type RejectionError struct {
	Kind   Kind
	Code   errorcatalog.Code
	Field  string // JSON pointer of the offending field: "/copyFrequencySeconds"; empty if none
	Detail string // for the person who reads the response
}

// Reject returns a RejectionError.
func Reject(kind Kind, code errorcatalog.Code, format string, args ...any) *RejectionError {
	return &RejectionError{Kind: kind, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// At names the field that the rejection is about, as a JSON pointer.
func (r *RejectionError) At(field string) *RejectionError {
	r.Field = field
	return r
}

func (r *RejectionError) Error() string { return string(r.Code) + ": " + r.Detail }
