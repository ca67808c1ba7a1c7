package node

import (
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// What the log may hold in bytes. Raft counts entries (TrailingLogs), and those of
// a restore have 240 KiB each: the few thousand that it keeps are the restore.
const (
	// keptLogBytes of the newest entries are for followers that are a moment behind.
	// When older ones have three times that, the log is cut behind a snapshot; who is
	// further behind gets the snapshot, which is smaller than what was cut.
	keptLogBytes = 32 << 20
	keptEntries  = 128 // stay whatever their size

	cutStep = 64 // entries that are deleted at once: an append waits no longer than for these
)

// logSizes is how many bytes each entry of the log has.
type logSizes struct {
	mu    sync.Mutex
	first uint64 // index of the first; of no meaning without any
	each  []int32
	sum   int64
}

func (l *logSizes) add(index uint64, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.each) == 0 {
		l.first = index
	}
	l.each = append(l.each, int32(size))
	l.sum += int64(size)
}

// drop forgets the entries from min to max, which are at one end of the log.
func (l *logSizes) drop(min, max uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from, to := l.at(min), l.at(max+1)
	for _, size := range l.each[from:to] {
		l.sum -= int64(size)
	}
	if from > 0 {
		l.each = l.each[:from]
		return
	}
	l.first += uint64(to)
	l.each = append([]int32(nil), l.each[to:]...)
}

// at is the place of an index, or the nearest there is.
func (l *logSizes) at(index uint64) int {
	if index <= l.first {
		return 0
	}
	return int(min(index-l.first, uint64(len(l.each))))
}

// within returns the first of the newest entries that have no more than so many
// bytes together; at least keptEntries. before is how many bytes the others have.
func (l *logSizes) within(bytes int64) (from uint64, before int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, sum := len(l.each), int64(0)
	for ; i > 0; i-- {
		next := sum + int64(l.each[i-1])
		if next > bytes && len(l.each)-i >= keptEntries {
			break
		}
		sum = next
	}
	return l.first + uint64(i), l.sum - sum
}

// sizeOf is what an entry counts.
func sizeOf(e *raft.Log) int { return len(e.Data) + len(e.Extensions) }

// delete takes entries at one end of the log away. The caller holds writing.
func (s *logStore) delete(min, max uint64) error {
	if err := s.guarded(func() error { return s.db.DeleteRange(min, max) }); err != nil {
		return fmt.Errorf("raft log %s: delete entries %d to %d: %w", s.path, min, max, err)
	}
	s.sizes.drop(min, max)
	return s.deleted()
}

// cut deletes the oldest entries, none behind a snapshot's last, until what is left
// has no more than so many bytes. It is what raft does behind a snapshot with a
// count of entries, and may run beside it.
func (s *logStore) cut(snapshot uint64, bytes int64) error {
	for {
		more, err := s.cutSome(snapshot, bytes)
		if err != nil || !more {
			return err
		}
	}
}

func (s *logStore) cutSome(snapshot uint64, bytes int64) (more bool, err error) {
	if err := s.usable(); err != nil {
		return false, err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	first, last, err := s.ends()
	if err != nil || last == 0 {
		return false, err
	}
	from, _ := s.sizes.within(bytes)
	end := min(snapshot, from-1, last-1)
	if end < first {
		return false, nil
	}
	step := min(end, first+cutStep-1)
	if err := s.delete(first, step); err != nil {
		return false, s.fail(err)
	}
	return step < end, nil
}
