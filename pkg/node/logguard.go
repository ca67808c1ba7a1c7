package node

import (
	"errors"
	"runtime/debug"

	"github.com/cpctl/cpctl/pkg/store"
)

// catch makes an error of what bbolt does with a file that is damaged under it:
// it panics, or touches mapped memory behind the end of the file, which without
// SetPanicOnFault would end the program with a trace. Use: defer catch(&err, path)().
func catch(err *error, path string) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if cause := recover(); cause != nil {
			*err = &brokenLog{damagedLog(path, "%v", cause)}
		}
	}
}

// brokenLog is damage that bbolt has not survived: its locks may be held for
// ever, so that it is not closed.
type brokenLog struct{ cause *store.Error }

func (b *brokenLog) Error() string { return b.cause.Error() }
func (b *brokenLog) Unwrap() error { return b.cause }

func isBroken(err error) bool {
	var b *brokenLog
	return errors.As(err, &b)
}
