package store

import (
	"fmt"
)

const (
	maxDepth  = 32  // nested lists and objects of a document
	maxFaults = 100 // listed in one refusal

	maxValueText = 64 // bytes of a time or duration; no legal one comes near
)

// faults collects what is wrong with a document.
type faults []Field

func (fs *faults) add(path, message string, args ...any) {
	switch {
	case len(*fs) < maxFaults:
		*fs = append(*fs, Field{path, fmt.Sprintf(message, args...)})
	case len(*fs) == maxFaults:
		*fs = append(*fs, Field{"", "there are more faults than these"})
	}
}

// addErr notes err at path if there is one.
func (fs *faults) addErr(path string, err error) {
	if err != nil {
		fs.add(path, "%v", err)
	}
}

// refusal is the error of the collected faults, or nil.
func (fs faults) refusal(what string) error {
	if len(fs) == 0 {
		return nil
	}
	return Invalid(what, fs)
}
