package store

import (
	"regexp"
	"sync"
)

// lazily is a form that is compiled when it is asked for first: most commands need
// none of them, and a process that runs for ten milliseconds would spend one on them.
func lazily(form string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(form) })
}
