package node

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// maxLogFaults bounds what is said about one log: a disk that loses blocks loses many.
const maxLogFaults = 100

// check reads every entry of the log, past raft's cache, and returns what is
// wrong: entries that are not what was written, holes, terms that fall, entries
// that do not follow each other. It stops nothing. The log may grow and be cut
// at both ends meanwhile.
func (s *logStore) check() (faults []error, err error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	for _, key := range raftKeys {
		if _, err := s.peek(key); err != nil {
			faults = append(faults, err)
		}
	}
	first, last, err := s.ends()
	if err != nil {
		return faults, err
	}
	var before *link
	for i := first; i > 0 && i <= last && len(faults) < maxLogFaults; i++ {
		at, err := s.link(i)
		if errors.Is(err, raft.ErrLogNotFound) { // cut off meanwhile, or a hole
			f, l, ends := s.ends()
			switch {
			case ends != nil:
				return faults, ends
			case l == 0 || i > l:
				return faults, nil
			case i < f:
				i, before = f-1, nil
				continue
			}
			if at, err = s.link(i); errors.Is(err, raft.ErrLogNotFound) { // it may have been replaced meanwhile
				err = damagedLog(s.path, "entry %d is missing, though the log goes on to entry %d", i, l)
			}
		}
		if errors.Is(err, errLogClosed) {
			return faults, err
		}
		if err == nil && before != nil && !at.follows(before) {
			// One of the two may have been replaced between the two readings.
			was, err1 := s.link(i - 1)
			now, err2 := s.link(i)
			if err1 == nil && err2 == nil && !now.follows(was) {
				err = now.fault(s.path, was)
			}
			if err2 == nil {
				at = now
			}
		}
		if err != nil {
			faults = append(faults, err)
		}
		before = at // nil if it cannot be read
	}
	return faults, nil
}

// raftKeys are the names under which raft keeps its term and its vote.
var raftKeys = [][]byte{[]byte("CurrentTerm"), []byte("LastVoteTerm"), []byte("LastVoteCand")}

// peek reads a value of raft's own and stops nothing; no value is no fault.
func (s *logStore) peek(key []byte) (value []byte, err error) {
	var sealed []byte
	if err := s.guarded(func() (err error) { sealed, err = s.db.Get(key); return err }); isBroken(err) {
		return nil, err
	} else if err != nil {
		return nil, nil
	}
	if value, err = openValue(key, sealed); err != nil {
		return nil, damagedLog(s.path, "its value %q: %v", key, err)
	}
	return value, nil
}

// link is what ties an entry to the one before it.
type link struct {
	index, term uint64
	sum, before uint32
}

func (s *logStore) link(index uint64) (*link, error) {
	e, sum, before, err := s.read(index)
	if err != nil {
		return nil, err
	}
	return &link{e.Index, e.Term, sum, before}, nil
}

func (l *link) follows(before *link) bool { return l.before == before.sum && l.term >= before.term }

func (l *link) fault(path string, before *link) error {
	if l.term < before.term {
		return damagedLog(path, "entry %d has term %d, the one before it %d", l.index, l.term, before.term)
	}
	return damagedLog(path, "entry %d was not written behind the entry %d that is there", l.index, before.index)
}

// whole is check for a log that nobody uses yet: the first fault ends it.
func (s *logStore) whole() error {
	faults, err := s.check()
	if err != nil || len(faults) == 0 {
		return err
	}
	if len(faults) > 1 {
		return fmt.Errorf("%w (and %d more)", faults[0], len(faults)-1)
	}
	return faults[0]
}

// checkTail compares the file tail with what was written to it last.
func (s *logStore) checkTail(repair bool) (fault string, repaired bool) {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.noted.Check(repair)
}
