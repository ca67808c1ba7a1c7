package faults

import (
	"fmt"
	"strings"
	"sync"
)

// kind is a way in which a promise can be broken.
type kind int

const (
	lost     kind = iota // a write was acknowledged and did not stay
	doubled              // something took effect twice, or without an answer
	torn                 // files are not whole, or do not belong together
	backward             // somebody was shown an older state than before
	kinds
)

func (k kind) String() string { return [...]string{"lost", "doubled", "torn", "backward"}[k] }

// shownFindings is how many are told in full.
const shownFindings = 20

// findings counts what was found, from any goroutine.
type findings struct {
	mu     sync.Mutex
	count  [kinds]int
	told   []string
	moment string // what was done last: "kill 17 of n2"
}

func (f *findings) add(k kind, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count[k]++; len(f.told) < shownFindings {
		f.told = append(f.told, fmt.Sprintf("%s, after %s: ", k, f.moment)+fmt.Sprintf(format, args...))
	}
}

// after notes what was done, for the findings from now on.
func (f *findings) after(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moment = fmt.Sprintf(format, args...)
}

// now is what was done last.
func (f *findings) now() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.moment
}

// any tells whether anything was found.
func (f *findings) any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count != [kinds]int{}
}

// String is the end of the line that sums a trial up.
func (f *findings) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var parts []string
	for k, n := range f.count {
		parts = append(parts, fmt.Sprintf("%s %d", kind(k), n))
	}
	return strings.Join(parts, ", ")
}

func (f *findings) details() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.told, "\n")
}
