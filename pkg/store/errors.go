package store

import (
	"fmt"
	"strings"
)

// Code is the class of a refusal. It crosses the wire, stands in error.code of
// the JSON output, and decides the exit code of the command line.
type Code string

const (
	CodeInvalid       Code = "invalid"
	CodeNotFound      Code = "not_found"
	CodeExists        Code = "already_exists"
	CodeConflict      Code = "conflict"
	CodeRequestReused Code = "request_id_reused"
	CodeDenied        Code = "denied"
	CodeRefused       Code = "refused"
	CodeUnknown       Code = "unknown_outcome"
	CodeUnavailable   Code = "unavailable"
	CodeIntegrity     Code = "integrity"
	CodeNewer         Code = "newer"
	CodeInternal      Code = "internal"
)

// Sentinels for errors.Is: two errors match when their codes do.
var (
	ErrInvalid       = &Error{Code: CodeInvalid}
	ErrNotFound      = &Error{Code: CodeNotFound}
	ErrExists        = &Error{Code: CodeExists}
	ErrConflict      = &Error{Code: CodeConflict}
	ErrRequestReused = &Error{Code: CodeRequestReused}
	ErrDenied        = &Error{Code: CodeDenied}
	ErrRefused       = &Error{Code: CodeRefused}
	ErrUnknown       = &Error{Code: CodeUnknown}
	ErrUnavailable   = &Error{Code: CodeUnavailable}
	ErrIntegrity     = &Error{Code: CodeIntegrity}
	ErrNewer         = &Error{Code: CodeNewer}
	ErrInternal      = &Error{Code: CodeInternal}
)

// Field is one fault of a document: where it is and what is wrong there.
type Field struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// Error is a refusal, the same on every node and on both ends of the wire.
type Error struct {
	Code    Code    `json:"code"`
	Message string  `json:"message"`
	Hint    string  `json:"hint,omitempty"`
	Fields  []Field `json:"fields,omitempty"`
}

// Errorf makes an Error of the given class.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithHint returns a copy of the error that says what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	for _, f := range e.Fields {
		b.WriteString("\n  ")
		if f.Path != "" {
			b.WriteString(f.Path + ": ")
		}
		b.WriteString(f.Message)
	}
	return b.String()
}

// Is reports whether target is an Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Invalid makes the one error that lists every fault of a document.
func Invalid(what string, faults []Field) *Error {
	return &Error{Code: CodeInvalid, Message: what + " is not valid", Fields: faults}
}
