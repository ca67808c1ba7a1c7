package node

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// What raft v1.7.3 does with a log that calls itself monotonic: after it
// installed a leader's snapshot it deletes the whole log (removeOldLogs) instead
// of what is older than TrailingLogs before the end (compactLogs). The latter can
// loop for ever: entries of a deposed leader stay in the log at and behind the
// snapshot's index, the new leader's entries never match them, and it sends the
// snapshot again. Deleting everything has two faults of its own, mended here.
//
// It forgets what was promised. An install that was delayed on the way, or sent
// twice, may come after entries that follow it were stored and acknowledged;
// without them a majority may no longer hold a committed entry. So, as the Raft
// paper has it (figure 13, step 6), what follows the snapshot stays: DeleteRange
// of the whole log deletes nothing then. And the entry at the snapshot's own
// index, which the leader asks for to continue there, is answered from the
// snapshot when the log begins right behind it.
//
// It leaves raft's memory of its last entry as it was. If that entry was at or
// behind the snapshot's index, and another than the leader's, the new leader is
// refused for ever. Only a new raft.NewRaft on the same stores reads the truth:
// stale tells the node to do that.

// snapshotMark is a snapshot on disk: raft's id of it, and the index and term of
// the last entry in it. All zero: there is none.
type snapshotMark struct {
	id          string
	index, term uint64
}

// followSnapshots ties the log to the snapshots that raft keeps beside it. It
// must be called before the log is given to raft, after bad snapshots were moved
// away. stale is called in raft's own goroutine and must only take note: the
// node then shuts raft down and makes it anew on the same stores. A log that
// follows no snapshots deletes what it is told.
func (s *logStore) followSnapshots(snaps raft.SnapshotStore, stale func()) error {
	s.newest = func() (snapshotMark, error) {
		list, err := snaps.List() // the newest first
		if err != nil {
			return snapshotMark{}, fmt.Errorf("raft log %s: list snapshots: %w", s.path, err)
		}
		if len(list) == 0 {
			return snapshotMark{}, nil
		}
		return snapshotMark{list[0].ID, list[0].Index, list[0].Term}, nil
	}
	s.stale, s.snaps = stale, snaps
	mark, err := s.newest()
	s.begins.Store(&mark)
	if err != nil {
		return err
	}
	// A crash between the install of a snapshot and the deletion of the log
	// leaves one that ends before it. Raft goes on behind the snapshot, which
	// would be a gap; all there is of the log is in the snapshot, or was never
	// committed.
	first, last, err := s.ends()
	if err != nil || first == 0 || last >= mark.index {
		return err
	}
	if err := s.shorten(first, last); err != nil {
		return err
	}
	return s.delete(first, last)
}

// renewed is called after a snapshot was written beside raft: if it is of the
// index behind which the log begins, it is no install.
func (s *logStore) renewed() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	mark, err := s.newest()
	if err == nil && mark.index == s.begins.Load().index {
		s.begins.Store(&mark)
	}
	return err
}

// IsMonotonic tells raft that the log has no gaps.
func (s *logStore) IsMonotonic() bool { return true }

// DeleteRange deletes the entries from min to max, both included, except that a
// log which continues the newest snapshot is not given up for it.
func (s *logStore) DeleteRange(min, max uint64) error {
	if err := s.usable(); err != nil {
		return err
	}
	_, last, err := s.ends()
	if err != nil {
		return s.fail(err)
	}
	for ; max < last && max-min >= cutStep; min += cutStep { // its beginning: appends need not wait for all of it
		if err := s.deleteRange(min, min+cutStep-1); err != nil {
			return err
		}
	}
	return s.deleteRange(min, max)
}

func (s *logStore) deleteRange(min, max uint64) error {
	if err := s.usable(); err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	keep, stale, err := s.judge(min, max)
	if err != nil {
		return s.fail(err)
	}
	if keep {
		return s.keptConf()
	}
	if err := s.shorten(min, max); err != nil {
		return s.fail(err)
	}
	if err := s.delete(min, max); err != nil {
		return s.fail(err)
	}
	if stale {
		s.stale()
	}
	return nil
}

// shorten notes, on disk, that the log is about to end earlier: what the file
// tail names must be there after every crash.
func (s *logStore) shorten(min, max uint64) error {
	first, last, err := s.ends()
	if err != nil || last == 0 || max < last || min > last {
		return err
	}
	var tail logTail
	if min > first {
		if tail, err = s.tailAt(min - 1); err != nil {
			return err
		}
	}
	if err := errors.Join(s.noted.Write(tail), s.noted.Sync()); err != nil {
		return err
	}
	s.tail = tail
	return nil
}

// judge tells a deletion of the whole log from others, and says whether the log
// is to be kept, or raft's memory is stale without it. Raft deletes the whole
// log after an install, in RecoverCluster (which puts all of it into a snapshot
// before), and when a new leader's entries differ from the first one on.
func (s *logStore) judge(min, max uint64) (keep, stale bool, err error) {
	if s.newest == nil {
		return false, false, nil
	}
	first, last, err := s.ends()
	if err != nil || first == 0 || first < min || max < last {
		return false, false, err
	}
	mark, err := s.newest()
	if err != nil {
		return false, false, err
	}
	installed := mark.id != s.begins.Load().id
	s.begins.Store(&mark)
	if last < mark.index || mark.index == 0 {
		return false, false, nil // raft takes the snapshot's last entry for its own
	}
	if first > mark.index {
		// All of it was stored behind this snapshot: a second install of it must
		// not take it away, but a new leader's entries may.
		return installed, false, nil
	}
	var at raft.Log
	err = s.GetLog(mark.index, &at)
	if errors.Is(err, raft.ErrLogNotFound) || err == nil && at.Term != mark.term {
		return false, true, nil // a deposed leader's entries, or a gap made by an older store
	}
	if err != nil {
		return false, false, err
	}
	return last > mark.index, false, nil
}

// snapshotEntry answers for the one entry that is known though it is not in the
// log: the last of the snapshot right behind which the log begins. Raft asks for
// its term only. The entry at 1 is left out: a leader might send it on without
// having asked for its predecessor, which stops it for all others.
func (s *logStore) snapshotEntry(index uint64, out *raft.Log) error {
	mark := s.begins.Load()
	if index != mark.index || index <= 1 {
		return raft.ErrLogNotFound
	}
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	if first != index+1 {
		return raft.ErrLogNotFound
	}
	*out = raft.Log{Index: index, Term: mark.term, Type: raft.LogNoop}
	return nil
}

// checkContinues refuses entries that would leave a gap, which raft would meet
// only when it is too late.
func (s *logStore) checkContinues(entries []*raft.Log) error {
	_, last, err := s.ends()
	if err != nil {
		return err
	}
	if last == 0 {
		if s.newest == nil {
			last = entries[0].Index - 1
		} else {
			// Of an install into an empty log nobody tells us.
			mark, err := s.newest()
			if err != nil {
				return err
			}
			s.begins.Store(&mark)
			last = mark.index
		}
	}
	for _, e := range entries {
		if e.Index != last+1 {
			return fmt.Errorf("raft log %s: entry %d cannot follow entry %d: %w", s.path, e.Index, last, errLogGap)
		}
		last++
	}
	return nil
}

var errLogGap = errors.New("the log would have a gap")

func (s *logStore) ends() (first, last uint64, err error) {
	if first, err = s.FirstIndex(); err == nil {
		last, err = s.LastIndex()
	}
	if err != nil {
		err = fmt.Errorf("raft log %s: read its ends: %w", s.path, err)
	}
	return first, last, err
}
