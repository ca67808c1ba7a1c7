package cmd

import (
	"context"
	"errors"

	"github.com/cpctl/cpctl/pkg/store"
)

// codeUsage is the class of errors that the command line finds itself.
const codeUsage store.Code = "usage"

const exitInterrupted = 130

// exits says which exit code each class of error has. Scripts rely on it; the
// manual is made from it.
var exits = []struct {
	code    store.Code // of error.code; empty: not an error of the cluster
	exit    int
	meaning string
}{
	{"", 0, "done, or nothing to do"},
	{store.CodeInternal, 1, "any other failure"},
	{codeUsage, 2, "usage or invalid input; nothing was changed"},
	{store.CodeInvalid, 2, ""},
	{store.CodeNotFound, 3, "not found"},
	{store.CodeExists, 4, "already exists"},
	{store.CodeConflict, 5, "conflict: changed since the revision given"},
	{store.CodeRequestReused, 6, "request id already used for another change, or too old to be known"},
	{store.CodeDenied, 7, "denied: no or bad credentials, not allowed"},
	{store.CodeRefused, 8, "refused by a safety rule; the message says which, and how to override"},
	{store.CodeUnknown, 9, "outcome unknown: sent, no answer; retry with the same --request-id"},
	{store.CodeUnavailable, 10, "unavailable: no leader, cannot connect; retry"},
	{store.CodeIntegrity, 11, "integrity: checksum, digest or decryption failed"},
	{store.CodeNewer, 12, "an entry, archive or directory of a newer version or level"},
	{"", 13, "the log cannot be written (cpctl node)"},
	{"", 20, "differences found (only with --exit-code)"},
	{"", exitInterrupted, "interrupted"},
}

// exitError ends the process with a code that no class of error has, such as
// 13. A nil err prints nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exitCode is the code of the process for an error.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	var own *exitError
	if errors.As(err, &own) {
		return own.code
	}
	class := classOf(err)
	for _, e := range exits {
		if e.code == class && e.code != "" {
			return e.exit
		}
	}
	return 1
}

// classOf finds what class an error is of; what has none is internal.
func classOf(err error) store.Code {
	var typed *store.Error
	switch {
	case errors.As(err, &typed):
		return typed.Code
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return store.CodeUnavailable
	}
	return store.CodeInternal
}

// usagef makes an error of the command line itself: exit 2, nothing was changed.
func usagef(format string, args ...any) *store.Error {
	return store.Errorf(codeUsage, format, args...)
}
