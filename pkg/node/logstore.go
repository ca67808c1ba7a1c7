package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/cpctl/cpctl/pkg/publish"
)

// errLogClosed answers whoever uses the log after Close. It is no failure of the
// disk and stops nothing.
var errLogClosed = errors.New("the raft log is closed")

// logStore is raft's log and stable store: raft-boltdb with three things added.
//
// It fails once. Raft carries on after an error of its store, with a memory that
// may differ from the disk, and after a failed sync the page cache may show what
// the disk does not hold. So the first write that fails, and the first entry
// that is damaged, call stop (which ends the process), and from then on every
// call fails.
//
// It knows damage. Each entry carries a CRC-32C of its content and of the entry
// before it in Log.Extensions, put there on a copy, because logCache, which
// wraps this store, shares the entries; raft's own values carry one, too; the file
// tail says where the log ends; and what bbolt does with a damaged file becomes an
// error (logpages.go, logsum.go, logopen.go, logguard.go).
//
// It has no gaps, and says so (see logreset.go).
type logStore struct {
	db     *raftboltdb.BoltStore
	path   string
	stop   func(error)
	failed atomic.Pointer[error]
	closed atomic.Bool

	writing sync.Mutex // one append or deletion at a time
	tail    logTail    // the last entry
	conf    *confMark  // the newest configuration in it or in the snapshot before it; nil: not looked for yet
	snaps   raft.SnapshotStore
	sizes   logSizes
	noted   *publish.Marker // nil in a log that is only read

	newest func() (snapshotMark, error) // nil until followSnapshots
	stale  func()
	begins atomic.Pointer[snapshotMark] // the snapshot that the log was last told to begin behind
}

var (
	_ raft.LogStore          = (*logStore)(nil)
	_ raft.StableStore       = (*logStore)(nil)
	_ raft.MonotonicLogStore = (*logStore)(nil)
)

// Close lets go of the file. Raft must have been shut down before.
func (s *logStore) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	if s.noted == nil {
		return s.db.Close()
	}
	if err := s.failed.Load(); err != nil && isBroken(*err) {
		return s.noted.Close()
	}
	return errors.Join(s.db.Close(), s.noted.Close())
}

// FirstIndex is the index of the oldest entry, 0 if there is none.
func (s *logStore) FirstIndex() (uint64, error) {
	return value(s, func() (uint64, error) { return s.db.FirstIndex() })
}

// LastIndex is the index of the newest entry, 0 if there is none.
func (s *logStore) LastIndex() (uint64, error) {
	return value(s, func() (uint64, error) { return s.db.LastIndex() })
}

// GetLog reads the entry at index into out as it was given to StoreLogs, or
// returns raft.ErrLogNotFound.
func (s *logStore) GetLog(index uint64, out *raft.Log) error {
	if err := s.usable(); err != nil {
		return err
	}
	entry, _, _, err := s.read(index)
	switch {
	case errors.Is(err, raft.ErrLogNotFound):
		return s.snapshotEntry(index, out)
	case err != nil:
		return s.fail(err)
	}
	*out = *entry
	return nil
}

// read returns an entry with its checksum and that of the one before it, or
// raft.ErrLogNotFound, or an error of CodeIntegrity, which is not a failure yet.
func (s *logStore) read(index uint64) (entry *raft.Log, sum, before uint32, err error) {
	defer catch(&err, s.path)()
	entry = new(raft.Log)
	err = s.db.GetLog(index, entry)
	switch {
	case errors.Is(err, raft.ErrLogNotFound):
		return nil, 0, 0, err
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return nil, 0, 0, errLogClosed
	case err != nil:
		return nil, 0, 0, damagedLog(s.path, "entry %d cannot be read: %v", index, err)
	}
	sum, before, ok := takeChecksum(entry)
	if !ok || entry.Index != index {
		return nil, 0, 0, damagedLog(s.path, "entry %d is not what was written: its checksum does not match", index)
	}
	return entry, sum, before, nil
}

// StoreLog appends one entry.
func (s *logStore) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

// StoreLogs appends entries and returns once they are on the disk. They must
// continue the log.
func (s *logStore) StoreLogs(entries []*raft.Log) error {
	if err := s.usable(); err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.checkContinues(entries); err != nil {
		return s.fail(err)
	}
	tail := s.tail
	copies := make([]*raft.Log, len(entries))
	for i, e := range entries {
		copies[i], tail.Sum = withChecksum(e, tail.Sum)
		tail.Last = e.Index
	}
	if err := s.guarded(func() error { return s.db.StoreLogs(copies) }); err != nil {
		return s.fail(fmt.Errorf("raft log %s: write entries %d to %d: %w", s.path, entries[0].Index, entries[len(entries)-1].Index, err))
	}
	s.tail = tail
	s.stored(entries)
	for _, e := range copies {
		s.sizes.add(e.Index, sizeOf(e))
	}
	if err := s.noted.Write(tail); err != nil {
		return s.fail(err)
	}
	return nil
}

// Set stores a value of raft's own.
func (s *logStore) Set(key, value []byte) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.guarded(func() error { return s.db.Set(key, sealValue(key, value)) }); err != nil {
		return s.fail(fmt.Errorf("raft log %s: write %s: %w", s.path, key, err))
	}
	return nil
}

// SetUint64 stores a number of raft's own.
func (s *logStore) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// untilClosed is the store as raft's own values go into it. Raft panics when its
// term cannot be written, and its transport, which a shutdown does not wait for,
// may still be at a heartbeat of a new leader when the log is closed. That one
// waits for the end of the process instead: nobody is told of the term.
type untilClosed struct{ *logStore }

func (s untilClosed) SetUint64(key []byte, value uint64) error {
	err := s.logStore.SetUint64(key, value)
	if errors.Is(err, errLogClosed) {
		select {}
	}
	return err
}

// Get reads a value of Set. The error for a key that is not there says "not
// found" and nothing else: raft compares the words.
func (s *logStore) Get(key []byte) ([]byte, error) {
	sealed, err := value(s, func() ([]byte, error) { return s.db.Get(key) })
	if err != nil {
		return nil, err
	}
	v, err := openValue(key, sealed)
	if err != nil {
		return nil, s.fail(damagedLog(s.path, "its value %q: %v", key, err))
	}
	return v, nil
}

// GetUint64 reads a number of SetUint64, with the error of Get.
func (s *logStore) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, s.fail(damagedLog(s.path, "its value %q is no number", key))
	}
	return binary.BigEndian.Uint64(v), nil
}

func (s *logStore) guarded(call func() error) (err error) {
	defer catch(&err, s.path)()
	return call()
}

// value asks bbolt for something. Only damage is a failure here.
func value[T any](s *logStore, ask func() (T, error)) (v T, err error) {
	if err := s.usable(); err != nil {
		return v, err
	}
	err = s.guarded(func() (err error) { v, err = ask(); return err })
	if isBroken(err) {
		err = s.fail(err)
	}
	return v, err
}

func (s *logStore) usable() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	if s.closed.Load() {
		return errLogClosed
	}
	return nil
}

// fail makes err the answer to this call and all later ones, and stops the
// process, unless the log was closed under the call.
func (s *logStore) fail(err error) error {
	if s.closed.Load() {
		return errLogClosed
	}
	if s.failed.CompareAndSwap(nil, &err) {
		s.stop(err)
	}
	return *s.failed.Load()
}
